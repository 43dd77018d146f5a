"""What the search page asks of an index and of a network."""

import math
import threading
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..index import Filters, Frame, Hit, Person, PersonIndex
from ..network import Predictor
from ..search.query import PersonQuery, Query, query_of_box, query_of_person
from ..search.searching import own_detections, search_others

FRAMES_PER_PAGE = 24
# A page can't show more hits well; `person-search query` has no such limit.
MAX_HITS = 500
# A frame's neighbours are searched among this many frames of the same time and camera.
MAX_TIES = 200


@dataclass(frozen=True)
class FrameWithPersons:
    """A frame and who was detected in it, the best score first."""

    frame: Frame
    persons: tuple[Person, ...]


@dataclass(frozen=True)
class FramePage:
    """Some of the frames that pass the filters."""

    frames: tuple[FrameWithPersons, ...]
    number: int  # of the page, from 1
    num_pages: int  # at least 1
    num_frames: int  # on all pages


class SearchService:
    """Serves the threads of a web server; each request sees what was committed last."""

    def __init__(self, index: PersonIndex, network: Predictor | None = None, no_network: str = ""):
        """
        Args:
            index: open; this object alone uses it from now on.
            network: the one that made the index; None: only persons of the index are searched.
            no_network: why there is none, for people.
        """
        self.index = index
        self.network = network
        self.no_network = no_network
        self._index_lock = threading.Lock()
        self._network_lock = threading.Lock()

    @contextmanager
    def _fresh_index(self):
        """The index for one thread, as it was committed last."""
        with self._index_lock:
            self.index.refresh()
            yield

    def cameras(self) -> list[str]:
        with self._fresh_index():
            return self.index.cameras()

    def summary(self) -> tuple[tuple[int, int, int], tuple[float, float] | None]:
        """Numbers of files, frames and persons; first and last time."""
        with self._fresh_index():
            return tuple(self.index.counts()), self.index.time_range()

    def frame_page(self, filters: Filters, number: int) -> FramePage:
        """Page ``number``, or the nearest one that there is."""
        with self._fresh_index():
            count = self.index.count_frames(filters)
            num_pages = max(math.ceil(count / FRAMES_PER_PAGE), 1)
            number = min(max(number, 1), num_pages)
            frames = self.index.frames(filters, (number - 1) * FRAMES_PER_PAGE, FRAMES_PER_PAGE)
            shown = tuple(self._with_persons(frame, filters.min_score) for frame in frames)
        return FramePage(shown, number, num_pages, count)

    def find_frame(self, path: str, pts: int | None, min_score: float = 0) -> FrameWithPersons:
        """The picture at ``path``, or the frame of ``pts`` of the video there.

        Raises:
            UserError: if the index has no such frame (any more).
        """
        with self._fresh_index():
            frames = self.index.find_frames(path, pts)
            if not frames:
                raise UserError(f"the index has no frame of {path} any more; reload the page")
            return self._with_persons(frames[0], min_score)

    def neighbor(self, frame: Frame, step: int) -> Frame:
        """The next frame of the same camera (``step`` 1), or the one before (-1).

        Raises:
            UserError: if there is none.
        """
        with self._fresh_index():
            if step > 0:
                later = Filters((frame.camera,), start=frame.time)
                frames = self.index.frames(later, 0, MAX_TIES)
            else:
                earlier = Filters((frame.camera,), end=frame.time)
                count = self.index.count_frames(earlier)
                frames = self.index.frames(earlier, max(count - MAX_TIES, 0), MAX_TIES)
        names = [other.name for other in frames]
        place = names.index(frame.name) + step if frame.name in names else -1
        if not 0 <= place < len(frames):
            which = "last" if step > 0 else "first"
            raise UserError(f"this is the {which} frame of camera {frame.camera}")
        return frames[place]

    def _with_persons(self, frame: Frame, min_score: float) -> FrameWithPersons:
        persons = self.index.persons(frame.frame_id)
        return FrameWithPersons(frame, tuple(p for p in persons if p.score >= min_score))

    def query_of_person(self, person_id: int) -> PersonQuery:
        """As :func:`.search.query.query_of_person`."""
        with self._fresh_index():
            return query_of_person(self.index, person_id)

    def detect(self, image: np.ndarray) -> np.ndarray:
        """(R, 4) boxes of the persons in a picture, (H, W, 3) RGB uint8, the best score first."""
        network = self._network()
        with self._network_lock:
            found = network.detect(image)
        return found.boxes[found.scores >= network.score_thresh]

    def query_of_picture(self, name: str, image: np.ndarray, box=None) -> Query:
        """As :func:`.search.query.query_of_box`."""
        network = self._network()
        with self._network_lock:
            return query_of_box(network, name, image, box)

    def _network(self) -> Predictor:
        """The network, or a UserError that says why there is none."""
        if self.network is None:
            raise UserError(self.no_network)
        return self.network

    def search(
        self, queries: Sequence[Query], filters: Filters, top: int, cws: bool
    ) -> tuple[Hit, ...]:
        """As :func:`search_others`, of at most ``MAX_HITS``."""
        if not 1 <= top <= MAX_HITS:
            raise UserError(
                f"{top} hits: the page shows 1 to {MAX_HITS}; for more use `person-search query`"
            )
        # a visitor's own picture is no frame of the index, even if it has the name of one
        of_index = [query for query in queries if isinstance(query, PersonQuery)]
        with self._fresh_index():
            own = own_detections(self.index, of_index)
            return search_others(self.index, queries, filters, top, cws=cws, own=own).hits
