"""Progress in the log."""

import logging

import pytest

from fully_decoupled_ps.utils import progress


@pytest.mark.parametrize("items, total", [("abc", None), (iter("abc"), 3)])
def test_lines_in_the_log_say_how_far_it_is(items, total, monkeypatch, caplog):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 1e-9)
    caplog.set_level(logging.INFO)
    assert list(progress.with_progress(items, "spelling", total)) == ["a", "b", "c"]
    assert caplog.messages == [f"spelling: {n} of 3, 0 s left" for n in (1, 2, 3)]


def test_what_is_quick_is_silent(caplog, capsys):
    caplog.set_level(logging.INFO)
    assert sum(progress.with_progress(range(100), "adding")) == 4950
    assert not caplog.messages and capsys.readouterr() == ("", "")
