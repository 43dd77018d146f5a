"""Detectron2's detectors on a staged network, f_r beside them, and other families of the two."""

import copy

import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY, build_model
from detectron2.utils.events import EventStorage
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.engine.check_config import check_parts, check_unread
from fully_decoupled_ps.modeling import STAGED_NETWORK_REGISTRY, Stage, StagedNetwork
from fully_decoupled_ps.modeling.activation_checkpointing import CheckpointedSequential
from tests.modeling.staged.networks import BLOCKS, BUILDERS, CHANNELS, of_timm, staged
from tests.testing import CONFIGS, FRUGAL, NARROW, image, make_config, training_input

LITE = ("MODEL.DETECTOR.BLOCKS", (2, 1, 2, 1))


def config(stage, detector="Base-FasterRCNN.yaml", *opts, name="NarrowConvNeXt"):
    opts = [*NARROW, *FRUGAL, *staged(name), "MODEL.REID.NUM_IDS", 4, *opts]
    opts += ["MODEL.BACKBONE.NAME", BUILDERS[detector]]
    return make_config(stage, opts, config_file=CONFIGS / detector)


def build(*args, **kwargs):
    torch.manual_seed(0)
    return build_model(config(*args, **kwargs))


def step(model):
    with EventStorage():
        losses = model.train()([training_input([0, 1]), training_input([1, -1], seed=1)])
    sum(losses.values()).backward()
    return losses


@pytest.mark.parametrize(
    "name", ["NarrowConvNeXt", "NarrowSwin", of_timm("test_efficientnet", "timm:")]
)
@pytest.mark.parametrize("detector", BUILDERS)
def test_a_step_of_each_stage_and_a_search(detector, name):
    for stage in ("detection", "reid", "joint"):
        model = build(stage, detector, name=name)
        before = copy.deepcopy(model.state_dict())
        losses = step(model)
        assert all(torch.isfinite(loss) for loss in losses.values())
        trained = {n for n, p in model.named_parameters() if p.grad is not None}
        wanted = {n for n, p in model.named_parameters() if p.requires_grad}
        assert trained == wanted
        # the input layer is frozen, and in stage reid all of the detector
        assert any(n.startswith("detector.") for n in trained) == (stage != "reid")
        frozen = ("stem.", "res2.") if stage != "reid" else ("",)
        for n, value in model.state_dict().items():
            part = n.split("bottom_up." if "bottom_up." in n else "backbone.")[-1]
            if n.startswith("detector.backbone") and part.startswith(frozen):
                assert n not in trained and torch.equal(value, before[n]), n
        x = {"image": image(3, (65, 99)), "queries": [[4.0, 6.0, 30.0, 60.0]]}
        with torch.no_grad():
            found = model.eval()([x])[0]
        if stage != "detection":
            assert found["query_features"].shape == (1, model.reid.feature_dim)
            assert len(found["instances"].reid_features) == len(found["instances"])


@pytest.mark.parametrize("freeze_at", [-1, 0, 1, 2, 5, 9])
@pytest.mark.parametrize("detector", ["Base-FasterRCNN.yaml", "Base-RetinaNet.yaml"])
def test_the_stages_that_freeze_at_freezes_are_a_resnet_s(detector, freeze_at):
    """Detectron2's rule: the stem from 1 on, stage i from i on; never conv5 of a C4 head."""
    detector = build("detection", detector, "MODEL.BACKBONE.FREEZE_AT", freeze_at).detector
    parts = {n.rpartition(".")[2]: m for n, m in detector.named_modules()}
    for least, part in enumerate(("stem", "res2", "res3", "res4", "res5"), start=1):
        in_head = part == "res5" and hasattr(detector, "roi_heads")
        is_frozen = freeze_at >= least and not in_head
        assert {p.requires_grad for p in parts[part].parameters()} == {not is_frozen}, part


@pytest.mark.parametrize("detector", BUILDERS)
def test_boxes_are_those_of_the_detector_alone_to_the_bit(detector):
    model = build("reid", detector).eval()
    cfg = config("reid", detector)
    alone = META_ARCH_REGISTRY.get(cfg.MODEL.DETECTOR.NAME)(cfg).eval()
    alone.load_state_dict(model.detector.state_dict())
    with torch.no_grad():
        ours, own = (net([{"image": image(3)}])[0]["instances"] for net in (model, alone))
    assert len(own) and torch.equal(ours.pred_boxes.tensor, own.pred_boxes.tensor)
    assert torch.equal(ours.scores, own.scores)


@pytest.mark.parametrize("detector", ["Base-FasterRCNN.yaml", "Base-FCOS.yaml"])
def test_f_r_takes_the_stages_maps_before_their_norms(detector):
    model = build("reid", detector).eval()
    tap, bottom_up = model.feature_tap, model.feature_tap.bottom_up
    assert isinstance(bottom_up.norm4, nn.LayerNorm)
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad(), tap.record() as maps:
        outputs = bottom_up(images)
    assert {n: (s.channels, s.stride) for n, s in tap.shapes().items()} == {
        name: (CHANNELS[i], 4 * 2**i) for i, name in enumerate(("res2", "res3", "res4"))
    }
    with torch.no_grad():
        alone = tap.run(images)
    assert all(torch.equal(alone[name], value) for name, value in maps.items())
    with torch.no_grad():
        assert torch.equal(bottom_up.norm4(maps["res4"]), outputs["res4"])
    assert not torch.equal(maps["res4"], outputs["res4"])


def test_the_lighter_detector_is_the_full_one_without_its_last_blocks():
    full, lite = build("reid").eval(), build("reid", "Base-FasterRCNN.yaml", *LITE).eval()
    kept = full.state_dict()
    lite.load_state_dict({n: kept[n] for n in lite.state_dict()})
    backbone, head = full.detector.backbone, full.detector.roi_heads
    stages = (backbone.res2, backbone.res3, backbone.res4, head.res5)
    for stage, number in zip(stages, LITE[1]):
        for index in range(number, len(stage.blocks)):
            stage.blocks[index] = nn.Identity()
    with torch.no_grad():
        found = [net([{"image": image(3)}])[0]["instances"] for net in (lite, full)]
    assert len(found[0])
    for field in ("scores", "reid_features"):
        assert torch.equal(found[0].get(field), found[1].get(field))
    side_net = lite.reid.side_net
    assert [len(s.blocks) for s in (side_net.res3, side_net.res4)] == list(BLOCKS[1:3])


def test_f_r_by_hand():
    """Own stages, blended with f_d's maps, each the next one's input."""
    model = build("reid").eval()
    net = model.reid.side_net
    for fusion in net.fusions.values():
        nn.init.constant_(fusion.alpha_logit, 0.7)
    maps = {f"res{i + 2}": torch.rand(1, CHANNELS[i], 16 >> i, 24 >> i) for i in range(3)}
    alpha = torch.tensor(0.7).sigmoid()
    with torch.no_grad():
        x = maps["res2"]
        for name in ("res3", "res4"):
            x = alpha * maps[name] + (1 - alpha) * getattr(net, name)(x)
        assert torch.allclose(net(maps), x, atol=1e-6)
    assert model.reid.feature_dim == CHANNELS[3]


CONV = ("MODEL.REID.FUSION.NAME", "ConvFusion")
RESNET = (*CONV, "MODEL.REID.SIDE_NET.NAME", "ResNetSideNet", "MODEL.REID.SIDE_NET.DEPTH", 18)
SWIN = (*CONV, "MODEL.REID.SIDE_NET.STAGED", "NarrowSwin")


@pytest.mark.parametrize("opts, dim", [(RESNET, 512), (SWIN, 128)], ids=["ResNet", "Swin"])
def test_f_r_of_another_family(opts, dim):
    model = build("reid", "Base-FasterRCNN.yaml", *opts)
    assert isinstance(model.reid.side_net.side_ada, nn.Conv2d) or opts is SWIN
    step(model)
    assert model.reid.feature_dim == dim


def test_a_staged_f_r_beside_a_resnet_at_an_odd_size():
    opts = [*NARROW, *FRUGAL, *CONV, "MODEL.REID.SIDE_NET.NAME", "StagedSideNet"]
    opts += ["MODEL.REID.SIDE_NET.STAGED", "NarrowConvNeXt", "MODEL.REID.NUM_IDS", 4]
    model = build_model(make_config("reid", opts))
    step(model)
    x = {"image": image(3, (67, 101)), "queries": [[4.0, 6.0, 30.0, 60.0]]}
    with torch.no_grad():
        assert model.eval()([x])[0]["query_features"].shape == (1, CHANNELS[3])


def test_coat_and_the_coupled_network_on_it():
    coat = ("MODEL.META_ARCHITECTURE", "CoatPersonSearch", "MODEL.COAT.DIM", 32)
    coat += (
        "MODEL.ROI_HEADS.NAME",
        "CoatROIHeads",
        "MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG",
        True,
    )
    coat += ("MODEL.COAT.NUM_HEADS", 2)
    step(build("reid", "Base-FasterRCNN.yaml", *coat))
    coupled = ("MODEL.META_ARCHITECTURE", "CoupledPersonSearch")
    coupled += ("MODEL.COUPLED.FEATURES", "backbone.norm4")
    model = build("joint", "Base-FasterRCNN.yaml", *coupled, name="NarrowSwin")
    step(model)
    assert model.reid.feature_dim == 128


def test_blocks_computed_again_give_the_same_gradients():
    models = [
        build("reid", "Base-FasterRCNN.yaml", "MODEL.REID.SIDE_NET.CHECKPOINTING", names)
        for names in ((), ("res3", "res4", "res5"))
    ]
    assert isinstance(models[1].reid.side_net.res3.blocks, CheckpointedSequential)
    for model in models:
        torch.manual_seed(3)  # of the noise and the stochastic depth
        step(model)
    grads = [{n: p.grad for n, p in m.reid.named_parameters()} for m in models]
    assert all(torch.equal(g, grads[1][n]) for n, g in grads[0].items() if g is not None)


@pytest.mark.parametrize("opts", [("TEST.AUTOCAST", "bfloat16"), ("MODEL.CHANNELS_LAST", True)])
@pytest.mark.parametrize("name", ["NarrowConvNeXt", "NarrowSwin"])
def test_other_precision_and_memory_format(name, opts):
    x = [{"image": image(3), "queries": [[4.0, 6.0, 30.0, 60.0]]}]
    with torch.no_grad():
        plain, other = (
            build("reid", "Base-FasterRCNN.yaml", *more, name=name).eval()(x)[0]["query_features"]
            for more in ((), opts)
        )
    assert torch.nn.functional.cosine_similarity(plain, other) > 0.99


@pytest.mark.parametrize(
    "opts, said",
    [
        (("MODEL.DETECTOR.BLOCKS", (2, 2, 4, 2)), "res4 of the detector has 3 blocks"),
        (("MODEL.DETECTOR.BLOCKS", None), r"BLOCKS is None; say \(\) for all blocks"),
        (("MODEL.DETECTOR.RES5_NORM", "BN"), "RES5_NORM is of Detectron2's ResNets"),
        (
            ("MODEL.RESNETS.OUT_FEATURES", ["res5", "res6"]),
            "OUT_FEATURES is .*'res6'.* outputs are res2",
        ),
        (SWIN[2:], "AlphaBlendFusion needs equal channels .* MODEL.REID.FUSION.NAME ConvFusion"),
        (("MODEL.REID.SIDE_NET.STAGED", "Unknown"), "SIDE_NET.STAGED: 'Unknown' is not registered"),
        (("MODEL.STAGED.NAME", ""), "MODEL.STAGED.NAME: '' is not registered"),
        (
            (
                "MODEL.REID.SIDE_NET.STAGED",
                "NarrowSwin",
                "MODEL.REID.SIDE_NET.NAME",
                "OSNetSideNet",
            ),
            "SIDE_NET.STAGED is 'NarrowSwin', which OSNetSideNet does not read; .* StagedSideNet",
        ),
        (("MODEL.STAGED.DROP_PATH", 2.0), r"STAGED.DROP_PATH is 2.0; it must be in \[0, 1\)"),
        (("MODEL.STAGED.DROP_PATH", float("nan")), "STAGED.DROP_PATH is nan"),
        (
            ("MODEL.REID.SIDE_NET.DEPTH", 18),
            "SIDE_NET.DEPTH is 18, which StagedSideNet does not read; .* ResNetSideNet",
        ),
    ],
)
def test_a_mistake_is_one_line(opts, said):
    with pytest.raises(UserError, match=said):
        cfg = config("reid", "Base-FasterRCNN.yaml", *opts)
        check_parts(cfg)
        check_unread(cfg)
        build_model(cfg)


C4 = ("MODEL.BACKBONE.NAME", "build_staged_backbone")


@pytest.mark.parametrize(
    "detector, opts, said",
    [
        ("RetinaNet", C4, "levels p3 to p7 of .*; set it to build_retinanet_staged_fpn"),
        ("FCOS", C4, "levels p3 to p7 of FCOS; set it to build_fcos_resnet_fpn_backbone"),
        (
            "RetinaNet",
            ("MODEL.BACKBONE.NAME", "build_staged_fpn_backbone"),
            "set it to build_retinanet_staged_fpn_backbone",
        ),
        (
            "FCOS",
            ("MODEL.FCOS.BOTTOM_UP", "build_staged_fpn_backbone"),
            "BOTTOM_UP is build_staged_fpn_backbone, a pyramid, .* it to build_staged_backbone",
        ),
        ("FasterRCNN", ("MODEL.RESNETS.OUT_FEATURES", ["res3"]), r"OUT_FEATURES is \['res3'\]; "),
        (
            "FasterRCNN",
            ("MODEL.ROI_HEADS.NAME", "Res5ROIHeads"),
            "Res5ROIHeads, whose conv5 is a ResNet's; PersonRes5ROIHeads has that of ",
        ),
    ],
)
def test_a_backbone_that_does_not_fit_its_detector_is_one_line(detector, opts, said):
    cfg = config("reid", f"Base-{detector}.yaml")
    check_parts(cfg)
    cfg.merge_from_list(opts)
    with pytest.raises(UserError, match=said) as error:
        check_parts(cfg)
    assert "\n" not in str(error.value)


LEVELS, OUTPUTS = "MODEL.FPN.IN_FEATURES", "MODEL.RESNETS.OUT_FEATURES"
PYRAMIDS = [name for name in BUILDERS if name != "Base-FasterRCNN.yaml"]


@pytest.mark.parametrize("detector", PYRAMIDS)
def test_levels_of_a_pyramid_that_it_can_t_have_are_one_line(detector):
    check_parts(config("detection", detector, LEVELS, ["res4", "res5"]))
    # C4's outputs; none; one that is no output; a gap; and without what P6 is made from
    wrong = [([], ["res4"]), ([], ["res5"]), (["res3", "res4"], ["res4"])]
    wrong += [(["res3", "res5"], ["res3", "res5"])]
    if "fpn" not in detector:
        wrong += [(["res3", "res4"], ["res3", "res4", "res5"])]
    for levels, outputs in wrong:
        cfg = config("detection", detector, LEVELS, levels, OUTPUTS, outputs)
        with pytest.raises(UserError, match="IN_FEATURES is .*OUT_FEATURES .*; .*set both") as e:
            check_parts(cfg)
        assert "\n" not in str(e.value)


def test_stochastic_depth_of_no_staged_network_is_refused():
    drop_path = ("MODEL.STAGED.DROP_PATH", 0.1)
    check_unread(config("reid", "Base-FasterRCNN.yaml", *drop_path))
    f_r_alone = ["MODEL.REID.SIDE_NET.NAME", "StagedSideNet"]
    f_r_alone += ["MODEL.REID.SIDE_NET.STAGED", "NarrowConvNeXt"]
    check_unread(make_config("reid", [*f_r_alone, *drop_path]))
    with pytest.raises(UserError, match="DROP_PATH is 0.1, and no network here is a staged one"):
        check_unread(make_config("reid", drop_path))
    check_parts(make_config("reid", drop_path))  # a network that was trained so is used


def test_the_coupled_network_pools_what_the_detector_sees():
    coupled = ("MODEL.META_ARCHITECTURE", "CoupledPersonSearch")
    with pytest.raises(UserError, match="FEATURES is backbone.res4, .* set it to backbone.norm4"):
        build("joint", "Base-FasterRCNN.yaml", *coupled)
    # a network without a final norm has none here either
    build("joint", "Base-FasterRCNN.yaml", *coupled, name="WidensLate")


RESNETS = {
    "Base-FasterRCNN.yaml": ("MODEL.BACKBONE.NAME", "build_resnet_backbone"),
    "prw/faster_rcnn_fpn_R50.yaml": ("MODEL.BACKBONE.NAME", "build_resnet_fpn_backbone"),
    "Base-FCOS.yaml": ("MODEL.FCOS.BOTTOM_UP", "build_resnet_backbone"),
}


@pytest.mark.parametrize("detector", RESNETS)
def test_a_name_that_no_part_reads_is_refused(detector):
    cfg = config("reid", detector)
    cfg.merge_from_list(RESNETS[detector])
    check_parts(cfg)  # f_r reads it
    for opts in (RESNET, (*SWIN, "MODEL.REID.SIDE_NET.NAME", "StagedSideNet")):
        cfg.merge_from_list(opts)
        said = f"STAGED.NAME is 'NarrowConvNeXt', but the backbone is {RESNETS[detector][1]}"
        with pytest.raises(UserError, match=f"{said}, .* MODEL.BACKBONE.NAME to .*BOTTOM_UP"):
            check_parts(cfg)


def test_a_staged_f_r_of_no_network_is_refused_before_it_is_built():
    with pytest.raises(UserError, match="StagedSideNet, and of no network; name one with"):
        check_parts(make_config("detection", ["MODEL.REID.SIDE_NET.NAME", "StagedSideNet"]))


def test_conv5_of_a_resnet_s_detector_is_a_resnet_s_though_f_r_is_staged():
    cfg = config("reid", "Base-FasterRCNN.yaml", *CONV, "MODEL.STAGED.NAME", "NarrowConvNeXt")
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    model = build_model(cfg)
    assert isinstance(model.detector.roi_heads.res5, nn.Sequential)
    assert model.reid.feature_dim == CHANNELS[3]


@STAGED_NETWORK_REGISTRY.register()
def WidensLate(cfg, variant):
    """res4's second block has its channels, and its first one has others."""

    def stage(*channels, stride=2):
        entry = nn.Conv2d(
            channels[0], channels[1], 2 * stride - 1, stride=stride, padding=stride - 1
        )
        blocks = [nn.Conv2d(a, b, 1) for a, b in zip(channels[1:], channels[2:])]
        return Stage(
            entry=entry, blocks=nn.Sequential(*blocks), out_channels=channels[-1], stride=stride
        )

    stages = [
        stage(4, 4, 4, 4, stride=1),
        stage(4, 8, 8, 8),
        stage(8, 8, 8, 16),
        stage(16, 8, 8, 8),
    ]
    return StagedNetwork(stem=Stage(entry=nn.Conv2d(3, 4, 4, stride=4), stride=4), stages=stages)


@pytest.mark.parametrize("detector", ["Base-FasterRCNN.yaml", "Base-RetinaNet.yaml"])
def test_blocks_without_which_a_stage_has_other_channels_are_refused(detector):
    def build_lite(blocks):
        build("detection", detector, "MODEL.DETECTOR.BLOCKS", blocks, name="WidensLate")

    build_lite((1, 1, 2, 1))
    said = (
        r"BLOCKS is \(1, 1, 1, 1\), .* res4 gives a map of \(1, 8, 4, 6\), where \(1, 16, .* keep"
    )
    with pytest.raises(UserError, match=said) as error:
        build_lite((1, 1, 1, 1))
    assert "\n" not in str(error.value)


def test_blocks_of_a_network_without_a_sequence_of_them_are_refused():
    opts = ("MODEL.DETECTOR.BLOCKS", (1, 1, 1, 1))
    with pytest.raises(
        UserError,
        match="BLOCKS is of networks of sequences of blocks, .* has no res2, res3, res4, res5",
    ):
        build("reid", "Base-FasterRCNN.yaml", *opts, name="timm:regnetx_002")
