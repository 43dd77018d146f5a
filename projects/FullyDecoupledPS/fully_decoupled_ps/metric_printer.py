"""Console lines for what Detectron2's own printer leaves out: alpha and the memory's occupancy."""

import logging

from detectron2.utils.events import EventWriter, get_event_storage

logger = logging.getLogger(__name__)


class ReIDMetricPrinter(EventWriter):
    """Logs the latest ``alpha/*`` and ``memory/*`` scalars, where there are any."""

    def write(self):
        latest = get_event_storage().latest()
        scalars = {k: v for k, (v, _) in latest.items() if k.startswith(("alpha/", "memory/"))}
        if scalars:
            logger.info("  ".join(f"{k}: {v:.3f}" for k, v in sorted(scalars.items())))
