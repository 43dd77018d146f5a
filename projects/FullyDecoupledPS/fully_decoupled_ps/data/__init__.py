"""Datasets: one loader and one register function each, the built-in names, and the mapper."""

from .dataset_mapper import UNREADABLE_IMAGES, PersonSearchMapper
from .datasets import builtin  # noqa: F401 (registers the built-in names)
from .datasets.checks import count_person_ids, has_contiguous_ids
from .datasets.cuhk_sysu import load_cuhk_sysu, load_cuhk_sysu_protocols, register_cuhk_sysu
from .datasets.person_search_json import (
    load_person_search_json,
    load_person_search_json_protocols,
    register_person_search_json,
)
from .datasets.protocols import frames_of_no_gallery, get_protocols
from .datasets.prw import load_prw, load_prw_protocols, register_prw
from .evaluation_loader import build_person_search_test_loader
from .fingerprint import differences
from .ignore_regions import with_regions_apart
from .train_loader import SAMPLERS, TrainLoader
from .train_stream import seed_iteration

__all__ = [
    "SAMPLERS",
    "UNREADABLE_IMAGES",
    "PersonSearchMapper",
    "build_person_search_test_loader",
    "TrainLoader",
    "count_person_ids",
    "differences",
    "frames_of_no_gallery",
    "get_protocols",
    "has_contiguous_ids",
    "load_cuhk_sysu",
    "load_cuhk_sysu_protocols",
    "load_person_search_json",
    "load_person_search_json_protocols",
    "load_prw",
    "load_prw_protocols",
    "register_cuhk_sysu",
    "register_person_search_json",
    "register_prw",
    "seed_iteration",
    "with_regions_apart",
]
