"""Maps of training images that a frozen network has made before, kept on the disk.

A file holds the maps of one image as the mapper would hand it out: of one size, mirrored or not. It
is named by what is in the image's file, so that a changed image is another one, and a data set may
be moved. An image whose maps are there is not decoded.
"""

import copy
import hashlib
import io
import logging
import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T

from ..errors import UserError
from ..utils.files import atomic_write
from .dataset_mapper import PersonSearchMapper

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "float16": torch.float16}
ENDING = ".pth"
# Of a file's first bytes: a checksum of what follows. PyTorch looks at none that it has written.
CHECKSUM_BYTES = 4
# A cache's own files, whole or on their way: :func:`content_key`, sizes, mirroring.
OWN_FILE = re.compile(
    r"(?P<content>[0-9a-f]{32})_\d+x\d+_\d+x\d+(_[a-z-]+)*\.pth(?P<torn>\.\d+(\.part)?)?"
)
# What a file's name says of a picture that is mirrored.
_FLIPS = {T.HFlipTransform: "mirrored", T.VFlipTransform: "upside-down"}


class MapCache:
    """A folder of maps that one network has made."""

    def __init__(self, folder: str, dtype: torch.dtype):
        """
        Args:
            folder: is there.
            dtype: what maps are kept in.
        """
        self.folder = folder
        self.dtype = dtype
        self._is_full = False

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name + ENDING)

    def load(self, name: str) -> tuple[dict[str, torch.Tensor] | None, str]:
        """
        Returns:
            (maps, note): the maps by layer, (C, H, W) each, None if they are not there whole; and
            what the log should say of their image if their file is damaged, else "".
        """
        try:
            with open(self.path(name), "rb") as f:
                checksum, content = f.read(CHECKSUM_BYTES), f.read()
        except FileNotFoundError:
            return None, ""
        except OSError as error:
            return None, f"has kept maps that can't be read ({error.strerror}), and are made anew"
        if checksum != _checksum(name, content):
            return None, "has kept maps whose file is damaged, and which are made anew"
        return torch.load(io.BytesIO(content), weights_only=True), ""

    def save(self, name: str, maps: Mapping[str, torch.Tensor]) -> None:
        """Keep maps of ``dtype``; several processes may keep the same ones at once.

        If the disk is full, or it is forbidden, this and later ones are not kept, and the log says
        so once.
        """
        if self._is_full:
            return
        path = self.path(name)
        own = f"{path}.{os.getpid()}"  # else two processes would write into one file
        content = io.BytesIO()
        # copies, as a view's file has all that it is a view of
        torch.save({layer: x.cpu().contiguous().clone() for layer, x in maps.items()}, content)
        try:
            with atomic_write(own, "wb", sync=False) as f:
                f.write(_checksum(name, content.getbuffer()))
                f.write(content.getbuffer())
            os.replace(own, path)
        except OSError as error:
            self._is_full = True
            logger.warning(
                "maps can't be kept in %s (%s); the training goes on without keeping more",
                *(self.folder, error.strerror),
            )


def _checksum(name: str, content: bytes | memoryview) -> bytes:
    # the name is in it, else a file of zeros alone could have the right one
    return zlib.crc32(content, zlib.crc32(name.encode())).to_bytes(CHECKSUM_BYTES, "big")


class CachedMapper:
    """A training mapper whose items have "maps" in the place of "image", once they are in a cache.

    Until then they have "image", and "maps_name", the name for :meth:`MapCache.save`; and
    "image_note", if the file of their maps is damaged. Boxes and persons, and the random numbers
    drawn, are the same either way.
    """

    def __init__(self, mapper: PersonSearchMapper, cache: MapCache):
        """
        Args:
            mapper: whose augmentations resize and flip, and do nothing else.
        """
        self.mapper = mapper
        self.cache = cache

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any] | None:
        state = np.random.get_state()
        frame = _Frame((dataset_dict["height"], dataset_dict["width"]))
        transforms = self.mapper.augmentations(frame)
        name = _name(dataset_dict, frame)
        maps, note = self.cache.load(name) if name else (None, "")
        if maps is not None:
            item = copy.deepcopy(dataset_dict)
            item["maps"] = maps
            item.pop("queries", None)
            if "annotations" in item:
                self.mapper.transform_annotations(item, transforms, frame.image.shape[:2])
            return item
        np.random.set_state(state)  # the mapper draws the same
        item = self.mapper(dataset_dict)
        # an image of which something is to be told is decoded, and told of, in every run
        is_plain = name and item is not None and "image_note" not in item
        # else the file was replaced before it was decoded, maybe
        if is_plain and _name(dataset_dict, frame) == name:
            item["maps_name"] = name
            if note:
                item["image_note"] = note
        return item


class _Frame(T.AugInput):
    """A picture's size alone, on its way through resizing and flipping."""

    def __init__(self, size: tuple[int, int]):
        super().__init__(np.broadcast_to(np.uint8(0), (*size, 3)))
        self.flips: list[str] = []

    def transform(self, tfm: T.Transform) -> None:
        if isinstance(tfm, T.ResizeTransform):
            self.image = np.broadcast_to(np.uint8(0), (tfm.new_h, tfm.new_w, 3))
        elif type(tfm) in _FLIPS:
            self.flips.append(_FLIPS[type(tfm)])


def _name(dataset_dict: dict[str, Any], frame: _Frame) -> str | None:
    """What is in the file, its size, and what the augmentations make of it; None: unreadable."""
    content = content_key(dataset_dict["file_name"])
    if content is None:
        return None  # reading the image tells why
    height, width = frame.image.shape[:2]
    sizes = f"{dataset_dict['height']}x{dataset_dict['width']}_{height}x{width}"
    return "_".join([content, sizes, *frame.flips])


def content_key(path: str) -> str | None:
    """Of what is in an image's file: 32 hexadecimal digits; None if it can't be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:32]
    except OSError:
        return None


def check_augmentations(mapper: PersonSearchMapper) -> None:
    """Refuse a mapper that seldom or never makes the same picture of an image again.

    Raises:
        UserError: names the augmentation.
    """
    for augmentation in mapper.augmentations.augs:
        kind = type(augmentation)
        if kind is T.ResizeShortestEdge and len(set(augmentation.short_edge_length)) > 1:
            sizes = ", ".join(map(str, augmentation.short_edge_length))
            raise UserError(
                f"MODEL.REID.MAP_CACHE: INPUT.MIN_SIZE_TRAIN has several sizes ({sizes}), each "
                "with maps of its own; give one, or leave out MODEL.REID.MAP_CACHE.FOLDER"
            )
        if kind not in (T.ResizeShortestEdge, T.RandomFlip):
            raise UserError(
                f"MODEL.REID.MAP_CACHE: the augmentation {kind.__name__} makes another picture of "
                "an image each time; leave it out (as INPUT.CROP.ENABLED False does a crop), or "
                "MODEL.REID.MAP_CACHE.FOLDER"
            )


def bytes_to_keep(
    dicts: Iterable[dict[str, Any]],
    mapper: PersonSearchMapper,
    bytes_of: Callable[[tuple[int, int]], int],
) -> int:
    """What the maps of all images take on the disk, once each has been seen both ways round.

    Args:
        dicts: dataset dicts with "height" and "width".
        mapper: of them.
        bytes_of: from height and width of the network's input to the bytes of its maps.
    """
    augs = mapper.augmentations.augs
    resize = T.AugmentationList([a for a in augs if isinstance(a, T.ResizeShortestEdge)])
    total = 0
    for d in dicts:
        frame = _Frame((d["height"], d["width"]))
        resize(frame)
        total += bytes_of(frame.image.shape[:2])
    return total * (2 if any(isinstance(a, T.RandomFlip) for a in augs) else 1)
