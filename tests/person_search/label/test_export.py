"""What is labelled becomes a data set: every value of a small one, and what may not be in it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fully_decoupled_ps.data.datasets.person_search_json import (
    load_person_search_json,
    load_person_search_json_protocols,
)
from fully_decoupled_ps.dataset_tools.inspection import inspect_dataset
from person_search.errors import UserError
from person_search.index import IndexInfo, Source, open_index
from person_search.label.export import ExportOptions, export_project
from person_search.label.labelling import Labelling, Progress
from person_search.label.records import (
    ADD_BOX,
    DIFFERENT,
    MOVE_BOX,
    NOT_PERSON,
    REMOVE_BOX,
    SAME,
    NewRecording,
)
from person_search.label.store import open_project
from tests.data.coded_videos import number_in

from .small_site import CAMERAS, PASSAGES, SECONDS, SIZE, START, box_of, make_site, tracklet

# Of the same person.
PAIRS = ((1, 5), (2, 6), (3, 7), (4, 8))


def decide(folder, *decisions):
    """Make decisions: kind, then the payload's fields."""
    project = open_project(folder)
    labelling = Labelling(project)
    for kind, payload in decisions:
        labelling.decide(f"token {len(labelling.decisions())}", kind, payload)
    project.close()


def same(*pairs):
    return [(SAME, {"a": a, "b": b}) for a, b in pairs]


def frame_ids(folder):
    """By camera and second."""
    project = open_project(folder)
    found = {(f.camera, round(f.time - START)): f.frame_id for f in project.frames()}
    project.close()
    return found


def read(path):
    return json.loads(Path(path).read_text())


def boxes_by_place(content):
    """(camera, second, person_id, xyxy, is_region) of all annotations, sorted."""
    place = {}
    for image in content["images"]:
        camera, number = image["id"].split("_")
        # frames are numbered through, those of the door first
        place[image["id"]] = CAMERAS[int(camera[1:]) - 1], (int(number) - 1) % SECONDS
    return sorted(
        (
            *place[a["image_id"]],
            a["person_id"],
            (a["bbox"][0], a["bbox"][1], a["bbox"][0] + a["bbox"][2], a["bbox"][1] + a["bbox"][3]),
            bool(a.get("iscrowd")),
        )
        for a in content["annotations"]
    )


def expected_boxes(ids, seconds, passages=PASSAGES):
    """By the definition: each tracklet's box in each of its seconds."""
    return sorted(
        (camera, second, ids.get(who, -1), box_of(tracklet, second), False)
        for tracklet, (who, camera, seen) in enumerate(passages, 1)
        for second in seen
        if second in seconds
    )


@pytest.fixture
def labelled(tmp_path):
    """Four persons whom both cameras have seen: anna and bert early, cleo and dora late."""
    folder = make_site(tmp_path)
    decide(folder, *same(*PAIRS))
    return folder


def test_every_value_of_a_small_export(labelled):
    """12 frames show somebody up to second 9 (door 0-6, yard 5-9), and 12 from second 12 on."""
    exported = export_project(labelled)
    train, test = read(exported.train_json), read(exported.test_json)
    early, late = range(0, 12), range(12, 20)
    assert boxes_by_place(train) == expected_boxes({"anna": 0, "bert": 1}, early)
    assert boxes_by_place(test) == expected_boxes({"cleo": 2, "dora": 3}, late)
    assert {(i["width"], i["height"]) for i in train["images"]} == {SIZE}
    assert {i["camera_id"] for i in train["images"]} == {1, 2}
    # one query for each of the two persons and cameras, at one of the person's own boxes
    queries = [(q["person_id"], q["image_id"].split("_")[0]) for q in test["queries"]]
    assert queries == [(2, "c1"), (2, "c2"), (3, "c1"), (3, "c2")]
    own = [(a["image_id"], a["person_id"], a["bbox"]) for a in test["annotations"]]
    assert all((q["image_id"], q["person_id"], q["bbox"]) in own for q in test["queries"])
    assert "queries" not in train
    marker = read(labelled / "export" / "export.json")
    assert marker["persons"] == {"train": {"0": 1, "1": 2}, "test": {"2": 3, "3": 4}}
    assert marker["cameras"] == {"1": "door", "2": "yard"}


def test_the_pictures_are_the_frames(labelled):
    exported = export_project(labelled)
    images = read(exported.train_json)["images"] + read(exported.test_json)["images"]
    assert {p.name for p in exported.image_root.iterdir()} == {i["file_name"] for i in images}
    for image in images:
        # the videos count their frames, the yard's on from the door's
        frame_id = int(image["id"].split("_")[1])
        assert number_in(cv2.imread(str(exported.image_root / image["file_name"]))) == frame_id - 1


def test_it_passes_the_check_without_a_warning_and_loads(labelled):
    exported = export_project(labelled)
    root = str(exported.image_root)
    train, test = map(str, exported[:2])
    assert inspect_dataset(train, image_root=root, split="train").findings == []
    tested = inspect_dataset(test, image_root=root, split="test", against=train)
    assert tested.findings == []
    assert tested.summary["identities_in_two_cameras"] == 2
    ids = {
        a["person_id"]
        for d in load_person_search_json(train, root, "train")
        for a in d["annotations"]
    }
    assert ids == {0, 1}
    protocols = load_person_search_json_protocols(test, root)
    assert {name: len(queries) for name, queries in protocols.items()} == {
        "full": 4,
        "multi_view": 4,
    }


def test_a_second_export_is_the_same_to_the_byte(labelled):
    def content():
        exported = export_project(labelled)
        return {p.name: p.read_bytes() for p in exported.image_root.parent.rglob("*.j*")}

    before = content()
    assert len(before) > 20 and content() == before


def export_all(folder, **options):
    """All annotations of a set for training alone, and its content."""
    content = read(
        export_project(folder, options=ExportOptions(test_share=0, **options)).train_json
    )
    return boxes_by_place(content), content


def test_everything_for_training(labelled):
    exported = export_project(labelled, options=ExportOptions(test_share=0))
    assert exported.test_json is None and not (labelled / "export" / "test.json").exists()
    ids = {name: i for i, name in enumerate(("anna", "bert", "cleo", "dora"))}
    assert boxes_by_place(read(exported.train_json)) == expected_boxes(ids, range(SECONDS))


def test_boxes_decided_by_hand_are_written(labelled):
    frames = frame_ids(labelled)
    project = open_project(labelled)
    moved = project.boxes_of_tracklet(1)[0].box_id
    removed = project.boxes_of_tracklet(1)[2].box_id
    project.close()
    drawn, stranger = [50.0, 10.0, 70.0, 80.0], [100.0, 10.0, 120.0, 80.0]
    decide(
        labelled,
        (MOVE_BOX, {"box_id": moved, "box": [1.0, 2.0, 31.0, 82.0]}),
        (REMOVE_BOX, {"box_id": removed}),
        (ADD_BOX, {"frame_id": frames["yard", 3], "box": drawn, "unit": 2}),
        (ADD_BOX, {"frame_id": frames["yard", 3], "box": stranger, "unit": None}),
    )
    boxes, _ = export_all(labelled)
    assert ("door", 0, 0, (1.0, 2.0, 31.0, 82.0), False) in boxes
    assert ("door", 2, 0, box_of(1, 2), False) not in boxes
    assert ("yard", 3, 1, tuple(drawn), False) in boxes
    assert ("yard", 3, -1, tuple(stranger), False) in boxes
    by_definition = expected_boxes({"anna": 0, "bert": 1, "cleo": 2, "dora": 3}, range(SECONDS))
    assert len(boxes) == len(by_definition) - 1 + 2


def test_what_is_no_person_has_no_box_and_what_may_be_one_is_a_region(tmp_path):
    others = [
        ("door", 0, (100.0, 10.0, 130.0, 90.0), 0.2),  # a second one in a frame with anna
        ("door", 10, (100.0, 10.0, 130.0, 90.0), 0.3),  # alone in a frame, which is left out
    ]
    folder = make_site(tmp_path, others=others)
    decide(
        folder, *same((1, 5), (2, 6), (3, 7)), (NOT_PERSON, {"unit": 4}), (NOT_PERSON, {"unit": 8})
    )
    boxes, content = export_all(folder)
    ids = {"anna": 0, "bert": 1, "cleo": 2}
    wanted = [b for b in expected_boxes(ids, range(SECONDS)) if b[2] >= 0]
    assert boxes == sorted([*wanted, ("door", 0, -1, (100.0, 10.0, 130.0, 90.0), True)])
    told = content["info"]["left_out_or_changed"]
    assert {n for what, n in told.items() if "no person" in what} == {3 + 3}  # in frames with cleo


def test_who_may_be_somebody_else_has_no_id(tmp_path, caplog, monkeypatch):
    progress = Progress(2, 8, 6, recall=0.5, target=0.95, left=7)
    monkeypatch.setattr(Labelling, "progress", lambda self: progress)
    folder = make_site(tmp_path)
    decide(folder, *same((1, 5), (2, 6)))
    boxes, _ = export_all(folder)
    assert boxes == expected_boxes({"anna": 0, "bert": 1}, range(SECONDS))
    assert "about 50 %" in caplog.text and "7 decisions more" in caplog.text


def test_a_tracklet_alone_has_an_id_once_it_is_told_from_those_like_it(tmp_path):
    """Of tracklet 4 the most similar ones are 3 (who is seen together with it), 8, 7, 1 and 2."""
    folder = make_site(tmp_path)
    project = open_project(folder)
    project.set_neighbors({4: (np.array([3, 8, 7, 1, 2]), np.linspace(0.9, 0.5, 5))})
    project.add_simultaneous([(3, 4, START + 14, START + 16, True)])
    project.close()
    decide(folder, *same((1, 5), (2, 6)), *[(DIFFERENT, {"a": 4, "b": b}) for b in (8, 7)])
    ids = {"anna": 0, "bert": 1}
    assert export_all(folder)[0] == expected_boxes(ids, range(SECONDS))
    decide(folder, (DIFFERENT, {"a": 4, "b": 1}))
    boxes = [b for b in export_all(folder)[0] if b[2] == 2]
    assert boxes == [("door", second, 2, box_of(4, second), False) for second in range(14, 19)]


def test_a_person_on_both_sides_of_the_cut_is_one_set_s(tmp_path):
    """Bert comes back late, for fewer seconds than he was seen before."""
    passages = [*PASSAGES[:4], ("bert", "yard", range(12, 15)), *PASSAGES[4:]]
    folder = make_site(tmp_path, passages)
    decide(folder, *same((1, 6), (2, 7), (2, 5), (3, 8), (4, 9)))
    exported = export_project(folder)
    train, test = (boxes_by_place(read(path)) for path in exported[:2])
    cut = min(second for _, second, *_ in test)
    assert cut == 12 and max(second for _, second, *_ in train) < cut
    assert train == expected_boxes({"anna": 0, "bert": 1}, range(cut), passages)
    later = expected_boxes({"cleo": 2, "dora": 3}, range(cut, SECONDS), passages)
    # the 12th of 25 frames is the door's of second 12, the 13th the yard's: the cut is between
    assert test == [b for b in later if b[:2] != ("door", 12)]
    assert any(b[2] == -1 for b in test)


def test_without_common_clocks_each_camera_is_cut_by_itself(tmp_path):
    """7 + 7 frames of the door, 5 + 5 of the yard: of each camera the later half is for testing."""
    folder = make_site(tmp_path, is_timed=False)
    decide(folder, *same(*PAIRS))
    train, test = (boxes_by_place(read(path)) for path in export_project(folder)[:2])
    last = {camera: max(b[1] for b in train if b[0] == camera) for camera in ("door", "yard")}
    first = {camera: min(b[1] for b in test if b[0] == camera) for camera in ("door", "yard")}
    assert last == {"door": 6, "yard": 9} and first == {"door": 12, "yard": 15}


def test_fewer_frames_are_spread(labelled):
    exported = export_project(labelled, options=ExportOptions(frames=8))
    train, test = (read(path) for path in exported[:2])
    assert (len(train["images"]), len(test["images"])) == (4, 4)
    for content in (train, test):
        assert {i["camera_id"] for i in content["images"]} == {1, 2}
        ids = [a["person_id"] for a in content["annotations"]]
        assert all(ids.count(i) >= 2 for i in set(ids))
    # the pictures of a larger export before it do not stay
    export_project(labelled)
    export_project(labelled, options=ExportOptions(frames=8))
    assert len(list(exported.image_root.iterdir())) == 8


def test_pictures_are_copied_and_a_copy_among_them_is_left_out(tmp_path, caplog):
    folder = make_site(tmp_path)
    add_pictures(tmp_path, folder)
    decide(folder, *same((1, 9), (2, 6)))
    options = ExportOptions(test_share=0)
    content = read(export_project(folder, options=options).train_json)
    names = [i["file_name"] for i in content["images"] if i["camera_id"] == 2]
    assert names == ["c2_000041.png", "c2_000042.png"]  # the third is the second one's copy
    originals = [(tmp_path / "gate" / f"{i}.png").read_bytes() for i in range(2)]
    assert [(folder / "export" / "images" / n).read_bytes() for n in names] == originals
    assert "1 chosen frame(s) are left out" in caplog.text and "2.png" in caplog.text


def add_pictures(tmp_path, folder):
    """A recording of three pictures of a third camera, the last a copy, with tracklet 9."""
    paths = [tmp_path / "gate" / f"{i}.png" for i in range(3)]
    paths[0].parent.mkdir()
    for path, value in zip(paths, (10, 20, 20)):
        cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0], 3), value, np.uint8))
    rows = [(str(p), None, None, START + 2 * i, 0.0, *SIZE) for i, p in enumerate(paths)]
    project = open_project(folder)
    new = NewRecording(
        str(paths[0].parent), "gate", "hash", True, rows, [tracklet(9, range(3))], []
    )
    project.add_recording(new)
    project.close()


def test_a_picture_that_was_replaced_by_one_of_its_size_is_left_out(tmp_path, caplog):
    folder = make_site(tmp_path)
    add_pictures(tmp_path, folder)
    decide(folder, *same((1, 9), (2, 6)))
    path = tmp_path / "gate" / "0.png"
    with open_index(str(folder / "index"), create=IndexInfo("f" * 64, 4, "")) as index:
        with index.writer() as writer:
            size = path.stat().st_size
            writer.begin(Source(str(path), size + 1, 1, "{}", "gate", START))
            writer.finish(str(path))
            writer.commit()
    content = read(export_project(folder, options=ExportOptions(test_share=0)).train_json)
    assert [i["id"] for i in content["images"] if i["camera_id"] == 2] == ["c2_000042"]
    assert f"{path} is not as it was" in caplog.text


def test_pictures_of_a_camera_pattern_are_a_recording_by_another_path(tmp_path):
    folder = make_site(tmp_path)
    project = open_project(folder)
    project._run("UPDATE recordings SET path = path || '#' || camera")
    project.close()
    decide(folder, *same((1, 5), (2, 6)))
    assert len(export_all(folder)[1]["images"]) == 24


def test_a_recording_that_is_gone_is_left_out_and_told(labelled, tmp_path, caplog):
    (tmp_path / "yard" / "video.mp4").unlink()
    boxes, content = export_all(labelled)
    assert {b[0] for b in boxes} == {"door"} and "camera_id" not in content["images"][0]
    assert "1 file(s) of the project can't be reached" in caplog.text
    assert "all frames are of one camera" in caplog.text


def test_a_video_that_was_replaced_is_not_exported(labelled, tmp_path, caplog):
    video = tmp_path / "yard" / "video.mp4"
    video.write_bytes((tmp_path / "door" / "video.mp4").read_bytes())
    boxes, _ = export_all(labelled)
    assert {b[0] for b in boxes} == {"door"}
    assert f"10 chosen frame(s) are left out: {video} is not as it was" in caplog.text


def test_withheld_frames_stay_out(labelled):
    frames = frame_ids(labelled)
    project = open_project(labelled)
    project._run("UPDATE frames SET is_withheld = 1 WHERE frame_id = ?", (frames["door", 3],))
    project.close()
    boxes, _ = export_all(labelled)
    assert ("door", 3) not in {b[:2] for b in boxes} and ("door", 2) in {b[:2] for b in boxes}


def test_nobody_known_is_an_error_before_anything_is_written(tmp_path):
    folder = make_site(tmp_path)
    with pytest.raises(UserError, match="nobody is known yet.*person-search label --project"):
        export_project(folder)


def test_nobody_to_test_on_is_an_error_and_an_earlier_export_stays(tmp_path):
    folder = make_site(tmp_path)
    decide(folder, *same((1, 5), (2, 6)))
    kept = export_project(folder, options=ExportOptions(test_share=0)).train_json
    with pytest.raises(UserError, match="--test-share 0.5 leaves nobody.*--test-share 0"):
        export_project(folder)
    assert kept.exists()


def test_a_folder_with_other_files_or_another_project_s_export_is_refused(labelled, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="--output .*mine holds thesis.txt"):
        export_project(labelled, tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    (tmp_path / "elsewhere").mkdir()
    other = make_site(tmp_path / "elsewhere")
    decide(other, *same(*PAIRS))
    there = export_project(other, tmp_path / "shared").train_json
    with pytest.raises(UserError, match="no export of this project"):
        export_project(labelled, tmp_path / "shared")
    assert there.exists()


def test_killed_while_pictures_are_written_it_goes_on(labelled, monkeypatch):
    """Nothing that looks like an export is there until it is whole."""
    from person_search.label import export_pictures

    whole = {p.name: p.read_bytes() for p in export_project(labelled).image_root.iterdir()}
    images, train = labelled / "export" / "images", labelled / "export" / "train.json"
    written = train.read_bytes()
    for name in sorted(whole)[:5]:
        (images / name).unlink()
    encode, calls = export_pictures.encode_image, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(*args)

    monkeypatch.setattr(export_pictures, "encode_image", dies)
    with pytest.raises(KeyboardInterrupt):
        export_project(labelled)
    assert not train.exists() and len(list(images.glob("*.jpg"))) == len(whole) - 3
    (images / "c1_000001.jpg.part").write_bytes(b"half")
    export_project(labelled)
    assert len(calls) == 3 + 3  # only those that were missing
    assert {p.name: p.read_bytes() for p in images.iterdir()} == whole
    assert train.read_bytes() == written
