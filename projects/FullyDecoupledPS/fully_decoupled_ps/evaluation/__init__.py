"""Metrics of person search, and the evaluator that reports them."""

from .detection_metrics import evaluate_detection
from .evaluator import PersonSearchEvaluator
from .plausibility import check_plausible
from .predictions import collect_predictions
from .predictions_file import dataset_of_predictions, load_predictions, save_predictions
from .search_metrics import SearchProtocol, SearchResult, SearchVariant, evaluate_search

__all__ = [
    "PersonSearchEvaluator",
    "SearchProtocol",
    "SearchResult",
    "SearchVariant",
    "check_plausible",
    "collect_predictions",
    "dataset_of_predictions",
    "evaluate_detection",
    "evaluate_search",
    "load_predictions",
    "save_predictions",
]
