"""
The built-in dataset names, under $DETECTRON2_DATASETS ("datasets" by default; the trees are drawn
in datasets/README.md). Importing this module registers them; files are read when they are used.
"""

import os

from .cuhk_sysu import ALL_SIZES, GALLERY_SIZES, register_cuhk_sysu
from .prw import register_prw


def register_all_prw(root: str) -> None:
    """Registers prw_train and prw_test under `root`/PRW."""
    for split in ("train", "test"):
        register_prw(f"prw_{split}", os.path.join(root, "PRW"), split)


def register_all_cuhk_sysu(root: str) -> None:
    """
    Registers cuhk_sysu_train, cuhk_sysu_test_g50 ... cuhk_sysu_test_g4000, cuhk_sysu_test_all for
    all six, and cuhk_sysu_test for the usual gallery of 100 frames, under `root`/CUHK-SYSU.
    """
    folder = os.path.join(root, "CUHK-SYSU")
    register_cuhk_sysu("cuhk_sysu_train", folder, "train")
    register_cuhk_sysu("cuhk_sysu_test", folder, "test", 100)
    register_cuhk_sysu("cuhk_sysu_test_all", folder, "test", ALL_SIZES)
    for size in GALLERY_SIZES:
        register_cuhk_sysu(f"cuhk_sysu_test_g{size}", folder, "test", size)


def register_all_synthetic(root: str) -> None:
    """Registers synthetic_train and synthetic_test, in PRW's layout, under `root`/synthetic."""
    for split in ("train", "test"):
        register_prw(f"synthetic_{split}", os.path.join(root, "synthetic"), split)


_root = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
register_all_prw(_root)
register_all_cuhk_sysu(_root)
register_all_synthetic(_root)
