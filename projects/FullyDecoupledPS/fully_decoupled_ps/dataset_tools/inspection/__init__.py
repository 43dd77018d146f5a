"""What `person-search check-dataset` looks at before a training."""

from .findings import Finding, Findings
from .inspect import Inspection, inspect_dataset
from .text import format_inspection

__all__ = ["Finding", "Findings", "Inspection", "format_inspection", "inspect_dataset"]
