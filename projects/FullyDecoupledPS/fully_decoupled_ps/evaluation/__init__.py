"""Metrics of person search, and the evaluator that reports them."""

from .detection_metrics import evaluate_detection
from .evaluator import PersonSearchEvaluator
from .search_metrics import SearchProtocol, SearchResult, SearchVariant, evaluate_search

__all__ = [
    "PersonSearchEvaluator",
    "SearchProtocol",
    "SearchResult",
    "SearchVariant",
    "evaluate_detection",
    "evaluate_search",
]
