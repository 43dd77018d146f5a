"""The index of persons: detections and their features, kept on disk or in Milvus, and searched.

::

    with open_index("DIR") as index:
        frame = index.frames(limit=1)[0]
        person = index.persons(frame.frame_id)[0]
        hits = index.search(index.features([person.person_id]), top=50)
"""

from .base import IndexWriter, PersonIndex, merge_features
from .opening import find_info, open_index, read_tombstones
from .records import (
    INDEX_VERSION,
    NO_FILTERS,
    WEAK_SIMILARITY,
    Counts,
    Filters,
    Frame,
    Hit,
    IndexInfo,
    NewFrame,
    Person,
    Source,
    SourceState,
)
from .tombstones import Tombstone

__all__ = [
    "INDEX_VERSION",
    "NO_FILTERS",
    "Counts",
    "Filters",
    "Frame",
    "Hit",
    "IndexInfo",
    "IndexWriter",
    "NewFrame",
    "Person",
    "PersonIndex",
    "Source",
    "SourceState",
    "Tombstone",
    "WEAK_SIMILARITY",
    "find_info",
    "merge_features",
    "open_index",
    "read_tombstones",
]
