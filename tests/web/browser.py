"""The page in a browser: a server in a thread of this process, and headless Chromium."""

import contextlib

import pytest

from fully_decoupled_ps.errors import UserError
from tests.tools.load_tool import load_tool

screenshots = load_tool("make_screenshots")
served = screenshots.served


@contextlib.contextmanager
def chromium():
    """Skips the tests that need it where there is no browser."""
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(screenshots.chromium())
        except UserError as error:
            pytest.skip(str(error))
        yield browser
