"""Copies are found by content, links by the file they lead to."""

import os

from fully_decoupled_ps.data.datasets.duplicates import groups_of_copies


def test_copies_links_and_names_given_twice(tmp_path):
    for name, content in (("a", b"one"), ("b", b"two"), ("c", b"one"), ("d", b"other"), ("e", b"")):
        (tmp_path / name).write_bytes(content)
    os.symlink(tmp_path / "b", tmp_path / "link")
    os.link(tmp_path / "d", tmp_path / "hard")
    names = ["a", "b", "link", "c", "hard", "d", "e", "gone"]
    groups = groups_of_copies([str(tmp_path / name) for name in names])
    assert [[os.path.basename(path) for path in group] for group in groups] == [
        ["a", "c"], ["b", "link"], ["hard", "d"]
    ]  # fmt: skip


def test_a_link_and_a_copy_are_one_group(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "copy").write_bytes(b"x")
    os.symlink(tmp_path / "a", tmp_path / "link")
    files = [str(tmp_path / name) for name in ("a", "link", "copy")]
    assert groups_of_copies(files) == [files]


def test_differing_files_of_one_size_are_no_copies(tmp_path):
    files = [tmp_path / f"{i}" for i in range(3)]
    for i, path in enumerate(files):
        path.write_bytes(bytes([i] * 5))
    assert groups_of_copies(map(str, files)) == []
