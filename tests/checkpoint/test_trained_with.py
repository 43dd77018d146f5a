"""What of a config a checkpoint's own run contradicts, where no tensor tells the two apart."""

import re

import pytest
import yaml
from detectron2.modeling import META_ARCH_REGISTRY

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint.trained_with import check_trained_with
from fully_decoupled_ps.modeling.meta_arch import FullyDecoupledPersonSearch
from tests.testing import CONFIGS, make_config

STAGED = (
    *("MODEL.BACKBONE.NAME", "build_staged_backbone", "MODEL.STAGED.NAME", "timm:a"),
    *("MODEL.REID.SIDE_NET.NAME", "StagedSideNet"),
)
NAME, OF_F_R = "MODEL.STAGED.NAME", "MODEL.REID.SIDE_NET.STAGED"
RES5, RES, NORM = "MODEL.DETECTOR.RES5_NORM", "MODEL.RESNETS.NORM", "MODEL.REID.SIDE_NET.NORM"


def trained(folder, stage, *opts, detector="Base-FasterRCNN.yaml"):
    """The config of a run, and a checkpoint's path beside it."""
    cfg = make_config(stage, opts, config_file=CONFIGS / detector)
    (folder / "config.yaml").write_text(cfg.dump())
    return str(folder / "model_final.pth")


def check(weights, stage, *opts, detector="Base-FasterRCNN.yaml", **kwargs):
    opts = [*opts, "MODEL.WEIGHTS", weights]
    check_trained_with(make_config(stage, opts, config_file=CONFIGS / detector), **kwargs)


def refused(key, value, said):
    """One line that names both values."""
    both = f"was trained with {key} {value} .*but the config says {said}; set {key} to {value}"
    return pytest.raises(UserError, match=rf"\A(?=[^\n]*\Z).*{both}")


def test_another_staged_network_of_equal_shapes(tmp_path):
    weights = trained(tmp_path, "detection", *STAGED)
    check(weights, "detection", *STAGED)
    other = (*STAGED, NAME, "timm:b")
    for is_start in (False, True):
        for stage in ("detection", "reid"):
            with refused(NAME, "timm:a", "timm:b"):
                check(weights, stage, *other, is_start=is_start)
    # f_r is not in the file, and may be another
    check(weights, "reid", *STAGED, OF_F_R, "timm:b", is_start=True)
    for own in ((), (OF_F_R, "timm:c")):  # its own network, or the detector's
        weights = trained(tmp_path, "reid", *STAGED, *own)
        check(weights, "reid", *STAGED, *own)
        for is_start in (False, True):
            with refused(OF_F_R, own[1] if own else "timm:a", "timm:b"):
                check(weights, "reid", *STAGED, OF_F_R, "timm:b", is_start=is_start)
    check(weights, "detection", *STAGED)  # of the file's detector


@pytest.mark.parametrize(
    "key, value, other, base",
    [
        (RES, "BN", "GN", "FasterRCNN"),
        (RES5, "BN", "GN", "FasterRCNN"),
        ("MODEL.DETECTOR.POOLER_RESOLUTION", r"\[16, 8\]", (8, 4), "FasterRCNN"),
        ("MODEL.FPN.NORM", "GN", "LN", "RetinaNet"),
        ("MODEL.FCOS.NORM", "GN", "LN", "FCOS"),
        ("MODEL.FCOS.IN_FEATURES", r"\['p3', .*\]", ["p3", "p4"], "FCOS"),
        ("MODEL.RETINANET.IN_FEATURES", r"\['p3', .*\]", ["p3", "p4"], "RetinaNet"),
        ("MODEL.ROI_HEADS.NAME", "PersonRes5ROIHeads", "Res5ROIHeads", "FasterRCNN"),
        ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", 0, 2, "FasterRCNN"),
        ("MODEL.ANCHOR_GENERATOR.OFFSET", 0.0, 0.04, "RetinaNet"),
    ],
)
def test_a_detector_that_is_used_as_it_is(key, value, other, base, tmp_path):
    base = f"Base-{base}.yaml"
    said = () if str(value).startswith("\\") else (key, value)
    weights = trained(tmp_path, "detection", *said, detector=base)
    wrong = re.escape(str(list(other) if isinstance(other, tuple) else other))
    for stage, is_start in (("detection", False), ("reid", False), ("reid", True)):
        check(weights, stage, *said, detector=base, is_start=is_start)
        with refused(key, value, wrong):
            check(weights, stage, key, other, detector=base, is_start=is_start)
    check(weights, "detection", key, other, detector=base, is_start=True)  # it may learn it


def test_numbers_are_others_from_a_thousandth_of_them_on(tmp_path):
    mean, ratios = "MODEL.PIXEL_MEAN", "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"
    said = (mean, [103.53, 116.28, 123.675], ratios, [[0.5, 1.0, 2.0]])
    weights = trained(tmp_path, "detection", *said)
    check(weights, "reid", *said, mean, [103.5, 116.3, 123.7])  # rounded in print
    for key, other in ((mean, [104.0, 116.28, 123.675]), (ratios, [[0.46, 1.0, 2.0]])):
        with refused(key, r"\[.*\]", re.escape(str(other))):
            check(weights, "reid", *said, key, other)


def test_norms_that_compute_the_same_are_the_same(tmp_path):
    weights = trained(tmp_path, "reid", RES, "FrozenBN", NORM, "SyncBN")
    check(weights, "reid", RES, "BN", RES5, "SyncBN", NORM, "BN")
    with refused(RES5, "FrozenBN", "GN"):  # in the file it is that of all
        check(weights, "reid", RES5, "GN")
    # a staged network has norms of its own
    weights = trained(tmp_path, "reid", *STAGED, RES, "BN", NORM, "BN")
    check(weights, "reid", *STAGED, RES, "GN", NORM, "GN")


@pytest.mark.parametrize(
    "key, value, other",
    [
        (NORM, "GN", "LN"),
        ("MODEL.REID.FUSION.NAME", "AlphaBlendFusion", "NoFusion"),
        ("MODEL.REID.POOLING", "gem", "avg"),
        ("MODEL.REID.POOLER_RESOLUTION", (16, 8), (8, 4)),
    ],
)
def test_an_f_r_that_is_used_as_it_is(key, value, other, tmp_path):
    weights = trained(tmp_path, "reid", key, value)
    check(weights, "reid", key, value)
    with refused(key, *(r"\[.*\]" if isinstance(x, tuple) else x for x in (value, other))):
        check(weights, "reid", key, other)
    check(weights, "reid", key, other, is_start=True)  # which may learn others
    check(weights, "detection", key, other)
    weights = trained(tmp_path, "detection", key, value)  # a file without an f_r
    check(weights, "reid", key, other, is_start=True)


def test_an_f_r_pools_as_the_detector_s_key_says(tmp_path):
    key, fcos = "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", "Base-FCOS.yaml"
    weights = trained(tmp_path, "reid", key, 2, detector=fcos)
    with refused(key, 2, 0):
        check(weights, "reid", detector=fcos)
    check(weights, "detection", detector=fcos)  # which pools nothing
    check(trained(tmp_path, "reid", key, -1, detector=fcos), "reid", detector=fcos)  # as 0 is


def test_an_old_config_without_the_keys_contradicts_nothing(tmp_path):
    weights = trained(tmp_path, "reid")
    content = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del content["MODEL"]["STAGED"], content["MODEL"]["DETECTOR"], content["MODEL"]["REID"]
    (tmp_path / "config.yaml").write_text(yaml.dump(content))
    check(weights, "reid", *STAGED, OF_F_R, "timm:b")
    check(weights, "reid", "MODEL.REID.POOLING", "gem")


COUPLED = ("MODEL.META_ARCHITECTURE", "CoupledPersonSearch")
TWO_STEP = ("MODEL.META_ARCHITECTURE", "TwoStepPersonSearch")


@pytest.mark.parametrize(
    "network, stage, key, value, other",
    [
        (COUPLED, "joint", "MODEL.COUPLED.STRIDES", [8], [16]),
        (COUPLED, "joint", "MODEL.COUPLED.CONV5", "", "roi_heads.res5"),
        (TWO_STEP, "reid", "MODEL.CROP_REID.NAME", "timm:a", "timm:tf_a"),
    ],
)
def test_other_kinds_of_f_r(network, stage, key, value, other, tmp_path):
    weights = trained(tmp_path, stage, *network, key, value)
    check(weights, stage, *network, key, value)
    said = [re.escape(str(x) if x else '""') for x in (value, other)]
    with refused(key, *said):
        check(weights, stage, *network, key, other)


@pytest.mark.parametrize("name", [NAME, OF_F_R, "MODEL.CROP_REID.NAME"])
def test_a_tag_of_timm_names_weights_of_the_same_network(name, tmp_path):
    network, stage = TWO_STEP if "CROP" in name else STAGED, "detection" if name == NAME else "reid"
    weights = trained(tmp_path, stage, *network, name, "timm:a.in1k")
    check(weights, stage, *network, name, "timm:a")
    with refused(name, "timm:a.in1k", "timm:b.in1k"):
        check(weights, stage, *network, name, "timm:b.in1k")


@pytest.mark.parametrize(
    "key, other, opts",
    [
        ("MODEL.FPN.NORM", "GN", ()),
        ("MODEL.COAT.NUM_HEADS", 4, ()),
        ("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", 7, ()),
        ("MODEL.DETECTOR.POOLER_RESOLUTION", (8, 4), ("MODEL.ROI_HEADS.NAME", "Res5ROIHeads")),
    ],
)
def test_what_a_detector_does_not_read_contradicts_nothing(key, other, opts, tmp_path):
    weights = trained(tmp_path, "detection", *opts)
    check(weights, "detection", *opts, key, other)


@META_ARCH_REGISTRY.register()
class OwnSearch(FullyDecoupledPersonSearch):
    pass


def test_a_network_of_one_s_own_reads_what_its_base_reads(tmp_path):
    own = ("MODEL.META_ARCHITECTURE", "OwnSearch")
    weights = trained(tmp_path, "reid", *own, "MODEL.REID.POOLING", "gem")
    with refused("MODEL.REID.POOLING", "gem", "avg"):
        check(weights, "reid", *own, "MODEL.REID.POOLING", "avg")


@META_ARCH_REGISTRY.register()
def make_own_search(cfg):
    return OwnSearch(cfg)


def test_a_function_that_makes_a_network_has_no_bases(tmp_path):
    own = ("MODEL.META_ARCHITECTURE", "make_own_search")
    check(trained(tmp_path, "reid", *own), "reid", *own, "MODEL.REID.POOLING", "gem")
