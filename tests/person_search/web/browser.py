"""The page in a browser: a server in a thread of this process, and headless Chromium."""

import contextlib
import os

import pytest

import make_screenshots as screenshots
from fully_decoupled_ps.errors import UserError

served = screenshots.served


@contextlib.contextmanager
def chromium():
    """Skips the tests that need it where there is no browser; in CI (CI=true) that is a failure."""
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(screenshots.chromium())
        except UserError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(f"CI=true, but {error}")
            pytest.skip(str(error))
        yield browser
