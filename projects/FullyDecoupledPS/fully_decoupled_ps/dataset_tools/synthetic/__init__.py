"""A synthetic person-search benchmark in PRW's layout, and a synthetic site as videos."""

from .plan import PRESETS, SyntheticSpec
from .site_spec import SiteSpec
from .site_writer import make_synthetic_site
from .writer import make_synthetic_dataset

__all__ = [
    "PRESETS",
    "SiteSpec",
    "SyntheticSpec",
    "make_synthetic_dataset",
    "make_synthetic_site",
]
