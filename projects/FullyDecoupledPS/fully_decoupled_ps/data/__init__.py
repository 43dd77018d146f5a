"""Datasets: one loader and one register function each, the built-in names, and the mapper."""

from .checks import count_person_ids
from .protocols import get_protocols
from .prw import load_prw, load_prw_protocols, register_prw

__all__ = [
    "count_person_ids",
    "get_protocols",
    "load_prw",
    "load_prw_protocols",
    "register_prw",
]
