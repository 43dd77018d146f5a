"""The server of the page: its lock, its end, and that a kill loses no acknowledged decision."""

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import httpx
import pytest

from person_search.errors import UserError
from person_search.index.locking import WriterLock
from person_search.label.store import FILE_NAME, open_project
from person_search.label.web.serving import serve_labelling
from person_search.web.listening import bind

from .served import server_of


def tokens_in(folder):
    with closing(open_project(folder)) as project:
        return [decision.token for decision in project.decisions()]


def test_what_can_not_be_served_is_refused(folder, tmp_path_factory):
    with pytest.raises(UserError, match="there is no project; make one with"):
        serve_labelling(tmp_path_factory.mktemp("nothing"))
    with bind("127.0.0.1", 0) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(UserError, match=f"--port {port} is in use"):
            serve_labelling(folder, port=port)
    WriterLock(folder).release()  # it is free again


def test_a_project_is_served_by_one_process_until_it_is_stopped(folder):
    with server_of(folder) as server:
        with pytest.raises(UserError, match=rf"another process \(id {server.process.pid}\)"):
            serve_labelling(folder)
        assert server.end(signal.SIGTERM) == 128 + signal.SIGTERM
    WriterLock(folder).release()


def key_of(folder):
    with closing(open_project(folder)) as project:
        return project.key()


def test_serving_loads_no_network():
    """The page is there in a second or two: PyTorch alone takes longer."""
    code = (
        "import sys, person_search.label.web.app, person_search.label.web.serving;"
        "print(*sorted({'torch', 'detectron2'} & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "\n"


class Client(threading.Thread):
    """Decides without a pause, and asks again for what was not acknowledged, as the page does."""

    def __init__(self, url, name, project):
        super().__init__(daemon=True)
        self.url, self.prefix, self.project = url, name, project
        self.sent, self.is_over = [], False

    def run(self):
        with httpx.Client(base_url=self.url, timeout=20) as client:
            while not self.is_over:
                token = f"{self.prefix}{len(self.sent):031x}"
                self.sent.append(token)
                payload = {"frame_id": 1, "box": [0, 0, 9, 9], "unit": None}
                while not self.is_acknowledged(client, token, payload):
                    time.sleep(0.02)

    def is_acknowledged(self, client, token, payload):
        try:
            body = {"token": token, "kind": "add_box", "payload": payload, "project": self.project}
            return client.post("/decide", json=body).status_code == 200
        except httpx.HTTPError:
            return False


def test_no_acknowledged_decision_is_lost_when_the_server_is_killed(folder):
    """Each client goes on to its next decision only after the last one was acknowledged."""
    with server_of(folder) as server:
        clients = [Client(server.url, name, key_of(folder)) for name in "ab"]
        for client in clients:
            client.start()
        for _ in range(4):
            time.sleep(random.uniform(0.1, 0.4))
            server.end()
            known = tokens_in(folder)
            for client in clients:
                assert set(client.sent[:-1]) <= set(known)
            server.start()
        for client in clients:
            client.is_over = True
            client.join(20)
            assert len(client.sent) > 10
    # each one once, and in its client's order
    found = tokens_in(folder)
    assert sorted(found) == sorted(clients[0].sent + clients[1].sent)
    for client in clients:
        assert [token for token in found if token in set(client.sent)] == client.sent


@pytest.fixture
def page(window):
    page = window.new_page()
    page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"
    yield page
    page.close()


IDLE = "() => !document.body.matches('.lb-busy')"


def open_question(page, server):
    page.goto(server.url)
    page.wait_for_selector("main [data-marked]:focus")


def test_an_answer_that_was_lost_is_asked_for_again(folder, page):
    """The server dies after it has written a decision, before it says so."""
    with server_of(folder) as server:
        server.end()
        server.start(dies_at=1)
        open_question(page, server)
        page.keyboard.press("s")
        page.get_by_text("Not saved yet: the server does not answer").wait_for()
        assert len(tokens_in(folder)) == 1
        page.keyboard.press("d")  # keys wait for the answer
        server.end()
        server.start()
        page.wait_for_function(IDLE)
        assert "one person" in page.inner_text("#said")
        assert page.locator("#problem").is_hidden()
        assert "1 decision made" in page.inner_text(".lb-progress")
        assert len(tokens_in(folder)) == 1


def test_a_decision_that_was_not_saved_is_sent_after_the_page_is_loaded_again(folder, page):
    with server_of(folder) as server:
        open_question(page, server)
        server.end()
        page.keyboard.press("d")
        page.get_by_text("Not saved yet").wait_for()
        assert tokens_in(folder) == []
        # else the page that is left may send it again before it is loaded anew
        page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")
        server.start()
        page.reload()
        page.wait_for_function(IDLE)
        page.get_by_text("two persons").wait_for()
        assert len(tokens_in(folder)) == 1
        page.reload()
        page.wait_for_selector("main [data-marked]:focus")
        assert page.inner_text("#said") == "" and len(tokens_in(folder)) == 1


def test_a_page_of_another_project_decides_nothing(folder, page, tmp_path_factory):
    """Its server was stopped; another project is served at the same address now."""
    other = tmp_path_factory.mktemp("other")
    shutil.copy(folder / FILE_NAME, other)  # also a copy is another one
    with server_of(folder) as server:
        open_question(page, server)
        server.end()
        server.folder = other
        server.start()
        page.keyboard.press("d")
        page.wait_for_function(IDLE)
        assert "of another project" in page.inner_text("#problem")
        assert tokens_in(folder) == tokens_in(other) == []
        page.keyboard.press("d")  # what is shown is the other project now
        page.get_by_text("two persons").wait_for()
    assert len(tokens_in(other)) == 1 and tokens_in(folder) == []
