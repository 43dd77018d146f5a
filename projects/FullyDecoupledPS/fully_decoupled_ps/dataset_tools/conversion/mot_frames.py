"""Which picture, or frame of a video, is which frame of gt.txt: told for certain, or refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from ...utils.names import natural
from .mot_formats import CVAT_FRAME

ASK = (
    "say which picture is frame 1 of gt.txt, and how many numbers lie between two frames, as "
    "--first-frame 0 --frame-step 5"
)


@dataclass(frozen=True)
class Numbering:
    """Frame n of gt.txt is the picture of this number, or this frame of the video (from 0).

    Attributes:
        first: of frame 1.
        step: from a frame to the next.
    """

    first: int
    step: int = 1

    def number(self, frame: int) -> int:
        return self.first + (frame - 1) * self.step


def pair_pictures(
    pictures: Sequence[Path],
    annotated: Sequence[int],
    where: str,
    *,
    numbering: Numbering | None = None,
    in_order: bool = False,
    length: int | None = None,
) -> tuple[dict[int, Path], str]:
    """
    By number, if the names of all pictures end in different ones and all annotated frames are
    among them; by order, if there are as many pictures as frames. If both would do and differ,
    or neither does, nothing is assumed.

    Args:
        pictures: of a sequence, sorted.
        annotated: the frames of gt.txt, rising.
        where: the sequence, for an error.
        numbering: what the user says of it.
        in_order: whether the format says that the n-th picture is frame n, wherever names are not
            plain numbers (CVAT); then frames after the last annotated one may have nobody.
        length: the number of frames by seqinfo.ini.

    Returns:
        the pictures by frame of gt.txt, in their order, and how they were paired, for the user.

    Raises:
        UserError: the pictures can't be paired for certain.
    """
    numbers = [_number(path) for path in pictures]
    if numbering is not None:
        return _as_told(pictures, numbers, annotated, numbering, where)
    count, first, last = len(pictures), annotated[0], annotated[-1]
    plain = in_order and all(path.stem.isdecimal() for path in pictures)
    by_number = _distinct(numbers) and set(annotated) <= set(numbers)
    by_order = 1 <= first and last <= count and _evenly_named(pictures, numbers, in_order)
    if in_order and not any(path.stem.isdecimal() for path in pictures):
        # half of the frames or fewer: these may be other pictures, of which the frames are a part
        by_number, by_order = False, by_order and (2 * last > count or _of_cvat(pictures))
    elif by_number and not plain:
        from_0 = 0 in numbers and first > 0
        if from_0 or (by_order and any(numbers[n - 1] != n for n in annotated)):
            raise UserError(
                f"{where}: frames {first} to {last} of gt.txt can be the pictures of these "
                f"numbers, or the pictures in these places, of {count} from "
                f"'{pictures[0].name}' on; {ASK}"
            )
    else:
        by_order = by_order and count in (last, length)
    if by_number:
        return dict(sorted(zip(numbers, pictures))), "pictures go by the numbers in their names"
    if by_order:
        return dict(enumerate(pictures, 1)), "pictures go by the order of their names"
    raise UserError(
        f"{where}: frames {first} to {last} of gt.txt ({len(annotated)} with a box) do not fit "
        f"the {count} pictures from '{pictures[0].name}' to '{pictures[-1].name}'"
        f"{_fault(pictures, numbers, annotated)}; {ASK}"
    )


def pair_video(
    annotated: Sequence[int],
    count: int,
    where: str,
    *,
    numbering: Numbering | None = None,
    length: int | None = None,
) -> Numbering:
    """
    Args:
        annotated: the frames of gt.txt, rising.
        count: of the video's frames.
        numbering, length: as above.

    Returns:
        the numbering of the video's frames.

    Raises:
        UserError: the last frame is not the video's last, so that a frame step or another start
            is possible; or the video has not all frames.
    """
    first, last = annotated[0], annotated[-1]
    if numbering is None:
        if first < 1 or count not in (last, length):
            raise UserError(
                f"{where}: the last frame of gt.txt is {last}, and the video has {count}; say "
                "which frame of the video, from 0, is frame 1 of gt.txt, and how many lie between "
                "two, as --first-frame 0 --frame-step 1"
            )
        numbering = Numbering(0)
    if numbering.number(first) < 0 or numbering.number(last) >= count:
        raise UserError(
            f"{where}: frames {first} to {last} of gt.txt are frames {numbering.number(first)} to "
            f"{numbering.number(last)} of the video, from 0, which has {count}; give another "
            "video, --first-frame or --frame-step"
        )
    return numbering


def _as_told(
    pictures: Sequence[Path],
    numbers: Sequence[int | None],
    annotated: Sequence[int],
    numbering: Numbering,
    where: str,
) -> tuple[dict[int, Path], str]:
    if not _distinct(numbers):
        raise UserError(
            f"{where}: --first-frame and --frame-step need pictures whose names end in different "
            f"numbers{_fault(pictures, numbers, annotated)}; rename them"
        )
    found = {}
    for number, path in sorted(zip(numbers, pictures)):
        frame, rest = divmod(number - numbering.first, numbering.step)
        if rest == 0:
            found[frame + 1] = path
    if not set(annotated) & set(found):
        raise UserError(
            f"{where}: no picture is a frame of gt.txt ({annotated[0]} to {annotated[-1]}) with "
            f"--first-frame {numbering.first} --frame-step {numbering.step}; correct them"
        )
    return found, f"frame n is picture {numbering.first} + {numbering.step} (n - 1), as told"


def _number(path: Path) -> int | None:
    """The number that ends the picture's name."""
    number = re.search(r"\d+$", path.stem)
    return int(number[0]) if number else None


def _distinct(numbers: Sequence[int | None]) -> bool:
    return None not in numbers and len(set(numbers)) == len(numbers)


def _evenly_named(pictures: Sequence[Path], numbers: Sequence[int | None], in_order: bool) -> bool:
    """Whether the order of the pictures is beyond doubt, and none is missing among them."""
    if list(pictures) != sorted(
        pictures, key=lambda path: natural(str(path))
    ):  # 1, 10, 2: some programs sort it so
        return False
    if in_order and not _of_cvat(pictures):  # any names, which say nothing of what is missing
        return True
    if all(number is None for number in numbers):
        return True
    return _distinct(numbers) and len({b - a for a, b in zip(numbers, numbers[1:])}) <= 1


def _of_cvat(pictures: Sequence[Path]) -> bool:
    """Whether they are named as CVAT names the frames of a video."""
    return all(CVAT_FRAME.fullmatch(path.stem) for path in pictures)


def _fault(
    pictures: Sequence[Path], numbers: Sequence[int | None], annotated: Sequence[int]
) -> str:
    """What is odd about the pictures' numbers, in brackets."""
    without: list[Path] = [p for p, n in zip(pictures, numbers) if n is None]
    if without:
        return f" ('{without[0].name}' has no number)"
    by_number: dict[int, Path] = {}
    for path, number in zip(pictures, numbers):
        if number in by_number:
            return f" ('{by_number[number].name}' and '{path.name}' have one number)"
        by_number[number] = path
    missing = sorted(set(annotated) - set(by_number))
    if missing and len(missing) < len(annotated):
        return f" ({len(missing)} of the annotated numbers have no picture, the first {missing[0]})"
    return ""
