"""Published files: whole or not there at all, whatever the server does, and the same ever after."""

import errno
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.utils import download
from fully_decoupled_ps.utils.download import PublishedFile, get_file

from .file_server import serving


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def refusal(file, folder, **kwargs):
    with pytest.raises(UserError) as error:
        get_file(file, str(folder), **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_downloaded_once(server, folder, caplog):
    caplog.set_level("INFO")
    file = PublishedFile(server.url, sha256(server.content))
    path = get_file(file, str(folder))
    assert path == str(folder / "weights.pth")
    assert Path(path).read_bytes() == server.content
    assert f"Downloading weights.pth (0 MB) from {server.url} into {folder}" in caplog.text
    assert get_file(file, str(folder)) == path and len(server.asked) == 1
    assert names(folder) == ["weights.pth", "weights.pth.json", "weights.pth.lock"]


def test_what_is_cut_off_goes_on_in_the_same_command(server, folder):
    server.cut_after = 4000
    path = get_file(PublishedFile(server.url), str(folder))
    assert Path(path).read_bytes() == server.content
    assert [asked for _, asked in server.asked] == [None, "bytes=4000-", "bytes=8000-"]


def test_and_in_the_next_one(server, folder):
    server.silent_after = 4000
    message = refusal(PublishedFile(server.url), folder)
    assert "nothing has come for 0.5 s" in message and "goes on from there" in message
    assert names(folder) == ["weights.pth.lock", "weights.pth.part", "weights.pth.part.json"]
    assert (folder / "weights.pth.part").read_bytes() == server.content[:4000]
    server.silent_after = None
    server.asked.clear()
    path = get_file(PublishedFile(server.url), str(folder))
    assert Path(path).read_bytes() == server.content
    assert server.asked == [("/net/weights.pth", "bytes=4000-")]


def test_the_rest_of_another_file_is_not_appended(server, folder):
    """The publisher renews the file between two attempts."""
    server.silent_after, server.cut_after = 0, None
    refusal(PublishedFile(server.url), folder)
    (folder / "weights.pth.part").write_bytes(server.content[:4000])
    server.silent_after = None
    server.content, server.etag = server.content[::-1], '"v2"'
    path = get_file(PublishedFile(server.url), str(folder))
    assert Path(path).read_bytes() == server.content


@pytest.mark.parametrize("way", ["no range", "no version"])
def test_a_server_that_can_not_resume_is_asked_for_all(server, folder, way):
    if way == "no range":
        server.takes_ranges = False
    else:
        server.etag = ""
    server.cut_after = 4000
    assert "after 4000 of 10240 bytes" in refusal(PublishedFile(server.url), folder)
    again = "bytes=4000-" if way == "no range" else None
    assert [asked for _, asked in server.asked] == [None, again]
    server.cut_after = None
    path = get_file(PublishedFile(server.url), str(folder))
    assert Path(path).read_bytes() == server.content


def test_a_file_that_is_shorter_by_now(server, folder):
    """The server has nothing from there on, and says 416."""
    folder.mkdir()
    (folder / "weights.pth.part").write_bytes(b"0" * 20000)
    begun = {"url": server.url, "version": '"v1"', "bytes": 30000}
    (folder / "weights.pth.part.json").write_text(json.dumps(begun))
    server.status = 416

    def answer(opener, request, **kwargs):
        if not request.has_header("Range"):
            server.status = 200
        return open_url(opener, request, **kwargs)

    openers = download.urllib.request.OpenerDirector
    open_url = openers.open
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openers, "open", answer)
        path = get_file(PublishedFile(server.url), str(folder))
    assert Path(path).read_bytes() == server.content


def test_a_kill_before_the_last_step(server, folder):
    folder.mkdir()
    (folder / "weights.pth.part").write_bytes(server.content)
    begun = {"url": server.url, "version": '"v1"', "bytes": len(server.content)}
    (folder / "weights.pth.part.json").write_text(json.dumps(begun))
    path = get_file(PublishedFile(server.url), str(folder))
    assert Path(path).read_bytes() == server.content and server.asked == []


def test_a_redirect(server, folder):
    url = server.url.replace("/net", "/moved/net")
    server.cut_after = 6000
    path = get_file(PublishedFile(url, sha256(server.content)), str(folder))
    assert Path(path).read_bytes() == server.content
    assert server.asked[-1] == ("/net/weights.pth", "bytes=6000-")


def test_the_wrong_content_is_not_kept(server, folder):
    stated = sha256(b"another")
    message = refusal(PublishedFile(server.url, stated), folder)
    assert f"SHA-256 {sha256(server.content)}, where {stated} is stated" in message
    assert "it was removed again" in message
    assert names(folder) == ["weights.pth.lock"]


def test_the_beginning_of_an_md5(server, folder):
    digest = hashlib.md5(server.content).hexdigest()
    message = refusal(PublishedFile(server.url, md5_start="ffffff"), folder)
    assert f"MD5 {digest}, where its publisher states that it starts with ffffff" in message
    assert get_file(PublishedFile(server.url, md5_start=digest[:6]), str(folder))


@pytest.mark.parametrize("status, reason", [(404, "Not Found"), (503, "Service Unavailable")])
def test_what_the_server_has_not(server, folder, status, reason):
    server.status = status
    message = refusal(PublishedFile(server.url), folder)
    assert f"{server.url} can't be downloaded: the server says {status} {reason}" in message
    assert f"put it into {folder} as weights.pth" in message


def test_a_web_page_is_no_file(server, folder):
    """As a guest network answers whatever is asked for."""
    server.content_type = "text/html; charset=utf-8"
    assert "the server sends a web page" in refusal(PublishedFile(server.url), folder)


def test_an_empty_file(server, folder):
    server.content = b""
    assert "the server sends an empty file" in refusal(PublishedFile(server.url), folder)


def test_offline(folder):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}/weights.pth"
    message = refusal(PublishedFile(url), folder)
    assert f"{url} can't be downloaded: Connection refused" in message
    assert f"put it into {folder} as weights.pth" in message


def test_a_server_that_never_answers(folder):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/weights.pth"
        assert "nothing has come for 0.5 s" in refusal(PublishedFile(url), folder)


def test_a_file_put_there_by_hand(server, folder, caplog):
    caplog.set_level("INFO")
    folder.mkdir()
    (folder / "weights.pth").write_bytes(b"by hand")
    message = refusal(PublishedFile(server.url, sha256(b"another")), folder)
    assert sha256(b"by hand") in message and sha256(b"another") in message
    assert (folder / "weights.pth").read_bytes() == b"by hand", "what the user put there stays"
    assert get_file(PublishedFile(server.url, sha256(b"by hand")), str(folder))
    assert server.asked == []


def test_two_addresses_whose_files_have_one_name(server, folder):
    """As "pytorch_model.bin" of any network on Hugging Face: each gets its own."""
    first, second = (server.url.replace("/net/", f"/{owner}/") for owner in ("anna", "ben"))
    server.content = b"Anna's"
    path = get_file(PublishedFile(first), str(folder))
    server.content = b"Ben's"
    assert not download.is_there(PublishedFile(second), str(folder))
    other = get_file(PublishedFile(second), str(folder))
    for _ in range(2):
        assert Path(path).read_bytes() == b"Anna's" and Path(other).read_bytes() == b"Ben's"
        assert get_file(PublishedFile(first), str(folder)) == path
        assert get_file(PublishedFile(second), str(folder)) == other
    assert Path(other).name.endswith("-weights.pth") and len(server.asked) == 2
    # a mirror of a file whose content is stated needs no other
    assert get_file(PublishedFile(second, sha256(b"Anna's")), str(folder)) == path


def test_the_name_to_put_it_there_by_is_the_one_looked_for(server, folder):
    get_file(PublishedFile(server.url), str(folder))
    file = PublishedFile("http://127.0.0.1:9/other/weights.pth")
    name = refusal(file, folder).rpartition(" as ")[2]
    assert name.endswith("-weights.pth")
    (folder / name).write_bytes(b"by hand")
    assert Path(get_file(file, str(folder))).read_bytes() == b"by hand"


@pytest.mark.parametrize("path", ["", "/", "/net/", "/net/?name=a.pth", "/net/.."])
def test_an_address_without_a_files_name(folder, path):
    url = f"http://127.0.0.1:9{path}"
    message = refusal(PublishedFile(url), folder)
    assert message.startswith(f"{url} does not end in the name of a file")


def test_letters_that_only_browsers_take(server, folder):
    url = server.url.replace("weights.pth", "größe 1.pth#part")
    path = get_file(PublishedFile(url), str(folder))
    assert Path(path).name == "größe 1.pth"
    assert server.asked[0][0] == "/net/gr%C3%B6%C3%9Fe%201.pth"


@pytest.mark.parametrize("url", ["http://[::1/weights.pth", "http://127.0.0.1:port/weights.pth"])
def test_an_address_that_is_none(folder, url):
    assert refusal(PublishedFile(url), folder).startswith(f"{url} can't be downloaded: ")


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "ftp:/x", "http://u:secret@host:port"]
)
def test_the_environments_proxy_is_named(server, folder, monkeypatch, proxy):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    message = refusal(PublishedFile(server.url), folder)
    assert "(through the proxy that the environment's http_proxy names); check the" in message
    assert "secret" not in message and server.asked == []


def test_what_was_recorded_is_expected_ever_after(server, folder, caplog):
    caplog.set_level("INFO")
    file = PublishedFile(server.url)
    path = Path(get_file(file, str(folder)))
    assert f"from now on expected: {sha256(server.content)}" in caplog.text
    path.write_bytes(b"changed")
    message = refusal(file, folder)
    assert f"SHA-256 {sha256(b'changed')}, where {sha256(server.content)} was recorded" in message
    assert f"remove it ({path})" in message
    path.unlink()
    server.content = b"renewed by its publisher"
    assert sha256(b"renewed by its publisher") in refusal(file, folder)
    os.remove(f"{path}.json")
    assert Path(get_file(file, str(folder))).read_bytes() == server.content


def test_it_is_read_again_only_if_need_be(server, folder, monkeypatch):
    file = PublishedFile(server.url)
    path = Path(get_file(file, str(folder)))
    read = []
    digests = download._digests
    monkeypatch.setattr(download, "_digests", lambda path: read.append(path) or digests(path))
    get_file(file, str(folder))
    assert read == []
    get_file(file, str(folder), thorough=True)
    assert len(read) == 1
    os.utime(path, (1, 1))
    get_file(file, str(folder))
    get_file(file, str(folder))
    assert len(read) == 2, "the new time is remembered"
    # what is stated from now on is compared once
    stated = file._replace(sha256=sha256(b"another"))
    assert "is stated" in refusal(stated, folder)
    # of the same size and time, as a failing disk leaves it: seen when all of it is checked
    content = path.read_bytes()
    path.write_bytes(content[::-1])
    os.utime(path, (1, 1))
    assert get_file(file, str(folder)) == str(path)
    assert "was recorded" in refusal(file, folder, thorough=True)


@pytest.mark.parametrize("text", ["", "[]", '{"sha256": "0"}'])
def test_a_damaged_record_is_not_taken_for_none(server, folder, text):
    path = get_file(PublishedFile(server.url), str(folder))
    Path(f"{path}.json").write_text(text)
    message = refusal(PublishedFile(server.url), folder)
    assert f"{path}.json is damaged" in message and "remove it if you trust that file" in message


def test_a_full_disk(server, folder, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=5000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    message = refusal(PublishedFile(server.url), folder)
    assert "weights.pth has 0 MB, and the disk" in message and "--models-dir" in message
    monkeypatch.undo()


def test_a_disk_that_fills_up(server, folder, monkeypatch):
    def fill(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.os, "fsync", fill)
    message = refusal(PublishedFile(server.url), folder)
    assert f"{folder / 'weights.pth'} can't be written (No space left on device)" in message
    assert not (folder / "weights.pth").exists()


def test_a_folder_that_can_not_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    message = refusal(PublishedFile(server.url), tmp_path / "file" / "models")
    assert "can't be written (Not a directory)" in message and "--models-dir" in message


COMMAND = """
import sys
from fully_decoupled_ps.utils.download import PublishedFile, get_file
get_file(PublishedFile(sys.argv[1]), sys.argv[2])
"""


def start_download(server, folder):
    """In a process of its own, with the patience that users get."""
    return subprocess.Popen([sys.executable, "-c", COMMAND, server.url, str(folder)])


def wait_for(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 10 s")


def test_a_kill_leaves_no_file_under_the_name(server, folder):
    server.silent_after = 4000
    process = start_download(server, folder)
    part = folder / "weights.pth.part"
    wait_for(lambda: server.asked and part.exists())
    process.kill()
    process.wait()
    assert not (folder / "weights.pth").exists()
    server.silent_after = None
    path = get_file(PublishedFile(server.url), str(folder))  # the lock is free again
    assert Path(path).read_bytes() == server.content


def test_two_processes_download_once(server, folder):
    server.silent_after = 4000
    first = start_download(server, folder)
    wait_for(lambda: server.asked and (folder / "weights.pth.part").exists())
    second = start_download(server, folder)
    time.sleep(1)  # the other one has started by then, or the test shows less than it could
    assert len(server.asked) == 1, "the second one waits"
    server.silent_after = None
    server.closing.set()  # the first connection ends, and the first process goes on
    for process in (first, second):
        assert process.wait(60) == 0
    assert (folder / "weights.pth").read_bytes() == server.content
    assert [asked for _, asked in server.asked] == [None, "bytes=4000-"]
