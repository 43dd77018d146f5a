"""The query string of the page's address: what is shown, so that Back and reload keep it.

It names filters, a frame, and persons by their ids. It holds no visitor's own picture, only a
number that says that one was searched.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlencode

MAX_PERSONS = 100
ERRORS = "surrogateescape"  # as names of files are decoded
LARGEST = 2**63 - 1  # of the ids and time stamps in an index


class View(NamedTuple):
    """What is shown: a result, else a frame, else a page of the list of frames."""

    cameras: tuple[str, ...] = ()
    start: str = ""  # as it was typed
    end: str = ""
    min_score: float = 0.0
    top: int | None = None  # None: the page's default
    cws: bool = False
    pause: float | None = None  # seconds; None: the page's default
    list_page: int = 1
    frame: str = ""  # path of the file
    pts: int | None = None  # of the frame, in a video
    persons: tuple[int, ...] = ()  # ids of the person's views
    picture: int | None = None  # which of the visitor's own searches; see ``Search.own``


# Field -> its name in the address.
NAMES = {
    **{"cameras": "camera", "start": "from", "end": "to", "min_score": "score", "top": "top"},
    **{"cws": "cws", "pause": "apart", "list_page": "list", "frame": "frame", "pts": "at"},
    **{"persons": "person", "picture": "own"},
}


def format_view(view: View) -> str:
    """The address; "" for the start of the page.

    >>> format_view(View(cameras=("c 1",), persons=(7, 9)))
    '?camera=c+1&person=7&person=9'
    """
    pairs = [
        (NAMES[field], int(value) if isinstance(value, bool) else value)
        for field, value in view._asdict().items()
        if value != View._field_defaults[field]
    ]
    return f"?{urlencode(pairs, doseq=True, errors=ERRORS)}" if pairs else ""


def parse_view(address: str) -> View:
    """The view of an address; invalid parts are ignored, as anybody can write an address."""
    try:
        found = parse_qs(
            (address or "").removeprefix("?"), errors=ERRORS, max_num_fields=3 * MAX_PERSONS
        )
    except ValueError:
        return View()

    def one(field, kind, default, low=0.0):
        try:
            value = kind(found[NAMES[field]][0])
        except (KeyError, ValueError):
            return default
        return value if low <= value <= LARGEST else default

    def text(field):
        return found.get(NAMES[field], [""])[0]

    ids = [i for i in found.get(NAMES["persons"], []) if re.fullmatch("[0-9]{1,19}", i)]
    return View(
        cameras=tuple(found.get(NAMES["cameras"], [])),
        start=text("start"),
        end=text("end"),
        min_score=one("min_score", float, 0.0),
        top=one("top", int, None),
        cws=text("cws") == "1",
        pause=one("pause", float, None, low=-1),
        list_page=one("list_page", int, 1, low=1),
        frame=text("frame"),
        pts=one("pts", int, None, low=-LARGEST),
        persons=tuple(int(i) for i in ids[:MAX_PERSONS] if int(i) <= LARGEST),
        picture=one("picture", int, None),
    )
