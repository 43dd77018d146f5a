"""Package ``fully_decoupled_ps``; run ``make setup`` for an environment with everything in it."""

from pathlib import Path

from setuptools import find_packages, setup

SOURCE = "projects/FullyDecoupledPS"

# Re-id networks that are published as ONNX files (MODEL.CROP_REID.NAME onnx).
ONNX = [
    "onnx>=1.16",  # the format; which files a network's weights are in
    "onnxruntime>=1.18",  # runs them
]
# tools/export_model.py
EXPORT = [
    *ONNX,  # each file is run and compared before it stays
    "onnxscript>=0.2",  # PyTorch's translation of what torch.export makes into ONNX
]
# Any of timm's networks, for crops (MODEL.CROP_REID.NAME timm:NAME) or of stages
# (MODEL.STAGED.NAME timm:NAME), and its files.
TIMM = [
    "timm>=1.0.9",  # of the time of torch 2.4
    "safetensors>=0.4",  # the format in which timm's weights are published
]
# Exact and approximate search of features, for `person-search` with an index in a folder.
SEARCH = ["faiss-cpu>=1.9"]
# Pictures of iPhones (HEIC).
HEIC = ["pillow-heif>=1.4"]
# The same with an index in Milvus, and Milvus' embedded form, which the tests use.
MILVUS = [
    "pymilvus>=3.0.2",
    "milvus-lite>=3.2.2; sys_platform != 'win32'",
    "pyarrow>=17",  # milvus-lite needs it; newer ones want NumPy 2 without saying so
]
# A page's routes, answers and limits, and its server.
PAGE = ["starlette>=1.10", "uvicorn>=0.54"]
# The page of `person-search serve`: its fields, its events, and their way to the browser.
SERVE = ["gradio>=6.31,<7", "fastapi>=0.165", *PAGE]
# Tracking people for `person-search label`: trackers has ByteTrack under Apache-2.0 and is well
# kept; supervision has given its own away to it, and boxmot is under AGPL-3.0, which doesn't fit.
LABEL = [
    "trackers>=2.6",  # with time stamps; needs NumPy 2, so that "dev" has it not: see env-oldest
    "supervision>=0.26.1",  # the detections that trackers takes
    *SEARCH,  # the index of a project
    *PAGE,
]
TEST = [
    "pytest>=8",
    "pytest-xdist>=3.6.1",  # the tests in two processes, which takes a bit more than half the time
    "hypothesis>=6.100",
    "ruff>=0.9",
    "playwright>=1.65",  # drives the browser in which the page is tested and pictured
]

setup(
    name="fully-decoupled-ps",
    version="0.1.0",
    description="Towards Fully Decoupled End-to-End Person Search, on Detectron2",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    url="https://arxiv.org/abs/2309.04967",
    project_urls={
        "Paper": "https://arxiv.org/abs/2309.04967",
        "Detectron2": "https://github.com/facebookresearch/detectron2",
    },
    author="The FullyDecoupledPS contributors",
    license="Apache-2.0",
    keywords="person search, re-identification, detection, Detectron2, PyTorch",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    # The wheel has the configs inside the package, where config.py finds them by name.
    package_dir={"": SOURCE, "fully_decoupled_ps.configs": f"{SOURCE}/configs"},
    packages=[
        *find_packages(SOURCE, include=["fully_decoupled_ps*", "person_search*"]),
        "fully_decoupled_ps.configs",
    ],
    package_data={
        "fully_decoupled_ps.configs": ["*.yaml", "*/*.yaml"],
        "fully_decoupled_ps.visualization": ["templates/*"],
        "person_search.label.web": ["templates/*"],
        "person_search.search": ["templates/*"],
        "person_search.web": ["templates/*"],
    },
    python_requires=">=3.11",
    install_requires=[
        # Detectron2 is required too, but the package index does not have it under its own name:
        # `python projects/FullyDecoupledPS/tools/build_detectron2.py` builds and installs v0.6, or
        # install upstream's main branch from https://github.com/facebookresearch/detectron2.
        "torch>=2.4",
        "torchvision>=0.19",  # the release that belongs to torch 2.4
        "numpy>=1.26",
        "fvcore>=0.1.5.post20221221",  # transforms and schedules, as Detectron2 has them
        "iopath>=0.1.9",  # PathManager, as Detectron2 has it
        "pycocotools>=2.0.7",  # Detectron2 imports it with its datasets
        "scipy>=1.11",  # the data sets' annotations are MATLAB files
        "scikit-learn>=1.3",  # average precision as the published numbers use it
        "tabulate>=0.9",  # tables on the console, as Detectron2 prints them
        "matplotlib>=3.7",  # plots; Detectron2 draws with it too
        "pyyaml>=6.0.1",  # what is wrong with a config that Detectron2 can't read
        "tqdm>=4.66",  # progress with time left; Detectron2 has it too
        "jinja2>=3.1",  # the report's page; torch has it too
        "markupsafe>=2.1.2",  # text that jinja2 need not escape
        "pillow>=11.3",  # pictures of all formats; the first release whose wheels read AVIF
        "av>=15",  # PyAV: videos by FFmpeg's decoders, frames by their presentation time stamps
        # Drawing, resizing and colours of pictures. Its other builds (headless, contrib) are the
        # same module: where one of them is installed, `make setup` leaves this one out.
        "opencv-python>=4.8",
    ],
    entry_points={"console_scripts": ["person-search = person_search.cli.main:main"]},
    extras_require={
        "dev": [*TEST, *EXPORT, *HEIC, *SEARCH, *MILVUS, *SERVE, *TIMM],
        "export": EXPORT,
        "onnx": ONNX,
        "timm": TIMM,
        "heic": HEIC,
        "search": SEARCH,
        "milvus": MILVUS,
        # an embedding map by UMAP in place of t-SNE (tools/visualize.py embedding --method umap)
        "umap": ["umap-learn>=0.5"],
        "serve": SERVE,
        "label": LABEL,
    },
)
