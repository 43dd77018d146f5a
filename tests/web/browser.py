"""The page in a browser: a server in a thread of this process, and headless Chromium."""

import contextlib
import os
import shutil
import threading
import time

import pytest

from fully_decoupled_ps.web.server import address, bind, make_server

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextlib.contextmanager
def served(service, folder):
    """The address at which ``service`` has its page; what is uploaded goes to ``folder``."""
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    with bind("127.0.0.1", 0) as bound:
        server = make_server(service, "127.0.0.1")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield address(bound, "127.0.0.1")
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            os.environ.pop("GRADIO_TEMP_DIR")
            if before is not None:
                os.environ["GRADIO_TEMP_DIR"] = before


@contextlib.contextmanager
def chromium():
    """A headless browser: the system's, or the one that ``playwright install`` downloads."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, CHROMIUM)), None)
        if found is None and not os.path.exists(playwright.chromium.executable_path):
            pytest.skip("there is no Chromium: apt-get install chromium, or playwright install")
        # no sandbox: Chromium's own does not start for root, as in containers
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
