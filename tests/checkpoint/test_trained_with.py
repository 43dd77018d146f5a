"""What of a config a checkpoint's own run contradicts, where no tensor tells the two apart."""

import pytest
import yaml

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint.trained_with import check_trained_with
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
    for in_training in (False, True):
        for stage in ("detection", "reid"):
            with refused(NAME, "timm:a", "timm:b"):
                check(weights, stage, *other, in_training=in_training)
    # f_r is not in the file, and may be another
    check(weights, "reid", *STAGED, OF_F_R, "timm:b", in_training=True)
    for own in ((), (OF_F_R, "timm:c")):  # its own network, or the detector's
        weights = trained(tmp_path, "reid", *STAGED, *own)
        check(weights, "reid", *STAGED, *own)
        for in_training in (False, True):
            with refused(OF_F_R, own[1] if own else "timm:a", "timm:b"):
                check(weights, "reid", *STAGED, OF_F_R, "timm:b", in_training=in_training)
    check(weights, "detection", *STAGED)  # of the file's detector


@pytest.mark.parametrize(
    "key, value, other, base",
    [
        (RES, "BN", "GN", "FasterRCNN"),
        (RES5, "BN", "GN", "FasterRCNN"),
        ("MODEL.DETECTOR.POOLER_RESOLUTION", r"\[16, 8\]", (8, 4), "FasterRCNN"),
        ("MODEL.FPN.NORM", "GN", "LN", "RetinaNet"),
        ("MODEL.FCOS.NORM", "GN", "LN", "FCOS"),
    ],
)
def test_a_detector_that_is_used_as_it_is(key, value, other, base, tmp_path):
    base = f"Base-{base}.yaml"
    said = () if value.startswith("\\") else (key, value)
    weights = trained(tmp_path, "detection", *said, detector=base)
    wrong = r"\[8, 4\]" if other == (8, 4) else other
    for stage, in_training in (("detection", False), ("reid", False), ("reid", True)):
        check(weights, stage, *said, detector=base, in_training=in_training)
        with refused(key, value, wrong):
            check(weights, stage, key, other, detector=base, in_training=in_training)
    check(weights, "detection", key, other, detector=base, in_training=True)  # it may learn it
    (tmp_path / "detection").mkdir()
    weights = trained(tmp_path / "detection", "detection", *said, detector=base)
    goes_on = ("OUTPUT_DIR", str(tmp_path))
    with refused(key, value, wrong):
        check(weights, "detection", key, other, *goes_on, detector=base, in_training=True)


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
    check(weights, "reid", key, other, in_training=True)  # which may learn others
    check(weights, "detection", key, other)
    weights = trained(tmp_path, "detection", key, value)  # a file without an f_r
    check(weights, "reid", key, other, in_training=True)


def test_an_old_config_without_the_keys_contradicts_nothing(tmp_path):
    weights = trained(tmp_path, "reid")
    content = yaml.safe_load((tmp_path / "config.yaml").read_text())
    del content["MODEL"]["STAGED"], content["MODEL"]["DETECTOR"], content["MODEL"]["REID"]
    (tmp_path / "config.yaml").write_text(yaml.dump(content))
    check(weights, "reid", *STAGED, OF_F_R, "timm:b")
    check(weights, "reid", "MODEL.REID.POOLING", "gem")
