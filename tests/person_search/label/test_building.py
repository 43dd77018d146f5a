"""A project out of recordings: what is in it, and what further runs add, keep and refuse."""

import shutil

import numpy as np
import pytest

from person_search.errors import UserError
from person_search.index import open_index
from person_search.label import building
from person_search.label.building import add_recordings, locked_project
from person_search.label.forgetting import forget_persons
from person_search.label.recordings import find_recordings
from person_search.label.records import DIFFERENT
from person_search.label.store import ProjectFile
from person_search.media.files import PathReader
from person_search.media.finding import find_files

from .coloured_people import ColourNetwork, save_pictures, save_video, walk

pytest.importorskip("trackers")


@pytest.fixture
def folder(tmp_path):
    """Two cameras: red and blue in the hall, red again at the door."""
    save_video(tmp_path / "media" / "hall" / "v.mkv", walk(15, red=10, blue=60))
    save_video(tmp_path / "media" / "door" / "v.mkv", walk(12, red=20))
    return tmp_path


def add(folder, media=None, network=None, fps=None, start=1000.0, picture_fps=None):
    """What the command does, with a stand-in for the network."""
    reader = PathReader(start=start)
    files = find_files([str(media or folder / "media")]).files
    recordings = find_recordings(files, reader, picture_fps)
    with locked_project(str(folder / "project"), fps) as project:
        return add_recordings(
            project, recordings, network or ColourNetwork(), reader, fps or 5.0, num_workers=0
        )


def content(folder):
    """All that a project holds of recordings, without ids of boxes."""
    with locked_project(str(folder / "project")) as project:
        frames = project.frames()
        boxes = project.boxes_of_frames([frame.frame_id for frame in frames])
        ids, numbers, features = project.view_features()
        return (
            [(r.camera, r.content, r.is_timed) for r in project.recordings()],
            [(t.camera, t.start, t.end, t.num_boxes) for t in project.tracklets()],
            [(f.path, f.pts, f.time) for f in frames],
            sorted((box.frame_id, box.tracklet_id, box.box, box.score) for box in boxes),
            (ids.tolist(), numbers.tolist(), features.tolist()),
            [project.crop(i, number) for i, number in zip(ids.tolist(), numbers.tolist())],
            sorted(project.simultaneous()),
            {i: n[0].tolist() for i, n in project.neighbors().items()},
        )


def test_a_project_of_two_cameras(folder):
    report = add(folder)
    assert report.added == [str(folder / "media" / c / "v.mkv") for c in ("door", "hall")]
    with locked_project(str(folder / "project")) as project:
        assert [(t.camera, t.start, t.end, t.num_boxes) for t in project.tracklets()] == [
            ("door", 1000.0, 1002.2, 12),
            ("hall", 1000.0, 1002.8, 15),
            ("hall", 1000.0, 1002.8, 15),
        ]
        views = project.views(2)
        assert len(views) == 6 and views[0].time < 1000.5 and views[-1].time > 1002.2
        _, _, features = project.view_features()
        colours = features.argmax(axis=1).reshape(3, 6)
        assert (colours == colours[:, :1]).all() and colours[0, 0] == 0
        red, blue = (2, 3) if colours[1, 0] == 0 else (3, 2)
        box = project.boxes_of_tracklet(red)[3]
        np.testing.assert_allclose(box.box, (22, 30, 38, 70), atol=1)
        assert [(p.a, p.b, p.is_one_camera) for p in project.simultaneous()] == [
            *((2, 3, True), (1, 2, False), (1, 3, False))
        ]
        assert project.neighbors()[1][0].tolist() == [red, blue]


def test_a_second_run_adds_only_what_is_new(folder):
    add(folder)
    before = content(folder)
    report = add(folder)
    assert (report.added, report.unchanged, content(folder)) == ([], 2, before)
    save_video(folder / "media" / "door" / "w.mkv", walk(8, green=30))
    report = add(folder)
    assert report.added == [str(folder / "media" / "door" / "w.mkv")] and report.unchanged == 2
    after = content(folder)
    assert after[1][:3] == before[1] and len(after[1]) == 4 and len(after[7]) == 4


def decide_something(folder):
    """A decision about the hall's recording; returns how many decisions there are."""
    with locked_project(str(folder / "project")) as project:
        a, b = [t.tracklet_id for t in project.tracklets() if t.camera == "hall"]
        project.decide("token", "page", DIFFERENT, {"a": a, "b": b})
        return project.decisions()


def test_a_recording_that_changed_is_kept_and_told_once_something_was_decided(folder):
    add(folder)
    decided = decide_something(folder)
    before = content(folder)
    save_video(folder / "media" / "hall" / "v.mkv", walk(9, green=10))
    path = str(folder / "media" / "hall" / "v.mkv")
    report = add(folder)
    assert list(report.changed) == [path] and not report.updated
    assert content(folder) == before
    with locked_project(str(folder / "project")) as project:
        assert project.decisions() == decided


def test_a_recording_that_changed_is_tracked_again_if_nothing_was_decided(folder):
    """Such as one that was still being written: there must be no need of a copy of it."""
    add(folder)
    save_video(folder / "media" / "hall" / "v.mkv", walk(20, red=10, blue=60))
    path = str(folder / "media" / "hall" / "v.mkv")
    report = add(folder)
    assert list(report.updated) == [path] and not (report.changed or report.added)
    grown = content(folder)
    assert [t[1:] for t in grown[1] if t[0] == "hall"] == [(1000.0, 1003.8, 20)] * 2
    assert len(grown[7]) == 3
    shutil.rmtree(folder / "project")
    add(folder)
    assert [len(part) for part in content(folder)] == [len(part) for part in grown]


def test_a_changed_recording_with_somebody_forgotten_is_kept(folder):
    add(folder)
    with locked_project(str(folder / "project")) as project:
        (person,) = [t.tracklet_id for t in project.tracklets()][-1:]
    forget_persons(folder / "project", [person])
    before = content(folder)
    save_video(folder / "media" / "hall" / "v.mkv", walk(20, red=10, blue=60))
    assert len(add(folder).changed) == 1 and content(folder) == before


def test_times_said_later_replace_guessed_ones_and_not_the_other_way_round(folder):
    add(folder, start=None)
    decided = decide_something(folder)
    guessed = content(folder)
    assert {timed for _, _, timed in guessed[0]} == {False}
    assert not [pair for pair in guessed[6] if not pair.is_one_camera]
    assert len(add(folder, start=1000.0).updated) == 2
    said = content(folder)
    with locked_project(str(folder / "project")) as project:
        assert project.decisions() == decided
    assert [t[1:] for t in said[1]] == [(1000.0, 1002.2, 12), *[(1000.0, 1002.8, 15)] * 2]
    assert [time for _, _, time in said[2]][:2] == [1000.0, 1000.2]
    assert [(p.first, p.is_one_camera) for p in said[6]] == [
        *((1000.0, False), (1000.0, False), (1000.0, True))
    ]
    report = add(folder, start=None)
    assert (report.unchanged, report.changed, report.updated) == (2, {}, {})
    assert content(folder)[1:] == said[1:]


def test_the_same_times_said_later_count(folder):
    """They were guessed right; yet only now can two cameras be compared."""
    add(folder, start=None)
    media = [folder / "media" / camera / "v.mkv" for camera in ("door", "hall")]
    with locked_project(str(folder / "project")) as project:
        starts = {f.path: f.time for f in reversed(project.frames())}
    for path in media:
        assert len(add(folder, media=path, start=starts[str(path)]).updated) == 1
    assert {timed for _, _, timed in content(folder)[0]} == {True}


def test_a_moved_recording_is_the_same_one(folder):
    add(folder)
    before = content(folder)
    (folder / "media").rename(folder / "moved")
    report = add(folder, media=folder / "moved")
    assert (report.added, report.unchanged, len(report.updated)) == ([], 2, 2)
    after = content(folder)
    assert after[1] == before[1] and after[3:] == before[3:]
    assert {path for path, *_ in after[2]} == {
        str(folder / "moved" / camera / "v.mkv") for camera in ("door", "hall")
    }
    with open_index(str(folder / "project" / "index")) as index:
        assert set(index.sources()) == {path for path, *_ in after[2]}


@pytest.mark.parametrize("at_once", (False, True))
def test_a_copy_of_a_recording_is_left_out(folder, at_once):
    if not at_once:
        add(folder)
    shutil.copytree(folder / "media" / "hall", folder / "media" / "hall2")
    report = add(folder)
    copy, original = (str(folder / "media" / n / "v.mkv") for n in ("hall2", "hall"))
    assert report.copies == {copy: original}
    assert len(content(folder)[0]) == 2 and len(content(folder)[1]) == 3
    with open_index(str(folder / "project" / "index")) as index:
        assert copy not in index.sources()


def test_a_file_that_got_the_name_of_another_one_is_told(folder):
    add(folder)
    decide_something(folder)
    before = content(folder)
    path = folder / "media" / "hall" / "v.mkv"
    (folder / "media" / "door" / "v.mkv").replace(path)
    assert list(add(folder).changed) == [str(path)] and content(folder) == before


def test_killed_between_any_two_steps_it_goes_on(folder, monkeypatch):
    """An exception stands for a kill: nothing that was not committed lasts either way."""

    class Killed(BaseException):
        pass

    def kill(*args):
        raise Killed

    calls = iter((building.make_recording, kill))
    steps = [
        (building, "index_files", kill),
        (building, "make_recording", kill),
        (ProjectFile, "_add_boxes", kill),
        (building, "make_recording", lambda *args: next(calls)(*args)),
        (building, "update_relations", kill),
    ]
    recordings = []
    for owner, step, stand_in in steps:
        with monkeypatch.context() as patched:
            patched.setattr(owner, step, stand_in)
            with pytest.raises(Killed):
                add(folder)
        recordings.append(len(content(folder)[0]))
    assert recordings == [0, 0, 0, 1, 2]
    add(folder)
    in_pieces = content(folder)
    shutil.rmtree(folder / "project")
    add(folder)
    assert in_pieces == content(folder)


def test_pictures_of_a_folder_are_a_recording(tmp_path):
    save_pictures(tmp_path / "media" / "gate", walk(12, red=10))
    report = add(tmp_path, picture_fps=5.0, start=50.0)
    assert report.added == [str(tmp_path / "media" / "gate")]
    with locked_project(str(tmp_path / "project")) as project:
        (tracklet,) = project.tracklets()
        assert (tracklet.camera, tracklet.start, tracklet.num_boxes) == ("gate", 50.0, 12)
        assert tracklet.end == pytest.approx(52.2)
        assert [f.path.rpartition("/")[2] for f in project.frames()][9:] == [
            *("9.png", "10.png", "11.png")
        ]


def test_nobody_in_a_recording(tmp_path):
    save_video(tmp_path / "media" / "hall" / "v.mkv", walk(5))
    assert len(add(tmp_path).added) == 1
    assert add(tmp_path).unchanged == 1
    assert content(tmp_path)[1] == []


def test_another_network_or_rate_is_refused(folder):
    add(folder, fps=2.5)
    before = content(folder)
    assert len(before[2]) == 14  # of 15 and 12 frames every second one
    other = ColourNetwork()
    other.fingerprint = "d" * 64
    with pytest.raises(UserError, match="--model: .*dddd.*cccc.*another project"):
        add(folder, network=other)
    with pytest.raises(UserError, match=r"--fps 5: project .* has 2\.5 frames a second"):
        add(folder, fps=5.0)
    assert content(folder) == before
    with open_index(str(folder / "project" / "index")) as index:
        assert index.counts().frames == 14


def test_one_process_at_a_time_and_in_no_folder_of_other_things(folder):
    with locked_project(str(folder / "project")):
        with pytest.raises(UserError, match="another process"):
            with locked_project(str(folder / "project")):
                pass
    with pytest.raises(UserError, match=f"--project {folder} holds other files .*media"):
        with locked_project(str(folder)):
            pass
    assert not (folder / "project.sqlite").exists()


def test_a_recording_that_is_still_written_waits(folder, monkeypatch):
    index_files = building.index_files

    def index_and_write(*args):
        report = index_files(*args)
        with open(folder / "media" / "hall" / "v.mkv", "ab") as file:
            file.write(b"more")
        return report

    with monkeypatch.context() as patched:
        patched.setattr(building, "index_files", index_and_write)
        report = add(folder)
    (path,) = report.failed
    assert path.endswith("hall/v.mkv") and "when it is complete" in report.failed[path]
    assert add(folder).added == [path]
