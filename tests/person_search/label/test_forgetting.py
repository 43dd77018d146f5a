"""A forgotten person is gone from every file, and the rest is as it was decided."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from person_search.cli.main import main
from person_search.errors import UserError
from person_search.index import IndexInfo, NewFrame, Source, open_index
from person_search.label.crop_paint import paint_over
from person_search.label.export import ExportOptions, export_project, note_moved
from person_search.label.forgetting import forget_persons
from person_search.label.labelling import Labelling
from person_search.label.records import (
    ADD_BOX,
    DETACH,
    DIFFERENT,
    MOVE_BOX,
    NOT_PERSON,
    SPLIT,
    UNSURE,
)
from person_search.label.store import open_project
from person_search.label.views import crop_window

from .small_site import SECONDS, SIZE, START, box_of, crop, make_site
from .test_export import PAIRS, boxes_by_place, decide, frame_ids, read, same


def make_index(folder):
    """An index of the project's detections, as the command would have made it."""
    info = IndexInfo("f" * 64, 4, "model")
    project = open_project(folder)
    with open_index(str(folder / "index"), create=info) as index, index.writer() as writer:
        for recording in project.recordings():
            stat = os.stat(recording.path)
            path = recording.path
            writer.begin(
                Source(path, stat.st_size, stat.st_mtime_ns, "{}", recording.camera, START)
            )
            for frame in [f for f in project.frames() if f.path == path]:
                boxes = [b for b in project.boxes_of_frames([frame.frame_id]) if b.score]
                features = [feature_of(b.tracklet_id, frame.frame_id) for b in boxes]
                new = NewFrame(
                    *(frame.pts, frame.offset, *SIZE),
                    np.array([b.box for b in boxes], np.float32).reshape(-1, 4),
                    np.array([b.score for b in boxes], np.float32),
                    np.array(features, np.float16).reshape(-1, 4),
                    frame.checksum,
                )
                writer.add(path, new)
            writer.finish(path)
        writer.commit()
    project.close()


def feature_of(tracklet, frame):
    values = np.random.default_rng((tracklet, frame)).standard_normal(4)
    return values / np.linalg.norm(values)


def bytes_below(folder):
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


def persons(folder):
    """Groups of units, as sets."""
    project = open_project(folder)
    found = {frozenset(group.units) for group in Labelling(project).groups()}
    project.close()
    return found


@pytest.fixture
def labelled(tmp_path):
    folder = make_site(tmp_path)
    decide(folder, *same(*PAIRS))
    make_index(folder)
    return folder


def test_crops_features_and_boxes_are_gone_from_the_files(labelled):
    """Of bert: tracklets 2 and 6."""
    project = open_project(labelled)
    ids, _, features = project.view_features()
    project.close()
    gone = [b"crop 0 of tracklet 2", b"crop 1 of tracklet 6"]
    gone += [f.astype(np.float16).tobytes() for f in features[np.isin(ids, (2, 6))]]
    detected = feature_of(2, 5).astype(np.float16).tobytes()
    kept = [b"crop 0 of tracklet 1", features[0].astype(np.float16).tobytes()]
    kept.append(feature_of(1, 1).astype(np.float16).tobytes())
    before = bytes_below(labelled)
    assert all(part in before for part in (*gone, *kept, detected))

    done = forget_persons(labelled, [2])

    assert done.tracklets == [2, 6] and done.decisions == 1 and done.also == []
    after = bytes_below(labelled)
    assert not any(part in after for part in (*gone, detected))
    assert all(part in after for part in kept)
    project = open_project(labelled)
    assert [t.tracklet_id for t in project.tracklets()] == [1, 3, 4, 5, 7, 8]
    assert not project.boxes_of_tracklet(2) and len(project.boxes_of_tracklet(1)) == 5
    project.close()
    assert persons(labelled) == {frozenset(pair) for pair in PAIRS if pair != (2, 6)}


def test_uncertain_detections_where_they_are_go_too(tmp_path):
    """The first covers most of bert's box in second 3 of the door, the second is elsewhere."""
    x0, y0, x1, y1 = box_of(2, 3)
    others = [("door", 3, (x0, y0, x1, y1 - 10), 0.2), ("door", 3, (120.0, 10.0, 140.0, 80.0), 0.2)]
    folder = make_site(tmp_path, others=others)
    decide(folder, *same((2, 6)))
    forget_persons(folder, [2])
    project = open_project(folder)
    left = [b.box for b in project.boxes_of_frames([frame_of(project, "door", 3)])]
    pages = project._all("PRAGMA freelist_count")
    project.close()
    assert left == [box_of(1, 3), others[1][2]]
    assert pages == [(0,)]  # nothing unused is left in the file


def frame_of(project, camera, second):
    ids = [f.frame_id for f in project.frames(range(1, 100)) if f.camera == camera]
    return ids[second]


def test_the_index_forgets_the_detections_and_keeps_them_out(labelled):
    """5 seconds of the door, 3 of the yard, of which the second each time is interpolated."""
    done = forget_persons(labelled, [2])
    assert done.detections == 4 + 2
    with open_index(str(labelled / "index")) as index:
        left = {
            (f.camera, round(f.time - START), tuple(p.box))
            for f in index.frames(limit=100)
            for p in index.persons(f.frame_id)
        }
        assert ("door", 4, box_of(2, 4)) not in left and ("door", 4, box_of(1, 4)) in left
        # also where the box was between two detections: another threshold may find them there
        assert len(index.tombstones()) == 5 + 3
        assert all(t.digest and t.checksum is not None for t in index.tombstones())


def test_frames_that_show_them_are_withheld_and_the_export_is_removed(labelled):
    exported = export_project(labelled, options=ExportOptions(test_share=0))
    done = forget_persons(labelled, [2])
    assert done.exports == [labelled / "export"] and not exported.train_json.exists()
    assert not exported.image_root.exists()
    content = read(export_project(labelled, options=ExportOptions(test_share=0)).train_json)
    places = {box[:2] for box in boxes_by_place(content)}
    # bert is at the door from second 2 to 6, in the yard from 7 to 9; a second around is withheld
    assert {p for p in places if p[0] == "door" and p[1] < 12} == {("door", 0)}
    assert {p for p in places if p[0] == "yard" and p[1] < 12} == {("yard", 5)}
    assert done.frames == 7 + 5


def test_an_export_elsewhere_is_told_and_left(labelled, tmp_path, caplog):
    exported = export_project(labelled, tmp_path / "mine")
    others = export_project(labelled, tmp_path / "others").image_root
    for path in others.iterdir():
        if int(path.stem.split("_")[1]) % SECONDS < 13:
            path.unlink()  # those of the first 12 seconds, in which bert is
    assert main(["forget", "--project", str(labelled), "--person", "2"]) == 1
    assert f"The export in {tmp_path / 'mine'} shows them" in caplog.text
    assert exported.train_json.exists() and str(others.parent) not in caplog.text


def test_an_export_that_was_moved_is_told_too(labelled, tmp_path, caplog):
    note_moved(labelled, tmp_path / "kept")
    exported = export_project(labelled, tmp_path / "new")
    exported.image_root.parent.rename(tmp_path / "kept")
    assert main(["forget", "--project", str(labelled), "--person", "2"]) == 1
    assert f"The export in {tmp_path / 'kept'} shows them" in caplog.text


def test_the_export_of_a_project_that_was_moved_is_removed(labelled, tmp_path):
    export_project(labelled, options=ExportOptions(test_share=0))
    moved = labelled.rename(tmp_path / "moved")
    done = forget_persons(moved, [2])
    assert done.exports == [moved / "export"]
    assert not (moved / "export" / "images").exists()


def test_moved_and_drawn_boxes_go_with_the_person(labelled):
    frames = frame_ids(labelled)
    project = open_project(labelled)
    box_id = project.boxes_of_tracklet(2)[0].box_id
    others = project.boxes_of_tracklet(1)[4].box_id
    project.close()
    drawn = [100.0, 10.0, 120.0, 80.0]
    decide(
        labelled,
        (MOVE_BOX, {"box_id": box_id, "box": [70.0, 10.0, 99.0, 80.0]}),
        (ADD_BOX, {"frame_id": frames["yard", 14], "box": drawn, "unit": 2}),
        (MOVE_BOX, {"box_id": -6, "box": [101.0, 10.0, 121.0, 80.0]}),
        (MOVE_BOX, {"box_id": others, "box": [1.0, 1.0, 20.0, 80.0]}),
    )
    done = forget_persons(labelled, [2])
    assert done.decisions == 1 + 3
    project = open_project(labelled)
    assert [d.number for d in project.decisions()] == [1, 3, 4, 8]
    assert frames["yard", 14] not in {f.frame_id for f in project.frames()}
    project.close()
    with open_index(str(labelled / "index")) as index:
        boxes = {t.box for t in index.tombstones()}
    assert {(70.0, 10.0, 99.0, 80.0), tuple(drawn), (101.0, 10.0, 121.0, 80.0)} <= boxes


def test_those_who_stay_are_who_they_were(tmp_path):
    """Tracklet 2 is split: its later part is person 5's, with 6; the first part is forgotten.

    Tracklets 5 and 6 are one person by way of the part alone, which is not 7. 1 was taken out of
    the person of 3 and 4, who are one by way of 1.
    """
    folder = make_site(tmp_path)
    decide(folder, (SPLIT, {"unit": 2, "view": 1}))
    decide(
        folder,
        *same((-1, 5), (-1, 6)),
        (DIFFERENT, {"a": -1, "b": 7}),
        *same((1, 3), (1, 4)),
        (DETACH, {"unit": 1, "rest": [3, 4]}),
        (UNSURE, {"a": 7, "b": 2}),
        (DIFFERENT, {"a": 7, "b": 8}),
    )
    assert persons(folder) == set(map(frozenset, ((5, 6, -1), (3, 4), (1,), (2,), (7,), (8,))))
    assert forget_persons(folder, [2]).also == [5]
    assert persons(folder) == set(map(frozenset, ((5, 6), (3, 4), (1,), (7,), (8,))))
    assert forget_persons(folder, [1]).also == []
    assert persons(folder) == set(map(frozenset, ((5, 6), (3, 4), (7,), (8,))))
    project = open_project(folder)
    labelling = Labelling(project)
    assert labelling.link(5, 7) and labelling.link(6, 7) and labelling.link(7, 8)
    assert labelling.link(5, 8) is None and labelling.contradictions() == []
    project.close()


def test_a_forgotten_member_of_a_rest_is_taken_out_of_it(tmp_path):
    folder = make_site(tmp_path)
    decide(folder, *same((1, 3), (3, 4), (4, 7)), (DETACH, {"unit": 1, "rest": [3, 4, 7]}))
    decide(folder, (NOT_PERSON, {"unit": 4}))
    decide(folder, (DETACH, {"unit": 3, "rest": [7]}))
    before = persons(folder)
    forget_persons(folder, [3])
    assert persons(folder) == {group for group in before if 3 not in group}


def test_undone_decisions_about_them_go_too(tmp_path):
    folder = make_site(tmp_path)
    decide(folder, *same((1, 5), (2, 6)))
    project = open_project(folder)
    labelling = Labelling(project)
    labelling.undo("u1", 2)  # decision 3
    labelling.undo("u2", 3)  # decision 4: 2 and 6 are one again
    labelling.undo("u3", 1)  # decision 5
    project.close()
    forget_persons(folder, [2])
    project = open_project(folder)
    assert [d.number for d in project.decisions()] == [1, 5]
    project.close()
    assert persons(folder) == {frozenset((u,)) for u in (1, 3, 4, 5, 7, 8)}


def test_neighbors_and_pairs_of_them_go(labelled):
    project = open_project(labelled)
    project.set_neighbors(
        {1: (np.array([2, 5]), np.array([0.9, 0.5])), 2: (np.array([1]), np.array([0.9]))}
    )
    project.add_simultaneous([(1, 2, START, START, True), (3, 4, START, START, True)])
    project.close()
    forget_persons(labelled, [2])
    project = open_project(labelled)
    found = project.neighbors()
    assert list(found) == [1] and found[1][0].tolist() == [5] and found[1][1].tolist() == [0.5]
    assert [(p.a, p.b) for p in project.simultaneous()] == [(3, 4)]
    project.close()


def test_killed_before_the_end_it_can_be_done_again(labelled, monkeypatch):
    from person_search.label import forgetting

    def dies(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(forgetting.ForgettingFile, "rewrite_decisions", dies)
        with pytest.raises(KeyboardInterrupt):
            forget_persons(labelled, [2])
    assert frozenset((2, 6)) in persons(labelled)
    assert forget_persons(labelled, [2]).tracklets == [2, 6]
    assert frozenset((2, 6)) not in persons(labelled)
    assert b"crop 0 of tracklet 2" not in bytes_below(labelled)


def test_mistakes_in_one_line(labelled, capsys):
    with pytest.raises(UserError, match="--person 77: project .* has no such person"):
        forget_persons(labelled, [2, 77])
    assert frozenset((2, 6)) in persons(labelled)
    with pytest.raises(UserError, match="there is no project"):
        forget_persons(labelled / "elsewhere", [2])
    project = ["forget", "--project", str(labelled)]
    assert main([*project, "--undo", "3"]) == 2
    assert main([*project, "--person", "2", "--list"]) == 2
    assert main(project) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3 and all("--project takes --person" in line for line in errors)
    with pytest.raises(SystemExit):
        main([*project, "--index", "x"])


def test_the_command_and_its_list(labelled, capsys, caplog):
    caplog.set_level("INFO")
    project = ["forget", "--project", str(labelled)]
    assert main([*project, "--person", "2", "--person", "3"]) == 0
    assert "4 tracklet(s), 2 decision(s)" in caplog.text
    assert persons(labelled) == {frozenset((1, 5)), frozenset((4, 8))}
    capsys.readouterr()
    assert main([*project, "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 8 + 10


def test_others_crops_are_painted_over_where_the_person_is():
    """A crop of a box at (40, 20) to (60, 80): the margins make it (36, 15) to (64, 85)."""
    assert crop_window((40, 20, 60, 80), SIZE) == (36, 15, 64, 85)
    white = Image.new("RGB", (56, 140), "white")  # twice as large
    with io.BytesIO() as file:
        white.save(file, "JPEG")
        jpeg = file.getvalue()
    assert paint_over(jpeg, (40, 20, 60, 80), [(0, 0, 36, 90)], SIZE) is None
    painted = paint_over(jpeg, (40, 20, 60, 80), [(50, 30, 100, 60)], SIZE)
    pixels = np.asarray(Image.open(io.BytesIO(painted)).convert("L")).astype(int)
    # x from (50 - 36) * 2 = 28, y from 30 to 90
    assert pixels[34:86, 32:].max() < 140 and pixels[:24].min() > 240 and pixels[:, :22].min() > 240


def test_the_crop_of_a_companion_is_painted(labelled):
    """Tracklets 1 and 2 are side by side in second 4, where the last view of 1 is."""
    forget_persons(labelled, [2])
    project = open_project(labelled)
    assert project.crop(1, 0) == crop(b"crop 0 of tracklet 1")  # in second 0 nobody else is there
    pixels = np.asarray(Image.open(io.BytesIO(project.crop(1, 1))).convert("L")).astype(int)
    project.close()
    # the box of 1 is x 12 to 32, its window 8 to 36; that of 2 begins at 28
    assert pixels[10:60, 22:].max() < 150 and pixels[:, :16].min() > 240
