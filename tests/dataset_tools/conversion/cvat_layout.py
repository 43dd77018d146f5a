"""Exports of CVAT as its archives are unpacked, of drawn pictures that a box can be held against.

MOT 1.1: frames from 1 in the order of the pictures, tracks numbered anew from 1, x and y from 0,
"ignored" as flag 0, "occluded" as visibility 0.0, classes by the lines of gt/labels.txt, lines that
end in CRLF. COCO 1.0: `annotations/instances_default.json`, track_id from 0, attributes as set.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = (320, 180)


@dataclass
class Track:
    """Somebody, or something, that walks: `speed` pixels to the right a frame."""

    colour: tuple[int, int, int]
    x: float
    label: str = "person"
    y: float = 40
    size: tuple[int, int] = (30, 90)
    speed: int = 3
    occluded: Sequence[int] = ()  # in these frames, from 0
    ignored: bool = False
    person_id: object | None = None  # the attribute

    def box(self, k: int) -> list[float]:
        """x, y, w, h in frame k, from 0."""
        return [self.x + self.speed * k, self.y, *self.size]


def draw(path: Path, tracks: Sequence[Track], k: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", SIZE, (90, 90, 90))
    for track in tracks:
        x, y, w, h = track.box(k)
        ImageDraw.Draw(image).rectangle([x, y, x + w - 1, y + h - 1], fill=track.colour)
    image.save(path)


def colours_of_box(path, box) -> set:
    """What a box holds: x, y, w, h of whole numbers."""
    x, y, w, h = box
    return {colour for _, colour in Image.open(path).convert("RGB").crop(
        (x, y, x + w, y + h)).getcolors()}  # fmt: skip


def frame_name(k: int, step: int = 1) -> str:
    return f"frame_{k * step:06d}.PNG"


def write_mot(
    folder: Path,
    tracks: Sequence[Track],
    labels: Sequence[str],
    frames: int = 8,
    step: int = 1,
    empty: int = 0,
) -> Path:
    """Args: frames: with everybody, then `empty` ones with nobody; step: between their numbers."""
    lines = []
    for k in range(frames, frames + empty):
        draw(folder / "img1" / frame_name(k, step), [], k)
    for k in range(frames):
        draw(folder / "img1" / frame_name(k, step), tracks, k)
        for number, track in enumerate(tracks, 1):
            values = [k + 1, number, *map(float, track.box(k)), int(not track.ignored),
                      1 + labels.index(track.label), float(k not in track.occluded)]  # fmt: skip
            lines.append(",".join(map(str, values)) + "\r\n")
    (folder / "gt").mkdir()
    (folder / "gt" / "gt.txt").write_bytes("".join(lines).encode())
    (folder / "gt" / "labels.txt").write_text("\n".join(labels))
    return folder


def write_coco(
    folder: Path, tracks: Sequence[Track], labels: Sequence[str], frames: int = 8
) -> Path:
    content: dict[str, list] = {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "categories": [
            {"id": i, "name": name, "supercategory": ""} for i, name in enumerate(labels, 1)
        ],
        "images": [],
        "annotations": [],
    }
    for k in range(frames):
        draw(folder / "images" / "default" / frame_name(k), tracks, k)
        image = {"id": k + 1, "file_name": frame_name(k), "width": SIZE[0], "height": SIZE[1]}
        content["images"].append({**image, "license": 0, "flickr_url": "", "date_captured": 0})
        for number, track in enumerate(tracks):
            attributes = {"occluded": k in track.occluded, "rotation": 0.0}
            if track.person_id is not None:
                attributes["person_id"] = track.person_id
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": k + 1,
                    "category_id": 1 + labels.index(track.label),
                    "segmentation": [],
                    "area": track.size[0] * track.size[1],
                    "bbox": track.box(k),
                    "iscrowd": int(track.ignored),
                    "attributes": {**attributes, "track_id": number, "keyframe": k == 0},
                }
            )
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_default.json").write_text(json.dumps(content))
    return folder
