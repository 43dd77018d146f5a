"""Made-up files with the names and shapes of published ones, and torchreid's features of them.

``torchreid_features.json`` has been made with them by torchreid's own model code. The package
``torchreid`` 0.2.5 holds deep-person-reid's files of these models unchanged, and they import
nothing but PyTorch:

    pip download --no-deps --no-binary :all: torchreid==0.2.5 && tar xf torchreid-0.2.5.tar.gz
    python tests/modeling/crop_reid/published.py torchreid-0.2.5/torchreid/reid/models

It is no dependency of the tests, because it comes as a source archive of somebody else than
torchreid's authors, and imports half a dozen packages that it does not name.
"""

import functools
import importlib.util
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
import torchvision

FEATURES = Path(__file__).with_name("torchreid_features.json")
# Odd sizes tell how each layer rounds.
SIZES = ((128, 64), (70, 38))
# By MODEL.CROP_REID.NAME: torchreid's file and function.
TORCHREID = {
    "OSNet": ("osnet", "osnet_x1_0"),
    "OSNet:x0_25": ("osnet", "osnet_x0_25"),
    "OSNetAIN": ("osnet_ain", "osnet_ain_x1_0"),
    "torchvision:resnet50": ("resnet", "resnet50"),
}


@functools.lru_cache(maxsize=500)  # drawing 24 million numbers takes half a second
def made_up(name: str, shape) -> torch.Tensor:
    """The values of a published file's tensor, float64: the same on every machine."""
    random = np.random.RandomState(zlib.crc32(name.encode()))  # whose numbers never change
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1)
    if len(shape) > 1:
        values = random.standard_normal(shape) / np.prod(shape[1:]) ** 0.5
    elif name.endswith(("bias", "running_mean")):
        values = random.uniform(-0.1, 0.1, shape)
    else:
        values = random.uniform(0.4, 1.2, shape)
    return torch.from_numpy(np.asarray(values))


def made_up_state(shapes: dict) -> dict[str, torch.Tensor]:
    """A published file's state dict of float64, from its names and shapes."""
    return {name: made_up(name, shape) for name, shape in shapes.items()}


def norm_shapes(name: str, channels: int, *, of_a_batch: bool = True) -> dict:
    """A batch norm's tensors, or an instance norm's."""
    tensors = ("weight", "bias", *(("running_mean", "running_var") if of_a_batch else ()))
    counter = {f"{name}.num_batches_tracked": ()} if of_a_batch else {}
    return {**{f"{name}.{tensor}": (channels,) for tensor in tensors}, **counter}


def osnet_shapes(channels=(64, 256, 384, 512), *, ain: bool = False, num_ids: int = 7) -> dict:
    """All tensors of torchreid's OSNet or OSNet-AIN: 567 or 552."""
    shapes = {}

    def conv_norm(name, into, out, kernel=1, norm="bn"):
        shapes[f"{name}.conv.weight"] = (out, into, kernel, kernel)
        if norm:
            shapes.update(norm_shapes(f"{name}.bn", out, of_a_batch=norm == "bn"))

    def light(name, width):
        shapes[f"{name}.conv1.weight"] = (width, width, 1, 1)
        shapes[f"{name}.conv2.weight"] = (width, 1, 3, 3)
        shapes.update(norm_shapes(f"{name}.bn", width))

    def block(name, into, out, with_in):
        width = out // 4
        conv_norm(f"{name}.conv1", into, width)
        for depth in (1, 2, 3, 4):
            stream = f"conv2{'abcd'[depth - 1]}"
            for i in range(depth):
                if ain:
                    light(f"{name}.conv2.{depth - 1}.layers.{i}", width)
                else:
                    light(f"{name}.{stream}" + (f".{i}" if depth > 1 else ""), width)
        for fc, (a, b) in {"fc1": (width, width // 16), "fc2": (width // 16, width)}.items():
            shapes[f"{name}.gate.{fc}.weight"] = (b, a, 1, 1)
            shapes[f"{name}.gate.{fc}.bias"] = (b,)
        conv_norm(f"{name}.conv3", width, out, norm="" if with_in else "bn")
        if into != out:
            conv_norm(f"{name}.downsample", into, out)
        if with_in:
            shapes.update(norm_shapes(f"{name}.IN", out, of_a_batch=False))

    conv_norm("conv1", 3, channels[0], kernel=7, norm="in" if ain else "bn")
    with_in = {2: (True, True), 3: (False, True), 4: (True, False)} if ain else {}
    for stage in (2, 3, 4):
        into, out = channels[stage - 2 : stage]
        for i, its in enumerate(with_in.get(stage, (False, False))):
            block(f"conv{stage}.{i}", into if i == 0 else out, out, its)
        if stage < 4:
            conv_norm(f"pool{stage}.0" if ain else f"conv{stage}.2.0", out, out)
    conv_norm("conv5", channels[3], channels[3])
    shapes |= {"fc.0.weight": (512, channels[3]), "fc.0.bias": (512,), **norm_shapes("fc.1", 512)}
    return shapes | {"classifier.weight": (num_ids, 512), "classifier.bias": (num_ids,)}


def resnet50_shapes(num_ids: int = 7) -> dict:
    """All 320 tensors of torchreid's ResNet-50: torchvision's with another classifier."""
    state = torchvision.models.resnet50().state_dict()
    shapes = {name: tuple(v.shape) for name, v in state.items() if not name.startswith("fc.")}
    return shapes | {"classifier.weight": (num_ids, 2048), "classifier.bias": (num_ids,)}


PUBLISHED = {
    "OSNet": osnet_shapes,
    "OSNet:x0_25": lambda: osnet_shapes((16, 64, 96, 128)),
    "OSNetAIN": lambda: osnet_shapes(ain=True),
    "torchvision:resnet50": resnet50_shapes,
}


def crops(size: tuple[int, int]) -> torch.Tensor:
    """(2, 3, h, w) float64."""
    return torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, *size)))


def sample(features: torch.Tensor) -> list:
    """Sixteen numbers of each feature, and the mean of all."""
    step = features.shape[1] // 16
    numbers = torch.cat([features[:, ::step], features.mean(dim=1, keepdim=True)], dim=1)
    return [[round(number, 9) for number in row] for row in numbers.tolist()]


def main(folder: str) -> None:
    golden = {}
    for ours, (file, function) in TORCHREID.items():
        spec = importlib.util.spec_from_file_location(file, Path(folder, f"{file}.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        net = getattr(module, function)(num_classes=7, loss="softmax", pretrained=False)
        shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
        assert shapes == PUBLISHED[ours](), ours
        net.double().eval().load_state_dict(made_up_state(shapes))
        with torch.no_grad():
            golden[ours] = [sample(net(crops(size))) for size in SIZES]
    FEATURES.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
