"""What conversions share: copies, ids that are numbered anew, ids twice in a frame."""

from collections import Counter

import pytest

from fully_decoupled_ps.data.datasets.checks import person
from fully_decoupled_ps.dataset_tools.conversion.frames import (
    drop_copies,
    numbered_anew,
    unlabel_repeated,
)
from fully_decoupled_ps.errors import UserError


def frames(folder, contents, people=True):
    folder.mkdir(exist_ok=True)
    dicts = []
    for i, content in enumerate(contents):
        (folder / f"{i}.jpg").write_bytes(content)
        annotations = [person([0.0, 0.0, 9.0, 9.0], 1)] if people else []
        dicts.append({"file_name": str(folder / f"{i}.jpg"), "annotations": annotations})
    return dicts


def test_a_picture_of_two_sequences_is_refused(tmp_path):
    converted = {
        "a": frames(tmp_path / "a", [b"one", b"two"]),
        "b": frames(tmp_path / "b", [b"x", b"two"]),
    }
    with pytest.raises(UserError, match="a/1.jpg' and '.*b/1.jpg' are the same picture"):
        drop_copies(converted, Counter())


def test_a_camera_that_stood_still_and_frames_without_anybody(tmp_path):
    converted = {
        "a": frames(tmp_path / "a", [b"no signal"], people=False),
        "b": frames(tmp_path / "b", [b"one", b"one", b"one", b"no signal"]),
        "c": frames(tmp_path / "c", [b"no signal"], people=False),
    }
    converted["b"][2]["annotations"] = [person([3.0, 0.0, 9.0, 9.0], 1)]  # moved, as nothing did
    counts: Counter = Counter()
    kept = drop_copies(converted, counts)
    names = {name: [d["file_name"][-5:] for d in dicts] for name, dicts in kept.items()}
    assert names == {"a": [], "b": ["0.jpg", "1.jpg", "3.jpg"], "c": []}
    assert +counts == {
        "frames whose picture is the same, byte by byte, as another's (kept)": 1,
        "frames whose picture is the same as another's, with other boxes": 3,
    }


@pytest.mark.parametrize(
    "ids, expected",
    [
        ({"a": {1, 2, 3}, "b": {1, 2}}, ["a", "b"]),
        ({"a": {0, 1}, "b": {1, 2}, "c": {4, 9}}, ["a", "b"]),
        ({"a": {1, 2, 3}}, []),  # one sequence: nothing is merged
        ({"a": {1, 2, 3}, "b": {2, 7}}, []),
        ({"a": {1, 3}, "b": {1, 2, 4}}, []),
        ({"a": {1}, "b": {1}}, []),
    ],
)
def test_ids_that_were_numbered_anew(ids, expected):
    assert numbered_anew(ids) == expected


def test_an_id_at_two_places_is_nobody_s():
    counts: Counter = Counter()
    places = [(0, 1), (20, 1), (0, 2), (0, 2), (5, -1), (5, -1)]  # x0 and id
    boxes = [person([x, 0, x + 9, 9], i) for x, i in places]
    kept = unlabel_repeated(boxes, counts)
    assert [a["person_id"] for a in kept] == [-1, -1, 2, -1, -1]
    assert sorted(counts.values()) == [1, 2]
