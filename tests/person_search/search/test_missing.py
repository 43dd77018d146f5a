"""Which files are gone for certain, and which can only not be reached."""

import errno
import os
import shutil

import pytest

from person_search.search import missing
from person_search.search.missing import find_missing


@pytest.fixture
def root(tmp_path):
    """Two cameras with two files each."""
    for name in ("a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg"):
        path = tmp_path / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "media"


@pytest.fixture
def paths(root):
    return sorted(str(path) for path in root.rglob("*.jpg"))


def ask(paths, root):
    """Names of the files that are gone, and why others can't be reached."""
    found = find_missing(paths, [str(root)])
    return (
        [os.path.relpath(path, root) for path in found.gone],
        {os.path.relpath(path, root): reason for path, reason in found.unreachable.items()},
    )


def fail_in(monkeypatch, function, folder, number):
    """What a mount that went stale does: calls for what is in it fail. (Root may read all.)"""
    plain = getattr(os, function)

    def call(path, *args, **kwargs):
        if str(path).startswith(str(folder)):
            raise OSError(number, os.strerror(number), str(path))
        return plain(path, *args, **kwargs)

    monkeypatch.setattr(missing.os, function, call)


def test_all_are_there(root, paths):
    assert ask(paths, root) == ([], {})


def test_a_file_and_a_folder_that_were_removed(root, paths):
    (root / "a" / "0.jpg").unlink()
    shutil.rmtree(root / "b")
    assert ask(paths, root) == (["a/0.jpg", "b/0.jpg", "b/1.jpg"], {})


def test_what_lies_elsewhere_is_passed_over(root, paths):
    shutil.rmtree(root / "b")
    assert ask(paths, root / "a") == ([], {})
    assert ask([str(root) + "-other/x.jpg"], root) == ([], {})


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.ENOTCONN, errno.EIO, errno.ESTALE, errno.EHOSTDOWN]
)
@pytest.mark.parametrize("function", ["listdir", "stat"])
def test_a_folder_that_can_not_be_read(root, paths, monkeypatch, number, function):
    fail_in(monkeypatch, function, root / "b", number)
    gone, unreachable = ask(paths, root)
    assert gone == [] and list(unreachable) == ["b/0.jpg", "b/1.jpg"]
    assert os.strerror(number) in unreachable["b/0.jpg"]
    assert str(root / "b") in unreachable["b/0.jpg"]


def test_a_folder_further_up_that_can_not_be_read(root, paths, monkeypatch):
    fail_in(monkeypatch, "listdir", root, errno.EACCES)
    assert ask(paths, root)[0] == []
    assert len(ask(paths, root)[1]) == 4


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permissions_as_the_system_has_them(root, paths):
    (root / "b").chmod(0)
    try:
        assert list(ask(paths, root)[1]) == ["b/0.jpg", "b/1.jpg"]
    finally:
        (root / "b").chmod(0o755)


@pytest.mark.parametrize("left", [(), (".nomount",), ("lost+found",)])
def test_a_folder_that_is_empty_all_at_once(root, paths, left):
    for path in paths[2:]:
        os.remove(path)
    for name in left:
        (root / "b" / name).touch()
    gone, unreachable = ask(paths, root)
    assert gone == [] and list(unreachable) == ["b/0.jpg", "b/1.jpg"]
    assert unreachable["b/0.jpg"] == f"{root}/b is empty; is a disk or a share not mounted?"


def test_the_folder_that_was_named_is_empty_or_not_there(root, paths):
    for folder in ("a", "b"):
        shutil.rmtree(root / folder)
    assert (ask(paths, root)[0], len(ask(paths, root)[1])) == ([], 4)
    root.rmdir()
    assert (ask(paths, root)[0], len(ask(paths, root)[1])) == ([], 4)


def test_a_folder_that_is_gone_beside_mounts(root, paths, monkeypatch):
    """As under /media/NAME, where the mount point goes with the disk."""
    (root / "a" / "0.jpg").unlink()
    shutil.rmtree(root / "b")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(root / "a"))
    gone, unreachable = ask(paths, root)
    assert gone == ["a/0.jpg"] and list(unreachable) == ["b/0.jpg", "b/1.jpg"]


def test_a_link_to_what_is_not_there(root, paths, tmp_path):
    (root / "a" / "0.jpg").unlink()
    (root / "a" / "0.jpg").symlink_to(tmp_path / "elsewhere.jpg")
    shutil.rmtree(root / "b")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    gone, unreachable = ask(paths, root)
    assert gone == [] and list(unreachable) == ["a/0.jpg", "b/0.jpg", "b/1.jpg"]
    assert "is a link to a missing file" in unreachable["a/0.jpg"]


def test_a_name_in_other_letters(root, paths, monkeypatch):
    """Renamed, the old name is gone; but not where the system takes both for one."""
    os.rename(root / "a" / "0.jpg", root / "a" / "0.JPG")
    assert ask(paths, root) == (["a/0.jpg"], {})
    lstat = os.lstat
    monkeypatch.setattr(missing.os, "lstat", lambda path: lstat(path.replace("jpg", "JPG")))
    assert ask(paths, root) == ([], {})


def test_a_folder_that_was_named_by_a_link(root, paths, tmp_path):
    (tmp_path / "link").symlink_to(root)
    (root / "a/0.jpg").unlink()
    assert find_missing(paths, [str(tmp_path / "link")]).gone == [str(root / "a/0.jpg")]


def test_what_has_taken_the_place_of_another_kind(root, paths):
    (root / "a/0.jpg").unlink()
    (root / "a/0.jpg").mkdir()
    shutil.rmtree(root / "b")
    (root / "b").write_bytes(b"x")
    assert ask(paths, root) == (["a/0.jpg", "b/0.jpg", "b/1.jpg"], {})
