"""The pictures of one search, as a file: a montage, or a page that is complete in itself."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fully_decoupled_ps.utils.files import replace_file
from fully_decoupled_ps.visualization import visualizer
from fully_decoupled_ps.visualization.html_templates import template_environment
from fully_decoupled_ps.visualization.visualizer import Record, picture

from ..errors import translated
from ..index import WEAK_SIMILARITY

logger = logging.getLogger(__name__)

WEAK_LEGEND = f"Pale: weak hits, with a similarity below {WEAK_SIMILARITY}."
TEMPLATES = Path(__file__).parent / "templates"
# Tiles in a row of a montage.
COLUMNS = 10

PathLike = str | Path
Read = Callable[[str], np.ndarray | None]


def write_montage(
    path: PathLike, queries: Sequence[Record], hits: Sequence[Record], read: Read
) -> Path:
    """Write the queries, then the hits, in rows; as PNG, or as JPEG if `path` ends so.

    Args:
        queries, hits: records of `visualizer.ranked_montage`.
        read: the frame of a record's `file_name`, RGB; None if it is gone, which is drawn grey.

    Raises UserError for a file that can't be written.
    """
    path = Path(path)
    frames = _FrameReader([*queries, *hits], read)
    legend = WEAK_LEGEND if any(hit.get("weak") for hit in hits) else ""
    montage = visualizer.ranked_montage(queries, hits, read=frames, columns=COLUMNS, legend=legend)
    extension = ".jpg" if path.suffix.lower() in (".jpg", ".jpeg") else ".png"
    _write(path, visualizer.encode_image(montage, extension, 90))
    return path


def write_page(
    path: PathLike, queries: Sequence[Record], hits: Sequence[Record], read: Read, *, index: str
) -> Path:
    """Write an HTML page with the queries and, the best first, the hits.

    Args:
        queries, hits: records as in `write_montage`; hits have `score`, `person_id`, `camera_id`
            and `time` (text) as well.
        read: as in `write_montage`.
        index: what was searched, to be named.

    Raises UserError for a file that can't be written.
    """
    frames = _FrameReader([*queries, *hits], read)
    page = (
        template_environment(TEMPLATES)
        .get_template("search.html")
        .render(
            index=index,
            queries=[
                {
                    "record": query,
                    "picture": picture(
                        visualizer.draw_query(frames(query["file_name"]), query),
                        f"{query['image_id']}: the person searched",
                    ),
                }
                for query in queries
            ],
            hits=[_hit_card(hit, frames) for hit in hits],
            weak_legend=WEAK_LEGEND if any(hit.get("weak") for hit in hits) else "",
        )
    )
    _write(Path(path), page.encode())
    return Path(path)


def _hit_card(hit: Record, frames: "_FrameReader") -> dict[str, Any]:
    frame = frames(hit["file_name"])
    place = f"hit {hit['rank']}, {hit['image_id']}"
    return {
        "record": hit,
        "is_gone": hit["file_name"] in frames.gone,
        "picture": picture(visualizer.draw_hit(frame, hit), place),
        "frame": picture(visualizer.draw_frame(frame, hit), f"{place}: the whole frame"),
    }


class _FrameReader:
    """Reads frames, one at a time in memory; one that is gone is grey."""

    def __init__(self, records: Sequence[Record], read: Read):
        self.read = read
        self.gone = set()
        # as large as its boxes reach, so that they can be drawn
        self._sizes: dict[str, np.ndarray] = {}
        for record in records:
            corner = np.ceil(np.asarray(record["bbox"][2:], dtype=float)).astype(int) + 1
            before = self._sizes.get(record["file_name"], corner)
            self._sizes[record["file_name"]] = np.maximum(before, corner)

    def __call__(self, name: str) -> np.ndarray:
        image = self.read(name)
        if image is None:
            self.gone.add(name)
            width, height = np.maximum(self._sizes[name], 1).tolist()
            image = np.full((height, width, 3), visualizer.PADDING_COLOR, np.uint8)
        return image


def _write(path: Path, content: bytes) -> None:
    with translated():
        replace_file(path, content)
    logger.info("Written: %s", path)
