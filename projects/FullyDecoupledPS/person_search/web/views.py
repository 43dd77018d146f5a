"""HTML of the page's parts, from templates; pictures lie within it, so that no file is served."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup, escape

from fully_decoupled_ps.utils.names import encode_name, printable
from fully_decoupled_ps.visualization.html_templates import template_environment

from ..errors import UserError
from ..index import WEAK_SIMILARITY, Filters, Hit
from ..media.times import format_time, format_time_range
from ..search.query import PersonQuery, Query
from . import pictures
from .downloads import DOWNLOADS
from .filters import describe_filters
from .grouping import HitGroup, group_hits
from .service import FramePage, FrameWithPersons
from .uploads import UPLOAD_PATH

TEMPLATES = Path(__file__).parent / "templates"
NOTHING_SEARCHED = "Nothing is searched yet: choose a person in a frame, or in your own picture."
OWN_PICTURE_IS_GONE = (
    "This was a search with a picture of your own. No address can hold a picture: choose it again "
    "under Own picture."
)
# In place of seconds: hits are not grouped.
ONE_RANKING = -1.0
DEFAULT_PAUSE = 600.0
# Seconds between hits of one camera that still are one group.
GROUPINGS = {
    60.0: "Camera, 1 minute apart",
    DEFAULT_PAUSE: "Camera, 10 minutes apart",
    3600.0: "Camera, 1 hour apart",
    86400.0: "Camera, 1 day apart",
    ONE_RANKING: "Nothing: one ranking",
}


def read_template(name: str) -> str:
    """The text of a file beside the templates."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@lru_cache
def _template(name: str) -> jinja2.Template:
    environment = template_environment(TEMPLATES)
    environment.filters["time"] = format_time
    environment.filters["attribute"] = name_attribute
    environment.filters["clock"] = lambda seconds: format_time(seconds).partition(" ")[2]
    environment.globals["time_range"] = format_time_range
    return environment.get_template(name)


def name_attribute(name: str) -> Markup:
    """A name as the value of an attribute that a click sends back; see :func:`decode_name`."""
    # a browser would turn it into a line feed
    return escape(encode_name(name)).replace("\r", Markup("&#13;"))


def header(location: str, counts: tuple[int, int, int], times) -> str:
    """The page's head: what is searched, and what a hit means."""
    return _template("header.html").render(location=location, counts=counts, times=times)


def note(text: str) -> str:
    """A line in place of what is not there."""
    return f'<p class="ps-status">{escape(printable(text))}</p>'


def own_picture_field() -> str:
    """Where a picture of one's own is chosen (event ``token``, of what the server has taken)."""
    return _template("own.html").render(path=UPLOAD_PATH)


def frame_list(page: FramePage) -> str:
    """Small pictures of a page's frames, each a button (event ``frame``); and pages (``turn``)."""
    drawn = pictures.draw_each(
        page.frames,
        lambda item: item.frame,
        lambda image, item: pictures.thumbnail(image, item.persons),
    )
    return _template("frames.html").render(page=page, items=list(zip(page.frames, drawn)))


def frame_view(shown: FrameWithPersons) -> str:
    """One frame, large; its persons are buttons in it, and below (event ``person``).

    Others lead to the list and to other frames (events ``list``, ``neighbor``).
    """
    frame = shown.frame
    image, problem = pictures.read_indexed(frame)
    if image is not None:
        view = pictures.whole_frame(image, f"Frame {frame.title} of camera {frame.camera}")
        crops = [pictures.crop(image, person) for person in shown.persons]
    else:
        view, crops = None, [None] * len(shown.persons)
    return _template("frame.html").render(
        frame=frame,
        picture=view,
        problem=problem,
        marks=_marks([p.box for p in shown.persons], frame.width, frame.height),
        persons=list(zip(shown.persons, crops)),
    )


def upload_view(name: str, image: np.ndarray, boxes: np.ndarray) -> str:
    """An uploaded picture: detected persons are buttons (event ``box``); a box can be drawn."""
    height, width = image.shape[:2]
    return _template("upload.html").render(
        name=name,
        width=width,
        height=height,
        picture=pictures.whole_frame(image, f"The uploaded picture {name}"),
        marks=_marks(boxes.tolist(), width, height),
        persons=[
            (box_text(box, width, height), pictures.query_crop(image, box))
            for box in boxes.tolist()
        ],
    )


def box_text(box: Sequence[float], width: int, height: int) -> str:
    """``x0,y0,x1,y1`` in whole pixels within the picture.

    >>> box_text((-0.2, 10.4, 99.9, 50), 100, 60)
    '0,10,100,50'
    """
    limits = (width, height, width, height)
    return ",".join(str(min(max(round(v), 0), limit)) for v, limit in zip(box, limits))


def _marks(boxes: Sequence[Sequence[float]], width: int, height: int) -> list[dict]:
    """Where boxes are in their picture, in percent; smaller ones lie above larger ones."""
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes]
    level = {i: n for n, i in enumerate(sorted(range(len(boxes)), key=lambda i: -areas[i]), 1)}
    marks = []
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        left, top = 100 * x0 / width, 100 * y0 / height
        size = 100 * (x1 - x0) / width, 100 * (y1 - y0) / height
        style = f"left:{left:.2f}%;top:{top:.2f}%;width:{size[0]:.2f}%;height:{size[1]:.2f}%"
        marks.append({"style": f"{style};z-index:{level[i]}"})
    return marks


def seconds_apart(pause: float | None) -> float | None:
    """The pause for :func:`group_hits` of a key of ``GROUPINGS`` (None: the default).

    None: no groups. Another key is a UserError.
    """
    pause = DEFAULT_PAUSE if pause is None else pause
    if pause not in GROUPINGS:
        raise UserError("hits can't be grouped so; reload the page")
    return None if pause == ONE_RANKING else pause


def result_view(
    queries: Sequence[Query], hits: Sequence[Hit], filters: Filters, pause: float | None
) -> str:
    """The persons searched, and their hits (events ``person``, ``frame``, ``group``, ``download``).

    Args:
        queries: of one person.
        hits: the most similar first.
        filters: that they passed.
        pause: one of ``GROUPINGS``; None: the default.
    """
    seconds = seconds_apart(pause)
    drawn = pictures.draw_each(
        hits,
        lambda hit: hit.person.frame,
        lambda image, hit: pictures.crop(image, hit.person, hit.is_weak),
    )
    if seconds is not None:
        groups = group_hits(hits, seconds)
    else:
        groups = [HitGroup("", 0.0, 0.0, tuple(hits))] if hits else []
    return _template("result.html").render(
        queries=[(query.title, _query_picture(query)) for query in queries],
        groups=groups,
        is_grouped=seconds is not None,
        cards={hit.rank: card for hit, card in zip(hits, drawn)},
        num_hits=len(hits),
        filters=describe_filters(filters),
        groupings=GROUPINGS,
        pause=DEFAULT_PAUSE if pause is None else pause,
        downloads=list(DOWNLOADS),
        num_weak=sum(hit.is_weak for hit in hits),
        weak_similarity=WEAK_SIMILARITY,
    )


def _query_picture(query: Query) -> dict | None:
    image = query.image
    if isinstance(query, PersonQuery):
        image, _ = pictures.read_indexed(query.person.frame)
    return None if image is None else pictures.query_crop(image, query.box)
