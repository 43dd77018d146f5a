"""The reader of struct arrays, against scipy's and on bytes that are laid out by hand."""

import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from fully_decoupled_ps.data.datasets.mat_structs import read_structs
from tests.data.layouts import cell, structs

VALUES = {
    "text": ("s1.jpg", "s1.jpg"),
    "long": ("x" * 300, "x" * 300),
    "name": ("Größe 東", "Größe 東"),
    "empty": (np.zeros((0, 0)), []),
    "uint16": (np.array([[65535, 2, 3, 4]], dtype=np.uint16), [65535, 2, 3, 4]),
    "cube": (np.array([[[1, 2, 3]]], dtype=np.uint8), [1, 2, 3]),
    "column": (np.array([[1.5], [-2]]), [1.5, -2]),
    "int8": (np.array([[-1]], dtype=np.int8), [-1]),
    "single": (np.array([[0.25]], dtype=np.float32), [0.25]),
    "cells": (cell(["a", np.array([[7]])]), ["a", [7]]),
    "inner": (structs(["p", "q"], [("a", 1), ("b", 2)]), {"p": ["a", "b"], "q": [[1], [2]]}),
}


def rows(path, variable="S"):
    number, structs = read_structs(str(path), variable)
    result = list(structs)
    assert len(result) == number
    return result


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("column", [False, True])
def test_all_kinds_of_values(tmp_path, compressed, column):
    written = [[value for value, _ in VALUES.values()]] * 3
    array = structs(list(VALUES), written)
    # what is passed over must not be read: as tags, these numbers are matrices
    content = {
        "before": np.full((300, 300), 14, dtype=np.int32),
        "S": array.T if column else array,
        "after": "x",
    }
    savemat(tmp_path / "a.mat", content, do_compression=compressed)
    assert rows(tmp_path / "a.mat") == [{k: read for k, (_, read) in VALUES.items()}] * 3


def test_one_struct_and_none(tmp_path):
    savemat(tmp_path / "a.mat", {"S": structs(["p"], [(5,)]), "N": structs(["p"], [])})
    assert rows(tmp_path / "a.mat") == [{"p": [5]}]
    assert rows(tmp_path / "a.mat", "N") == []


def element(order, kind, content):
    return struct.pack(order + "II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def small(order, kind, content):
    return struct.pack(order + "I", len(content) << 16 | kind) + content.ljust(4, b"\0")


def matrix(order, array_class, dims, name, content):
    parts = element(order, 6, struct.pack(order + "II", array_class, 0))
    parts += element(order, 5, struct.pack(order + "ii", *dims))
    parts += small(order, 1, name) if 0 < len(name) <= 4 else element(order, 1, name)
    return element(order, 14, parts + content)


def file(order, *elements):
    version, mark = {"<": (b"\0\1", b"IM"), ">": (b"\1\0", b"MI")}[order]
    return b"MATLAB 5.0 MAT-file".ljust(124) + version + mark + b"".join(elements)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
def test_bytes_as_matlab_lays_them_out(tmp_path, order, compressed):
    """Small elements, text in 16 bits, 2 x 1 structs, both byte orders."""

    utf16 = {"<": "utf-16-le", ">": "utf-16-be"}[order]

    def value(text, *numbers):
        text_part = element(order, 4, text.encode(utf16))
        box_part = small(order, 4, struct.pack(f"{order}{len(numbers)}H", *numbers))
        return matrix(order, 4, (1, len(text)), b"", text_part) + matrix(
            order, 11, (1, len(numbers)), b"", box_part
        )

    fields = small(order, 5, struct.pack(order + "i", 8))
    fields += element(order, 1, b"imname\0\0box\0\0\0\0\0")
    values = value("s15533.jpg", 65535, 1) + value("s2.jpg", 3)
    whole = matrix(order, 2, (2, 1), b"S", fields + values)
    if compressed:
        packed = zlib.compress(whole)
        whole = struct.pack(order + "II", 15, len(packed)) + packed
    other = matrix(order, 6, (1, 1), b"numbers", element(order, 9, struct.pack(order + "d", 1)))
    (tmp_path / "a.mat").write_bytes(file(order, other, whole, other))
    assert rows(tmp_path / "a.mat") == [
        {"imname": "s15533.jpg", "box": [65535, 1]},
        {"imname": "s2.jpg", "box": [3]},
    ]


def test_wrong_variables(tmp_path):
    savemat(tmp_path / "a.mat", {"S": np.eye(3), "T": "text"})
    with pytest.raises(KeyError, match="N"):
        read_structs(str(tmp_path / "a.mat"), "N")
    with pytest.raises(ValueError, match="'S' is no struct array"):
        read_structs(str(tmp_path / "a.mat"), "S")


def test_struct_without_fields(tmp_path):
    fields = small("<", 5, struct.pack("<i", 8)) + element("<", 1, b"")
    (tmp_path / "a.mat").write_bytes(file("<", matrix("<", 2, (2**30, 1), b"S", fields)))
    with pytest.raises(ValueError, match="'S' has no fields"):
        read_structs(str(tmp_path / "a.mat"), "S")


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_files(tmp_path, compressed):
    """Cut anywhere, and overwritten anywhere: a ValueError, or other values, and nothing else."""
    path = tmp_path / "a.mat"
    values = [(value,) for value, _ in VALUES.values()]
    savemat(path, {"S": structs(["p"], values)}, do_compression=compressed)
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        with pytest.raises((ValueError, KeyError)):
            rows(path)
    refused = 0
    for at in range(120, len(whole), 11):
        path.write_bytes(whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :])
        try:
            rows(path)
        except (ValueError, KeyError):
            refused += 1
    assert refused > 10
