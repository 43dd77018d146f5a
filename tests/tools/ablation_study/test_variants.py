"""What the ablation's rows start from."""

import torch
from detectron2.modeling import build_model

from ablation_study.variants import write_pretrained
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer
from fully_decoupled_ps.checkpoint.side_net import initialize_side_net
from tests.testing import CONFIGS, make_config


def test_the_pretrained_network_is_what_both_nets_start_from(tmp_path):
    """All its layers arrive: in f_d's backbone and RoI head, and in f_r."""
    source, detector, reid = (network(stage) for stage in ("joint", "detection", "joint"))
    torch.save({"model": source.state_dict()}, tmp_path / "joint.pth")
    path = tmp_path / "pretrained.pth"
    write_pretrained(tmp_path / "joint.pth", path)
    PersonSearchCheckpointer(detector).load(str(path), checkpointables=[])
    initialize_side_net(reid.reid, str(path), detector.detector)

    backbone = detector.detector.backbone
    assert_equal(backbone.stem, source.detector.backbone.stem)
    assert_equal(backbone.res2, source.detector.backbone.res2)
    for layers in (backbone, reid.reid.side_net):
        assert_equal(layers.res3, source.reid.side_net.res3)
        assert_equal(layers.res4, source.reid.side_net.res4)
    for conv5 in (detector.detector.roi_heads.res5, reid.reid.head.conv5):
        assert_equal(conv5, source.reid.head.conv5)


def network(stage):
    """Of the synthetic benchmark's config, with random weights that no other one has."""
    opts = ("MODEL.REID.NUM_IDS", 3, "MODEL.DEVICE", "cpu")
    return build_model(
        make_config(stage, opts, config_file=CONFIGS / "synthetic" / "faster_rcnn_R18.yaml")
    )


def assert_equal(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys() and len(ours) > 2
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
