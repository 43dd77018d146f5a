"""Ready networks: published detectors and re-id networks that need no training.

Each is a yaml in ``configs/ready``, and its name is the yaml's. A yaml of one's own that names the
weights of both parts is one as well. Nothing here needs PyTorch, so that they are listed at once.
"""

import difflib
import os
import re
from pathlib import Path
from typing import NamedTuple

import yaml
from fvcore.common.config import CfgNode

from .errors import UserError
from .utils.download import (
    DownloadError,
    PublishedFile,
    check_sha256,
    get_file,
    is_there,
    local_path,
)

# What `person-search index` takes where nothing is said: of the published re-id networks with an
# address of their files, OSNet-AIN has the least to compute for a crop (1 GFLOP, a ResNet-50 has
# 2.7 to 4) and torchreid's best figures on cameras that it was not trained on, which is what one's
# own pictures are. Of the zoo's detectors, Faster R-CNN R50-FPN is more accurate than RetinaNet,
# and faster on a CPU.
DEFAULT_NETWORK = "osnet-ain"

MODELS_VARIABLE = "PERSON_SEARCH_MODELS"

_PACKAGE = Path(__file__).resolve().parent
_CONFIGS = next(
    (f for f in (_PACKAGE / "configs", _PACKAGE.parent / "configs") if f.is_dir()), _PACKAGE
)
# Detectron2's short form of an address, which its own configs have.
_ZOO_SCHEME, _ZOO_ADDRESS = "detectron2://", "https://dl.fbaipublicfiles.com/detectron2/"
# Detectron2's model zoo has the beginning of a file's MD5 in the file's name.
_ZOO_FILE = re.compile(r"https://dl\.fbaipublicfiles\.com/detectron2/.*_([0-9a-f]{6})\.pkl")


class Part(NamedTuple):
    """A detector, or a re-id network of crops, and where its weights are."""

    kind: str  # the name in the zoo, or in the registry of crop networks
    weights: str  # an address, or what else MODEL.WEIGHTS takes
    bytes: int  # to tell how long it takes; 0: not known
    sha256: str  # "": not published
    licence: str  # of the weights, as published; "": not known
    data: str  # what it was trained on, and the terms of that

    @property
    def file(self) -> PublishedFile | None:
        """What has to be downloaded; None for a local file."""
        address = self.weights
        if address.startswith(_ZOO_SCHEME):
            address = _ZOO_ADDRESS + address.removeprefix(_ZOO_SCHEME)
        if not address.startswith(("http://", "https://")):
            return None
        zoo = _ZOO_FILE.fullmatch(address)
        return PublishedFile(address, self.sha256, zoo[1] if zoo else "")


class ReadyNetwork(NamedTuple):
    name: str
    config: Path
    use: str  # what it is for, in one line
    detector: Part
    crop_reid: Part

    def files(self) -> list[PublishedFile]:
        return [part.file for part in (self.detector, self.crop_reid) if part.file]

    def is_here(self, folder: str) -> bool:
        return all(is_there(file, folder) for file in self.files())


def ready_networks() -> list[ReadyNetwork]:
    """All that are shipped: the default one, and the others by their names."""
    names = (path.stem for path in (_CONFIGS / "ready").glob("*.yaml"))
    return [find_ready(name) for name in sorted(names, key=lambda n: (n != DEFAULT_NETWORK, n))]


def is_ready_name(name: str) -> bool:
    """Whether it is that of a shipped one."""
    return bool(re.fullmatch(r"[\w.-]+", name)) and (_CONFIGS / "ready" / f"{name}.yaml").is_file()


def find_ready(location: str) -> ReadyNetwork | None:
    """The ready network of a name, or of a yaml that names both parts; None for what else it is.

    Raises:
        UserError: if the yaml can't be read.
    """
    if is_ready_name(location):
        return _read(_CONFIGS / "ready" / f"{location}.yaml", location)
    path = Path(location)
    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return None
    if path.with_name("last_checkpoint").exists():  # of a training run, which has its own weights
        return None
    network = _read(path, location)
    return network if network.crop_reid.weights and network.detector.weights else None


def named_network(name: str) -> ReadyNetwork:
    """
    Raises:
        UserError: if no ready network is called so.
    """
    if not is_ready_name(name):
        raise UserError(f"--fetch {name}: no ready network is called so; {suggestion(name)}")
    return find_ready(name)


def suggestion(name: str) -> str:
    """What else could have been meant, for a message."""
    names = [network.name for network in ready_networks()]
    close = difflib.get_close_matches(name, names, n=2)
    meant = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{meant}`person-search models` lists them: {', '.join(names)}"


def models_folder(folder: str = "") -> str:
    """Where the files of ready networks are kept.

    Args:
        folder: what the user says; "": the environment variable PERSON_SEARCH_MODELS, else
            ``person-search/models`` in the user's folder of caches.
    """
    if folder or os.environ.get(MODELS_VARIABLE):
        return os.path.abspath(os.path.expanduser(folder or os.environ[MODELS_VARIABLE]))
    caches = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(caches):  # the rule for that variable
        caches = os.path.expanduser("~/.cache")
    return os.path.join(caches, "person-search", "models")


def fetch(network: ReadyNetwork, folder: str, *, thorough: bool = False) -> list[str]:
    """Config options with the local files of a network, which are downloaded if need be.

    A path that is not absolute is that of a file beside the network's yaml, if there is one, so
    that the same network is found from any folder.

    Args:
        folder: of :func:`models_folder`.
        thorough: check all of a file that was checked before, too.

    Raises:
        UserError: as :func:`get_file`.
    """
    opts = []
    for key, part in (
        ("MODEL.WEIGHTS", network.detector),
        ("MODEL.CROP_REID.WEIGHTS", network.crop_reid),
    ):
        if part.file:
            try:
                opts += [key, get_file(part.file, folder, thorough=thorough)]
            except DownloadError as error:
                raise DownloadError(f"{error}{_others(network, part, folder)}") from error
            continue
        beside = network.config.parent / part.weights
        path = str(beside if beside.is_file() else part.weights)
        if part.sha256 and os.path.isfile(path):
            check_sha256(path, part.sha256)
        opts += [key, path]
    return opts


def _others(network: ReadyNetwork, part: Part, folder: str) -> str:
    """What else is missing where a part is, so that all of it can be got elsewhere at once."""
    others = [file for file in network.files() if file != part.file and not is_there(file, folder)]
    names = (f"{file.url} as {os.path.basename(local_path(file, folder))}" for file in others)
    return "".join(f"; and {name}, which is not there either" for name in names)


def fetch_into(cfg: CfgNode, config_file: str) -> None:
    """Put the local files of a ready network into its config, for training and evaluation.

    Args:
        cfg: of ``config_file`` and command-line options; what these name instead stays.
        config_file: a yaml with a READY part, or any other, of which nothing is done.

    Raises:
        UserError: as :func:`fetch`.
    """
    network = find_ready(config_file) if config_file else None
    if network is None or not (network.use or network.detector.data or network.crop_reid.data):
        return
    parts = [(cfg.MODEL, network.detector)]
    if cfg.SOLVER.STAGE != "detection":  # which does without the other part
        parts.append((cfg.MODEL.CROP_REID, network.crop_reid))
    for node, part in parts:
        if part.file and node.WEIGHTS == part.weights:
            node.WEIGHTS = get_file(part.file, models_folder())


def _read(path: Path, name: str) -> ReadyNetwork:
    try:
        content = CfgNode.load_yaml_with_base(str(path))
        if not isinstance(content, dict):
            raise TypeError(f"it holds {content!r}, where keys with values are expected")
        model, ready = _node(content, "MODEL"), _node(content, "READY")
        zoo, crops = _node(model, "DETECTOR").get("ZOO", ""), _node(model, "CROP_REID")
        weights = model.get("WEIGHTS", "")
        if zoo and not weights:
            from .zoo import zoo_weights  # which needs PyTorch

            weights = zoo_weights(zoo)
        return ReadyNetwork(
            name,
            path,
            ready.get("USE", ""),
            _part(zoo, weights, _node(ready, "DETECTOR")),
            _part(crops.get("NAME", ""), crops.get("WEIGHTS", ""), _node(ready, "CROP_REID")),
        )
    except (OSError, yaml.YAMLError, TypeError, ValueError, AssertionError) as error:
        raise UserError(f"--model {path}: {' '.join(str(error).split())}") from error


def _node(content: dict, key: str) -> dict:
    """A part of a yaml; empty if there is none.

    Raises:
        TypeError: if there is something else by that name.
    """
    node = content.get(key)
    if not isinstance(node, dict | None):
        raise TypeError(f"{key} is {node!r}, where keys with values are expected")
    return node or {}


def _part(kind: str, weights: str, known: dict) -> Part:
    if not isinstance(weights, str):
        raise TypeError(f"WEIGHTS is {weights!r}, where a path or an address is expected")
    sha256 = str(known.get("SHA256", "")).lower()  # some tools write capital letters
    licence, data = known.get("LICENCE", ""), known.get("DATA", "")
    return Part(kind, weights, known.get("BYTES", 0), sha256, licence, data)
