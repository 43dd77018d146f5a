"""What `person-search convert` does: other formats to the project's JSON, one idea a file."""

from .assemble import SplitRules, make_sets
from .classes import ClassChoice
from .coco import CocoRules, convert_coco
from .coco_file import CocoSequence, find_coco
from .frames import Converted
from .json_file import ConvertedSet, check_output, write_sets
from .layouts import convert_cuhk_sysu, convert_prw
from .mot import MotRules, convert_mot
from .mot_formats import FORMATS
from .mot_frames import Numbering
from .mot_sequence import MotSequence, find_sequences
from .split import choose_queries, split_by_ids, split_by_sequences

__all__ = [
    "FORMATS",
    "ClassChoice",
    "CocoRules",
    "CocoSequence",
    "Converted",
    "ConvertedSet",
    "MotRules",
    "MotSequence",
    "Numbering",
    "SplitRules",
    "check_output",
    "choose_queries",
    "convert_coco",
    "convert_cuhk_sysu",
    "convert_mot",
    "convert_prw",
    "find_coco",
    "find_sequences",
    "make_sets",
    "split_by_ids",
    "split_by_sequences",
    "write_sets",
]
