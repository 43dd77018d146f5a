"""What tests share: the shipped configs at a tiny size, made-up inputs, and a network to test."""

import copy
import functools
from pathlib import Path

import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from fully_decoupled_ps import apply_stage, load_config
from fully_decoupled_ps.dataset_tools.synthetic import SyntheticSpec, make_synthetic_dataset

PROJECT = Path(__file__).parent.parent / "projects" / "FullyDecoupledPS"
CONFIGS = PROJECT / "configs"
BASE_CONFIG = CONFIGS / "Base-FasterRCNN.yaml"

# A ResNet-18 for any config that has a ResNet.
RESNET18 = (
    *("MODEL.RESNETS.DEPTH", 18, "MODEL.RESNETS.STEM_OUT_CHANNELS", 64),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", 64, "MODEL.RESNETS.WIDTH_PER_GROUP", 64),
)

# A ResNet-50 of an eighth of the width, so that a step is quick and a checkpoint small.
NARROW = (
    *("MODEL.RESNETS.DEPTH", 50, "MODEL.RESNETS.STEM_OUT_CHANNELS", 8),
    *("MODEL.RESNETS.RES2_OUT_CHANNELS", 32, "MODEL.RESNETS.WIDTH_PER_GROUP", 8),
)

# Few proposals and tiny images, whatever the network.
FRUGAL = (
    *("MODEL.DEVICE", "cpu", "SOLVER.AMP.ENABLED", False),
    *("MODEL.RPN.PRE_NMS_TOPK_TRAIN", 50, "MODEL.RPN.POST_NMS_TOPK_TRAIN", 20),
    *("MODEL.RPN.PRE_NMS_TOPK_TEST", 50, "MODEL.RPN.POST_NMS_TOPK_TEST", 10),
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 8, "MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0),
    *("MODEL.DETECTOR.POOLER_RESOLUTION", (4, 2), "MODEL.REID.POOLER_RESOLUTION", (4, 2)),
    *("MODEL.REID.OIM.QUEUE_SIZE", 5, "MODEL.REID.BOX_NOISE.NUM_COPIES", 1),
    *("INPUT.MIN_SIZE_TRAIN", (64,), "INPUT.MAX_SIZE_TRAIN", 128),
    *("INPUT.MIN_SIZE_TEST", 64, "INPUT.MAX_SIZE_TEST", 128),
    *("DATALOADER.NUM_WORKERS", 0, "SOLVER.IMS_PER_BATCH", 2, "TEST.DETECTIONS_PER_IMAGE", 5),
)

# Batch norm that trains in the detector too, so that a freeze that forgets it is found out.
TRAINABLE_NORM = ("MODEL.RESNETS.NORM", "BN", "MODEL.BACKBONE.FREEZE_AT", 0)

TINY = (*NARROW, *FRUGAL, *TRAINABLE_NORM)


def make_config(stage, opts=(), *, config_file=BASE_CONFIG):
    """The config of one stage, with ``opts`` as from the command line, and no weights to load."""
    opts = ["SOLVER.STAGE", stage, "MODEL.WEIGHTS", "", *opts]
    cfg = load_config(str(config_file), opts)
    apply_stage(cfg, opts)
    return cfg


def make_model(stage, opts=(), *, num_ids=4, train=False):
    """A tiny network with random weights, of ``num_ids`` identities; in eval mode by default."""
    model = _build_model(stage, (*TINY, "MODEL.REID.NUM_IDS", num_ids, *opts))
    return copy.deepcopy(model).train(train)


@functools.lru_cache(maxsize=8)  # drawing the weights takes longer than a pass over an image
def _build_model(stage, opts):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(make_config(stage, opts))
        randomize_norms(model)
    return model


def randomize_norms(model):
    """Give batch norms statistics and weights other than 0 and 1, as training would."""
    for name, value in model.state_dict().items():
        if name.endswith("conv3.norm.weight"):
            value.uniform_(0.1, 0.3)  # or the maps of a deep ResNet grow to thousands
        elif name.endswith(("norm.weight", "running_var")):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.uniform_(-0.1, 0.1)


def image(seed, size=(64, 96)):
    """(3, height, width) of smooth random colours, 0 to 255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")[0]


BOXES = ((4.0, 6.0, 30.0, 60.0), (40.0, 2.0, 62.0, 50.0), (60.0, 20.0, 90.0, 62.0))


def training_input(person_ids, seed=0, size=(64, 96)):
    """An image with a person of each id, at the first of ``BOXES``."""
    instances = Instances(size)
    instances.gt_boxes = Boxes(torch.tensor(BOXES[: len(person_ids)]).reshape(-1, 4))
    instances.gt_classes = torch.zeros(len(person_ids), dtype=torch.int64)
    instances.gt_person_ids = torch.tensor(person_ids, dtype=torch.int64)
    return {"image": image(seed, size), "instances": instances}


def unit_rows(rows, dim, seed=0):
    """(rows, dim) random unit vectors."""
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(rows, dim, generator=generator))


def make_tiny_dataset(root):
    """A synthetic set of 20 frames in PRW's layout, drawn in about a second; returns its folder."""
    spec = SyntheticSpec(
        train_frames=12, test_frames=8, train_ids=4, test_ids=3, width=192, height=108
    )
    return make_synthetic_dataset(root, spec)
