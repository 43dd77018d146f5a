"""Batches for the network: frames of one size, and with them what is to be told of their files."""

from collections.abc import Iterator
from typing import NamedTuple

# At most so many batches' frames wait for others of their sizes.
WAITING_BATCHES = 4


class Sample(NamedTuple):
    """A frame, ready for the network."""

    path: str
    pts: int | None  # of a video's frame
    offset: float  # seconds after the file's first frame
    inputs: dict  # of the network
    checksum: int | None = None  # of a video's frame


class Restart(NamedTuple):
    """A video has changed since it was indexed: all its frames follow."""

    path: str


class End(NamedTuple):
    """A file has been read: no further sample of it follows."""

    path: str
    error: str  # why it can't be read (further); "" if all went well
    note: str = ""  # what was left out or assumed, see data.images and data.videos


Item = Sample | Restart | End


class SizedBatches:
    """Sorts samples by the size of the network's input; what belongs to a file stays in order.

    Files come one after the other.
    """

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self._waiting: dict[tuple[int, ...], list[Item]] = {}  # the oldest first
        self._counts: dict[tuple[int, ...], int] = {}
        self._last: tuple[str, tuple[int, ...]] = ("", ())  # path and size of the last sample

    def add(self, item: Item) -> Iterator[list[Item]]:
        """Yields the batches that are ready before ``item`` is in one."""
        path, size = self._last
        is_of_last = item.path == path and size in self._waiting
        if isinstance(item, Sample):
            new_size = tuple(item.inputs["image"].shape)
            if is_of_last and size != new_size:  # a video that goes on in another size
                yield self._take(size)
            if self._counts.get(new_size) == self.batch_size:
                yield self._take(new_size)
            elif sum(self._counts.values()) >= WAITING_BATCHES * self.batch_size:
                yield self._take(next(iter(self._waiting)))
            self._waiting.setdefault(new_size, []).append(item)
            self._counts[new_size] = self._counts.get(new_size, 0) + 1
            self._last = item.path, new_size
        elif is_of_last and isinstance(item, End):
            self._waiting[size].append(item)
        else:
            if is_of_last:
                yield self._take(size)
            yield [item]

    def rest(self) -> Iterator[list[Item]]:
        for size in list(self._waiting):
            yield self._take(size)

    def _take(self, size: tuple[int, ...]) -> list[Item]:
        del self._counts[size]
        return self._waiting.pop(size)
