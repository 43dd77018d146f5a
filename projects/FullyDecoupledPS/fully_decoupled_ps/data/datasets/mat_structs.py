"""
Reads a struct array of a MATLAB 5 file one struct at a time.

scipy.io.loadmat makes a NumPy array of every cell: for the 11.6 million gallery entries of
CUHK-SYSU's TestG4000.mat that is 13 GB and minutes. Here a value that was seen before costs a
dictionary look-up and no memory, and nothing else is kept. The format is described in MathWorks'
"MAT-File Format"; an element is a tag (type, number of bytes) and its data, padded to 8 bytes.
"""

import math
import struct
import zlib
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO

import numpy as np

HEADER_BYTES = 128
CHUNK_BYTES = 1 << 16  # of compressed data, which grows up to a thousandfold
CACHED_BYTES = 128  # a file name or a box takes less; larger values are not repeated
MATRIX, COMPRESSED, UTF8 = 14, 15, 16
CELL, STRUCT, CHAR = 1, 2, 4  # array classes
NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
    16: "u1", 17: "u2", 18: "u4",
}  # fmt: skip


def read_structs(path: str, variable: str) -> tuple[int, Iterator[dict[str, Any]]]:
    """
    The struct array `variable` of the file: how many structs it has, and the structs.

    A struct is a dict of its fields. A value is a str (char array), a list of numbers (numeric
    array), a list of values (cell array), or a dict with a list of values for each field (struct
    array).

    Raises:
        ValueError: the file is no MATLAB 5 file, is damaged, or the variable is no struct array
        KeyError: the file holds no such variable
    """
    structs = _read_file(path, variable)
    return next(structs), structs


def _read_file(path: str, variable: str) -> Iterator[Any]:
    """First the number of structs, then each of them."""
    with open(path, "rb") as f:
        header = f.read(HEADER_BYTES)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:128])
        if order is None or header[125 if order == "<" else 124] != 1:
            raise ValueError("no MATLAB 5 file")
        decoder = _Decoder(order)
        try:
            while tag := f.read(8):
                kind, size = struct.unpack(order + "II", tag)
                after = f.tell() + size
                stream = _Stream(f, size, compressed=kind == COMPRESSED)
                if kind == COMPRESSED:
                    kind, size = struct.unpack(order + "II", stream.read(8))
                if kind == MATRIX and size:
                    if (yield from decoder.structs_of(variable, stream)):
                        return
                f.seek(after)
        except (struct.error, zlib.error, IndexError) as e:
            raise ValueError(f"damaged ({e})") from e
    raise KeyError(variable)


class _Stream:
    """The bytes of one element of the file, decompressed where they are compressed."""

    def __init__(self, f: BinaryIO, size: int, compressed: bool) -> None:
        self.f, self.left = f, size
        self.inflate = zlib.decompressobj() if compressed else None
        self.buffer = b""

    def _more(self) -> bytes:
        data = self.f.read(min(self.left, CHUNK_BYTES))
        self.left -= len(data)
        if not data:
            raise ValueError("the file ends too early")
        return self.inflate.decompress(data) if self.inflate else data

    def read(self, size: int) -> bytes:
        pieces, there = [self.buffer], len(self.buffer)
        while there < size:
            pieces.append(self._more())
            there += len(pieces[-1])
        data = b"".join(pieces)
        self.buffer = data[size:]
        return data[:size]

    def element(self, order: str) -> bytes:
        """A whole element, tag and padding included."""
        tag = self.read(8)
        kind, size = struct.unpack(order + "II", tag)
        return tag if kind >> 16 else tag + self.read(size + -size % 8)


class _Decoder:
    def __init__(self, order: str) -> None:
        self.order = order
        self.tag = struct.Struct(order + "II").unpack_from
        self.seen: dict[bytes, Any] = {}

    def structs_of(self, variable: str, stream: _Stream) -> Generator[Any, None, bool]:
        """Yields nothing, and returns False, where the matrix in the stream has another name."""
        parts = [stream.element(self.order) for _ in range(3)]
        array_class, count, name, _ = self.head(b"".join(parts))
        if name != variable:
            return False
        if array_class != STRUCT:
            raise ValueError(f"'{variable}' is no struct array")
        fields, _ = self.fields(stream.element(self.order) + stream.element(self.order), 0)
        if not fields:
            raise ValueError(f"'{variable}' has no fields")
        yield count
        for _ in range(count):
            yield {field: self.matrix(stream.element(self.order)[8:]) for field in fields}
        return True

    def part(self, data: bytes, at: int) -> tuple[int, bytes, int]:
        """Type and content of the element that begins at `at`, and where the next begins."""
        kind, size = self.tag(data, at)
        if kind >> 16:  # a small element has both in one word, and up to 4 bytes in the next
            size, kind = kind >> 16, kind & 0xFFFF
            return kind, data[at + 4 : at + 4 + size], at + 8
        return kind, data[at + 8 : at + 8 + size], at + 8 + size + -size % 8

    def head(self, data: bytes) -> tuple[int, int, str, int]:
        """Class, number of elements and name of a matrix, and where its content begins."""
        _, flags, at = self.part(data, 0)
        _, dims, at = self.part(data, at)
        _, name, at = self.part(data, at)
        sizes = struct.unpack(f"{self.order}{len(dims) // 4}i", dims)
        array_class = struct.unpack_from(self.order + "I", flags)[0] & 0xFF
        return array_class, math.prod(sizes), name.decode("latin-1"), at

    def fields(self, data: bytes, at: int) -> tuple[list[str], int]:
        _, length, at = self.part(data, at)
        (length,) = struct.unpack(self.order + "i", length)
        _, names, at = self.part(data, at)
        rows = [names[i : i + length] for i in range(0, len(names), length)]
        return [row.split(b"\0")[0].decode("latin-1") for row in rows], at

    def matrix(self, data: bytes) -> Any:
        """The value of a matrix, given without its tag."""
        value = self.seen.get(data)
        if value is None:
            value = self.decode(data) if data else []
            if len(data) <= CACHED_BYTES:
                self.seen[data] = value
        return value

    def decode(self, data: bytes) -> Any:
        array_class, count, _, at = self.head(data)
        if array_class == STRUCT:
            fields, at = self.fields(data, at)
            values = self.matrices(data, at, count * len(fields))
            return {field: values[i :: len(fields)] for i, field in enumerate(fields)}
        if array_class == CELL:
            return self.matrices(data, at, count)
        kind, content, _ = self.part(data, at)
        if array_class == CHAR and kind == UTF8:
            return content.decode("utf-8")
        if kind not in NUMBERS:
            raise ValueError(f"values of the unknown kind {kind}")
        numbers = np.frombuffer(content, self.order + NUMBERS[kind]).tolist()
        return "".join(map(chr, numbers)) if array_class == CHAR else numbers

    def matrices(self, data: bytes, at: int, count: int) -> list[Any]:
        values = []
        tag, seen, matrix = self.tag, self.seen, self.matrix
        for _ in range(count):
            begin = at + 8
            at = begin + tag(data, at)[1]
            content = data[begin:at]
            value = seen.get(content)
            values.append(matrix(content) if value is None else value)
        return values
