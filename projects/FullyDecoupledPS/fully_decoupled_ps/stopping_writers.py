"""Metrics that can't be written stop the training, with one line and nothing torn."""

import os
from contextlib import suppress

from detectron2.utils.events import EventWriter, JSONWriter

from .files import drop_torn_line, unwritable


class StoppingWriter(EventWriter):
    """Any of Detectron2's writers; the first OSError of a write is raised as a UserError.

    From then on it does nothing: the training loop calls its writers once more at its end.
    """

    def __init__(self, writer: EventWriter, folder: str):
        """
        Args:
            folder: that the writer writes to.
        """
        self._writer = writer
        name = "metrics.json" if isinstance(writer, JSONWriter) else "events.out.tfevents.*"
        self._path = os.path.join(folder, name)
        self._failed = False

    def write(self):
        self._stop_on_failure(self._writer.write)

    def close(self):
        self._stop_on_failure(self._writer.close)

    def _stop_on_failure(self, step):
        if self._failed:
            return
        try:
            step()
        except OSError as error:
            self._failed = True
            with suppress(OSError):  # of what is still in its buffer
                self._writer.close()
            drop_torn_line(self._path)
            raise unwritable(self._path, error) from error
