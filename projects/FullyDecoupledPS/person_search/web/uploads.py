"""Visitors' own pictures: sent as bytes, read once, and not kept on the disk.

A browser can't name files of the server: it gets a random token for a picture that it has sent.
"""

import asyncio
import secrets
import tempfile
import threading
import warnings
from collections import OrderedDict
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.concurrency import run_in_threadpool

from fully_decoupled_ps.predictor import ImageError, LoadedImage, load_image, read_size
from fully_decoupled_ps.utils.names import printable

from ..errors import UserError

UPLOAD_PATH = "/upload"
MAX_UPLOAD = 100_000_000  # bytes of a file
MAX_PIXELS = 80_000_000  # Pillow warns above 89 million
MAX_NAME = 120
# Bytes of all pictures that are kept for their visitors; the oldest are dropped.
MAX_KEPT = 1_000_000_000


class Upload(NamedTuple):
    """A picture of the visitor's own."""

    name: str  # as the visitor knows it
    image: np.ndarray  # (H, W, 3) RGB uint8
    note: str = ""  # what was left out or assumed in reading it, for people


class Uploads:
    """The pictures that visitors have sent last."""

    def __init__(self):
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: str, content: bytes) -> str:
        """Read a picture; returns the token with which :meth:`get` finds it.

        Raises:
            UserError: if it is not a picture, or too large; the message has its ``name``.
        """
        name = PurePath(name.replace("\\", "/")).name[:MAX_NAME] or "picture"
        upload = Upload(name, *_read(name, content))
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._kept[token] = upload
            while len(self._kept) > 1 and self._size() > MAX_KEPT:
                self._kept.popitem(last=False)
        return token

    def _size(self) -> int:
        return sum(kept.image.nbytes for kept in self._kept.values())

    def get(self, token: str) -> Upload:
        """The picture of a token; a UserError if it is not kept any more."""
        with self._lock:
            if token not in self._kept:
                raise UserError("the picture is not here any more; choose it again")
            self._kept.move_to_end(token)
            return self._kept[token]


def _read(name: str, content: bytes) -> LoadedImage:
    if not content:
        raise UserError(f"{name} is empty; choose another picture")
    # through a temporary file: load_image reads files
    with tempfile.NamedTemporaryFile(prefix="person-search-", suffix=_ending(name)) as file:
        file.write(content)
        file.flush()
        try:
            _check_size(name, file.name)
            return load_image(file.name)
        except ImageError as error:
            reason = error.reason.replace(file.name, name)
            raise UserError(f"{name} can't be read ({reason}); choose another picture") from error


def _ending(name: str) -> str:
    ending = PurePath(name).suffix.lower()
    return ending if ending[1:].isascii() and ending[1:].isalnum() else ""


def _check_size(name: str, path: str) -> None:
    """Refuse it before it is decoded: a small file can hold a picture that takes all memory."""
    try:
        with warnings.catch_warnings():
            # larger ones are refused below
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            width, height = read_size(path)
    except ImageError as error:
        if not isinstance(error.__cause__, Image.DecompressionBombError):
            raise
        width = height = MAX_PIXELS
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller"
        )


def add_upload_route(app: FastAPI, uploads: Uploads) -> None:
    """Take pictures at ``UPLOAD_PATH``: the body is the file, ``name`` in the query its name."""
    # one at a time: the largest take a gigabyte each while they are decoded
    reading = asyncio.Lock()

    @app.post(UPLOAD_PATH)
    async def upload(request: Request, name: str = "picture"):
        content = await request.body()
        try:
            async with reading:
                token = await run_in_threadpool(uploads.add, name, content)
        except UserError as error:
            return JSONResponse({"error": printable(str(error))}, 400)
        return JSONResponse({"token": token})
