"""A third party's parts: a detector, a side-net, networks of two kinds, a loss, a dataset.

They are registered here, outside the package, and train by config alone.
"""

import re

import pytest
import torch
import torch.nn.functional as F
from detectron2.data import DatasetCatalog
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.structures import Boxes, ImageList, Instances
from torch import nn

from fully_decoupled_ps.modeling import (
    CROP_REID_REGISTRY,
    REID_LOSS_REGISTRY,
    REID_SIDE_NET_REGISTRY,
    SIDE_FUSION_REGISTRY,
    STAGED_NETWORK_REGISTRY,
    CropNetwork,
    SideNet,
    Stage,
    StagedNetwork,
)
from fully_decoupled_ps.modeling.staged import rename_by_prefix
from tests.small_run import SmallRun
from tests.testing import CONFIGS, PROJECT


@META_ARCH_REGISTRY.register()
class OneBoxDetector(nn.Module):
    """Regresses one box an image from the mean of res4."""

    def __init__(self, cfg):
        super().__init__()
        self.backbone = build_backbone(cfg)
        self.box = nn.Linear(self.backbone.output_shape()["res4"].channels, 4)
        self.register_buffer("mean", torch.tensor(cfg.MODEL.PIXEL_MEAN).view(3, 1, 1), False)

    @property
    def device(self):
        return self.mean.device

    def preprocess_image(self, batched_inputs):
        return ImageList.from_tensors(
            [x["image"].to(self.device) - self.mean for x in batched_inputs]
        )

    def forward(self, batched_inputs):
        images = self.preprocess_image(batched_inputs)
        boxes = self.box(self.backbone(images.tensor)["res4"].mean(dim=(2, 3)))
        if self.training:
            targets = [x["instances"].gt_boxes.tensor[0].to(boxes) for x in batched_inputs]
            return {"loss_one_box": F.l1_loss(boxes, torch.stack(targets))}
        outputs = []
        for size in images.image_sizes:
            found = Instances(size, pred_boxes=Boxes(torch.tensor([[8.0, 4.0, 28.0, 54.0]])))
            found.scores, found.pred_classes = torch.ones(1), torch.zeros(1, dtype=torch.int64)
            outputs.append({"instances": found})
        return outputs


@REID_SIDE_NET_REGISTRY.register()
class PlainSideNet(SideNet):
    """Three 3 x 3 convolutions of eight channels."""

    def __init__(self, cfg, detector_shapes):
        fusion = SIDE_FUSION_REGISTRY.get(cfg.MODEL.REID.FUSION.NAME)
        super().__init__(
            side_ada=nn.Conv2d(detector_shapes["res2"].channels, 8, 1),
            res3=nn.Conv2d(8, 8, 3, stride=2, padding=1),
            res4=nn.Conv2d(8, 8, 3, stride=2, padding=1),
            res5=nn.Conv2d(8, 8, 3, padding=1),
            feature_dim=8,
            fusions={n: fusion(detector_shapes[n].channels, 8) for n in ("res3", "res4")},
        )


@REID_LOSS_REGISTRY.register()
class PullLoss(nn.Module):
    """Pulls the embeddings of a labelled person towards its row of the lookup table."""

    def __init__(self, cfg):
        super().__init__()

    def forward(self, embeddings, person_ids, memory):
        labelled = person_ids >= 0
        rows = memory.lookup_table[person_ids[labelled]]
        return {"loss_pull": (embeddings[labelled] - rows).square().sum() / len(embeddings)}


OPTS = (
    *("MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", 0, "MODEL.DETECTOR.NAME", "OneBoxDetector"),
    *("MODEL.REID.SIDE_NET.NAME", "PlainSideNet", "MODEL.REID.SIDE_NET.WEIGHTS", "random"),
    *("MODEL.REID.FUSION.NAME", "ConvFusion", "MODEL.REID.LOSSES", "('OIMLoss', 'PullLoss')"),
    *("MODEL.DETECTOR.BLOCKS", "(3, 2, 2, 1)"),
)


CROPS = ("MODEL.REID.ORD.ENABLED", True, "MODEL.REID.ORD.CROP_SIZE", "(48, 32)")


@pytest.mark.parametrize(
    "stages, crops",
    [(("detection", "reid"), ()), (("joint",), ()), (("detached",), ()), (("detached",), CROPS)],
    ids=["reid", "joint", "detached", "detached, with crops"],
)
def test_parts_from_outside_train_by_config_alone(stages, crops, tmp_path, restore_loggers):
    with SmallRun(tmp_path) as run:  # whose dataset is an own one, too
        for stage in stages:
            opts = [*(OPTS[2:] if stage == "reid" else OPTS), *crops]
            run.train(
                CONFIGS / "Base-FasterRCNN.yaml", [*opts, "SOLVER.STAGE", stage], iterations=1
            )
        assert ("loss_one_box" in run.scalars(stage)) == (stage != "reid")
        assert {"loss_oim", "loss_pull"} <= run.scalars(stage).keys()
        of_crops = {"loss_oim_crops", "loss_pull_crops", "loss_contrast", "loss_contrast_crops"}
        assert of_crops & run.scalars(stage).keys() == (of_crops if crops else set())
        assert run.results(stage)["search"].keys() >= {"mAP", "top1"}
    state = torch.load(run.output_dir / stage / "model_final.pth")["model"]
    assert state["reid.side_net.res4.weight"].shape == (8, 8, 3, 3)
    blocks = {name.split(".")[3] for name in state if name.startswith("detector.backbone.res4.")}
    assert blocks == {"0", "1"}  # a third party's detector is as light as it is told
    if stage == "reid":  # and a third party's detector is frozen as well
        before = torch.load(run.output_dir / "detection" / "model_final.pth")["model"]
        assert all(torch.equal(value, state[name]) for name, value in before.items())


@CROP_REID_REGISTRY.register()
class PlainCrops(CropNetwork):
    """One convolution, twice as many channels as its variant says."""

    def __init__(self, cfg, variant):
        super().__init__()
        self.feature_dim = 2 * int(variant)
        self.layer = nn.Conv2d(3, self.feature_dim, 3, stride=2)

    def forward(self, crops):
        return self.layer(crops).mean(dim=(2, 3))


def test_a_detector_and_a_network_for_crops_from_outside(tmp_path, restore_loggers):
    opts = (
        *("MODEL.META_ARCHITECTURE", "TwoStepPersonSearch", "MODEL.CROP_REID.WEIGHTS", "random"),
        *("MODEL.CROP_REID.NAME", "PlainCrops:6", "MODEL.CROP_REID.SIZE", (16, 8)),
    )
    with SmallRun(tmp_path) as run:
        run.train(CONFIGS / "Base-FasterRCNN.yaml", [*opts, *OPTS[:6]], iterations=1)
        stage = ["SOLVER.STAGE", "reid", "MODEL.DETECTOR.NAME", "OneBoxDetector"]
        run.train(CONFIGS / "Base-FasterRCNN.yaml", [*opts, *stage], iterations=1)
        assert {"loss_oim", "loss_triplet"} <= run.scalars("reid").keys()
        assert run.results("reid")["search"].keys() >= {"mAP", "top1"}
    state = torch.load(run.output_dir / "reid" / "model_final.pth")["model"]
    assert state["reid.network.layer.weight"].shape == (12, 3, 3, 3)
    before = torch.load(run.output_dir / "detection" / "model_final.pth")["model"]
    assert all(torch.equal(value, state[name]) for name, value in before.items())


@STAGED_NETWORK_REGISTRY.register()
def PlainStages(cfg, variant):
    """Convolutions of a few channels; files have a "layers.N" for each part."""
    channels = [int(variant) * 2**i for i in range(4)]
    parts = [nn.Conv2d(3, channels[0], 4, stride=4)]
    parts += [nn.Conv2d(a, b, 2, stride=2) for a, b in zip(channels, channels[1:])]
    blocks = [nn.Sequential(*(nn.Conv2d(c, c, 1) for _ in range(2))) for c in channels]
    names = {f"layers.{i}": f"res{i + 2}.entry" for i in (1, 2, 3)}
    names |= {f"blocks.{i}": f"res{i + 2}.blocks" for i in range(4)}
    later = zip(parts[1:], blocks[1:], channels[1:])
    return StagedNetwork(
        stem=Stage(entry=parts[0], stride=4),
        stages=[
            Stage(blocks=blocks[0], out_channels=channels[0]),
            *(Stage(entry=e, blocks=b, out_channels=c, stride=2) for e, b, c in later),
        ],
        rename_published=rename_by_prefix({"layers.0": "stem.entry", **names}),
    )


def plain_file(path, channels):
    """A published file of such a network: every number of it is its part's."""
    state = {"classifier.weight": torch.ones(3, 8 * channels)}
    for i in range(4):
        wide, narrow = channels * 2**i, channels * 2 ** max(i - 1, 0)
        shape = (wide, 3, 4, 4) if i == 0 else (wide, narrow, 2, 2)
        state |= {f"layers.{i}.weight": torch.full(shape, i / 100)}
        state |= {f"layers.{i}.bias": torch.full((wide,), i / 100)}
        for j in range(2):
            state |= {f"blocks.{i}.{j}.weight": torch.full((wide, wide, 1, 1), 0.1 + i / 100)}
            state |= {f"blocks.{i}.{j}.bias": torch.full((wide,), 0.1 + i / 100)}
    torch.save(state, path)


@pytest.mark.parametrize("is_mixed", [False, True], ids=["homogeneous", "heterogeneous"])
def test_a_network_of_stages_from_outside(is_mixed, tmp_path, restore_loggers):
    """Two stages from published files, evaluation, and going on; a lighter f_d; two widths."""
    files = {width: tmp_path / f"{width}.pth" for width in (4, 6)}
    for width, path in files.items():
        plain_file(path, width)
    width = 6 if is_mixed else 4
    opts = [
        *("MODEL.BACKBONE.NAME", "build_staged_backbone", "MODEL.STAGED.NAME", "PlainStages:4"),
        *("MODEL.BACKBONE.FREEZE_AT", 2, "MODEL.DETECTOR.BLOCKS", "(2, 1, 1, 1)"),
        *("MODEL.REID.SIDE_NET.NAME", "StagedSideNet", "MODEL.REID.SIDE_NET.WEIGHTS", files[width]),
    ]
    if is_mixed:
        opts += [
            "MODEL.REID.SIDE_NET.STAGED",
            "PlainStages:6",
            "MODEL.REID.FUSION.NAME",
            "ConvFusion",
        ]
    config = CONFIGS / "Base-FasterRCNN.yaml"
    reid = [*opts, "SOLVER.STAGE", "reid"]
    with SmallRun(tmp_path) as run:
        run.train(config, [*opts, "MODEL.WEIGHTS", files[4]], iterations=1)
        run.train(config, reid, iterations=1)
        results = run.results("reid")
        run.train(config, reid, eval_only=True)
        assert run.results("reid") == results
        run.train(config, reid, resume=True, iterations=2)
    before, after = (
        torch.load(run.output_dir / stage / "model_final.pth")["model"]
        for stage in ("detection", "reid")
    )
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert (after["detector.backbone.res2.blocks.1.weight"] == 0.1).all()  # frozen, from the file
    assert "detector.backbone.res3.blocks.1.weight" not in after
    assert after["reid.side_net.res3.blocks.1.weight"].shape == (2 * width, 2 * width, 1, 1)


def test_the_readmes_examples_train(tmp_path, restore_loggers, monkeypatch):
    """Its code as it stands, in a folder with the files that it names."""
    monkeypatch.chdir(tmp_path)
    extend = (PROJECT / "README.md").read_text().split("## Extend")[1]
    examples = re.findall(r"```python\n(.*?)```", extend, re.DOTALL)
    assert len(examples) == 6
    with SmallRun(tmp_path) as run:
        for split in ("train", "test"):
            (tmp_path / f"{split}.json").write_bytes((tmp_path / "set.json").read_bytes())
        for code in examples:
            assert len(code.splitlines()) < 30
            exec(code, {"__name__": "my_parts"})
        opts = [
            *("SOLVER.STAGE", "joint", "MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", 0),
            *("MODEL.DETECTOR.NAME", "MyDetector", "MODEL.REID.SIDE_NET.NAME", "MySideNet"),
            *("MODEL.REID.SIDE_NET.WEIGHTS", "random", "MODEL.REID.FUSION.NAME", "ConvFusion"),
            *("MODEL.REID.LOSSES", "('OIMLoss', 'MyLoss')"),
            *("DATASETS.TRAIN", "('my_train',)", "DATASETS.TEST", "('my_test',)"),
        ]
        run.train(CONFIGS / "prw" / "retinanet_R50.yaml", opts, iterations=1)
        assert {"loss_cls", "loss_oim", "loss_mine"} <= run.scalars("joint").keys()
        opts = [
            *("MODEL.META_ARCHITECTURE", "TwoStepPersonSearch", "SOLVER.STAGE", "reid"),
            *("MODEL.CROP_REID.NAME", "MyCrops", "MODEL.CROP_REID.WEIGHTS", "random"),
            *("MODEL.CROP_REID.SIZE", (32, 16), "MODEL.DETECTOR.NAME", "MyDetector"),
            *("MODEL.REID.LOSSES", "('OIMLoss', 'MyLoss')"),
        ]
        detector = [*opts[:2], *opts[-4:-2], "MODEL.WEIGHTS", ""]
        run.train(CONFIGS / "prw" / "retinanet_R50.yaml", detector, iterations=1)
        run.train(CONFIGS / "prw" / "retinanet_R50.yaml", opts, iterations=1)
        assert {"loss_oim", "loss_mine"} <= run.scalars("reid").keys()
        assert run.results("reid")["search"].keys() >= {"mAP", "top1"}
        opts = [
            *("SOLVER.STAGE", "joint", "MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", 0),
            *("MODEL.BACKBONE.NAME", "build_staged_backbone", "MODEL.STAGED.NAME", "MyNetwork"),
            *("MODEL.REID.SIDE_NET.NAME", "StagedSideNet", "MODEL.REID.SIDE_NET.WEIGHTS", "random"),
            *("MODEL.DETECTOR.BLOCKS", "(2, 1, 1, 1)"),
        ]
        run.train(CONFIGS / "Base-FasterRCNN.yaml", opts, iterations=1)
        assert {"loss_rpn_cls", "loss_oim"} <= run.scalars("joint").keys()
    for name in ("my_train", "my_test"):
        DatasetCatalog.remove(name)
