"""A ready network of two parts, each a number, and a server that has its files."""

import hashlib
from contextlib import contextmanager

import torch
import yaml
from detectron2.modeling import META_ARCH_REGISTRY
from torch import nn

from fully_decoupled_ps import ready
from tests.utils.file_server import serving


@META_ARCH_REGISTRY.register()
class TinyTwoStep(nn.Module):
    is_two_step = True
    inference_dtype = None

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        self.detector, self.crops = nn.Linear(1, 1), nn.Linear(1, 1)
        self.reid = nn.Module()
        self.reid.feature_dim = 1
        self.reid.network = nn.Module()
        self.reid.network.is_file = True  # nothing to fold


def load_parts(model, cfg):
    """In place of ``predictor.load_parts``: what was published is a plain state dict each."""
    for part, path in (
        (model.detector, cfg.MODEL.WEIGHTS),
        (model.crops, cfg.MODEL.CROP_REID.WEIGHTS),
    ):
        part.load_state_dict(torch.load(path, weights_only=True))


def save_part(path, value):
    torch.save({"weight": torch.full((1, 1), value), "bias": torch.zeros(1)}, path)
    return path.read_bytes()


def write_yaml(path, detector, crops, **known):
    """A ready network of :class:`TinyTwoStep`, whose two weights are ``detector`` and ``crops``."""
    content = {
        "MODEL": {
            "META_ARCHITECTURE": "TinyTwoStep",
            "WEIGHTS": str(detector),
            "CROP_REID": {"NAME": "OSNet", "WEIGHTS": str(crops)},
        },
        "READY": {"CROP_REID": known},
    }
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def publishing(tmp_path, monkeypatch):
    """The server; "tiny" is the only ready network, and "models" the folder of the files."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv(ready.MODELS_VARIABLE, str(tmp_path / "models"))
    folder = tmp_path / "configs" / "ready"
    folder.mkdir(parents=True)
    monkeypatch.setattr(ready, "_CONFIGS", folder.parent)
    with serving() as server:
        server.content = save_part(tmp_path / "part.pth", 3.0)
        sha256 = hashlib.sha256(server.content).hexdigest()
        base = server.url.rpartition("/")[0]
        detector, crops = f"{base}/detector.pth", f"{base}/crops.pth"
        write_yaml(folder / "tiny.yaml", detector, crops, SHA256=sha256)
        yield server
