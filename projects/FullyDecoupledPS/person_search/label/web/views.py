"""HTML of the labelling page, from templates."""

import json
from functools import lru_cache
from pathlib import Path

import jinja2

from fully_decoupled_ps.visualization.html_templates import template_environment

from ...media.times import format_time, format_time_range
from ..labelling import Question
from .decisions import describe
from .service import LabelService

TEMPLATES = Path(__file__).parent / "templates"


@lru_cache
def _environment() -> jinja2.Environment:
    environment = template_environment(TEMPLATES)
    environment.filters["time"] = format_time
    environment.filters["clock"] = lambda seconds: format_time(seconds).partition(" ")[2]
    environment.filters["json"] = json.dumps  # escaped like all text
    environment.globals["time_range"] = format_time_range
    return environment


def _render(name: str, service: LabelService, **values) -> str:
    labelling = service.labelling
    return (
        _environment()
        .get_template(name)
        .render(
            project=service.key,
            last=labelling.last(),
            progress=labelling.progress(),
            num_contradictions=len(labelling.contradictions()),
            **values,
        )
    )


def question(service: LabelService) -> str:
    """The most informative question, or that there is none."""
    asked = service.labelling.question()
    if asked is None:
        return _render("done.html", service)
    return _compared(service, asked, is_asked=True)


def comparison(service: LabelService, a: int, b: int) -> str:
    """Two persons side by side, of whom a visitor wants to say whether they are one."""
    left, right = (service.labelling.group_of(unit).units for unit in (a, b))
    return _compared(service, Question(a, b, left, right, 0.0), is_asked=False)


def _compared(service: LabelService, asked: Question, is_asked: bool) -> str:
    return _render(
        "question.html",
        service,
        is_asked=is_asked,
        a=asked.a,
        b=asked.b,
        sides=[
            ("Upper", service.side(asked.a, asked.left)),
            ("Lower", service.side(asked.b, asked.right)),
        ],
    )


def persons(service: LabelService, number: int) -> str:
    return _render("persons.html", service, page=service.persons(number))


def person(service: LabelService, unit: int) -> str:
    """All tracklets of a person."""
    group = service.labelling.group_of(unit)
    passages = sorted(map(service.passage, group.units), key=lambda p: p.unit.start)
    return _render("person.html", service, group=group, passages=passages)


def frame(service: LabelService, frame_id: int) -> str:
    return _render("frame.html", service, shown=service.frame(frame_id))


def history(service: LabelService, number: int) -> str:
    labelling, page = service.labelling, service.history(number)
    return _render(
        "history.html",
        service,
        page=page,
        rows=[(*item, describe(labelling, item[0])) for item in page.items],
        contradictions=labelling.contradictions(),
    )


def problem(service: LabelService, text: str) -> str:
    """In place of what is not there."""
    return _render("problem.html", service, text=text)
