"""What a visitor can reach by sending other requests than the page does."""

import io
import json
import re
from urllib.parse import quote

import pytest
from PIL import Image
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from person_search.index import open_index
from person_search.web import gradio_guard, guard
from person_search.web.server import make_app
from person_search.web.service import SearchService

from .calls import answer_to, number_of
from .made_up_world import OneFaceNetwork

OWN = "http://127.0.0.1:7860"
# What the page in a browser asks for, as its network log says; test_browser.py checks
# that it needs no more.
NEEDED = {
    ("GET", "/"),
    ("HEAD", "/"),
    ("GET", "/favicon.ico"),
    ("GET", "/theme.css"),
    ("GET", "/assets/{path:path}"),
    ("GET", "/static/{path:path}"),
    ("GET", "/gradio_api/heartbeat/{session_hash}"),
    ("GET", "/gradio_api/queue/data"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/upload"),
}
REFUSED = (403, 404, 405)


@pytest.fixture(scope="module")
def app(world):
    with open_index(world.location) as index:
        yield make_app(SearchService(index, OneFaceNetwork(true_id=1)), "127.0.0.1")


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url=OWN) as client:
        yield client


def picture_file(path):
    Image.new("RGB", (64, 64), (255, 0, 0)).save(path)
    return str(path)


def routes_of(app, prefix=""):
    """(method, path pattern) of every route, those of mounted applications too."""
    found = set()
    for route in app.routes:
        if isinstance(route, Mount):
            found |= routes_of(route.app, prefix + route.path)
        elif hasattr(route, "routes"):
            found |= routes_of(route, prefix)
        elif hasattr(route, "original_router"):  # newer FastAPI: an included router
            found |= routes_of(route.original_router, prefix)
        else:
            found |= {(method, prefix + route.path) for method in route.methods or ()}
    return found


def test_exactly_the_routes_that_the_page_needs_pass(app):
    routes = routes_of(app)
    assert len(routes) > 40 and ("GET", "/gradio_api/file={path_or_url:path}") in routes
    assert NEEDED <= routes
    examples = {
        "/assets/{path:path}": "/assets/index-DphvyggB.js",
        "/static/{path:path}": "/static/js/iframeResizer.contentWindow.min.js",
    }

    def passes(method, path):
        path = examples.get(path) or re.sub(r"{[^}]*}", "abc", path)
        return any(
            method in methods and pattern.fullmatch(path)
            for methods, pattern, _ in gradio_guard.ROUTES
        )

    assert {route for route in routes if passes(*route)} == NEEDED


@pytest.mark.parametrize(
    "path",
    [
        *("/config", "/openapi.json", "/docs", "/redoc", "/gradio_api/openapi.json"),
        *("/gradio_api/info", "/gradio_api/docs", "/gradio_api/startup-events", "/monitoring"),
        *(
            "/gradio_api/app_id",
            "/gradio_api/deep_link",
            "/gradio_api/runs",
            "/token",
            "/robots.txt",
        ),
        *("/gradio_api/mcp/sse", "/gradio_api/mcp/", "/manifest.json", "/pwa_icon", "/svelte/a.js"),
        *("/login_check", "/gradio_api/vibe-code", "/gradio_api/upload_progress?upload_id=1"),
        *("/static/fonts/a.woff", "/gradio_api/heartbeat/a/b", "/gradio_api", "/upload"),
        *("/gradio_api/proxy=http://127.0.0.1:22/", "/gradio_api/stream/a/b/1/playlist.m3u8"),
        "/custom_component/1/client/component/index.js",
    ],
)
def test_what_the_page_does_not_need_is_not_there(client, path):
    assert client.get(path).status_code in REFUSED


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/gradio_api/upload",
            "/gradio_api/api/apply",
            "/gradio_api/run/predict",
            "/gradio_api/reset",
        ),
        *("/gradio_api/call/apply", "/gradio_api/cancel", "/gradio_api/component_server"),
        *("/gradio_api/process_recording", "/gradio_api/vibe-edit", "/login", "/", "/assets/a.js"),
    ],
)
def test_nothing_else_is_sent(client, path):
    assert client.post(path, content=b"{}").status_code in REFUSED


@pytest.mark.parametrize(
    "place", ["/gradio_api/file={}", "/file={}", "/gradio_api/file/{}", "/static/{}", "/assets/{}"]
)
def test_no_file_is_served_and_none_is_told_apart(client, tmp_path, index, place):
    """A picture of the index, its own file, a secret, and a path of nothing: one answer."""
    secret = picture_file(tmp_path / "secret.png")
    indexed = index.frames(limit=1)[0].path
    link = tmp_path / "link.png"
    link.symlink_to(secret)
    paths = [secret, indexed, f"{index.location}/index.json", str(link), str(tmp_path / "none.png")]
    paths += ["../../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", f"{secret}%00.js"]
    forms = [form for path in paths for form in (path, quote(path, safe=""), quote(path))]
    answers = {
        (answer.status_code, answer.content)
        for answer in (client.get(place.format(form)) for form in forms)
    }
    assert answers == {(404, b"Not found")}


def call(path):
    """A call of Gradio's that names a file of the server."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("where", ["data", "list", "event", "nested"])
def test_a_forged_path_is_refused_whatever_it_leads_to(client, tmp_path, where):
    """In every field of every event, at any depth; what exists and what does not look alike."""
    answers = set()
    for path in (picture_file(tmp_path / "secret.png"), "/nowhere.png", "http://127.0.0.1:1/a.png"):
        value = {
            **{"data": call(path), "list": [call(path)], "event": None, "nested": [[[call(path)]]]},
        }[where]
        body = {"data": [value], "fn_index": 3, "session_hash": "a", "event_data": None}
        if where == "event":
            body = {**body, "data": [], "event_data": {"token": call(path)}}
        answer = client.post("/gradio_api/queue/join", json=body)
        answers.add((answer.status_code, answer.content))
    assert answers == {(400, b"Not a call of this page")}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"data": 1}', b"[" * 100_000, b"\xff"])
def test_what_is_no_call_is_refused(client, body):
    assert client.post("/gradio_api/queue/join", content=body).status_code == 400


def test_a_call_that_the_page_does_not_make_is_refused(client):
    """It would end in an error 500, and a traceback in the server's log."""
    number, script = number_of(client, "take_upload"), number_of(client, None)
    call = {"data": [], "fn_index": number, "session_hash": "a"}
    for forged in (
        *({"fn_index": other} for other in (-1, 999, 10**30, 1.5, "3", True, None, [], script)),
        *({"session_hash": other} for other in (None, "", "a/b", 7, [])),
        *({"event_data": {"box": other}} for other in ("\ud800", float("nan"), float("inf"))),
        *({"data": other} for other in ([None], ["a"] * 100, 5)),
    ):
        answer = client.post("/gradio_api/queue/join", content=json.dumps({**call, **forged}))
        assert (answer.status_code, answer.content) == (400, b"Not a call of this page"), forged


def test_a_forged_upload_shows_no_picture(client, tmp_path):
    """Tokens are no paths: the answer is the same whether the file is there or not."""
    secret = picture_file(tmp_path / "secret.png")
    for i, token in enumerate((secret, "/nowhere.png", "../secret.png", "")):
        answer = answer_to(client, "take_upload", f"forged{i}", token=token)
        assert "data:image" not in answer
        assert "the picture is not here any more; choose it again" in answer


def test_a_picture_that_was_sent_is_shown(client):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (255, 0, 0)).save(buffer, "PNG")
    token = client.post("/upload?name=a.png", content=buffer.getvalue()).json()["token"]
    answer = answer_to(client, "take_upload", "sent", token=token)
    assert "a.png, 64" in answer and "data:image" in answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(("127.0.0.1:7860", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:7860", 200)),
        *(("rebound.example", 403), ("rebound.example:7860", 403), ("192.0.2.1", 403), ("", 403)),
        *(("127.0.0.1.rebound.example", 403), ("localhost@rebound.example", 403), ("[", 403)),
    ],
)
def test_the_page_is_called_by_its_own_names(client, host, status):
    assert client.get("/", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://["},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://localhost:7860"},
        {"Origin": "http://127.0.0.1:7860.elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_requests_of_other_pages_are_refused(client, headers):
    join = {"data": [], "fn_index": 0, "session_hash": "a"}
    for answer in (
        client.get("/", headers=headers),
        client.get("/theme.css", headers=headers),
        client.get("/gradio_api/queue/data?session_hash=a", headers=headers),
        client.post("/gradio_api/queue/join", json=join, headers=headers),
        client.post("/upload?name=a.png", content=b"x", headers=headers),
        client.options("/upload", headers={**headers, "Access-Control-Request-Method": "POST"}),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_the_page_s_own_requests_and_links_to_it_are_answered(client):
    own = {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}
    assert client.get("/theme.css", headers=own).status_code == 200
    assert client.post("/upload?name=a.png", content=b"x", headers=own).status_code == 400
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    assert client.get("/?person=1", headers=link).status_code == 200
    assert client.get("/theme.css", headers=link).status_code == 403


def test_a_proxy_s_name_has_to_be_said(index):
    for names, status in (((), 403), (("search.example",), 200)):
        app = make_app(SearchService(index), "127.0.0.1", names)
        with TestClient(app, base_url="http://search.example") as client:
            own = {"Origin": "https://search.example"}
            assert client.get("/", headers=own).status_code == status
            # a proxy that names the machine behind it
            local = {**own, "Host": "127.0.0.1:7860"}
            assert client.get("/", headers=local).status_code == status


def test_in_a_network_addresses_and_the_machine_s_own_names_are_answered(index, monkeypatch):
    monkeypatch.setattr(guard.socket, "gethostname", lambda: "Yard-PC")
    app = make_app(SearchService(index), "0.0.0.0")
    with TestClient(app, base_url="http://192.0.2.1:7860") as client:
        for host, status in (("192.0.2.1", 200), ("yard-pc:7860", 200), ("rebound.example", 403)):
            assert client.get("/", headers={"Host": host}).status_code == status


def test_no_other_page_can_frame_embed_or_keep_it(client):
    headers = client.get("/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"
    # an answer of the guard's own too
    assert client.get("/config").headers["x-frame-options"] == "DENY"


def test_web_sockets_are_closed(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/gradio_api/queue/join"):
        pass


def test_a_body_that_is_too_long_is_refused(app):
    small = [(methods, path, min(limit, 1000)) for methods, path, limit in gradio_guard.ROUTES]
    client = TestClient(guard.Guard(app, "127.0.0.1", small, gradio_guard.POLICY), base_url=OWN)

    def chunks():  # of no announced length
        for _ in range(11):
            yield b"x" * 100

    for content in (b"x" * 1001, chunks()):
        answer = client.post("/upload?name=a.png", content=content)
        assert answer.status_code == 413
        assert answer.text == "Too large: 0.001 MB are allowed"


def test_gradio_does_not_read_the_address(client):
    plain = client.get("/").text
    for query in ("?deep_link=abc", "?page=x", "?view=api", "?__theme=dark"):
        assert len(client.get(f"/{query}").text) == pytest.approx(len(plain), abs=200)
