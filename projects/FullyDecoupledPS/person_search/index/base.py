"""The interface that every index has, wherever it keeps its data, and what they share."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np

from fully_decoupled_ps.utils.names import encode_name

from ..errors import UserError
from .records import (
    INDEX_VERSION,
    NO_FILTERS,
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

# Candidates that class weighted similarity starts from; more are taken until no other can win.
CWS_CANDIDATES = 1000


def merge_features(features: np.ndarray) -> np.ndarray:
    """(Q, D) features of one person -> (D,), their mean, L2-normalised, float32."""
    mean = np.asarray(features, dtype=np.float32).reshape(-1, np.shape(features)[-1]).mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def frame_order(frame: Frame) -> tuple:
    """To sort by: time, then path, as it is stored, and pts; pictures before frames of videos."""
    pts = float("-inf") if frame.pts is None else frame.pts
    return frame.time, encode_name(frame.path), pts


class PersonIndex(AbstractContextManager):
    """Persons that can be searched by their features; use it as a context manager, or close it.

    Made by :func:`open_index`. Reading is possible while another process writes: what a method
    returns is what was committed last; :meth:`refresh` takes note of it. An object serves one
    thread at a time.

    Attributes:
        location: what it was opened by, a folder or ``milvus://HOST:PORT/COLLECTION``.
        info: :class:`IndexInfo`.
    """

    location: str
    info: IndexInfo

    def __exit__(self, *exception):
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Free what it holds; what is committed stays."""

    @abstractmethod
    def refresh(self) -> bool:
        """Take note of what other processes committed; returns whether there was anything."""

    @abstractmethod
    def counts(self) -> Counts:
        """How many files, frames and persons there are."""

    @abstractmethod
    def cameras(self) -> list[str]:
        """The names of the cameras, sorted."""

    @abstractmethod
    def time_range(self) -> tuple[float, float] | None:
        """First and last time of a frame, seconds since the epoch; None for an empty index."""

    @abstractmethod
    def frames(
        self, filters: Filters = NO_FILTERS, offset: int = 0, limit: int = 50
    ) -> list[Frame]:
        """Frames by time, then path and pts: ``limit`` of them after the first ``offset``.

        Frames without a person are among them.
        """

    @abstractmethod
    def count_frames(self, filters: Filters = NO_FILTERS) -> int:
        """How many frames :meth:`frames` has to go through."""

    @abstractmethod
    def find_frames(self, path: str, pts: int | None = None) -> list[Frame]:
        """The frames of the file at ``path`` (absolute), or only the one of ``pts``."""

    @abstractmethod
    def persons(self, frame_id: int) -> list[Person]:
        """The persons of a frame, the best score first."""

    @abstractmethod
    def get_persons(self, person_ids: Sequence[int]) -> list[Person]:
        """The persons of these ids, in their order.

        Raises:
            UserError: if there is none of an id.
        """

    @abstractmethod
    def features(self, person_ids: Sequence[int]) -> np.ndarray:
        """(N, D) float32 features of persons, in the order of their ids.

        Raises:
            UserError: if there is none of an id.
        """

    @abstractmethod
    def nearest(
        self, feature: np.ndarray, top: int, filters: Filters
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The persons most similar to one (D,) feature; :meth:`search` is what callers want.

        Returns:
            tuple: ids (K,) int64, similarities (K,) float32 descending, scores (K,) float32, with
            K = ``top``, or fewer if no more pass the filters.
        """

    @abstractmethod
    def sources(self) -> dict[str, Source]:
        """The files of the index, by path."""

    @abstractmethod
    def tombstones(self) -> list[Tombstone]:
        """Who was forgotten, the oldest first; of the last commit of any process."""

    @abstractmethod
    def put_tombstones(self, added: Iterable[Tombstone], removed: Iterable[int] = ()) -> None:
        """Add tombstones, and remove those of some ids."""

    @abstractmethod
    def forget(self, person_ids: Sequence[int], tombstones: Sequence[Tombstone] = ()) -> int:
        """Remove persons for good: their features are overwritten wherever they are kept.

        Args:
            person_ids: those that are not in the index are passed over.
            tombstones: that keep them from coming back; they last before anybody is removed.

        Returns:
            int: how many were removed.

        Raises:
            UserError: if another process writes to the index.
        """

    @abstractmethod
    def writer(self, shard: int = 1) -> "IndexWriter":
        """The only writer of shard ``shard``, from 1; a context manager.

        Raises:
            UserError: if another process writes to the shard.
        """

    def remove_files(self, paths: Iterable[str]) -> None:
        """Remove files with all their persons; refused as :meth:`forget` is."""
        for writer, sources in self._writers(paths):
            writer.remove([source.path for source in sources])

    def read_again(self, paths: Iterable[str]) -> None:
        """Have files be read again the next time they are indexed; their persons stay till then."""
        for writer, sources in self._writers(paths):
            for source in sources:
                writer.update(replace(source, recipe=""))  # equal to no settings

    def _writers(self, paths: Iterable[str]) -> Iterator[tuple["IndexWriter", list[Source]]]:
        """A writer for each shard, which commits, and what it knows of the files."""
        asked = set(paths)
        for shard in range(1, self.info.num_shards + 1 if asked else 1):
            with self.writer(shard) as writer:
                states = writer.states()
                yield writer, [states[path].source for path in sorted(asked & states.keys())]
                writer.commit()
        self.refresh()

    def person(self, person_id: int) -> Person:
        """As :meth:`get_persons`, of one id."""
        return self.get_persons([person_id])[0]

    def search(
        self,
        features: np.ndarray,
        top: int = 50,
        filters: Filters = NO_FILTERS,
        *,
        cws: bool = False,
    ) -> list[Hit]:
        """The persons most similar to one person.

        Args:
            features: (D,), or (Q, D) of Q pictures of the same person, which are merged by their
                mean.
            top: how many hits, at least 1.
            filters: who is looked at.
            cws: multiply similarities by the detections' scores (class weighted similarity).

        Returns:
            list: ``top`` hits or fewer, the most similar first.
        """
        if top < 1:
            raise UserError(f"--top {top}: at least 1 hit has to be asked for")
        feature = merge_features(features)
        if len(feature) != self.info.dim:
            raise UserError(
                f"the feature has {len(feature)} values, those of the index {self.info.dim}; "
                "use the model that made the index"
            )
        find = self._weighted if cws else self.nearest
        ids, similarities, _ = find(feature, top, filters)
        persons = self.get_persons(ids.tolist())
        return [Hit(rank, *hit) for rank, hit in enumerate(zip(persons, similarities.tolist()), 1)]

    def _weighted(self, feature: np.ndarray, top: int, filters: Filters):
        """Like :meth:`nearest`, by similarity times score.

        A score is at most 1, so nobody beyond the candidates can come before one whose product is
        at least the lowest similarity among them.
        """
        candidates = max(CWS_CANDIDATES, 4 * top)
        while True:
            ids, similarities, scores = self.nearest(feature, candidates, filters)
            products = similarities * scores
            order = np.argsort(-products, kind="stable")[:top]
            complete = len(ids) < candidates
            if complete or len(order) == top and products[order[-1]] >= max(similarities[-1], 0):
                return ids[order], products[order], scores[order]
            candidates *= 4

    def _found(self, found: dict, person_id: int):
        """The value of a dict by person id, or an error that says that there is no such person."""
        if person_id not in found:
            raise UserError(
                f"index {self.location} has no person {person_id}; "
                "`person-search query` prints the ids of persons"
            )
        return found[person_id]

    def check_model(self, fingerprint: str, precision: str = "") -> None:
        """Raise a UserError for features of another network than those in the index.

        Args:
            precision: what it computes in; "": whatever the index has.
        """
        if fingerprint != self.info.fingerprint:
            raise UserError(
                f"--model: its fingerprint is {fingerprint[:12]}, but index {self.location} was "
                f"made with {self.info.fingerprint[:12]} (from {self.info.model}); features of "
                "two models can't be compared: use that model, or make a new index (with "
                f"--forgotten-from {self.location}, which keeps out who was forgotten)"
            )
        if precision and self.info.precision not in ("", precision):
            raise UserError(
                f"--precision {precision}: index {self.location} was made in "
                f"{self.info.precision}; leave the option out, or make a new index"
            )

    def check_version(self) -> None:
        """Raise a UserError for an index of another version of this code."""
        if self.info.version != INDEX_VERSION:
            raise UserError(
                f"index {self.location} is of version {self.info.version}, and this code reads "
                f"version {INDEX_VERSION}; run `person-search index` with another --index, or "
                "delete this one and make it again"
            )


class IndexWriter(AbstractContextManager):
    """Adds files to one shard. Nothing is seen by readers, or outlives a kill, before a commit."""

    def __exit__(self, *exception):
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give the shard free. What is not committed is dropped."""

    @abstractmethod
    def states(self) -> dict[str, SourceState]:
        """What the shard knows of every file, by path."""

    @abstractmethod
    def checksums(self, path: str) -> dict[int, int | None]:
        """Of the frames of a video that are in, by pts."""

    @abstractmethod
    def begin(self, source: Source, goes_on: bool = False) -> None:
        """Start a file: what the shard has of it is removed, unless ``goes_on``.

        Frames that stay get the file's new camera and start time.
        """

    @abstractmethod
    def update(self, source: Source) -> None:
        """Give a known file another camera or start time; its persons stay."""

    @abstractmethod
    def add(self, path: str, frame: NewFrame) -> None:
        """Add the next frame of a file that was begun."""

    @abstractmethod
    def finish(self, path: str) -> None:
        """Say that all frames of a file are in."""

    @abstractmethod
    def remove(self, paths: Iterable[str]) -> None:
        """Remove files with all their persons; their features are overwritten."""

    @abstractmethod
    def commit(self) -> None:
        """Make permanent what was added, finished or removed since the last commit.

        Raises:
            UserError: if the disk is full; what was committed before is kept.
        """

    @abstractmethod
    def optimize(self) -> None:
        """Update what speeds up searching; can take minutes for a large shard."""
