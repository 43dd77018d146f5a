"""Who was forgotten: whose box is whose, whose file is whose, and where it is kept."""

from dataclasses import replace

import numpy as np
import pytest

from person_search.errors import UserError
from person_search.index import open_index, read_tombstones, tombstones
from person_search.index.tombstones import Tombstone, content_digest, is_forgotten, of_file

from .made_up_index import INFO, add_picture, all_persons, fill

# (x0, y0, x1, y1) of 100 x 200 pixels
BOX = (100.0, 100.0, 200.0, 300.0)


def tombstone(path="/data/1.jpg", size=5, digest="d", pts=None, box=BOX, at=1.0):
    return Tombstone(path, size, 1, digest, pts, box, at)


@pytest.mark.parametrize(
    ("box", "is_same"),
    [
        (BOX, True),
        # shifted by a third of the width: 2/3 of each in common, IoU (2/3) / (4/3) = 0.5
        ((100 + 100 / 3, 100, 200 + 100 / 3, 300), True),
        ((140, 100, 240, 300), False),  # 0.6 / 1.4 = 0.43, and not contained
        ((100, 100, 200, 190), True),  # the upper 45 %: contained, IoU 0.45
        ((100, 100, 200, 145), False),  # contained, but a quarter is more: IoU 0.225
        ((50, 50, 250, 350), True),  # around it, IoU 20000 / 60000 = 0.33
        ((300, 100, 400, 300), False),
        ((150, 200, 150, 200), False),  # without area
    ],
)
def test_whose_box_it_is(box, is_same):
    boxes = np.array([[0, 0, 10, 10], box], dtype=np.float32)
    assert is_forgotten([tombstone()], None, boxes).tolist() == [False, is_same]


def test_which_frames_a_tombstone_is_of():
    boxes = np.array([BOX, (0, 0, 10, 10)])

    def left_out(pts, *stones):
        return is_forgotten(stones, pts, boxes).tolist()

    assert left_out(40, tombstone(pts=40)) == [True, False]
    assert left_out(41, tombstone(pts=40)) == [False, False]
    assert left_out(40, tombstone(pts=40, box=None)) == [True, True]
    assert left_out(41, tombstone(box=None)) == [True, True]  # a whole video
    assert left_out(40, tombstone(pts=40, box=(0, 0, 10, 10)), tombstone(pts=40)) == [True, True]
    assert left_out(40) == [False, False]
    assert is_forgotten([tombstone(box=None)], None, np.zeros((0, 4))).tolist() == []
    # the same frame, though its file begins elsewhere
    stone = replace(tombstone(pts=40), checksum=7)
    assert is_forgotten([stone], 11, boxes, 7).tolist() == [True, False]
    assert is_forgotten([stone], 11, boxes, 8).tolist() == [False, False]
    assert is_forgotten([tombstone(pts=40)], 11, boxes, None).tolist() == [False, False]


def test_a_file_is_known_by_its_content(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abcde")
    digest = content_digest(str(path), 5)
    stone = tombstone(path="/elsewhere/b.jpg", size=5, digest=digest)
    assert of_file([stone, replace(stone, digest="f00")], str(path), 5) == [stone]
    path.write_bytes(b"abcdf")
    assert of_file([stone], str(path), 5) == []
    # of another size: not even read
    monkeypatch.setattr(tombstones, "content_digests", None)
    assert of_file([stone], str(tmp_path / "none"), 6) == []


def test_a_recording_that_goes_on_is_the_same_file(tmp_path):
    path = tmp_path / "v.ts"
    path.write_bytes(b"abcde")
    stone = tombstone(path=str(path), digest=content_digest(str(path), 5))
    path.write_bytes(b"abcdefgh")
    assert of_file([stone], str(path), 8) == [stone]
    (tmp_path / "link.ts").symlink_to(path)
    assert of_file([stone], str(tmp_path / "link.ts"), 8) == [stone]
    other = replace(stone, path="/another.ts")
    assert of_file([other], str(path), 8, is_video=True) == [other]
    assert of_file([other], str(path), 8) == []  # a picture does not grow
    path.write_bytes(b"bcdefghi")
    assert of_file([stone], str(path), 8) == []


def test_nobody_comes_back_by_a_file_that_can_not_be_read_for_a_moment(tmp_path):
    stone = tombstone()
    assert of_file([stone], str(tmp_path / "none"), 5) == [stone]
    assert of_file([replace(stone, digest=None)], str(tmp_path / "none"), 5) == []
    assert of_file([stone], str(tmp_path / "none"), 6, is_video=True) == []


def test_those_of_an_older_version_are_read():
    text = tombstone(pts=3).to_json().replace(', "checksum": null', "")
    assert "checksum" not in text and Tombstone.from_json(text) == tombstone(pts=3)


def test_the_digest_is_blake2b_of_the_beginning(tmp_path):
    (tmp_path / "f").write_bytes(b"abcdef")
    # RFC 7693's BLAKE2b, 32 bytes, of "abc": as b2sum -l 256 prints it
    expected = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
    assert content_digest(str(tmp_path / "f"), 3) == expected
    assert content_digest(str(tmp_path / "f"), 7) is None


def test_they_are_kept_and_lifted(location):
    first, second = tombstone(at=1.0), tombstone(pts=7, box=None, at=2.0)
    pending = tombstone(path="/däta/\udcff.jpg", digest=None, at=3.0)
    with open_index(location, create=INFO) as index, open_index(location) as other:
        assert index.tombstones() == []
        index.put_tombstones([second, first, pending])
        index.put_tombstones([first])
        assert index.tombstones() == [first, second, pending]
        other.refresh()
        assert other.tombstones() == [first, second, pending]
        complete = replace(pending, digest="e")
        index.put_tombstones([complete], [pending.tombstone_id, first.tombstone_id])
        assert index.tombstones() == [second, complete]
        other.refresh()
        assert other.tombstones() == [second, complete]
    assert read_tombstones(location) == [second, complete]


def test_an_index_that_could_not_remember_them_is_refused(tmp_path):
    folder = tmp_path / "old"
    open_index(str(folder), create=INFO).close()
    assert read_tombstones(str(folder)) == []
    (folder / "index.json").write_text('{"version": 1}')
    with pytest.raises(UserError, match="version 1, which did not remember who was forgotten; "):
        read_tombstones(str(folder))


def test_forgetting_leaves_them(index):
    fill(index)
    person = all_persons(index)[0]
    stone = tombstone(path=person.frame.path, box=person.box)
    assert index.forget([person.person_id], [stone]) == 1
    assert index.tombstones() == [stone]
    assert index.forget([], [tombstone(box=None)]) == 0  # a picture in which nobody was found
    assert len(index.tombstones()) == 2


def test_nobody_is_forgotten_while_another_shard_is_written(tmp_path):
    with open_index(str(tmp_path / "i"), create=replace(INFO, num_shards=2)) as index:
        with index.writer(2) as writer:
            add_picture(writer, "/data/0.jpg")
            writer.commit()
        with index.writer(1), pytest.raises(UserError, match="another process"):
            index.refresh()
            index.forget([], [tombstone()])
        assert index.tombstones() == []


def test_files_are_removed_or_read_again(index):
    fill(index)
    assert sorted(index.sources()) == [*(f"/data/{i}.jpg" for i in range(4)), "/data/v.mp4"]
    before = index.sources()["/data/v.mp4"]
    index.read_again(["/data/v.mp4", "/data/none.jpg"])
    index.remove_files(["/data/1.jpg"])
    assert index.counts().files == 4 and index.counts().persons == 12
    assert not index.sources()["/data/v.mp4"].same_content(before)
    assert replace(index.sources()["/data/v.mp4"], recipe=before.recipe) == before


def test_they_are_read_from_what_is_left_of_an_index(tmp_path):
    with open_index(str(tmp_path / "i"), create=INFO) as index:
        index.put_tombstones([tombstone()])
    (tmp_path / "i" / "index.json").unlink()
    assert read_tombstones(str(tmp_path / "i")) == [tombstone()]
    with pytest.raises(UserError, match="there is no index; check the spelling"):
        read_tombstones(str(tmp_path / "none"))
    (tmp_path / "i" / "forgotten.sqlite").write_bytes(b"no such file" * 100)
    with pytest.raises(UserError, match="forgotten.sqlite: file is not a database"):
        read_tombstones(str(tmp_path / "i"))
