"""PRW and CUHK-SYSU, and data in their layouts, as sets to be written."""

import os
from collections.abc import Sequence
from pathlib import Path

from ...data.datasets.cuhk_sysu import load_cuhk_sysu, load_cuhk_sysu_protocols
from ...data.datasets.prw import load_prw, load_prw_protocols
from .json_file import ConvertedSet
from .split import SPLITS


def convert_prw(root: Path, splits: Sequence[str] = SPLITS) -> list[ConvertedSet]:
    """Each split with its ids, boxes and queries as :func:`..prw.load_prw` has them."""
    path = os.fspath(root)
    sets = []
    for split in splits:
        queries = load_prw_protocols(path)["full"] if split == "test" else None
        info = {"source": "PRW layout", "split": split}
        sets.append(ConvertedSet(split, load_prw(path, split), queries, info))
    return sets


def convert_cuhk_sysu(
    root: Path, splits: Sequence[str] = SPLITS, gallery_size: int = 100
) -> list[ConvertedSet]:
    """Each split as :func:`..cuhk_sysu.load_cuhk_sysu` has it, with one size of galleries."""
    path = os.fspath(root)
    sets = []
    for split in splits:
        queries = None
        info = {"source": "CUHK-SYSU layout", "split": split}
        if split == "test":
            (queries,) = load_cuhk_sysu_protocols(path, gallery_size).values()
            info["gallery_size"] = gallery_size
        sets.append(ConvertedSet(split, load_cuhk_sysu(path, split, gallery_size), queries, info))
    return sets
