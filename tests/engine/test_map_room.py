"""Room for maps: only a cache's own files are removed, the oldest first, and the limit holds."""

import os
import shutil
import time

import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.data.map_cache import content_key
from fully_decoupled_ps.engine import map_room
from fully_decoupled_ps.engine.map_room import GIB, make_room

HOUR = 3600


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{i}.jpg" for i in range(7)]
    for i, path in enumerate(paths):
        path.write_bytes(bytes([i]))
    return list(map(str, paths))


@pytest.fixture
def put(tmp_path, images):
    """Writes one map in a detector's folder: of one of the images, or of another."""

    def put(letter, size, age=0.0, image=0):
        content = content_key(images[image]) if image is not None else "f" * 32
        folder = tmp_path / f"maps-{letter * 32}"
        folder.mkdir(exist_ok=True)
        path = folder / f"{content}_9x9_18x18_mirrored.pth"
        with open(path, "wb") as f:
            f.truncate(size)
        for x in (path, folder):
            os.utime(x, (time.time() - age,) * 2)
        return folder

    return put


def test_maps_of_other_detectors_make_room_the_oldest_first(put, images):
    ours = put("a", 100)
    new, old = put("b", 300, age=2 * HOUR), put("c", 300, age=3 * HOUR)
    make_room(ours, 400, 1000, images)
    assert new.exists() and old.exists()
    make_room(ours, 500, 1000, images)
    assert new.exists() and not old.exists()
    make_room(ours, 1000, 1000, images)
    assert not new.exists() and len(list(ours.iterdir())) == 1


def test_nothing_else_of_the_user_s_is_touched(put, tmp_path, images):
    ours, old = put("a", 100), put("b", 300, age=2 * HOUR)
    folders = [tmp_path / name for name in ("maps-of-europe", "maps-b", "maps-" + "B" * 32)]
    for folder in folders:
        folder.mkdir()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(old, elsewhere)
    (tmp_path / ("maps-" + "d" * 32)).symlink_to(elsewhere)
    kept = [folder / "a.pth" for folder in folders]
    kept += [old / "model_final.pth", old / "notes.txt", ours / "notes.pth", *elsewhere.iterdir()]
    for path in kept:
        path.write_bytes(bytes(300))
        os.utime(path.parent, (time.time() - 2 * HOUR,) * 2)
    make_room(ours, 1000, 1000, images)
    assert all(path.exists() for path in kept)
    assert sorted(path.name for path in old.iterdir()) == ["model_final.pth", "notes.txt"]


def test_what_a_running_training_uses_stays(put, images):
    ours, theirs = put("a", 100), put("b", 600, age=HOUR / 2)
    make_room(ours, 400, 1000, images)
    with pytest.raises(UserError, match="used within the last hour; raise MAX_GIB, name") as error:
        make_room(ours, 500, 1000, images)
    assert "\n" not in str(error.value)
    assert len(list(theirs.iterdir())) == 1


def test_the_limit_counts_maps_of_images_that_are_not_in_the_data(put, images, caplog):
    caplog.set_level("INFO")
    ours = put("a", GIB // 4)
    put("a", GIB // 2, image=None)
    make_room(ours, GIB // 2, GIB, images)
    assert len(list(ours.iterdir())) == 2
    assert "of which 0.25 are there" in caplog.text
    make_room(ours, GIB // 2 + 1, GIB, images)
    (left,) = ours.iterdir()
    assert left.name.startswith(content_key(images[0]))


def test_what_vanishes_meanwhile_is_no_error(put, images, monkeypatch):
    ours, old = put("a", 100), put("b", 300, age=2 * HOUR)
    others = map_room._others

    def both_at_once(folder):
        found = list(others(folder))
        shutil.rmtree(old)
        return found

    monkeypatch.setattr(map_room, "_others", both_at_once)
    make_room(ours, 1000, 1000, images)
    put("b", 300, age=2 * HOUR)
    monkeypatch.undo()
    listed = map_room._files

    def removed_after(folder):
        found = list(listed(folder))
        if folder == old:
            shutil.rmtree(old)
        return found

    monkeypatch.setattr(map_room, "_files", removed_after)
    make_room(ours, 1000, 1000, images)


def test_files_that_were_never_finished_are_removed(put, images):
    folder = put("a", 100)
    (whole,) = folder.iterdir()
    left, written = (folder / f"{whole.name}{end}" for end in (".17.part", ".18"))
    for path, age in ((left, 2 * HOUR), (written, 60)):
        path.write_bytes(b"a part")
        os.utime(path, (time.time() - age,) * 2)
    make_room(folder, 110, 1000, images)
    assert not left.exists() and written.exists() and whole.exists()


def test_too_little_room_is_refused_before_the_first_step(put, tmp_path, images, monkeypatch):
    folder = put("a", GIB // 4)
    with pytest.raises(UserError, match="maps of 7 images take up to 3.00 GiB, and MAX_GIB is 2;"):
        make_room(folder, 3 * GIB, 2 * GIB, images)
    usage = shutil.disk_usage(tmp_path)._replace(free=GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="of which 0.25 are there, .* has 1.00 GiB free; name a"):
        make_room(folder, 3 * GIB, 4 * GIB, images)
    make_room(folder, GIB * 5 // 4, 4 * GIB, images)
