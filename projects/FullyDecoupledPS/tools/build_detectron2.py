#!/usr/bin/env python
"""Build Detectron2 v0.6 as a pure-Python wheel for current PyTorch and NumPy, and install it.

Detectron2 is not on the package index under its own name. What the index has is ``pb1-detectron2``
0.6: upstream's tag v0.6, byte for byte, without the C++ sources. This project needs none of the
C++ operators (RoIAlign and NMS come from torchvision), so the source becomes an ordinary wheel:

1. pip fetches the source distribution, and refuses it if its SHA-256 is not the one below;
2. the changes listed in ``CHANGES`` are applied, each exactly as often as it says, or not at all;
3. a wheel named ``detectron2`` is written, the same bytes every time, and installed.

Needs torch in the running environment: the source's own setup.py, which pip asks for the
distribution's name, imports it.

    python build_detectron2.py                   # build, and install into the running environment
    python build_detectron2.py --keep-installed  # the same, unless there is another Detectron2
    python build_detectron2.py --wheel-dir DIR   # only build, e.g. to carry it to another machine
    python build_detectron2.py --from-git URL    # upstream's main branch, with its C++ operators

The installed Detectron2 is replaced only after the new one has been built.
"""

import argparse
import base64
import hashlib
import importlib.metadata
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

SDIST_REQUIREMENT = "pb1-detectron2==0.6"
SDIST_SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
# The local version tells this build from upstream's own in `pip list`.
VERSION = "0.6+purepython"

# Upstream's requirements for v0.6, less what it needs only to export to Caffe2 (future, pydot) or
# to format a dumped LazyConfig (black, pinned to a release of 2021). The upper bound on iopath is
# gone because it shuts out releases that work. numpy is named because upstream only implies it.
REQUIREMENTS = (
    "numpy",
    "Pillow>=7.1",
    "matplotlib",
    "pycocotools>=2.0.2",
    "termcolor>=1.1",
    "yacs>=0.1.8",
    "tabulate",
    "cloudpickle",
    "tqdm>4.29.0",
    "tensorboard",
    "fvcore>=0.1.5,<0.1.6",
    "iopath>=0.1.7,<0.2",
    "omegaconf>=2.1",
    "hydra-core>=1.1",
    "packaging",
)
# Of upstream's main branch, whose model_zoo also imports pkg_resources, gone from setuptools 81.
BUILD_TOOLS = ("setuptools<81", "wheel")
PIP = (sys.executable, "-m", "pip")


class BuildError(Exception):
    """Something that stops the build, said in one line."""


@dataclass(frozen=True)
class Change:
    """Replace ``old`` by ``new`` in ``file``, where ``old`` must occur ``count`` times."""

    file: str
    old: str
    new: str
    reason: str
    count: int = 1


NO_OPERATORS = "the C++ operators are not built: importing works, calling one says so"
NUMPY_ALIASES = "NumPy 1.24 removed its aliases of the builtin types"

_IMPORT_OPERATORS = "from detectron2 import _C\n"
_TRY_OPERATORS = (
    "try:\n    from detectron2 import _C\n"
    "except ImportError:\n    from detectron2.utils.missing_operators import _C\n"
)

CHANGES = (
    *(
        Change(f"detectron2/layers/{name}.py", _IMPORT_OPERATORS, _TRY_OPERATORS, NO_OPERATORS)
        for name in ("deform_conv", "rotated_boxes", "roi_align_rotated")
    ),
    Change(
        "detectron2/evaluation/coco_evaluation.py",
        "from detectron2.evaluation.fast_eval_api import COCOeval_opt\n",
        "\ntry:\n    from detectron2.evaluation.fast_eval_api import COCOeval_opt\n"
        "except ImportError:\n    COCOeval_opt = COCOeval\n\n",
        "COCOeval_opt is C++; COCOeval gives the same figures, more slowly",
    ),
    Change(
        "detectron2/export/__init__.py",
        "from .api import *\n",
        "try:\n    from .api import *\nexcept ImportError:\n    pass\n",
        "PyTorch no longer brings caffe2; utils.analysis (FLOPs) imports this package too",
    ),
    Change(
        "detectron2/data/transforms/transform.py",
        "interp=Image.LINEAR",
        "interp=Image.BILINEAR",
        "Pillow 10 removed LINEAR, the old name of BILINEAR",
    ),
    Change("detectron2/data/build.py", "dtype=np.int", "dtype=int", NUMPY_ALIASES, 2),
    Change("detectron2/data/datasets/pascal_voc.py", "np.str)", "str)", NUMPY_ALIASES),
    Change(
        "detectron2/evaluation/pascal_voc_evaluation.py", "(np.bool)", "(bool)", NUMPY_ALIASES, 2
    ),
    Change("detectron2/evaluation/sem_seg_evaluation.py", "np.int)", "int)", NUMPY_ALIASES, 2),
    Change("detectron2/evaluation/sem_seg_evaluation.py", "np.float)", "float)", NUMPY_ALIASES, 5),
    Change("detectron2/structures/masks.py", "np.bool)", "bool)", NUMPY_ALIASES, 3),
    Change("detectron2/utils/visualizer.py", "np.bool)", "bool)", NUMPY_ALIASES, 3),
    Change("detectron2/utils/video_visualizer.py", "np.bool)", "bool)", NUMPY_ALIASES),
    Change(
        "detectron2/model_zoo/model_zoo.py",
        "import pkg_resources\n",
        "",
        "setuptools 81 removed pkg_resources",
    ),
    Change(
        "detectron2/model_zoo/model_zoo.py",
        'pkg_resources.resource_filename(\n        "detectron2.model_zoo", '
        'os.path.join("configs", config_path)\n    )',
        'os.path.join(os.path.dirname(__file__), "configs", config_path)',
        "setuptools 81 removed pkg_resources",
    ),
    Change(
        "detectron2/modeling/anchor_generator.py",
        "torch.meshgrid(shifts_y, shifts_x)",
        'torch.meshgrid(shifts_y, shifts_x, indexing="ij")',
        "PyTorch warns, and will refuse, when the order of the axes is not named",
    ),
    Change(
        "detectron2/modeling/meta_arch/retinanet.py",
        "get_norm(norm, 1)",
        "get_norm(norm, 32)",
        "PyTorch 1.11 refuses a GroupNorm of 32 groups over the 1 channel used to ask its name",
    ),
)

ADDED_FILES = {
    "detectron2/utils/missing_operators.py": '''\
"""Stands in for the C++ operators of Detectron2 in a build without them."""


class _MissingOperators:
    def __getattr__(self, name):
        raise ImportError(
            f"detectron2's C++ operator '{name}' is not part of this pure-Python build; "
            "build Detectron2 from https://github.com/facebookresearch/detectron2 to use it"
        )


_C = _MissingOperators()
''',
}


def fetch_sdist(folder: Path) -> Path:
    """Let pip download the source distribution into ``folder``, from whatever index it uses."""
    if importlib.util.find_spec("wheel") is None:
        # The source's metadata is made with the environment's setuptools, which before 70.1 can't
        # without it; a new environment of Python 3.11 has 65.5 alone. What fails is told below.
        subprocess.run([*PIP, "install", "--quiet", "wheel"])
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{SDIST_REQUIREMENT} --hash=sha256:{SDIST_SHA256}\n")
    command = [*PIP, "download", "--quiet", "--no-deps"]
    # pip runs the source's setup.py to learn its name, after it has checked the hash; without
    # isolation that finds the installed torch instead of downloading another one.
    command += ["--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
    command += ["--dest", str(folder), "-r", str(requirements)]
    failed = subprocess.run(command).returncode
    found = sorted(folder.glob("pb1*detectron2-0.6.tar.gz"))
    if failed or not found:
        raise BuildError(
            f"pip could not fetch {SDIST_REQUIREMENT}; its message is above. Check that torch is "
            "installed and the package index reachable, or name a downloaded file with --sdist"
        )
    return found[0]


def read_sdist(path: Path) -> dict[str, bytes]:
    """Return the package's files and the licence by their path in the wheel.

    Raises:
        BuildError: the file is missing, or is not the one that the changes were written for.
    """
    if not path.is_file():
        raise BuildError(f"{path}: no such file; leave --sdist out to download it")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SDIST_SHA256:
        raise BuildError(
            f"{path}: SHA-256 is {digest}, expected {SDIST_SHA256}; "
            f"download {SDIST_REQUIREMENT} again"
        )
    files = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            name = member.name.partition("/")[2]
            if member.isfile() and (name.startswith("detectron2/") or name == "LICENSE"):
                files[name] = archive.extractfile(member).read()
    return files


def apply_changes(files: dict[str, bytes], changes: Iterable[Change] = CHANGES) -> None:
    """Edit ``files`` in place, and state in each edited file that it was edited.

    Raises:
        BuildError: a change's file is missing or holds ``old`` another number of times.
    """
    reasons: dict[str, list[str]] = {}
    for change in changes:
        if change.file not in files:
            raise BuildError(f"{change.file}: not in the source, but a change needs it")
        text = files[change.file].decode()
        found = text.count(change.old)
        if found != change.count:
            raise BuildError(
                f"{change.file}: expected {change.old.strip()!r} {change.count} times, found "
                f"{found}; the change '{change.reason}' no longer applies"
            )
        files[change.file] = text.replace(change.old, change.new).encode()
        reasons.setdefault(change.file, []).append(change.reason)
    # Apache-2.0, section 4(b): modified files carry a notice.
    for file, why in reasons.items():
        notice = "\n# Changed from Detectron2 v0.6: " + "; ".join(dict.fromkeys(why)) + ".\n"
        files[file] += notice.encode()
    for file, text in ADDED_FILES.items():
        files[file] = text.encode()


def write_wheel(files: dict[str, bytes], folder: Path) -> Path:
    """Write ``files`` as a wheel for any Python 3 and platform; the same files, the same bytes."""
    info = f"detectron2-{VERSION}.dist-info"
    contents = {name: data for name, data in sorted(files.items()) if name != "LICENSE"}
    contents[f"{info}/LICENSE"] = files["LICENSE"]
    contents[f"{info}/METADATA"] = _metadata().encode()
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: build_detectron2.py\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n"
    )
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD").encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"detectron2-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in contents.items():
            entry = zipfile.ZipInfo(name, date_time=(2021, 11, 15, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return path


def _metadata() -> str:
    lines = ["Metadata-Version: 2.1", "Name: detectron2", f"Version: {VERSION}"]
    lines += ["Summary: Detectron2 v0.6 without its C++ operators, for current PyTorch and NumPy"]
    lines += ["Home-page: https://github.com/facebookresearch/detectron2", "Author: FAIR"]
    lines += ["License: Apache-2.0", "Requires-Python: >=3.8"]
    lines += [f"Requires-Dist: {requirement}" for requirement in REQUIREMENTS]
    return "\n".join(lines) + "\n"


def _record(contents: dict[str, bytes], own_name: str) -> str:
    lines = []
    for name, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return "\n".join(lines + [f"{own_name},,"]) + "\n"


def build(folder: Path, sdist: Path | None = None) -> Path:
    """Build the wheel into ``folder`` from ``sdist``, or from the package index."""
    with tempfile.TemporaryDirectory() as download:
        files = read_sdist(sdist or fetch_sdist(Path(download)))
    apply_changes(files)
    return write_wheel(files, folder)


def build_from_git(folder: Path, url: str) -> Path:
    """Build the wheel of a Git repository of Detectron2 into ``folder``, C++ operators included."""
    tools = [*PIP, "install", "--quiet", *BUILD_TOOLS]
    build = [*PIP, "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    build += ["--wheel-dir", str(folder), url]
    if any(subprocess.run(command).returncode for command in (tools, build)):
        raise BuildError(
            f"pip could not build {url}; its message is above. It needs git, a C++ compiler and "
            "the network. What was installed before is still there"
        )
    return next(folder.glob("detectron2-*.whl"))


def install(wheel: Path, constraint: Path | None = None) -> None:
    """Install ``wheel`` and what it requires, within ``constraint``, into the environment."""
    constraints = ["--constraint", str(constraint)] if constraint else []
    # The first replaces another version, once all that the new one requires is found; the second
    # an earlier build of the same version.
    for options in (constraints, ["--no-deps", "--force-reinstall"]):
        if subprocess.run([*PIP, "install", "--quiet", *options, str(wheel)]).returncode:
            raise BuildError(f"pip could not install {wheel.name}; its message is above")


def find_other_detectron2() -> str | None:
    """Return the version of an installed Detectron2 that this script did not build, else None.

    Raises:
        BuildError: it is installed but cannot be imported.
    """
    if importlib.util.find_spec("detectron2") is None:
        return None
    try:
        version = importlib.metadata.version("detectron2")
    except importlib.metadata.PackageNotFoundError:
        version = "from a source folder"
    if version == VERSION:
        return None
    # Not model_zoo: upstream's needs pkg_resources, which setuptools 81 removed, and we do not.
    command = [sys.executable, "-c", "import detectron2.engine, detectron2.modeling"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        said = (done.stdout.strip().splitlines() or ["nothing"])[-1]
        raise BuildError(
            f"the installed Detectron2 ({version}) cannot be imported: '{said}'; repair it, or "
            f"run '{sys.executable} -m pip uninstall detectron2' to have one built here"
        )
    return version


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel-dir", type=Path, help="write the wheel here; install nothing")
    parser.add_argument(
        "--keep-installed", action="store_true", help="leave a Detectron2 of the user's own alone"
    )
    parser.add_argument("--sdist", type=Path, help="a downloaded source distribution to use")
    parser.add_argument("--from-git", metavar="URL", help="build this repository of Detectron2")
    parser.add_argument("--constraint", type=Path, help="pip's constraints on what it requires")
    args = parser.parse_args(arguments)
    try:
        if args.wheel_dir:
            print(build(args.wheel_dir, args.sdist))
            return 0
        other = find_other_detectron2() if args.keep_installed else None
        if other:
            print(f"Keeping the installed detectron2 {other}")
            return 0
        with tempfile.TemporaryDirectory() as folder:
            folder, url = Path(folder), args.from_git
            wheel = build_from_git(folder, url) if url else build(folder, args.sdist)
            install(wheel, args.constraint)
    except BuildError as error:
        print(f"build_detectron2: {error}", file=sys.stderr)
        return 2
    print(f"Installed detectron2 {wheel.name.split('-')[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
