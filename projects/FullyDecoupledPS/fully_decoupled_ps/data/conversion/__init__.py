"""What `person-search convert` does: other formats to the project's JSON, one idea a file."""

from .json_file import ConvertedSet, check_output, write_sets
from .layouts import convert_cuhk_sysu, convert_prw
from .mot import MotRules, convert_mot
from .mot_sequence import MotSequence, find_sequences
from .split import choose_queries, split_by_ids, split_by_sequences

__all__ = [
    "ConvertedSet",
    "MotRules",
    "MotSequence",
    "check_output",
    "choose_queries",
    "convert_cuhk_sysu",
    "convert_mot",
    "convert_prw",
    "find_sequences",
    "split_by_ids",
    "split_by_sequences",
    "write_sets",
]
