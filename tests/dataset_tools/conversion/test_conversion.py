"""Conversion to the project's JSON: what comes out is what the source's own loader gives."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fully_decoupled_ps.data import (
    load_cuhk_sysu,
    load_cuhk_sysu_protocols,
    load_person_search_json,
    load_person_search_json_protocols,
    load_prw,
    load_prw_protocols,
)
from fully_decoupled_ps.data.datasets.checks import person
from fully_decoupled_ps.data.fingerprint import fingerprint
from fully_decoupled_ps.dataset_tools.conversion.classes import ClassChoice
from fully_decoupled_ps.dataset_tools.conversion.json_file import check_output, to_xywh, write_sets
from fully_decoupled_ps.dataset_tools.conversion.layouts import convert_cuhk_sysu, convert_prw
from fully_decoupled_ps.dataset_tools.conversion.mot import MotRules, convert_mot
from fully_decoupled_ps.dataset_tools.conversion.mot_frames import Numbering
from fully_decoupled_ps.dataset_tools.conversion.mot_sequence import find_sequences
from fully_decoupled_ps.dataset_tools.conversion.split import (
    draw_queries,
    split_by_ids,
    split_by_sequences,
)
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import write_cuhk_sysu, write_cuhk_test, write_prw
from tests.dataset_tools.conversion.mot_layout import FRAME_SIZE, write_sequence, write_video


def test_prw_comes_back_the_same(tmp_path):
    root = write_prw(tmp_path / "PRW")
    out = tmp_path / "out"
    check_output(out, ["train", "test"], force=False)
    write_sets(out, convert_prw(root), root)
    for split in ("train", "test"):
        loaded = load_person_search_json(str(out / f"{split}.json"), str(root), split)
        assert loaded == load_prw(str(root), split)
    protocols = load_person_search_json_protocols(str(out / "test.json"), str(root))
    assert protocols == load_prw_protocols(str(root))
    assert list(protocols) == ["full", "multi_view"]


@pytest.mark.parametrize("size", [50, 100])
def test_cuhk_sysu_comes_back_the_same(tmp_path, size):
    root = write_cuhk_sysu(tmp_path / "CUHK-SYSU")
    out = tmp_path / "out"
    check_output(out, ["train", "test"], force=False)
    write_sets(out, convert_cuhk_sysu(root, gallery_size=size), root)
    for split in ("train", "test"):
        loaded = load_person_search_json(str(out / f"{split}.json"), str(root), split)
        assert loaded == load_cuhk_sysu(str(root), split, size)
    (queries,) = load_person_search_json_protocols(str(out / "test.json"), str(root)).values()
    assert queries == load_cuhk_sysu_protocols(str(root), size)[f"gallery_{size}"]


def test_another_box_in_the_querys_own_frame_survives(tmp_path):
    root = write_cuhk_sysu(tmp_path / "CUHK-SYSU")
    gallery = [("s11.jpg", (100, 20, 30, 60)), ("s13.jpg", None)]
    write_cuhk_test(root, 50, {"p1": ("s11.jpg", (20, 20, 30, 60), gallery)})
    write_sets(tmp_path, convert_cuhk_sysu(root, ["test"], 50), root)
    first = load_person_search_json(str(tmp_path / "test.json"), str(root), "test")[0]
    assert [(a["person_id"], a["bbox"]) for a in first["annotations"]] == [
        (-1, [20, 20, 50, 80]),
        (1, [100, 20, 130, 80]),
    ]
    assert first["queries"] == [[20, 20, 50, 80]]


def test_a_box_s_corners_survive_to_the_last_bit():
    rng = random.Random(0)
    for _ in range(2000):
        box = [rng.uniform(0, 500) for _ in range(2)]
        box += [v + rng.uniform(1e-3, 500) for v in box]
        x, y, w, h = json.loads(json.dumps(to_xywh(box)))
        assert [x, y, x + w, y + h] == box


def test_pictures_are_copied_when_asked(tmp_path):
    root = write_prw(tmp_path / "PRW")
    out = tmp_path / "out"
    check_output(out, ["train"], force=False)
    image_root = write_sets(out, convert_prw(root, ["train"]), root, copy_images=True)
    assert image_root == out / "images"
    copies = sorted(p.name for p in (image_root / "frames").iterdir())
    assert copies == ["c1s1_000151.jpg", "c2s1_000176.jpg", "c6s1_000201.jpg"]
    dicts = load_person_search_json(str(out / "train.json"), str(image_root), "train")
    assert [d["file_name"] for d in dicts] == [str(image_root / "frames" / n) for n in copies]


def test_names_that_are_no_utf8_come_back(tmp_path):
    root = write_prw(tmp_path / "PRW").rename(tmp_path / "PRW caf\udce9 é")
    out = tmp_path / "out"
    check_output(out, ["train"], force=False)
    write_sets(out, convert_prw(root, ["train"]), tmp_path)
    loaded = load_person_search_json(str(out / "train.json"), str(tmp_path), "train")
    assert loaded == load_prw(str(root), "train")
    assert "é".encode() in (out / "train.json").read_bytes()
    copied = write_sets(out, convert_prw(root, ["train"]), tmp_path, copy_images=True)
    dicts = load_person_search_json(str(out / "train.json"), str(copied), "train")
    assert all(Path(d["file_name"]).is_file() for d in dicts)
    assert fingerprint(["own"], dicts)["frames"] == len(dicts)


def test_an_existing_file_is_kept(tmp_path):
    (tmp_path / "test.json").write_text("mine")
    with pytest.raises(UserError, match="test.json' is there already; .* --force"):
        check_output(tmp_path, ["train", "test"], force=False)
    check_output(tmp_path, ["train"], force=False)
    check_output(tmp_path, ["train", "test"], force=True)
    with pytest.raises(UserError, match="no folder can be made"):
        check_output(tmp_path / "test.json", ["train"], force=False)


# frame, id, x, y, w, h, flag, class, visibility; x and y count from 1
ROWS = [
    (1, 3, 11, 21, 30, 60, 1, 1, 1.0),
    (1, 4, -9, 41, 30, 90, 1, 1, 0.5),  # cut at the left and at the bottom
    (1, 5, 61, 21, 30, 60, 1, 1, 0.2),  # hidden
    (1, 6, 61, 21, 30, 60, 0, 1, 1.0),  # flagged
    (1, 7, 61, 21, 30, 60, 1, 8, 1.0),  # a distractor
    (1, 8, 61, 21, 30, 60, 0, 7, 1.0),  # a static person
    (2, 3, 13, 21, 30, 60, 1, 1, 1.0),
    (3, 3, 15, 21, 30, 60, 1, 1, 1.0),
    (3, 3, 95, 21, 30, 60, 1, 1, 1.0),  # the same id again
    (3, 9, 400, 21, 30, 60, 1, 1, 1.0),  # outside
    (3, 9, 20, 21, 30, 10, 1, 1, 1.0),  # low
    (3, -1, 150, 21, 30, 60, 1, 1, 1.0),  # nobody knows
]


def convert(folders, out, videos=(), cameras=(), format="mot17", **rules):
    rules = MotRules(format=format, **rules)
    converted = convert_mot(find_sequences(folders, videos, cameras), rules, out)
    return converted.dicts, converted.counts


def boxes(dicts):
    """(id, box) of each; "ignore" stands for the id of a region that counts for nothing."""
    return [
        [("ignore" if a.get("iscrowd") else a["person_id"], a["bbox"]) for a in d["annotations"]]
        for d in dicts
    ]


def test_mot_rows(tmp_path):
    """Nobody who is there becomes background: who is not to be used stays, without an id."""
    sequence = write_sequence(tmp_path / "walk", ROWS, 3)
    converted, counts = convert([sequence], tmp_path / "out", shared_ids=True)
    full = [60, 20, 90, 80]
    assert boxes(converted["walk"]) == [
        [
            (3, [10, 20, 40, 80]),
            (4, [0, 40, 20, 100]),
            (-1, full),  # hidden
            ("ignore", full),  # flagged
            ("ignore", full),  # a distractor
            (-1, full),  # a static person, whose flag is 0
        ],
        [(3, [12, 20, 42, 80])],
        [
            (-1, [14, 20, 44, 80]),  # an id at two places: nobody knows which is right
            (-1, [94, 20, 124, 80]),
            ("ignore", [19, 20, 49, 30]),
            (-1, [149, 20, 179, 80]),
        ],
    ]
    assert +counts == {
        "boxes cut at the border (kept)": 1,
        "persons less visible than 0.25 (kept, unlabelled)": 1,
        "boxes flagged to be ignored (0) (kept as ignore regions)": 1,
        "boxes of class 8 (distractor) (kept as ignore regions)": 1,
        "boxes of class 7 (static person) (kept, unlabelled)": 1,
        "boxes outside their picture, or of no size": 1,
        "boxes lower than 16 pixels (kept as ignore regions)": 1,
        "boxes of an id that their frame has twice (kept, unlabelled)": 2,
    }
    assert [d["image_id"] for d in converted["walk"]] == [f"walk/{i:06d}" for i in (1, 2, 3)]
    assert {(d["width"], d["height"], d["camera_id"]) for d in converted["walk"]} == {(200, 100, 1)}


def test_mot_rules(tmp_path):
    sequence = write_sequence(tmp_path / "walk", ROWS, 3)
    choice = ClassChoice(persons=["distractor", "7"])
    rules = {"min_visibility": 0.1, "classes": choice, "min_height": 5, "zero_based": True}
    converted, _ = convert([sequence], tmp_path, shared_ids=True, **rules)
    ids = [[i for i, _ in frame] for frame in boxes(converted["walk"])]
    assert ids == [[3, 4, 5, "ignore", 7, "ignore"], [3], [-1, -1, 9, -1]]
    assert boxes(converted["walk"])[0][0] == (3, [11, 21, 41, 81])
    with pytest.raises(UserError, match="no sequence has a class 'staff'; there are .*pedestrian"):
        convert([sequence], tmp_path, classes=ClassChoice(others=["staff"]))


@pytest.mark.parametrize("zero_based, origin", [(False, "1"), (True, "0 (as told)")])
def test_where_pixels_count_from_is_told(tmp_path, zero_based, origin):
    sequence = write_sequence(tmp_path / "walk", ROWS, 3)
    rules = MotRules(format="mot17", zero_based=zero_based)
    said = convert_mot(find_sequences([sequence]), rules, tmp_path).assumed[0]
    rest = "frames from 1; classes as in MOT16 and MOT17"
    assert said == f"walk: read as mot17 (as told): x and y count from {origin}, {rest}"


@pytest.mark.parametrize("limit, kind", [(0.25, "ignore"), (0, 1)])
def test_who_is_wholly_hidden_is_not_learned(tmp_path, limit, kind):
    rows = [(1, 1, 61, 21, 30, 60, 1, 1, 0.0), (1, 2, 11, 21, 30, 60, 1, 1, 0.7)]
    sequence = write_sequence(tmp_path / "walk", rows, 1)
    converted, _ = convert([sequence], tmp_path, shared_ids=True, min_visibility=limit)
    assert [i for i, _ in boxes(converted["walk"])[0]] == [kind, 2]


def test_a_box_that_stands_there_twice_is_one(tmp_path):
    rows = [(1, 1, 61, 21, 30, 60)] * 2
    sequence = write_sequence(tmp_path / "walk", rows, 1)
    converted, counts = convert([sequence], tmp_path, shared_ids=True)
    assert boxes(converted["walk"]) == [[(1, [60, 20, 90, 80])]]
    assert +counts == {"boxes that stand there twice with one id (one kept)": 1}


def test_mot_stride_and_frames_beyond_the_annotations(tmp_path):
    rows = [(f, 1, 10, 20, 30, 60, 1, 1, 1) for f in range(2, 8)]
    sequence = write_sequence(tmp_path / "walk", rows, 10)
    converted, counts = convert([sequence], tmp_path, stride=2)
    assert [d["image_id"] for d in converted["walk"]] == [f"walk/{n:06d}" for n in (3, 5, 7)]
    assert +counts == {
        "boxes in frames that are not taken (stride), or not there": 3,
        "frames before the first or after the last annotated one": 4,
    }
    with pytest.raises(UserError, match="--stride 40 takes none of the frames 2 to 7"):
        convert([sequence], tmp_path, stride=40)
    (sequence / "img1" / "000005.jpg").unlink()
    with pytest.raises(UserError, match=r"1 of the annotated numbers have no picture, the first 5"):
        convert([sequence], tmp_path)
    converted, counts = convert([sequence], tmp_path, numbering=Numbering(1))
    assert counts["frames that are annotated but not there"] == 1
    assert [d["image_id"][-1] for d in converted["walk"]] == ["2", "3", "4", "6", "7"]


def test_ids_are_distinct_or_shared(tmp_path):
    rows = [(1, 3, 11, 21, 30, 60), (2, 12, 11, 21, 30, 60)]
    folders = [write_sequence(tmp_path / name, rows, 2) for name in ("one", "two")]
    distinct, _ = convert(folders, tmp_path)
    shared, _ = convert(folders, tmp_path, shared_ids=True)

    def ids(converted):
        return [a["person_id"] for dicts in converted.values() for d in dicts
                for a in d["annotations"]]  # fmt: skip

    assert ids(distinct) == [103, 112, 203, 212]
    assert ids(shared) == [3, 12, 3, 12]


@pytest.mark.parametrize(
    "names, given, cameras",
    [
        (["cam3_day", "cam12"], (), [3, 12]),
        (["c2s1", "c2s2"], (), [2, 2]),
        (["MOT17-02", "MOT17-04"], (), [1, 2]),
        (["cam3", "yard"], (), [1, 2]),
        (["a", "b"], (7, 9), [7, 9]),
    ],
)
def test_cameras(tmp_path, names, given, cameras):
    folders = [write_sequence(tmp_path / name, ROWS, 1) for name in names]
    assert [s.camera for s in find_sequences(folders, (), given)] == cameras


def test_a_folder_of_sequences_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a"):
        write_sequence(tmp_path / name, ROWS, 1)
    (tmp_path / "notes").mkdir()
    assert [s.name for s in find_sequences([tmp_path])] == ["a", "b"]


@pytest.mark.parametrize("entry", ["imDir=pictures", "imDir=pictures/", "imdir = pictures\\"])
def test_seqinfo_names_the_folder_of_pictures(tmp_path, entry):
    folder = write_sequence(tmp_path / "walk", ROWS, 2)
    (folder / "img1").rename(folder / "pictures")
    seqinfo = folder / "seqinfo.ini"
    seqinfo.write_text(f"\ufeff[Sequence]\r\nname=MOT17-02\r\n{entry}\r\nseqLength=2\r\n")
    (sequence,) = find_sequences([folder])
    assert [path.stem for path in sequence.pictures] == ["000001", "000002"]
    assert sequence.names == ["walk", "MOT17-02"] and sequence.length == 2


@pytest.mark.parametrize(
    "text, reason",
    [
        ("[Sequence]\nimDir=../../etc\n", "imDir: '../../etc' is no plain file name"),
        ("[Sequence]\nimDir=/data\n", "imDir: '/data' is no plain file name"),
        ("[Sequence]\nimDir=pictures\n", "no folder 'pictures', but there is img1"),
        ("imDir=img1\n", "seqinfo.ini: not readable"),
        ("[Other]\nimDir=img1\n", r"no section \[Sequence\]"),
    ],
)
def test_bad_seqinfo(tmp_path, text, reason):
    folder = write_sequence(tmp_path / "walk", ROWS, 2)
    (folder / "seqinfo.ini").write_text(text)
    with pytest.raises(UserError, match=reason):
        find_sequences([folder])


@pytest.mark.parametrize("where", ["in the folder", "by option"])
def test_frames_of_a_video(tmp_path, where):
    """Frame n of the video has grey 20 n: the picture of row n must be that one."""
    rows = [(f, 1, 10, 20, 30, 60, 1, 1, 1) for f in range(1, 7)]
    folder = write_sequence(tmp_path / "walk", rows, 0)
    video = write_video((folder if where == "in the folder" else tmp_path) / "v.avi", 6)
    videos = [] if where == "in the folder" else [video]
    converted, _ = convert([folder], tmp_path / "out", videos=videos, stride=3)
    dicts = converted["walk"]
    assert [d["image_id"] for d in dicts] == ["walk/000001", "walk/000004"]
    for d, number in zip(dicts, (1, 4)):
        image = np.asarray(Image.open(d["file_name"]))
        assert image.shape == (FRAME_SIZE[1], FRAME_SIZE[0], 3)
        assert abs(image.mean() - 20 * number) < 6
    assert sorted(p.name for p in (tmp_path / "out" / "walk").iterdir()) == [
        "000001.jpg", "000004.jpg"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["v.ts", "v.H264", "v.mjpeg"])
def test_endings_are_those_of_indexed_videos(tmp_path, name):
    folder = write_sequence(tmp_path / "walk", [(1, 1, 10, 20, 30, 60)], 0)
    for file in (folder / name, folder / "._v.ts"):  # the other is of an archive made by macOS
        file.touch()
    assert find_sequences([folder])[0].video == folder / name


def test_frames_of_a_video_with_a_step(tmp_path):
    """CVAT counts the frames it shows: with a step of 4 from frame 1 on, frame 2 is the sixth."""
    folder = write_sequence(tmp_path / "walk", [(f, 1, 10, 20, 30, 60) for f in (1, 2, 3)], 0)
    write_video(folder / "v.avi", 11)
    with pytest.raises(UserError, match="last frame of gt.txt is 3, and the video has 11"):
        convert([folder], tmp_path / "out")
    converted, _ = convert([folder], tmp_path / "out", numbering=Numbering(1, 4))
    greys = [np.asarray(Image.open(d["file_name"])).mean() for d in converted["walk"]]
    assert [round(grey / 20) for grey in greys] == [2, 6, 10]
    assert [d["image_id"] for d in converted["walk"]] == [f"walk/{n:06d}" for n in (1, 2, 3)]


def test_a_video_without_the_annotated_frames(tmp_path):
    folder = write_sequence(tmp_path / "walk", [(50, 1, 10, 20, 30, 60)], 0)
    write_video(folder / "v.avi", 3)
    for numbering in (None, Numbering(0)):
        with pytest.raises(UserError, match="has 3"):
            convert([folder], tmp_path / "out", numbering=numbering)
    (folder / "v.avi").write_bytes(b"no video")
    with pytest.raises(UserError, match="can't be opened"):
        convert([folder], tmp_path / "out")


def test_sequences_that_do_not_fit(tmp_path):
    folder = write_sequence(tmp_path / "a" / "walk", ROWS, 1)
    other = write_sequence(tmp_path / "b" / "walk", ROWS, 0)
    for folders, options, reason in (
        ([tmp_path / "none"], {}, "sequence '.*none' not found"),
        ([tmp_path], {}, "has no gt/gt.txt, nor has a folder in it"),
        ([other], {}, "has no pictures in img1, and no video"),
        ([folder, other], {}, "two sequences are called 'walk'"),
        ([folder], {"cameras": [1, 2]}, "--camera: 2 given for 1 sequences"),
        ([folder], {"videos": [tmp_path / "v.mp4"]}, "--video: '.*v.mp4' not found"),
    ):
        with pytest.raises(UserError, match=reason):
            find_sequences(folders, **options)
    (tmp_path / "c").symlink_to(folder)
    with pytest.raises(UserError, match="are the same sequence"):
        find_sequences([folder, tmp_path / "c"])


def test_a_video_of_two_sequences_is_refused(tmp_path):
    folders = [write_sequence(tmp_path / name, ROWS, 0) for name in ("a", "b")]
    video = write_video(folders[0] / "v.avi", 2)
    (folders[1] / "other.avi").write_bytes(video.read_bytes())
    with pytest.raises(UserError, match="are the same video"):
        find_sequences(folders)


def test_nobody_left(tmp_path):
    sequence = write_sequence(tmp_path / "walk", ROWS[3:4], 1)
    with pytest.raises(UserError, match=r"no labelled person is left \(1 boxes flagged"):
        convert([sequence], tmp_path)


def test_detections_are_no_ground_truth(tmp_path):
    """The rows of det.txt: every id is -1, the seventh column is a score."""
    rows = [(1, -1, 10, 20, 30, 60, 17.5, -1, -1, -1), (1, -1, 60, 20, 30, 60, 3.1, -1, -1, -1)]
    with pytest.raises(UserError, match=r"no labelled person is left \(2 boxes without an id\)"):
        convert([write_sequence(tmp_path / "walk", rows, 1)], tmp_path, format="mot15")


def frames(camera, *frames_of_ids):
    """A frame for each tuple of ids."""
    return [
        {
            "image_id": f"{camera}/{i}",
            "camera_id": camera,
            "annotations": [person([10.0 * k, 0.0, 10.0 * k + 8, 20.0], j)
                            for k, j in enumerate(ids)],
        }
        for i, ids in enumerate(frames_of_ids)
    ]  # fmt: skip


def ids_of(dicts):
    return [[a["person_id"] for a in d["annotations"]] for d in dicts]


def test_split_by_ids():
    """1: two and one boxes; 2: one and two; 3: one each, stays in training; -1 is nobody's."""
    converted = {"a": frames(1, (1, -1), (1, 2, 3), (2, 3), (1, 2))}
    train, test, counts = split_by_ids(converted, 0.5)
    assert ids_of(train) == [[1, -1], [1, -1, 3]]
    assert ids_of(test) == [[2, -1], [-1, 2]]
    assert dict(counts) == {"boxes of an id of the other split (kept, unlabelled)": 3}


def test_split_by_ids_shares_out_who_is_always_there():
    """Dancers are in all frames of their sequence, as often before the cut as after it."""
    train, test, _ = split_by_ids({"a": frames(1, (1, 2, 3), (1, 2, 3))}, 0.5)
    assert ids_of(train) == [[1, -1, 3]] and ids_of(test) == [[-1, 2, -1]]


def test_split_by_ids_counts_a_shared_id_over_all_sequences():
    converted = {"a": frames(1, (1,), (1,)), "b": frames(2, (2,), (2, 1), (1,), (1, 3))}
    train, test, _ = split_by_ids(converted, 0.5)
    assert ids_of(train) == [[-1], [2], [2, -1]] and ids_of(test) == [[1], [1], [1, 3]]
    with pytest.raises(UserError, match="leaves nobody to test on"):
        split_by_ids({"a": frames(1, (1,), (1,), (1,), ())}, 0.5)


def test_split_by_sequences():
    converted = {name: frames(i, (i,)) for i, name in enumerate("abcd")}
    train, test, names = split_by_sequences(converted, test=["d", "b"])
    assert ids_of(train) == [[0], [2]] and ids_of(test) == [[1], [3]] and names == ["b", "d"]
    drawn = [split_by_sequences(converted, share=0.25, seed=seed)[2] for seed in (0, 0, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1] and {len(names) for names in drawn} == {1}
    assert len({tuple(names) for names in drawn}) > 1
    for options, reason in (
        ({"test": ["e"]}, "'e' is none of the sequences a, b, c, d"),
        ({"test": list("abcd")}, "leaves nothing to train on"),
    ):
        with pytest.raises(UserError, match=reason):
            split_by_sequences(converted, **options)
    with pytest.raises(UserError, match="leaves nothing to test on"):
        split_by_sequences({"a": converted["a"]})


def test_queries_are_one_a_person_and_camera():
    dicts = frames(2, (5, 1), (5,), (-1, 5)) + frames(1, (5, 7), (7,))
    queries, without = draw_queries(dicts, seed=0)
    assert without == 1  # person 1 is in one frame only
    assert [(q["person_id"], q["image_id"][0]) for q in queries] == [(5, "1"), (5, "2"), (7, "1")]
    assert all(q["gallery"] is None for q in queries)
    assert queries == draw_queries(dicts, seed=0)[0]
    drawn = {draw_queries(dicts, seed=s)[0][1]["image_id"] for s in range(20)}
    assert drawn == {"2/0", "2/1", "2/2"}
