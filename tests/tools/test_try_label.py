"""The way from a recording to a network without a person: who answers, and what ends it."""

from contextlib import closing

import pytest

import try_label as tool
from fully_decoupled_ps.errors import UserError
from person_search.label.labelling import Labelling
from person_search.label.store import open_project
from tests.person_search.label.web.drawn_project import make_project


def test_the_network_answers_until_nothing_is_left(tmp_path):
    folder = make_project(tmp_path)
    counts = tool.answer_all(folder)
    with closing(open_project(folder)) as project:
        labelling = Labelling(project)
        assert labelling.question() is None or labelling.progress().left == 0
        kinds = [decision.kind for decision in project.decisions()]
        assert {decision.by for decision in project.decisions()} == {"network"}
    assert counts == {kind: kinds.count(kind) for kind in ("same", "different")}
    assert sum(counts.values()) > 0
    assert tool.answer_all(folder) == {"same": 0, "different": 0}  # gone on with


def test_a_command_that_fails_ends_it(tmp_path, capsys):
    with pytest.raises(UserError, match="label ended with status 2"):
        tool.run("label", "--project", tmp_path / "missing", "--no-page")
    assert "there is no project" in capsys.readouterr().err
