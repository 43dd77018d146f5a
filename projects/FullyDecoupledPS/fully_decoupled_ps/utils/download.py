"""Published files in a folder of one's own: downloaded once, whole, and the same ever after.

iopath's ``PathManager`` is the way in, but its handler of HTTP addresses is replaced: that one
waits without end for a silent server, begins anew after every cut, and takes whatever comes. The
standard library does the transfer here. Beside a file, ``FILE.json`` says what it was when it was
checked.
"""

import fcntl
import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import ssl
import string
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from iopath.common.file_io import HTTPURLHandler, PathManager
from tqdm import tqdm

from ..errors import UserError
from .files import PARTIAL, atomic_write

logger = logging.getLogger(__name__)

# Seconds without a byte after which a server is given up, and between two attempts.
PATIENCE = 30.0
PAUSE = 1.0
_CHUNK = 1 << 20
MB = 1_000_000


class DownloadError(UserError):
    """A file that could not be downloaded, and is not here."""


class PublishedFile(NamedTuple):
    """A file on the web, and what its publisher says of its content."""

    url: str  # http:// or https://
    sha256: str = ""  # 64 hexadecimal digits; "": not stated
    md5_start: str = ""  # the first hexadecimal digits of its MD5; "": not stated

    @property
    def name(self) -> str:
        path = re.sub(r"^\w+://[^/?#]*|[?#].*", "", self.url)
        return path.rpartition("/")[2]


def get_file(file: PublishedFile, folder: str, *, thorough: bool = False) -> str:
    """The path of a published file in ``folder``, which is downloaded if it is not there.

    A file that was put there by hand is taken, unless one of another address has that name and is
    recorded: see :func:`local_path`. The first time it is there, its SHA-256 is compared
    with what its publisher states, and recorded. Later it is compared again if the file's size or
    time of change is another than then: reading a large file each time would take seconds.

    Args:
        thorough: compare in any case.

    Raises:
        DownloadError: one line, if it can't be had.
        UserError: one line, if it is not what was stated or recorded.
    """
    return _manager.get_local_path(file.url, cache_dir=folder, file=file, thorough=thorough)


def is_there(file: PublishedFile, folder: str) -> bool:
    """Whether the whole file is in ``folder``; not whether it is the right one."""
    return os.path.isfile(local_path(file, folder))


def local_path(file: PublishedFile, folder: str) -> str:
    """Where a file is, or will be, in ``folder``: by its own name.

    Hosts give many files one name, such as "pytorch_model.bin". Where that of another address is
    recorded by it already, and not with the SHA-256 that is stated, the first digits of the
    address's SHA-256 come before the name.

    Raises:
        UserError: if the address ends in no file's name.
    """
    if file.name in ("", ".", ".."):
        raise UserError(
            f"{file.url} does not end in the name of a file; name the address of the file itself, "
            "or download it and name its path"
        )
    path = os.path.join(folder, file.name)
    record = _read_json(f"{path}.json") or {}
    is_same = record.get("url", file.url) == file.url
    if is_same or (file.sha256 and record.get("sha256") == file.sha256):
        return path
    digits = hashlib.sha256(file.url.encode()).hexdigest()[:8]
    return os.path.join(folder, f"{digits}-{file.name}")


def check_sha256(path: str, sha256: str) -> None:
    """
    Raises:
        UserError: if a file has another one.
    """
    found, _ = _digests(path)
    if found != sha256:
        raise UserError(
            f"{path} has SHA-256 {found}, where {sha256} is stated: it is damaged, or another "
            "file; correct READY's SHA256 of it, or leave that empty"
        )


class _CheckedHandler(HTTPURLHandler):
    """Resumes what was cut off, and checks what it hands out; see the module."""

    def _get_supported_prefixes(self):
        return ["http://", "https://"]

    def _get_local_path(self, path, force=False, cache_dir=None, file=None, thorough=False):
        while not os.path.isfile(target := local_path(file, cache_dir)):
            try:
                os.makedirs(cache_dir, exist_ok=True)
                with _one_process(target):
                    # the other one may have had it, or another file of that name
                    if target == local_path(file, cache_dir) and not os.path.isfile(target):
                        _download(file, target)
                        _check(file, target, thorough=False)
                        return target
            except OSError as error:
                raise UserError(
                    f"{target} can't be written ({error.strerror or error}); make room, or name "
                    "another folder with --models-dir"
                ) from error
        _check(file, target, thorough)
        return target


_manager = PathManager()
_manager.register_handler(_CheckedHandler())


@contextmanager
def _one_process(target: str) -> Iterator[None]:
    """Others wait until a file is there; the system frees the lock of a process that is killed."""
    with open(f"{target}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("Another process is downloading %s; waiting for it", target)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(file: PublishedFile, target: str) -> None:
    """All of a file, in as many connections as it takes while each brings some of it."""
    part = target + PARTIAL
    while True:
        before = _size(part)
        try:
            _receive(file, part)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # the server's file has become shorter
                os.remove(part)
                continue
            raise _failed(file, target, f"the server says {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            cause = error.reason
            reason = _reason(cause) if isinstance(cause, OSError) else str(cause)
            raise _failed(file, target, reason) from error
        except (_Interrupted, http.client.HTTPException) as error:
            if _size(part) <= before:
                raise _failed(file, target, str(error) or type(error).__name__) from error
            logger.info("%s was cut off (%s); going on", file.name, error)
            time.sleep(PAUSE)
    _compare(
        file, part, _digests(part), remove="it was removed again; the same command starts anew"
    )
    os.replace(part, target)
    with suppress(OSError):
        os.remove(f"{part}.json")
    descriptor = os.open(os.path.dirname(target), os.O_RDONLY)
    with suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)


class _Interrupted(Exception):
    """The connection broke off, or fell silent."""


def _receive(file: PublishedFile, part: str) -> None:
    """What is missing of a partial file, or all of it where the server's may be another by now."""
    begun = _read_json(f"{part}.json") or {}
    have = _size(part) if begun.get("url") == file.url and begun.get("version") else 0
    if have and have == begun.get("bytes"):
        return
    headers = {"User-Agent": "person-search"}
    if have:  # a server whose file is another by now sends all of it
        headers |= {"Range": f"bytes={have}-", "If-Range": begun["version"]}
    with _open(file.url, headers) as response:
        if response.status != 206:
            have = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            os.remove(f"{part}.json")  # the next attempt is for all of it
            raise _Interrupted("the server sends another part than was asked for")
        if response.headers.get_content_type() == "text/html":
            raise _Interrupted("the server sends a web page, and not the file")
        length = response.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        version = response.headers.get("ETag", "")
        if not version.startswith('"'):  # a weak one says nothing of the bytes
            version = response.headers.get("Last-Modified", "")
        if not have:  # first, or a kill would leave old bytes under the new version
            open(part, "wb").close()
        with open(f"{part}.json", "w") as f:
            json.dump({"url": file.url, "version": version, "bytes": total}, f)
        _tell(file, part, have, total)
        _write(response, part, have, total)
    if total is not None and _size(part) < total:
        raise _Interrupted(f"after {_size(part)} of {total} bytes")
    if not _size(part):
        raise _Interrupted("the server sends an empty file")


def _open(url: str, headers: dict[str, str]):
    try:
        # spaces and letters that an address has only in a browser's line
        request = urllib.request.Request(quote(url, safe=string.punctuation), headers=headers)
        # not urlopen, which remembers the proxies of the first time
        return urllib.request.build_opener().open(request, timeout=PATIENCE)
    except urllib.error.URLError:
        raise
    except ValueError as error:  # of the address, or of a proxy's in the environment
        raise urllib.error.URLError(str(error)) from error
    except OSError as error:  # while the answer's head is read
        raise _Interrupted(_reason(error)) from error


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing has come for {PATIENCE:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{error.verify_message}: the server, or a proxy before it, has a certificate that is "
            "not trusted here (SSL_CERT_FILE names a file of those that are)"
        )
    return error.strerror or str(error)


def _tell(file: PublishedFile, part: str, have: int, total: int | None) -> None:
    folder = os.path.dirname(part)
    size = "of unknown size" if total is None else f"{total / MB:.0f} MB"
    if have:
        size += f", of which {have / MB:.0f} MB are here"
    logger.info("Downloading %s (%s) from %s into %s", file.name, size, file.url, folder)
    free = shutil.disk_usage(folder).free
    if total is not None and free < total - have:
        raise UserError(
            f"{file.name} has {total / MB:.0f} MB, and the disk of {folder} {free / MB:.0f} MB "
            "free; make room, or name another folder with --models-dir"
        )


def _write(response, part: str, have: int, total: int | None) -> None:
    name = os.path.basename(part).removesuffix(PARTIAL)
    with (
        open(part, "ab") as f,
        tqdm(desc=name, initial=have, total=total, unit="B", unit_scale=True, disable=None) as bar,
    ):
        while True:
            try:
                chunk = response.read1(_CHUNK)  # what has come, and no more
            except OSError as error:
                raise _Interrupted(_reason(error)) from error
            if not chunk:
                break
            f.write(chunk)
            bar.update(len(chunk))
        f.flush()
        os.fsync(f.fileno())


def _check(file: PublishedFile, path: str, thorough: bool) -> None:
    record = _read_json(f"{path}.json")
    status = os.stat(path)
    seen = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    if record is not None and not {"sha256", *seen} <= set(record):
        raise UserError(
            f"{path}.json is damaged, which says what {file.name} was at first; remove it if you "
            "trust that file"
        )
    stated = not file.sha256 or (record and file.sha256 == record["sha256"])
    if record and stated and not thorough and all(record[key] == seen[key] for key in seen):
        return
    sha256, md5 = _digests(path)
    expected = file._replace(sha256=file.sha256 or (record["sha256"] if record else ""))
    _compare(expected, path, (sha256, md5), recorded=bool(record) and not file.sha256)
    if not record and not file.sha256:
        logger.info("SHA-256 of %s, from now on expected: %s", file.name, sha256)
    try:
        with atomic_write(f"{path}.json") as f:
            json.dump({"url": file.url, "sha256": sha256, **seen}, f, indent=2)
    except OSError as error:
        logger.warning(
            "%s.json can't be written (%s): %s is read whole, to check it, each time",
            path,
            error.strerror,
            file.name,
        )


def _compare(
    file: PublishedFile, path: str, digests: tuple[str, str], *, recorded=False, remove=""
) -> None:
    """
    Args:
        recorded: whether the expected SHA-256 is that of the first time, and not its publisher's.
        remove: remove a file that is another, and say so.

    Raises:
        UserError: if it is another.
    """
    sha256, md5 = digests
    if file.sha256 and sha256 != file.sha256:
        said = (
            f"SHA-256 {sha256}, where {file.sha256} {'was recorded' if recorded else 'is stated'}"
        )
    elif not md5.startswith(file.md5_start):
        said = f"MD5 {md5}, where its publisher states that it starts with {file.md5_start}"
    else:
        return
    if remove:
        for name in (path, f"{path}.json"):
            os.remove(name)
    fix = remove or f"remove it ({path}) if you did not change it, and it is downloaded again"
    if recorded:
        fix += f"; remove {path}.json as well if its publisher has renewed it"
    raise UserError(f"{file.name} of {file.url} has {said}: it is damaged, or another file; {fix}")


def _failed(file: PublishedFile, target: str, reason: str) -> DownloadError:
    folder, name = os.path.split(target)
    here = _size(target + PARTIAL)
    kept = (
        f" ({here / MB:.0f} MB are here, and the same command goes on from there)" if here else ""
    )
    return DownloadError(
        f"{file.url} can't be downloaded: {reason}{_by_proxy(file.url)}{kept}; check the "
        f"connection, or get it in another way and put it into {folder} as {name}"
    )


def _by_proxy(url: str) -> str:
    """Which of the environment's proxies is asked; not its address, which may have a password."""
    scheme = url.partition(":")[0]
    with suppress(ValueError):
        if scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(
            urlsplit(url).netloc
        ):
            return f" (through the proxy that the environment's {scheme}_proxy names)"
    return ""


def _digests(path: str) -> tuple[str, str]:
    """SHA-256 and MD5, in hexadecimal digits."""
    digests = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as f:
        while chunk := f.read(_CHUNK):
            for digest in digests:
                digest.update(chunk)
    return digests[0].hexdigest(), digests[1].hexdigest()


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _read_json(path: str) -> dict | None:
    """None if there is no such file; empty if it is no JSON object."""
    try:
        with open(path) as f:
            content = json.load(f)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return {}
    except OSError as error:
        raise UserError(
            f"{path} can't be read ({error.strerror}), which says what its file was at first; "
            "allow it, or name another folder with --models-dir"
        ) from error
    return content if isinstance(content, dict) else {}
