"""Tests in a browser: skipped where there is none, and a failure in CI."""

import contextlib

import pytest

from person_search.errors import UserError

from . import browser


@pytest.fixture
def no_browser(monkeypatch):
    @contextlib.contextmanager
    def missing():
        raise UserError("there is no Chromium; install it")
        yield

    monkeypatch.setattr(browser.screenshots, "chromium", missing)


@pytest.mark.parametrize(
    ("value", "outcome"),
    [("true", pytest.fail.Exception), ("", pytest.skip.Exception), ("no", pytest.skip.Exception)],
)
def test_a_browser_that_is_missing_is_a_failure_in_ci_alone(
    no_browser, monkeypatch, value, outcome
):
    monkeypatch.setenv("CI", value)
    with pytest.raises(outcome, match="there is no Chromium; install it"):
        with browser.chromium():
            pass
