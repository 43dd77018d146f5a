"""Doing one kind of work in a thread, while the main one goes on with another."""

import queue
import threading
from collections.abc import Callable


class Beside:
    """A context whose thread calls ``work`` on what :meth:`put` is given, in that order.

    Left in the ordinary way, it waits until all is done. Left by an exception, it waits for the
    call that is under way, and makes no other.
    """

    def __init__(self, work: Callable[..., None], depth: int = 2):
        """``depth``: at most so many items wait; then :meth:`put` waits too."""
        self._work = work
        self._items: queue.Queue = queue.Queue(depth)
        self._error: BaseException | None = None
        self._is_given_up = False
        self._thread = threading.Thread(target=self._run, name="beside", daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def put(self, *item) -> None:
        """
        Raises:
            Exception: what ``work`` has raised, of an item before.
        """
        self._raise()
        self._items.put(item)

    def __exit__(self, kind, *exception):
        self._is_given_up = kind is not None
        self._items.put(None)
        while self._thread.is_alive():
            try:
                self._thread.join()
            except KeyboardInterrupt:  # whoever closes what ``work`` uses must come behind it
                self._is_given_up = True
        if kind is None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if self._is_given_up or self._error is not None:
                continue  # so that nobody waits for a place
            try:
                self._work(*item)
            except BaseException as error:
                self._error = error
