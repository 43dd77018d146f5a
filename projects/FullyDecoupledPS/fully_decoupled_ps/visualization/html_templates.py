"""HTML from templates: names of frames and data sets are other people's data, and escaped."""

import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from ..utils.names import printable, printable_value

TEMPLATES = Path(__file__).parent / "templates"


def template_environment(folder: Path = TEMPLATES) -> jinja2.Environment:
    """Templates of ``folder``, which may include those of this package.

    Every value is escaped; one that is not given is an error. The filter ``breakable`` is
    :func:`breakable`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=printable_value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment


def breakable(text: str) -> Markup:
    """``text`` for HTML, with places where a narrow column may break a frame's name."""
    text = str(escape(printable(text)))
    return Markup(re.sub(r"([_/-]|\.(?=\w))", r"\1<wbr>", text))
