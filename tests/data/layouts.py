"""Writes small datasets in the benchmarks' real layouts, with the oddities that the real ones have."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def write_image(path: Path, width: int, height: int, color=(90, 120, 150)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), color).save(path)


def cell(items) -> np.ndarray:
    """An (N, 1) cell array; every item becomes a cell."""
    array = np.empty((len(items), 1), dtype=object)
    for i, item in enumerate(items):
        array[i, 0] = item
    return array


def nested_cell(items) -> np.ndarray:
    """PRW's index files: an (N, 1) cell array of 1 x 1 cell arrays."""
    return cell([cell([item]) for item in items])


# frame: (size, key of its annotation file, rows of id, x, y, w, h)
PRW_TRAIN = {
    "c1s1_000151": ((192, 108), "box_new", [[932, 10, 20, 30, 60], [-2, 100.5, 10.25, 20, 40]]),
    "c2s1_000176": ((192, 108), "anno_file", [[5, -4, 30, 30, 60], [5, 60, 30, 30, 60]]),
    "c6s1_000201": ((72, 58), "anno_previous", [[932, 50, 30, 30, 60], [7, 1, 1, 10, 20]]),
}
PRW_TEST = {
    "c1s2_000301": ((192, 108), "box_new", [[5, 10, 20, 30, 60], [483, 80, 20, 30, 60]]),
    "c1s2_000326": ((192, 108), "box_new", [[5, 12, 20, 30, 60]]),
    "c3s2_000301": ((192, 108), "anno_file", [[5, 14, 20, 30, 60], [-2, 90, 20, 30, 60]]),
}
PRW_OTHER = {"c4s2_000301": ((72, 58), "box_new", [[483, 5, 5, 20, 40]])}
PRW_QUERIES = (
    "5 10 20 30 60 c1s2_000301\r\n"
    "483 80 20 30 60 c1s2_000301\r\n"
    "5 14.000000 20 30 60 c3s2_000301\r\n"
    "483 5 5 20 60 c4s2_000301\r\n"
)


def write_prw(root: Path, nested: bool = True) -> Path:
    """Two splits of three frames, and a query frame that is in neither."""
    for name, (size, key, rows) in {**PRW_TRAIN, **PRW_TEST, **PRW_OTHER}.items():
        write_image(root / "frames" / f"{name}.jpg", *size)
        write_prw_boxes(root, name, rows, key)
    cells = nested_cell if nested else cell
    savemat(root / "frame_train.mat", {"img_index_train": cells(list(PRW_TRAIN))})
    savemat(root / "frame_test.mat", {"img_index_test": cells(list(PRW_TEST))})
    (root / "query_info.txt").write_bytes(PRW_QUERIES.encode())
    return root


def write_prw_boxes(root: Path, name: str, rows, key: str = "box_new") -> None:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    savemat(root / "annotations" / f"{name}.jpg.mat", {key: np.array(rows, dtype=np.float64)})
