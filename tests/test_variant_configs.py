"""Every config of the paper's tables: what it says, and that it has its row."""

import re

import pytest
import torch
from detectron2.modeling import build_model

from tests.testing import CONFIGS, PROJECT, make_config

README = (PROJECT / "README.md").read_text()

# name -> detector, depth, side-net, its depth (0: the same), fusion
RESNET, OSNET = "ResNetSideNet", "OSNetSideNet"
BLEND, CONV, NONE = "AlphaBlendFusion", "ConvFusion", "NoFusion"
DECOUPLED = {
    "faster_rcnn_R50": ("GeneralizedRCNN", 50, RESNET, 0, BLEND),
    "faster_rcnn_R34": ("GeneralizedRCNN", 34, RESNET, 0, BLEND),
    "retinanet_R50": ("PersonRetinaNet", 50, RESNET, 0, BLEND),
    "retinanet_R34": ("PersonRetinaNet", 34, RESNET, 0, BLEND),
    "fcos_R50": ("FCOS", 50, RESNET, 0, BLEND),
    "fcos_R34": ("FCOS", 34, RESNET, 0, BLEND),
    "faster_rcnn_R50_R34": ("GeneralizedRCNN", 50, RESNET, 34, CONV),
    "faster_rcnn_R50_osnet": ("GeneralizedRCNN", 50, OSNET, 0, CONV),
    "faster_rcnn_R50_no_fusion": ("GeneralizedRCNN", 50, RESNET, 0, NONE),
    "faster_rcnn_R34_no_fusion": ("GeneralizedRCNN", 34, RESNET, 0, NONE),
    "coat_R50": ("GeneralizedRCNN", 50, RESNET, 0, BLEND),
}
# The successor's lighter f_d: blocks of conv2 to conv5.
LIGHT = {"lite": (3, 2, 2, 2), "minor": (3, 1, 1, 1)}
DECOUPLED |= {
    f"{name}_{kind}": DECOUPLED[name]
    for name in ("faster_rcnn_R50", "retinanet_R50", "fcos_R50")
    for kind in LIGHT
}
DECOUPLED["faster_rcnn_R50_lite_ord"] = DECOUPLED["faster_rcnn_R50"]
COUPLED = {
    "coupled_faster_rcnn_R50": "GeneralizedRCNN",
    "coupled_retinanet_R50": "PersonRetinaNet",
    "coupled_fcos_R50": "FCOS",
}
TWO_STEP = "two_step_R50"
DATA = {"prw": (5704, 500), "cuhk_sysu": (11206, 5000)}  # images, rows of the queue
SCORE_THRESH = {"GeneralizedRCNN": 0.5, "PersonRetinaNet": 0.2, "FCOS": 0.3}


def load(data, name, stage, opts=()):
    return make_config(stage, opts, config_file=CONFIGS / data / f"{name}.yaml")


def copies(data, detector):
    if data == "prw":
        return 9
    return 5 if detector == "GeneralizedRCNN" else 8


def stage_of(name):
    return "joint" if name in COUPLED else "reid"


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", [*DECOUPLED, *COUPLED])
def test_a_config_says_what_its_row_says(data, name):
    cfg = load(data, name, stage_of(name))
    reid, detector = cfg.MODEL.REID, cfg.MODEL.DETECTOR.NAME
    if name in COUPLED:
        assert (cfg.MODEL.META_ARCHITECTURE, detector) == ("CoupledPersonSearch", COUPLED[name])
        assert "STAGE: joint" in (CONFIGS / data / f"{name}.yaml").read_text()
    else:
        coat = name == "coat_R50"
        assert cfg.MODEL.META_ARCHITECTURE == (
            "CoatPersonSearch" if coat else "FullyDecoupledPersonSearch"
        )
        assert (cfg.MODEL.ROI_HEADS.NAME == "CoatROIHeads") == coat
        side_net = (reid.SIDE_NET.NAME, reid.SIDE_NET.DEPTH, reid.FUSION.NAME)
        assert (detector, cfg.MODEL.RESNETS.DEPTH, *side_net) == DECOUPLED[name]
        blocks = [LIGHT[kind] for kind in LIGHT if kind in name.split("_")]
        assert tuple(cfg.MODEL.DETECTOR.BLOCKS) == (*blocks, ())[0]
        assert reid.ORD.ENABLED == name.endswith("_ord")
        weights = "osnet_x1_0" if reid.SIDE_NET.NAME == OSNET else "R-50.pkl|resnet34"
        assert re.search(weights, reid.SIDE_NET.WEIGHTS)
        if reid.SIDE_NET.DEPTH == 34:
            assert "resnet34" in reid.SIDE_NET.WEIGHTS
    assert reid.BOX_NOISE.NUM_COPIES == copies(data, detector)
    assert reid.OIM.QUEUE_SIZE == DATA[data][1]
    assert cfg.TEST.SEARCH.SCORE_THRESH == SCORE_THRESH[detector]
    assert cfg.DATASETS.TRAIN == (f"{data}_train",)
    assert cfg.OUTPUT_DIR == f"output/{data}/{name}/{stage_of(name)}"


@pytest.mark.parametrize("data", DATA)
def test_the_two_step_config(data):
    cfg = load(data, TWO_STEP, "reid")
    assert cfg.MODEL.META_ARCHITECTURE == "TwoStepPersonSearch"
    assert (cfg.MODEL.DETECTOR.NAME, cfg.MODEL.RESNETS.DEPTH) == ("GeneralizedRCNN", 50)
    crop = cfg.MODEL.CROP_REID
    assert (crop.NAME, tuple(crop.SIZE), crop.FORMAT) == ("torchvision:resnet50", (256, 128), "RGB")
    assert crop.WEIGHTS.endswith("resnet50-0676ba61.pth")
    assert (crop.PIXEL_MEAN, crop.PIXEL_STD) == (
        (123.675, 116.28, 103.53),
        (58.395, 57.12, 57.375),
    )
    assert cfg.MODEL.REID.BOX_NOISE.NUM_COPIES == copies(data, "GeneralizedRCNN")
    assert cfg.MODEL.REID.OIM.QUEUE_SIZE == DATA[data][1]
    assert cfg.DATASETS.TRAIN == (f"{data}_train",)


def test_a_two_step_network_has_two_resnets_of_50_layers():
    """torchvision's has 25,557,032 parameters, of which the classifier has 2,049,000."""
    model = build_model(load("prw", TWO_STEP, "reid", ["MODEL.DEVICE", "cpu"]))
    assert sum(p.numel() for p in model.reid.parameters()) == 25_557_032 - 2_049_000
    alone = build_model(load("prw", "faster_rcnn_R50", "detection", ["MODEL.DEVICE", "cpu"]))
    numbers = [sum(p.numel() for p in m.detector.parameters()) for m in (model, alone)]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", [*DECOUPLED, *COUPLED, TWO_STEP])
def test_the_schedule_is_18_epochs_of_its_data(data, name):
    stages = [(stage_of(name), 5, 10)] + ([] if name in COUPLED else [("detection", 8, 12)])
    for stage, batch, drop in stages:
        solver = load(data, name, stage).SOLVER
        epoch = -(-DATA[data][0] // batch)
        schedule = (solver.IMS_PER_BATCH, solver.WARMUP_ITERS, solver.STEPS, solver.MAX_ITER)
        assert schedule == (batch, epoch, (drop * epoch,), 18 * epoch)
        assert (solver.BASE_LR, solver.GAMMA) == (0.003, 0.1)


# The successor's ConvNeXt-T: detector -> parameters in millions, as its row says.
CONVNEXT = {"faster_rcnn": "Faster R-CNN", "retinanet": "RetinaNet", "fcos": "FCOS"}


@pytest.mark.parametrize("data, drop", [("prw", 12), ("cuhk_sysu", 10)])
@pytest.mark.parametrize("name", CONVNEXT)
def test_a_convnext_config_and_its_schedule(name, data, drop):
    for stage in ("detection", "reid"):
        cfg = load(data, f"{name}_convnext_t_lite", stage)
        assert cfg.MODEL.STAGED.NAME == "torchvision:convnext_tiny"
        assert tuple(cfg.MODEL.DETECTOR.BLOCKS) == (3, 2, 2, 2)
        assert cfg.MODEL.BACKBONE.FREEZE_AT == 2
        reid = cfg.MODEL.REID
        assert (reid.SIDE_NET.NAME, reid.POOLING) == ("StagedSideNet", "gem")
        assert reid.SIDE_NET.WEIGHTS.endswith("/convnext_tiny_22k_224.pth")
        noise = (reid.BOX_NOISE.CENTER_SHIFT, reid.BOX_NOISE.SCALE, reid.BOX_NOISE.NUM_COPIES)
        assert noise == (0.4, 0.2, 4)
        assert (reid.OIM.FOCAL_GAMMA, reid.OIM.QUEUE_SIZE) == (2.0, DATA[data][1])
        solver = cfg.SOLVER
        batch, epochs, drops = (16, 60, (24, 48)) if stage == "detection" else (5, 30, (drop,))
        # an epoch is rounded down for the detector, as the successor's
        epoch = DATA[data][0] // 16 if stage == "detection" else -(-DATA[data][0] // 5)
        steps = tuple(n * epoch for n in drops)
        assert (solver.IMS_PER_BATCH, solver.STEPS, solver.MAX_ITER) == (
            batch,
            steps,
            epochs * epoch,
        )
        assert (solver.BASE_LR, solver.WEIGHT_DECAY, solver.WARMUP_ITERS) == (0.001, 0.0001, epoch)


@pytest.mark.parametrize("name", CONVNEXT)
def test_parameters_of_convnext_t(name):
    """torchvision's number less what is left out; a block of c channels has 8 c^2 + 58 c."""
    with torch.device("meta"):  # no weights are needed to count them
        model = build_model(
            load("prw", f"{name}_convnext_t_lite", "reid", ["MODEL.DEVICE", "meta"])
        )

    def block(c):
        return 8 * c * c + 58 * c

    whole = 28_589_128 - 769_000
    count = {part: sum(p.numel() for p in net.parameters()) for part, net in model.named_children()}
    shared = 3 * 16 * 96 + 3 * 96 + 3 * block(96)  # stem and first stage
    assert count["reid"] == whole - shared + 2 + 1 + 2 * 768  # blends, GeM, neck
    if name == "faster_rcnn":
        lite = whole - block(192) - 7 * block(384) - block(768)
        rpn = 9 * 384 * 384 + 384 + 385 * 15 * (1 + 4)
        assert count["detector"] == lite + 2 * 384 + rpn + 769 * (2 + 4)  # a norm of res4
    row = re.search(rf"^\| {CONVNEXT[name]}, ConvNeXt-T lite \| ([\d.]+) \|", README, re.MULTILINE)
    assert float(row[1]) == round(sum(count.values()) / 1e6, 1)


def test_leaf_files_are_short_and_each_has_a_row():
    files = [p for data in DATA for p in (CONFIGS / data).glob("*.yaml")]
    assert len(files) >= 2 * (len(DECOUPLED) + len(COUPLED))
    for path in files:
        assert len(path.read_text().splitlines()) <= 15, path
        assert f"prw/{path.stem}" in README, path
    for name in re.findall(r"train (prw/\w+)", README):
        for data in ("prw", "cuhk_sysu"):
            known = (CONFIGS / f"{name.replace('prw', data)}.yaml").is_file()
            assert known or name.removeprefix("prw/").split("_R")[0].endswith("_fpn"), name
