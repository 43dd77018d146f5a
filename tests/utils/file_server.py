"""A server of files on the loopback interface that misbehaves as a test wants."""

import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """
    Attributes:
        content: of the file.
        files: contents of other files, by their names.
        etag: of it; "": the server gives none.
        takes_ranges: whether it sends a part where one is asked for.
        cut_after: how many bytes of each answer come before the connection breaks; None: all.
        silent_after: from which byte of the file on it falls silent, until the server is closed.
        status, content_type: of each answer.
        asked: paths and ``Range`` headers of the requests, in their order.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.etag = bytes(range(256)) * 40, '"v1"'
        self.files = {}
        self.takes_ranges, self.cut_after, self.silent_after = True, None, None
        self.status, self.content_type = 200, "application/octet-stream"
        self.asked = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/net/weights.pth"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append((self.path, asked))
        if self.path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/moved"))
            self.end_headers()
            return
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        if asked and server.takes_ranges and self.headers.get("If-Range") == server.etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
        content = server.files.get(self.path.rpartition("/")[2], server.content)
        body, total = content[start:], len(content)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Type", server.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.silent_after is not None:
            self.wfile.write(content[start : max(start, server.silent_after)])
            server.closing.wait()
        else:
            self.wfile.write(body[: server.cut_after])
        self.close_connection = True

    def log_message(self, *args):
        pass


@contextmanager
def serving():
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
