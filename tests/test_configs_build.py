"""Every shipped config: it loads in the stages that it supports, and trains and infers a step."""

import pytest
import torch
from detectron2.modeling import build_model

from fully_decoupled_ps.engine.check_config import check_parts, check_test_numbers
from fully_decoupled_ps.engine.solver import build_optimizer
from tests.modeling.crop_networks import CROPS
from tests.modeling.staged import networks  # noqa: F401, registers NarrowConvNeXt
from tests.testing import CONFIGS, FRUGAL, RESNET18, image, make_config, training_input

LEAVES = sorted(
    str(path.relative_to(CONFIGS))
    for path in CONFIGS.glob("*/*.yaml")
    if path.parent.name != "ready"  # of published weights, and without data
)
SMALL = (
    *FRUGAL,
    *("MODEL.REID.NUM_IDS", 3, "SOLVER.BASE_LR", 0.001),
    *(*CROPS, "MODEL.RETINANET.SCORE_THRESH_TEST", 0.0, "MODEL.FCOS.SCORE_THRESH_TEST", 0.0),
)


def stages_of(name):
    """A coupled network is trained at once; any other in its two stages, or jointly as well."""
    return ["joint"] if "/coupled" in name else ["detection", "reid"]


def load(name, stage, opts=()):
    return make_config(stage, opts, config_file=CONFIGS / name)


def test_leaves_are_found():
    assert {"prw/faster_rcnn_R50.yaml", "cuhk_sysu/faster_rcnn_R34.yaml"} <= set(LEAVES)


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_is_short_and_loads(name):
    lines = (CONFIGS / name).read_text().splitlines()
    assert len(lines) <= 15 or name.startswith("synthetic/")
    for stage in stages_of(name):
        cfg = load(name, stage)
        check_parts(cfg)
        check_test_numbers(cfg)
        assert cfg.MODEL.META_ARCHITECTURE.endswith("PersonSearch")
        assert len(cfg.DATASETS.TRAIN) == len(cfg.DATASETS.TEST) == 1
        assert 0 < cfg.SOLVER.WARMUP_ITERS < cfg.SOLVER.MAX_ITER
        if cfg.SOLVER.LR_SCHEDULER_NAME == "WarmupMultiStepLR":
            assert all(step < cfg.SOLVER.MAX_ITER for step in cfg.SOLVER.STEPS)
        assert cfg.OUTPUT_DIR.endswith(f"{name.removesuffix('.yaml')}/{stage}")


already_run = set()


def network(cfg, stage):
    """What makes the network of a config: it need not be run twice."""
    model = cfg.MODEL.clone()
    if stage == "detection":
        del model["REID"]
    else:
        model.REID.SIDE_NET.WEIGHTS = ""
    return stage, model.dump()


@pytest.mark.parametrize("name", LEAVES)
def test_a_step_of_training_and_of_inference(name):
    """At ResNet-18's depth; the networks of full depth are built where parameters are counted."""
    for stage in stages_of(name):
        cfg = load(name, stage, [*RESNET18, *SMALL])
        if cfg.MODEL.STAGED.NAME:
            cfg.MODEL.STAGED.NAME = "NarrowConvNeXt"
        if cfg.MODEL.DETECTOR.BLOCKS:  # of an R-50 or a ConvNeXt-T
            cfg.MODEL.DETECTOR.BLOCKS = (2, 1, 2, 1)
        if network(cfg, stage) in already_run:
            continue
        already_run.add(network(cfg, stage))
        model = build_model(cfg).train()
        optimizer = build_optimizer(cfg, model)
        losses = model([training_input([0, -1]), training_input([1, 2], seed=1)])
        assert losses and all(loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        assert all(p.grad is not None for p in trained)
        before = [p.detach().clone() for p in trained]
        optimizer.step()
        assert any(not torch.equal(p, old) for p, old in zip(trained, before, strict=True))

        x = {"image": image(2), "height": 128, "width": 192, "queries": torch.ones(1, 4) * 9}
        x["queries"][:, 2:] = 90
        if model.is_two_step:
            x["original_image"] = image(2, (128, 192))
        (output,) = model.eval()([x])
        instances = output["instances"]
        assert instances.image_size == (128, 192)
        assert instances.has("reid_features") == (stage != "detection")
        assert ("query_features" in output) == (stage != "detection")
        if stage != "detection":
            assert len(instances.reid_features) == len(instances)
            torch.testing.assert_close(output["query_features"].norm(dim=1), torch.ones(1))
