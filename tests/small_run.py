"""A dataset of a few images and the training command on it, for tests that need a whole run."""

import json
import runpy
import sys

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import default_argument_parser

from fully_decoupled_ps import train_net
from fully_decoupled_ps.data import register_person_search_json
from tests.data.layouts import write_image
from tests.testing import PROJECT, TINY

# Six images of two cameras; three persons, each seen twice, and somebody unknown in every image.
IMAGES = [
    {"id": i, "file_name": f"{i}.jpg", "width": 96, "height": 64, "camera_id": 1 + i % 2}
    for i in range(6)
]
ANNOTATIONS = [
    annotation
    for i in range(6)
    for annotation in (
        {"image_id": i, "bbox": [8 + 4 * i, 4, 20, 50], "person_id": i // 2},
        {"image_id": i, "bbox": [60, 10 + i, 18, 40]},
    )
]


def run_train_net(config, *args):
    """``python train_net.py`` in this process, with flags and options; returns its exit status."""
    command = PROJECT / "train_net.py"
    flags = [a for a in args if str(a).startswith("--")]
    opts = [a for a in args if a not in flags]
    argv, sys.argv = sys.argv, list(map(str, [command, "--config-file", config, *flags, *opts]))
    try:
        runpy.run_path(str(command), run_name="__main__")
    except SystemExit as end:
        return end.code
    finally:
        sys.argv = argv
    return 0


class SmallRun:
    """Registers the dataset under ``small_train`` and ``small_test``, and runs train_net.py on it.

    Used as a context manager, it takes the names away at the end.
    """

    names = ("small_train", "small_test")

    def __init__(self, root):
        self.output_dir = root / "output"
        for entry in IMAGES:
            write_image(root / "images" / entry["file_name"], entry["width"], entry["height"])
        self.path = root / "set.json"
        self.path.write_text(json.dumps({"images": IMAGES, "annotations": ANNOTATIONS}))
        for name in self.names:
            register_person_search_json(name, str(self.path), str(root / "images"), name[6:])

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for name in self.names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)

    def rewrite_persons(self, persons, crowd=None):
        """Write the file anew, with another known person in each image, and perhaps a crowd."""
        known = [{**a, "person_id": p} for a, p in zip(ANNOTATIONS[::2], persons)]
        crowds = [{"image_id": i, "bbox": crowd, "iscrowd": 1} for i in range(6) if crowd]
        annotations = [*known, *ANNOTATIONS[1::2], *crowds]
        self.path.write_text(json.dumps({"images": IMAGES, "annotations": annotations}))

    def train(self, config_file, opts=(), *, resume=False, eval_only=False, iterations=2):
        """Run ``main`` of train_net.py as the command line would, on tiny images."""
        opts = [
            *TINY,
            *("DATASETS.TRAIN", "('small_train',)", "DATASETS.TEST", "('small_test',)"),
            *("SOLVER.MAX_ITER", iterations, "SOLVER.STEPS", "()", "SOLVER.WARMUP_ITERS", 0),
            *("OUTPUT_DIR", self.output_dir),
            *opts,
        ]
        flags = ["--resume"] * resume + ["--eval-only"] * eval_only
        command = ["--config-file", str(config_file), *flags]
        return train_net.main(default_argument_parser().parse_args([*command, *map(str, opts)]))

    def scalars(self, stage):
        """The training log's line of a stage's last iteration."""
        lines = (self.output_dir / stage / "metrics.json").read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if "total_loss" in entry][-1]

    def results(self, stage):
        """What the evaluator wrote at the end of a stage."""
        path = self.output_dir / stage / "inference" / "small_test" / "metrics.json"
        return json.loads(path.read_text())
