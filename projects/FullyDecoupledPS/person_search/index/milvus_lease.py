"""One writer a shard of an index in Milvus, which has no locks: a lease that is renewed.

A writer puts an entity of its own among the leases and counts it up every :data:`BEAT` seconds.
Whoever finds another's entity watches it: if it counts on, the newcomer is refused; if it stands
still for :data:`PATIENCE` seconds, its writer was killed, and it is removed. Each writes before it
looks, so that of two that start at once at least one is refused, and perhaps both.

Ids are a hash of a file's path, time stamp and number, so that writing twice doubles nothing; but a
lease is needed for what is no single write: :meth:`.MilvusIndex.forget` copies all persons to a new
collection and drops the old one, with whatever another process has written to it meanwhile, and a
file that has changed is deleted and written anew, where the second writer's delete would take rows
that the first has already counted as done. An id of the file's content would help with neither, and
existing indexes hold ids of the path, which would stand beside the new ones.
"""

import logging
import os
import secrets
import socket
import threading
import time

from ..errors import UserError
from .milvus_collections import LEASES, create_collection, placeholder

logger = logging.getLogger(__name__)

# Seconds between two signs of life, and for how long one may be awaited.
BEAT = 5.0
PATIENCE = 20.0

FIELDS = ["writer_id", "shard", "num_shards", "holder", "beat"]


class WriterLease:
    """Held from when it is made until :meth:`release`, or until it goes unrenewed."""

    def __init__(self, index, shard: int, num_shards: int):
        """
        Args:
            index: a ``MilvusIndex``.
            shard: from 1; 0 for all of them, as a rewriting of the collection needs.
            num_shards: of how many; 0 for all of them.

        Raises:
            UserError: if another process writes to this shard, or splits the index otherwise.
        """
        self.index = index
        self._name = index.name_of(LEASES)
        self._is_removed = False
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        with index.errors():
            create_collection(index.client, self._name, LEASES, 0)
            index.client.load_collection(self._name)
        self._row = {
            "writer_id": secrets.randbits(63),
            "shard": shard,
            "num_shards": num_shards,
            "holder": f"process {os.getpid()} on {socket.gethostname()}",
            "beat": 0,
            **placeholder(),
        }
        self._thread = threading.Thread(target=self._renew, name="writer lease", daemon=True)
        with index.errors():
            index.client.upsert(self._name, [self._row])
        self._thread.start()
        try:
            for other in self._others():
                self._outlive(other)
        except BaseException:
            self.release()
            raise

    def _others(self) -> list[dict]:
        """The leases that this one can't be held beside."""
        return [
            row
            for row in self.index.query(LEASES, "writer_id >= 0", FIELDS)
            if row["writer_id"] != self._row["writer_id"]
            and (row["num_shards"] != self._row["num_shards"] or row["shard"] == self._row["shard"])
        ]

    def _outlive(self, other: dict) -> None:
        """Return when the other lease is gone, or has been removed because nobody renews it."""
        logger.info(
            "%s has written to index %s and may still: watching it for up to %g s",
            *(other["holder"], self.index.location, PATIENCE),
        )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            time.sleep(BEAT / 5)
            now = self.index.get(LEASES, [other["writer_id"]], FIELDS).get(other["writer_id"])
            if now is None:
                return
            if now["beat"] != other["beat"]:
                raise UserError(
                    f"{other['holder']} is writing to index {self.index.location}; wait until it "
                    "has ended, or stop it, and run the same command again"
                )
        self.index.delete(LEASES, f"writer_id == {other['writer_id']}")

    def _renew(self) -> None:
        from pymilvus.exceptions import MilvusException

        while not self._ended.wait(BEAT):
            try:
                if not self.index.client.get(self._name, ids=[self._row["writer_id"]]):
                    self._is_removed = True
                    return
                self._row["beat"] += 1
                self.index.client.upsert(self._name, [self._row])
                self._renewed = time.monotonic()
            except MilvusException:  # a server that is away for a moment
                logger.debug("the lease was not renewed", exc_info=True)

    @property
    def is_lost(self) -> bool:
        """Whether another may have taken over, for whatever reason this was not renewed."""
        return self._is_removed or time.monotonic() - self._renewed > PATIENCE

    def check(self) -> None:
        """Call before writing.

        Raises:
            UserError: if another may write by now, because this lease could not be renewed.
        """
        if self.is_lost:
            raise UserError(
                f"index {self.index.location} was not reached for {PATIENCE:g} s, and another "
                "process may write to it by now; what was written before is kept: run the same "
                "command again"
            )

    def release(self) -> None:
        """Let another process write."""
        self._ended.set()
        self._thread.join()
        self.index.delete(LEASES, f"writer_id == {self._row['writer_id']}")
