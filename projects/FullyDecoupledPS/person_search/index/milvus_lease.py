"""Exclusive writer lease per shard of an index in Milvus, which has no locks.

A writer inserts an entity of its own among the leases and increments its counter every
:data:`BEAT` seconds. A new writer watches the entities of others: if a counter changes, the new
writer is refused; if it does not change for :data:`PATIENCE` seconds, its writer was killed, and
the entity is removed. Every writer inserts before it reads, so of two that start at the same time
at least one is refused, and perhaps both.

Deterministic ids make adding a frame idempotent, but three operations are more than one write:

- :meth:`.MilvusIndex.forget` must not run beside a writer, which has read the tombstones of its
  current file already and would add the forgotten person again.
- To erase features it copies all persons to a new collection and drops the old one, with anything
  that another process wrote to it in the meantime.
- A file that has changed is deleted and written again. With two writers of different settings, one
  deletes rows of a file that the other then marks as done.
"""

import logging
import os
import secrets
import socket
import threading
import time

from ..errors import UserError
from .milvus_collections import FIELDS, LEASES, create_collection

logger = logging.getLogger(__name__)

# Seconds between two signs of life, and for how long one may be awaited.
BEAT = 5.0
PATIENCE = 20.0


class WriterLease:
    """Held from its construction until :meth:`release`, or until it is not renewed."""

    def __init__(self, index, shard: int, num_shards: int):
        """
        Args:
            index: a ``MilvusIndex``.
            shard: from 1; 0 for all of them.
            num_shards: of how many; 0 for all of them.

        Raises:
            UserError: if another process writes to this shard, or splits the index otherwise.
        """
        self.index = index
        self._is_removed = False
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        with index.errors():
            create_collection(index.client, index.name_of(LEASES), LEASES)
        self._row = {
            **{"writer_id": secrets.randbits(63), "shard": shard, "num_shards": num_shards},
            **{"holder": f"process {os.getpid()} on {socket.gethostname()}", "beat": 0},
        }
        self._thread = threading.Thread(target=self._renew, name="writer lease", daemon=True)
        index.upsert(LEASES, [self._row])
        self._thread.start()
        try:
            for other in self._others():
                self._outlive(other)
        except BaseException:
            self.release()
            raise

    def _others(self) -> list[dict]:
        """The leases that exclude this one."""
        return [
            row
            for row in self.index.query(LEASES, "writer_id >= 0", FIELDS[LEASES])
            if row["writer_id"] != self._row["writer_id"]
            and (row["num_shards"] != self._row["num_shards"] or row["shard"] == self._row["shard"])
        ]

    def _outlive(self, other: dict) -> None:
        """Return when the other lease is gone, or was removed because nobody renews it."""
        logger.info(
            "%s has written to index %s and may still do so: watching it for up to %g s",
            *(other["holder"], self.index.location, PATIENCE),
        )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            time.sleep(BEAT / 5)
            now = self.index.get(LEASES, [other["writer_id"]], FIELDS[LEASES])
            if not now:
                return
            if now[other["writer_id"]]["beat"] != other["beat"]:
                raise UserError(
                    f"{other['holder']} is writing to index {self.index.location}; wait until it "
                    "has ended, or stop it, and run the same command again"
                )
        self.index.delete(LEASES, [other["writer_id"]])

    def _renew(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                if not self.index.get(LEASES, [self._row["writer_id"]], ["writer_id"]):
                    self._is_removed = True
                    return
                self._row["beat"] += 1
                self.index.upsert(LEASES, [self._row])
                self._renewed = time.monotonic()
            except UserError:  # the server may be away for a moment
                logger.debug("the lease was not renewed", exc_info=True)

    @property
    def is_lost(self) -> bool:
        """Whether another writer may have taken over, because this lease was not renewed."""
        return self._is_removed or time.monotonic() - self._renewed > PATIENCE

    def check(self) -> None:
        """Raise a UserError if the lease is lost; called before writing."""
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
        self.index.delete(LEASES, [self._row["writer_id"]])
