"""The page's server as a process of its own, which can be killed."""

import contextlib
import os
import signal
import socket
import time

import httpx

from person_search.label.labelling import Labelling
from person_search.label.web.serving import serve_labelling
from tests.processes import start_process


def serve(folder, port, dies_at=0):
    """For a process of its own.

    Args:
        dies_at: kills itself when so many decisions were written, before the last is acknowledged.
    """
    decide, made = Labelling.decide, []

    def decide_and_die(self, *args, **options):
        decision = decide(self, *args, **options)
        made.append(decision)
        if len(made) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return decision

    Labelling.decide = decide_and_die
    serve_labelling(folder, port=port)


class Server:
    """Can be started again at the same address."""

    def __init__(self, folder):
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.process = None

    def start(self, **options):
        self.process = start_process(serve, self.folder, self.port, *options.values())
        while not self.answers():
            assert self.process.is_alive()
            time.sleep(0.02)

    def answers(self):
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(self.url).status_code == 200
        return False

    def end(self, number=signal.SIGKILL):
        """The exit status."""
        if self.process.is_alive():
            os.kill(self.process.pid, number)
        self.process.join(20)
        return self.process.exitcode


@contextlib.contextmanager
def server_of(folder):
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.end()
