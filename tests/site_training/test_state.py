"""What an output folder was begun with."""

import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.site_training.plan import Plan
from fully_decoupled_ps.site_training.state import State

REQUEST = {"training set": "10 frames (ab)", "set of KEY VALUE": "none"}
PLAN = Plan(["reid"], "SEED: 1\n", [["reid", "batch", "5", "the paper's"]], {"reid": 3.5})


def refused(folder, request):
    with pytest.raises(UserError) as error:
        State(str(folder), request)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_read_again(tmp_path):
    state = State(str(tmp_path), REQUEST)
    assert state.plan is None
    state.begin(PLAN)
    state.finish("before")
    again = State(str(tmp_path), REQUEST)
    assert (again.plan, again.done) == (PLAN, ["before"])


def test_another_request_is_refused_with_what_differs(tmp_path):
    State(str(tmp_path), REQUEST).begin(PLAN)
    message = refused(tmp_path, {**REQUEST, "training set": "12 frames (cd)"})
    assert "another training set (10 frames (ab)) than this command has (12 frames (cd))" in message
    assert "another set of KEY VALUE (none) than this command has (SEED 2)" in refused(
        tmp_path, {**REQUEST, "set of KEY VALUE": "SEED 2"}
    )


def test_a_folder_of_something_else_is_refused(tmp_path):
    for name in ("lock", "data"):  # what the command itself puts there first
        (tmp_path / name).touch()
    State(str(tmp_path), REQUEST)
    (tmp_path / "photo.jpg").touch()
    assert "1 other files, photo.jpg for one" in refused(tmp_path, REQUEST)


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "site.json").write_text("{")
    assert "site.json: it can't be read" in refused(tmp_path, REQUEST)
    (tmp_path / "site.json").write_text('{"version": 9}')
    assert "its version is 9" in refused(tmp_path, REQUEST)
