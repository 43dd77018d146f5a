"""Keeping a frozen detector's maps on the disk (``MODEL.REID.MAP_CACHE``)."""

import hashlib
import inspect
import logging
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from ..config import is_two_step
from ..data import PersonSearchMapper, TrainLoader
from ..data.map_cache import (
    DTYPES,
    CachedMapper,
    MapCache,
    bytes_to_keep,
    check_augmentations,
)
from ..errors import UserError
from ..utils.files import tell_unwritable
from .map_room import GIB, PREFIX, make_room, mark_used
from .precision import precision_of

logger = logging.getLogger(__name__)

# What a file takes beside the numbers in it: its header, and the rest of its last block.
BYTES_BESIDE = 8192
# How often a running training tells others that it uses its folder.
SECONDS_BETWEEN_MARKS = 300
# Of the way from an image to a file of its maps, of an image whose file stays the same.
VERSION = 2
_FIX = "free space or correct the permissions, or choose another MODEL.REID.MAP_CACHE.FOLDER"


def check_map_cache(cfg: CfgNode) -> None:
    """Refuse keeping maps where they change, or are not what f_r learns from.

    Stage ``detection`` keeps none, and the log says so.

    Raises:
        UserError: names the key, and what to do.
    """
    cache, stage = cfg.MODEL.REID.MAP_CACHE, cfg.SOLVER.STAGE
    if cache.DTYPE not in DTYPES:
        raise UserError(
            f"MODEL.REID.MAP_CACHE.DTYPE is {cache.DTYPE!r}; allowed are {', '.join(DTYPES)}"
        )
    if cache.MAX_GIB < 1:
        raise UserError(f"MODEL.REID.MAP_CACHE.MAX_GIB is {cache.MAX_GIB}; it must be 1 or more")
    if not cache.FOLDER:
        return
    if stage == "detection":  # a config of both stages is trained in this one first
        logger.info(
            "MODEL.REID.MAP_CACHE.FOLDER has no effect in stage detection, where maps change with "
            "each step; stage reid will use it"
        )
        return
    leave_out = "leave out MODEL.REID.MAP_CACHE.FOLDER"
    if stage != "reid":
        raise UserError(
            f"MODEL.REID.MAP_CACHE: stage {stage} trains the detector, whose maps change with each "
            f"step; {leave_out}, or train stage reid"
        )
    if is_two_step(cfg):
        raise UserError(
            f"MODEL.REID.MAP_CACHE: {cfg.MODEL.META_ARCHITECTURE} uses no map of the detector; "
            f"{leave_out}"
        )
    if cfg.MODEL.REID.ORD.ENABLED:
        raise UserError(
            "MODEL.REID.MAP_CACHE: the crops of MODEL.REID.ORD are cut out of each image, which "
            f"is not decoded where its maps are kept; {leave_out}, or set ORD.ENABLED False"
        )
    check_augmentations(PersonSearchMapper(cfg, is_train=True))


class KeepMaps(HookBase):
    """Before the first step, lets loader and network find maps on the disk, and keep them there.

    The folder has one of its own for each detector, precision and rule of input sizes, so that maps
    of another are never taken.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, loader: TrainLoader):
        self._cfg, self._model, self._loader = cfg, model, loader
        self._folder, self._marked = None, 0.0

    def before_train(self):
        keys = self._cfg.MODEL.REID.MAP_CACHE
        check_augmentations(self._loader.mapper)
        folder = Path(keys.FOLDER, PREFIX + self._detector_key())
        if comm.is_main_process():
            with tell_unwritable(folder, _FIX):
                folder.mkdir(parents=True, exist_ok=True)
                mark_used(folder)
            dicts = self._loader.dicts
            needed = bytes_to_keep(dicts, self._loader.mapper, self._bytes_of)
            make_room(folder, needed, keys.MAX_GIB * GIB, [d["file_name"] for d in dicts])
            self._folder, self._marked = folder, time.monotonic()
        comm.synchronize()
        cache = MapCache(str(folder), DTYPES[keys.DTYPE])
        self._loader.mapper = CachedMapper(self._loader.mapper, cache)
        self._model.frozen_maps.keeper = cache

    def after_step(self):
        if self._folder and time.monotonic() - self._marked > SECONDS_BETWEEN_MARKS:
            with suppress(OSError):  # the training goes on without its maps
                mark_used(self._folder)
            self._marked = time.monotonic()

    def _bytes_of(self, size: tuple[int, int]) -> int:
        """Of the maps of one image, of the network's input's height and width."""
        multiple = max(self._model.detector.backbone.size_divisibility, 1)
        padded = [-(-side // multiple) * multiple for side in size]
        numbers = 0
        for shape in self._model.feature_tap.shapes().values():
            height, width = (-(-side // shape.stride) for side in padded)
            numbers += shape.channels * height * width
        return numbers * DTYPES[self._cfg.MODEL.REID.MAP_CACHE.DTYPE].itemsize + BYTES_BESIDE

    def _detector_key(self) -> str:
        """Of all that maps depend on beside the image: 32 hexadecimal digits."""
        detector, bottom_up = self._model.detector, self._model.feature_tap.bottom_up
        layers = re.sub(r" at 0x[0-9a-f]+", "", repr(bottom_up))
        cfg, device = self._cfg, torch.device(self._cfg.MODEL.DEVICE).type
        said = (VERSION, layers, cfg.INPUT.FORMAT, *_preprocessing(detector))
        said += tuple(_sources(map(type, (detector, *bottom_up.modules()))))
        said += (cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN, cfg.INPUT.RANDOM_FLIP)
        said += (cfg.MODEL.REID.MAP_CACHE.DTYPE, precision_of(cfg), device)
        digest = hashlib.sha256(repr(said).encode())
        pixels = {name: getattr(detector, name) for name in ("pixel_mean", "pixel_std")}
        for name, value in {**bottom_up.state_dict(), **pixels}.items():
            digest.update(repr((name, value.dtype, tuple(value.shape))).encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]


def _preprocessing(detector: nn.Module) -> tuple:
    """What tells one way from an image to a network's input from another."""
    kind, backbone = type(detector), detector.backbone
    name = f"{kind.__module__}.{kind.__qualname__}"
    constraints = sorted(dict(getattr(backbone, "padding_constraints", None) or {}).items())
    return name, backbone.size_divisibility, constraints


def _sources(kinds: Iterable[type]) -> list[str]:
    """Of the files in which classes and their bases are written: 64 hexadecimal digits each."""
    hashes = {}
    for base in {base for kind in kinds for base in kind.__mro__}:
        with suppress(OSError, TypeError):  # of code that has no file
            file = inspect.getsourcefile(base)
            hashes[file] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return sorted(hashes.values())
