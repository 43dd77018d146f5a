"""Writers of a training's metrics: what can't be written stops it, with nothing torn."""

import logging
import os

from detectron2.utils.events import EventWriter, JSONWriter, get_event_storage

from ..utils.files import give_up_writing

logger = logging.getLogger(__name__)


class ReIDMetricPrinter(EventWriter):
    """Logs the latest ``alpha/*`` and ``memory/*`` scalars, which Detectron2's printer omits."""

    def write(self):
        latest = get_event_storage().latest()
        scalars = {k: v for k, (v, _) in latest.items() if k.startswith(("alpha/", "memory/"))}
        if scalars:
            logger.info("  ".join(f"{k}: {v:.3f}" for k, v in sorted(scalars.items())))


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
            give_up_writing(self._path, self._writer.close, error)
