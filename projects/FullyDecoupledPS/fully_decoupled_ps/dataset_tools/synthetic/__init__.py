"""A synthetic person-search benchmark in PRW's layout."""

from .plan import PRESETS, SyntheticSpec
from .writer import make_synthetic_dataset

__all__ = ["PRESETS", "SyntheticSpec", "make_synthetic_dataset"]
