"""``person-search forget``: who goes, who stays, and who does not come back."""

import importlib.util
import os
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from person_search.index import open_index
from tests.data.coded_videos import cut, join_streams, write_video
from tests.person_search.index.made_up_index import (
    INFO,
    add_picture,
    all_persons,
    files_holding,
    frame,
    source,
)
from tests.tiny_run import make_run, save_video

from .command import index_args, run


@pytest.fixture
def persons(index_folder):
    with open_index(str(index_folder)) as index:
        return all_persons(index)


def boxes_in(folder, path):
    """The boxes of a file's persons, rounded, sorted."""
    with open_index(str(folder)) as index:
        return sorted(
            tuple(np.round(p.box, 1).tolist()) for p in all_persons(index) if p.frame.path == path
        )


def listed(capsys, folder):
    """The rows of --list."""
    capsys.readouterr()
    assert run("forget", "--index", folder, "--list") == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()[2:]]


@pytest.fixture
def again(tmp_path, index_folder, run_folder, caplog):
    """Index everything once more; returns what is reported."""
    caplog.set_level("INFO")

    def run_again(*args):
        caplog.clear()
        assert run(*index_args(run_folder, index_folder, tmp_path / "media", *args)) == 0
        return caplog.text

    return run_again


def overlapping(boxes, box):
    """Those of which at least half of the union with ``box`` is in common, by the definition."""

    def area(x0, y0, x1, y1):
        return max(x1 - x0, 0) * max(y1 - y0, 0)

    def iou(other):
        common = area(*np.maximum(box[:2], other[:2]), *np.minimum(box[2:], other[2:]))
        return common / (area(*box) + area(*other) - common)

    return [other for other in boxes if iou(other) >= 0.5]


def ids_in(folder):
    with open_index(str(folder)) as index:
        return {p.person_id for p in all_persons(index)}


def test_a_person(index_folder, persons, caplog):
    caplog.set_level("INFO")
    with open_index(str(index_folder)) as index:
        feature = index.features([persons[0].person_id])[0]
    assert files_holding(index_folder, feature)
    args = ("--person", persons[0].person_id, "--person", persons[1].person_id)
    assert run("forget", "--index", index_folder, *args) == 0
    assert "2 persons have been removed" in caplog.text
    assert ids_in(index_folder) == {p.person_id for p in persons[2:]}
    assert files_holding(index_folder, feature) == []


def test_a_frame(index_folder, persons, run_folder, tmp_path):
    path = persons[0].frame.path
    assert run("forget", "--index", index_folder, "--frame", path) == 0
    kept = {p.person_id for p in persons if p.frame.path != path}
    assert ids_in(index_folder) == kept
    # the picture is known still: it is not indexed again
    again = ("index", tmp_path / "media", "--model", run_folder, "--index", index_folder)
    assert run(*again, "--score-thresh", 0.01, "--workers", 0) == 0
    assert ids_in(index_folder) == kept


def test_everybody_like_a_person(index_folder, persons, capsys):
    person = persons[0]
    with open_index(str(index_folder)) as index:
        hits = index.search(index.features([person.person_id])[0], 1000)
    middle = (hits[3].similarity + hits[4].similarity) / 2
    query = ("--query", person.frame.path, "--box", ",".join(map(repr, person.box)))
    args = ("forget", "--index", index_folder, *query, "--min-similarity", middle)
    capsys.readouterr()
    assert run(*args) == 0
    listed = [int(line.split()[2]) for line in capsys.readouterr().out.splitlines()[2:]]
    assert listed == [hit.person.person_id for hit in hits[:4]]
    assert len(ids_in(index_folder)) == len(persons)  # only listed
    assert run(*args, "--yes") == 0
    assert ids_in(index_folder) == {hit.person.person_id for hit in hits[4:]}


def test_nobody_comes_back(index_folder, persons, again):
    """Touched, with another threshold, and as a copy: the same content."""
    person = persons[0]
    path = person.frame.path
    before = boxes_in(index_folder, path)
    assert run("forget", "--index", index_folder, "--person", person.person_id) == 0
    kept = boxes_in(index_folder, path)
    assert len(kept) == len(before) - 1
    os.utime(path, (500, 500))
    report = again()
    assert "1 files read" in report and "persons were left out who were forgotten" in report
    touched = boxes_in(index_folder, path)
    assert touched and set(touched) <= set(kept) and overlapping(touched, person.box) == []
    copy = str(shutil.copy(path, Path(path).with_name("copy.png")))
    assert "persons were left out who were forgotten" in again("--score-thresh", 0.005)
    for name in (path, copy):
        found = boxes_in(index_folder, name)
        assert len(found) >= len(touched) and overlapping(found, person.box) == []
    with open_index(str(index_folder)) as index:
        assert len({p.frame.path for p in all_persons(index)}) == 5  # all others are there


def test_a_forgotten_picture_stays_empty(index_folder, persons, again):
    path = persons[0].frame.path
    assert run("forget", "--index", index_folder, "--frame", path) == 0
    os.utime(path, (500, 500))
    again("--score-thresh", 0.005)
    assert boxes_in(index_folder, path) == []
    # another picture by the same name is another picture
    shutil.copy(persons[-1].frame.path, path)
    again("--score-thresh", 0.005)
    assert boxes_in(index_folder, path) == boxes_in(index_folder, persons[-1].frame.path) != []


def test_undo(index_folder, persons, again, capsys):
    path = persons[0].frame.path
    before = boxes_in(index_folder, path)
    ids = [p.person_id for p in persons if p.frame.path == path][:2]
    assert run("forget", "--index", index_folder, "--person", ids[0], "--person", ids[1]) == 0
    rows = listed(capsys, index_folder)
    assert [row[3] for row in rows] == [path] * 2 and [row[5] for row in rows] == ["yes"] * 2
    assert run("forget", "--index", index_folder, "--undo", *(row[0] for row in rows)) == 0
    assert listed(capsys, index_folder) == []
    assert len(boxes_in(index_folder, path)) == len(before) - 2
    again()
    assert boxes_in(index_folder, path) == before


def test_a_new_index_of_another_model(index_folder, persons, tmp_path):
    """It takes over who was forgotten, also when it has the files already."""
    other = make_run(tmp_path / "other", ("INPUT.MIN_SIZE_TEST", 48))
    path = persons[0].frame.path
    assert run("forget", "--index", index_folder, "--frame", path) == 0
    args = index_args(other, tmp_path / "new", tmp_path / "media")
    assert run(*args, "--forgotten-from", index_folder) == 0
    assert boxes_in(tmp_path / "new", path) == [] and len(ids_in(tmp_path / "new")) > 0
    late = index_args(other, tmp_path / "late", tmp_path / "media")
    assert run(*late) == 0 and boxes_in(tmp_path / "late", path) != []
    assert run(*late, "--forgotten-from", index_folder) == 0
    assert boxes_in(tmp_path / "late", path) == []
    assert run(*late, "--forgotten-from", tmp_path / "none") == 2


def test_a_file_that_can_not_be_read_is_told(index_folder, persons, again, capsys, caplog):
    """Who is in it is kept out once it is there again, whatever happens to it then."""
    person = persons[0]
    path = Path(person.frame.path)
    os.rename(path, path.with_suffix(".away"))
    caplog.clear()
    assert run("forget", "--index", index_folder, "--person", person.person_id) == 1
    assert f"{path} can't be read: No such file" in caplog.text
    assert listed(capsys, index_folder)[0][5:] == ["not", "read", "yet"]
    os.rename(path.with_suffix(".away"), path)
    again()
    assert listed(capsys, index_folder)[0][5:] == ["yes"]
    os.utime(path, (500, 500))
    again()
    assert overlapping(boxes_in(index_folder, str(path)), person.box) == []


def test_a_picture_that_was_replaced_is_told(index_folder, persons, caplog):
    path = Path(persons[0].frame.path)
    path.write_bytes(path.read_bytes() + b"0")
    assert run("forget", "--index", index_folder, "--person", persons[0].person_id) == 1
    assert f"{path} was changed since it was indexed" in caplog.text


def test_frames_of_a_video(index_folder, run_folder, tmp_path):
    path = str(save_video(tmp_path / "v" / "hall.avi"))
    args = index_args(run_folder, index_folder, tmp_path / "v", "--fps", 5)
    assert run(*args) == 0

    def persons_by_frame():
        with open_index(str(index_folder)) as index:
            return {f.name: len(index.persons(f.frame_id)) for f in index.find_frames(path)}

    before = persons_by_frame()
    name = next(name for name, count in before.items() if count)
    assert run("forget", "--index", index_folder, "--frame", name) == 0
    os.utime(path, (500, 500))
    assert run(*args) == 0
    assert persons_by_frame() == {**before, name: 0}
    assert run("forget", "--index", index_folder, "--frame", path) == 0
    assert run(*args, "--score-thresh", 0.005) == 0
    assert set(persons_by_frame().values()) == {0}


def persons_in(index_folder):
    """How many persons each file's frames have, by name and second."""
    with open_index(str(index_folder)) as index:
        return {
            (Path(f.path).name, round(f.offset, 1)): len(index.persons(f.frame_id))
            for f in index.frames(limit=1000)
        }


@pytest.mark.parametrize("what", ["frame", "video"])
def test_nobody_comes_back_by_a_grown_copy_of_a_recording(tmp_path, run_folder, what):
    """What was indexed is the beginning of the file that the recorder completes and moves away."""
    folder, stream = tmp_path / "i", tmp_path / "live" / "v.ts"
    stream.parent.mkdir()
    write_video(stream, stamps=range(40), time_base=Fraction(1, 5))
    whole = stream.read_bytes()
    stream.write_bytes(whole[: len(whole) // 2 // 188 * 188])
    run(*index_args(run_folder, folder, stream))
    before = persons_in(folder)
    assert before["v.ts", 1.0]
    with open_index(str(folder)) as index:
        name = next(f.name for f in index.find_frames(str(stream)) if round(f.offset, 1) == 1.0)
    name = name if what == "frame" else stream
    assert run("forget", "--index", folder, "--frame", name) == 0
    stream.unlink()
    archive = tmp_path / "archive" / "2024.ts"
    archive.parent.mkdir()
    archive.write_bytes(whole)
    args = index_args(run_folder, folder, archive)
    assert run(*args) == 0
    found = {second: n for (name, second), n in persons_in(folder).items() if name == "2024.ts"}
    assert found.pop(1.0) == 0
    assert any(found.values()) == (what == "frame")
    with open_index(str(folder)) as index:
        stone = index.tombstones()[0].tombstone_id
    assert run("forget", "--index", folder, "--undo", stone) == 0
    assert run(*args) == 0
    assert persons_in(folder)["2024.ts", 1.0] == before["v.ts", 1.0]


def test_nobody_comes_back_when_a_header_is_rewritten(tmp_path, run_folder):
    """Matroska's says how long the video is as soon as it is complete; frames are known by
    themselves, also in another container."""
    folder, video = tmp_path / "i", tmp_path / "v.mkv"
    write_video(video, stamps=range(0, 8000, 200), time_base=Fraction(1, 1000))
    whole = video.read_bytes()
    video.write_bytes(whole.replace(b"DURATION", b"duration"))
    assert run(*index_args(run_folder, folder, video)) == 0
    before = persons_in(folder)
    with open_index(str(folder)) as index:
        name = next(f.name for f in index.find_frames(str(video)) if round(f.offset, 1) == 2.0)
    assert run("forget", "--index", folder, "--frame", name) == 0
    video.write_bytes(whole)
    remuxed = join_streams(tmp_path / "v.mov", video)
    assert run(*index_args(run_folder, folder, video, remuxed, "--score-thresh", 0.005)) == 0
    after = persons_in(folder)
    assert before["v.mkv", 2.0] and after["v.mkv", 2.0] == 0
    for name in ("v.mkv", "v.mov"):  # their clocks differ
        counts = [count for (file, _), count in after.items() if file == name]
        assert len(counts) > 5 and counts.count(0) == 1


def test_nobody_comes_back_by_a_whole_video_whose_header_is_rewritten(tmp_path, run_folder):
    folder, video = tmp_path / "i", tmp_path / "v.mkv"
    write_video(video, stamps=range(0, 8000, 200), time_base=Fraction(1, 1000))
    whole = video.read_bytes()
    cut(video, 0.6)
    assert run(*index_args(run_folder, folder, video)) == 1
    assert any(persons_in(folder).values())
    assert run("forget", "--index", folder, "--frame", video) == 0
    video.write_bytes(whole.replace(b"DURATION", b"duration"))
    assert run(*index_args(run_folder, folder, video)) == 0
    assert len(persons_in(folder)) == 8 and not any(persons_in(folder).values())


def test_files_that_are_gone_are_removed_by_their_folder(index_folder, again, tmp_path):
    folder = tmp_path / "media" / "cam1"
    os.rename(folder, tmp_path / "away")
    assert run("forget", "--index", index_folder, "--frame", folder) == 1
    with open_index(str(index_folder)) as index:
        assert index.counts().files == 2 and index.cameras() == ["cam0"]
    os.rename(tmp_path / "away", folder)  # they were not gone after all
    again()
    with open_index(str(index_folder)) as index:
        assert index.counts().files == 4
        assert {person.frame.camera for person in all_persons(index)} == {"cam0"}


def test_nobody_comes_back_by_the_name_behind_a_link(tmp_path, run_folder, pictures):
    folder, link = tmp_path / "links-index", tmp_path / "latest.png"
    link.symlink_to(pictures[0])
    assert run(*index_args(run_folder, folder, link)) == 0
    before = boxes_in(folder, str(link))
    with open_index(str(folder)) as index:
        person = all_persons(index)[0]
        assert person.frame.path == str(link)
    assert run("forget", "--index", folder, "--person", person.person_id) == 0
    assert run(*index_args(run_folder, folder, pictures[0])) == 0
    found = boxes_in(folder, str(pictures[0]))
    assert found and set(found) < set(before) and overlapping(found, person.box) == []
    assert boxes_in(folder, str(link)) == []  # superseded


def test_frames_by_their_time_stamp_and_files_that_are_named_like_them(tmp_path, capsys):
    video, folder = str(tmp_path / "v.mp4"), str(tmp_path / "index")
    with open_index(folder, create=INFO) as index, index.writer() as writer:
        writer.begin(source(video))
        for pts in (-512, 0, 512):
            writer.add(video, frame(video, pts))
        writer.finish(video)
        add_picture(writer, f"{video}#512")
        add_picture(writer, str(tmp_path / "sub" / "1.jpg"))
        writer.commit()

    def forget(name):
        status = run("forget", "--index", folder, "--frame", name)
        with open_index(folder) as index:
            return status, {(p.frame.path, p.frame.pts) for p in all_persons(index)}

    before = {(video, pts) for pts in (-512, 0, 512)} | {(str(tmp_path / "sub" / "1.jpg"), None)}
    assert forget(f"{video}#512") == (1, before)  # 1: the file is not there
    assert forget(f"{video}#-512") == (1, before - {(video, -512)})
    # nothing is of a folder but its files, and nothing has such time stamps
    for name in (f"{tmp_path}/sub#0", f"{video}#1", f"{video}#9223372036854775808"):
        assert forget(name) == (2, before - {(video, -512)})


def test_mistakes(index_folder, persons, capsys):
    def error(*args):
        capsys.readouterr()
        assert run("forget", "--index", index_folder, *args) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1
        assert len(ids_in(index_folder)) == len(persons)
        return message

    first = persons[0]
    assert "nobody is named; use --person, --frame or --query" in error()
    # all or nobody
    assert "has no person 98765" in error("--person", first.person_id, "--person", 98765)
    assert "has no such frame" in error("--person", first.person_id, "--frame", "nowhere.jpg")
    assert "--query needs --min-similarity" in error("--query", first.frame.path)
    query = ("--query", first.frame.path, "--min-similarity")
    assert "--camera x: the index has no such camera; it has" in error(*query, 0, "--camera", "x")
    assert "--undo 77: nobody of that id was forgotten" in error("--undo", 77)
    assert "commands of their own; name one" in error("--list", "--person", first.person_id)
    with open_index(str(index_folder)) as index, index.writer():
        assert "another process" in error("--person", first.person_id)


@pytest.mark.skipif(not importlib.util.find_spec("milvus_lite"), reason="Milvus Lite is missing")
def test_nobody_comes_back_to_an_index_in_milvus(
    pictures, run_folder, tmp_path, capsys, impatient_milvus
):
    location = f"milvus://{tmp_path}/lite.db/persons"
    args = index_args(run_folder, location, tmp_path / "media" / "cam0")
    assert run(*args) == 0
    path = str(pictures[0])
    before = boxes_in(location, path)
    with open_index(location) as index:
        person = next(p for p in all_persons(index) if p.frame.path == path)
    assert run("forget", "--index", location, "--person", person.person_id) == 0
    os.utime(path, (500, 500))
    assert run(*args) == 0
    found = boxes_in(location, path)
    assert found and set(found) < set(before) and overlapping(found, person.box) == []
    (row,) = listed(capsys, location)
    assert run("forget", "--index", location, "--undo", row[0]) == 0
    assert run(*args) == 0
    assert boxes_in(location, path) == before
