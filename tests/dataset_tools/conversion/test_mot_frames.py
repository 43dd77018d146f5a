"""A picture is a frame of gt.txt for certain, or the pairing is refused."""

from pathlib import Path

import pytest

from fully_decoupled_ps.dataset_tools.conversion.mot_frames import (
    Numbering,
    pair_pictures,
    pair_video,
)
from fully_decoupled_ps.errors import UserError


def named(numbers, pattern="{:06d}.jpg"):
    return sorted(Path("img1", pattern.format(n)) for n in numbers)


def pair(pictures, annotated, **options):
    """frame -> name without ending"""
    paired, _ = pair_pictures(pictures, list(annotated), "walk", **options)
    return {frame: path.stem for frame, path in paired.items()}


CVAT = {"in_order": True}
FRAME = "frame_{:06d}.PNG"


@pytest.mark.parametrize(
    "pictures, annotated, options, expected",
    [
        # by number: the same as by order
        (named([1, 2, 3]), [1, 3], {}, {1: "000001", 2: "000002", 3: "000003"}),
        (named([1, 2, 3], "{:08d}.jpg"), [2], {}, {n: f"{n:08d}" for n in (1, 2, 3)}),
        # by number: by order is impossible
        (named([100, 101]), [100, 101], {}, {100: "000100", 101: "000101"}),
        (named([0, 1]), [0, 1], {}, {0: "000000", 1: "000001"}),
        (named([1, 26, 51]), [1, 26, 51], {}, {n: f"{n:06d}" for n in (1, 26, 51)}),
        (named(range(1, 12), "{}.jpg"), [11], {}, {n: str(n) for n in range(1, 12)}),
        # by order: numbers do not fit, counts do
        (named([0, 1, 2]), [1, 2, 3], {}, {1: "000000", 2: "000001", 3: "000002"}),
        (named([0, 5, 10]), [1, 3], {}, {1: "000000", 2: "000005", 3: "000010"}),
        (named([0, 5, 10]), [1, 2], {"length": 3}, {1: "000000", 2: "000005", 3: "000010"}),
        # CVAT: names that are numbers are the frames' numbers, others are in order
        (named([0, 1, 2]), [1, 2], CVAT, {0: "000000", 1: "000001", 2: "000002"}),
        (named([0, 5, 10], FRAME), [1, 2], CVAT,
         {1: "frame_000000", 2: "frame_000005", 3: "frame_000010"}),
        (named([0, 5, 10], FRAME), [1], CVAT,
         {1: "frame_000000", 2: "frame_000005", 3: "frame_000010"}),
        (named([7, 9, 30], "IMG_{}.jpg")[::-1][::-1], [2], CVAT, None),
        (named([13, 17, 30], "IMG_{}.jpg"), [2], CVAT, {1: "IMG_13", 2: "IMG_17", 3: "IMG_30"}),
        # as told
        (named([0, 5, 10, 11]), [1, 3], {"numbering": Numbering(0, 5)},
         {1: "000000", 2: "000005", 3: "000010"}),
        (named([1, 2, 4]), [3, 4], {"numbering": Numbering(1)},
         {1: "000001", 2: "000002", 4: "000004"}),
    ],
)  # fmt: skip
def test_pictures(pictures, annotated, options, expected):
    if expected is None:  # IMG_30, IMG_7, IMG_9: sorted as text, and no tool need sort so
        with pytest.raises(UserError, match="--first-frame"):
            pair(pictures, annotated, **options)
    else:
        assert pair(pictures, annotated, **options) == expected


@pytest.mark.parametrize(
    "pictures, annotated, options, reason",
    [
        # the last frame may have nobody: numbers from 0 and places from 1 would both do
        (named([0, 1, 2]), [1, 2], {}, "can be the pictures of these numbers, or"),
        (named([1, 3, 5]), [1, 3], {}, "can be the pictures of these numbers, or"),
        (named([0, 1, 3]), [1, 3], {}, "can be the pictures of these numbers, or"),
        (
            named([1, 2, 4]),
            [1, 2, 3],
            {},
            "1 of the annotated numbers have no picture, the first 3",
        ),
        (named([1, 2]), [1, 50], {}, "frames 1 to 50 of gt.txt (2 with a box) do not fit the 2"),
        (named([0, 5, 10]), [1, 2], {}, "do not fit the 3 pictures"),
        ([Path("1.jpg"), Path("1.png")], [1], {}, "'1.jpg' and '1.png' have one number"),
        ([Path("1.jpg"), Path("thumb.jpg")], [1], {}, "'thumb.jpg' has no number"),
        # a picture of CVAT's is missing; more frames than pictures; pictures of another extraction
        (named([0, 5, 15], FRAME), [1, 2], CVAT, "do not fit the 3 pictures"),
        (named([0, 5], FRAME), [1, 3], CVAT, "do not fit the 2 pictures"),
        (named(range(1, 7), "img_{}.jpg"), [1, 2, 3], CVAT, "do not fit the 6 pictures"),
        (named([0, 1]), [-1, 1], {}, "do not fit the 2 pictures"),
        (named([0, 5]), [7], {"numbering": Numbering(0, 5)}, "no picture is a frame of gt.txt"),
        ([Path("a.jpg")], [1], {"numbering": Numbering(0)}, "'a.jpg' has no number"),
    ],
)
def test_what_is_not_certain_is_refused(pictures, annotated, options, reason):
    with pytest.raises(UserError) as e:
        pair(pictures, annotated, **options)
    assert reason in str(e.value)


def test_video():
    assert pair_video([1, 7], 7, "walk") == Numbering(0)
    assert pair_video([1, 5], 7, "walk", length=7) == Numbering(0)
    assert pair_video([1, 5], 7, "walk", numbering=Numbering(0)) == Numbering(0)
    assert pair_video([0, 6], 7, "walk", numbering=Numbering(1)).number(0) == 0
    assert [Numbering(100, 5).number(n) for n in (1, 2, 3)] == [100, 105, 110]
    for annotated, numbering in (
        ([1, 5], None),  # five frames of seven: the first five?
        ([0, 6], None),
        ([1, 8], None),
        ([1, 8], Numbering(0)),
        ([0, 6], Numbering(0)),
        ([1, 4], Numbering(0, 3)),
    ):
        with pytest.raises(UserError, match="walk: .* has 7"):
            pair_video(annotated, 7, "walk", numbering=numbering)
