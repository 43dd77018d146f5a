"""What makes a training set another one, and what does not."""

import copy
import re

import pytest

from fully_decoupled_ps.data.fingerprint import differences, fingerprint

DICTS = [
    {"file_name": f"/data/{i}.jpg", "image_id": i, "annotations": [{"person_id": i}, {}]}
    for i in range(3)
]


def changed(change):
    dicts = copy.deepcopy(DICTS)
    change(dicts)
    return fingerprint(["a"], dicts)


def test_what_is_counted():
    found = fingerprint(["a", "b"], DICTS)
    assert len(found.pop("hash")) == 64
    assert found == {"names": ["a", "b"], "frames": 3, "boxes": 6, "identities": 3}


def test_a_set_that_was_moved_or_renamed_is_the_same():
    moved = changed(lambda ds: [d.update(file_name=f"/new{d['file_name']}") for d in ds])
    before = fingerprint(["a"], DICTS)
    assert differences(before, moved) == ""
    assert differences(before, {**moved, "names": ["b"]}) == ""


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda ds: ds.pop(), "frames 3 -> 2; boxes 6 -> 4; identities 3 -> 2"),
        (lambda ds: ds[0]["annotations"].pop(), "boxes 6 -> 5"),
        (lambda ds: ds[0]["annotations"][1].update(person_id=2), "as many .*, but others"),
        (lambda ds: ds.reverse(), "as many .*, but others"),
        (lambda ds: ds[0].update(file_name="x.jpg"), "as many .*, but others"),
    ],
)
def test_what_changed_is_told(change, told):
    assert re.fullmatch(told, differences(fingerprint(["a"], DICTS), changed(change)))


def test_another_name_is_told_beside_what_changed():
    other = {**changed(lambda ds: ds.pop()), "names": ["b"]}
    assert differences(fingerprint(["a"], DICTS), other).startswith("a -> b; frames 3 -> 2")
