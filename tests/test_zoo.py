"""Configs of Detectron2's model zoo, and what a checkpoint was trained with."""

import hashlib
import sys

import detectron2
import pytest
import torch
import yaml
from detectron2 import model_zoo
from detectron2.modeling import GeneralizedRCNN, build_model

from fully_decoupled_ps import UserError, apply_stage, load_config
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, trained_with
from fully_decoupled_ps.checkpoint.detector_classes import classes_in, keep_class
from fully_decoupled_ps.checkpoint.trained_with import check_trained_with
from fully_decoupled_ps.config import STAGES, set_number_of_classes
from fully_decoupled_ps.engine.check_config import _check_weights, check_parts, tell_changes_of_zoo
from fully_decoupled_ps.modeling.meta_arch import build_detector
from tests.testing import CONFIGS, TINY, make_config, make_model

FPN = "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml"
FPN_URL = (
    "https://dl.fbaipublicfiles.com/detectron2/COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/"
    "model_final_280758.pkl"
)


def zoo_config(*opts, zoo=FPN):
    return load_config(opts=["MODEL.DETECTOR.ZOO", zoo, *opts])


def test_a_zoo_config_is_taken_as_it_is():
    cfg, own = zoo_config(), model_zoo.get_config(FPN)
    for node in ("BACKBONE", "RESNETS", "FPN", "RPN", "ROI_HEADS", "ROI_BOX_HEAD", "PIXEL_STD"):
        assert cfg.MODEL[node] == own.MODEL[node], node
    assert cfg.INPUT.FORMAT == own.INPUT.FORMAT == "BGR"
    assert cfg.INPUT.MIN_SIZE_TEST == own.INPUT.MIN_SIZE_TEST
    assert cfg.MODEL.META_ARCHITECTURE == "FullyDecoupledPersonSearch"
    assert cfg.MODEL.DETECTOR.NAME == "GeneralizedRCNN"
    assert cfg.MODEL.WEIGHTS == FPN_URL
    assert not cfg.DATASETS.TRAIN  # COCO is no person search data


def test_it_is_taken_by_its_name_from_a_yaml_from_a_dump_and_from_the_command_line(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"MODEL:\n  DETECTOR: {{ZOO: {FPN}}}\nINPUT: {{MIN_SIZE_TEST: 640}}\n")
    own = load_config(str(path))
    assert own.INPUT.MIN_SIZE_TEST == 640 and own.INPUT.FORMAT == "BGR"
    (tmp_path / "config.yaml").write_text(own.dump())
    again = load_config(str(tmp_path / "config.yaml"))
    assert yaml.safe_load(again.dump()) == yaml.safe_load(own.dump())
    assert load_config(FPN) == zoo_config()


@pytest.mark.parametrize(
    ("zoo", "person"),
    [
        (FPN, 0),
        ("PascalVOC-Detection/faster_rcnn_R_50_C4.yaml", 14),
        ("COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml", 0),
        ("COCO-Detection/fcos_R_50_FPN_1x.py", 0),
        ("COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.py", 0),
        (
            "LVISv0.5-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
            804,
        ),  # baby, child, ..., person
        ("LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml", 792),
    ],
)
def test_the_class_of_persons_is_taken_from_the_data_it_was_trained_on(zoo, person):
    assert zoo_config(zoo=zoo).MODEL.DETECTOR.PERSON_CLASS == person


@pytest.mark.parametrize(
    ("zoo", "named"),
    [
        ("COCO-Detection/faster_rcnn_R_50_FPN_2x.yaml", "faster_rcnn_R_50_FPN_3x.yaml"),
        ("COCO-Detection/rpn_R_50_FPN_1x.yaml", "ProposalNetwork"),
        ("COCO-Detection/fast_rcnn_R_50_FPN_1x.yaml", "no boxes by itself"),
        ("Misc/semantic_R_50_FPN_1x.yaml", "SemanticSegmentor"),
        ("Misc/mmdet_mask_rcnn_R_50_FPN_1x.py", "MMDetDetector"),
        ("Misc/torchvision_imagenet_R_50.py", "ClassificationNet"),
    ],
)
def test_what_is_no_detector_of_the_zoo_is_refused(zoo, named):
    with pytest.raises(UserError, match="MODEL.DETECTOR.ZOO") as error:
        zoo_config(zoo=zoo)
    assert named in str(error.value)


@pytest.mark.parametrize("end", ["yaml", "py"])
def test_of_a_panoptic_network_the_detector_is_taken(end):
    with torch.device("meta"):
        cfg = zoo_config(zoo=f"COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.{end}")
        cfg.MODEL.DEVICE = "meta"
        detector = build_detector(cfg)
    assert type(detector) is GeneralizedRCNN
    assert "panoptic_fpn_R_50_1x" in cfg.MODEL.WEIGHTS


def test_two_detectors_of_the_zoo_are_one_too_many():
    with pytest.raises(UserError, match="two detectors"):
        load_config(FPN, ["MODEL.DETECTOR.ZOO", "COCO-Detection/retinanet_R_50_FPN_1x.yaml"])


def test_what_the_config_changes_of_the_zoos_detector_is_told(caplog, tmp_path):
    (tmp_path / "config.yaml").write_text(zoo_config().dump())
    tell_changes_of_zoo(zoo_config("SOLVER.MAX_ITER", 5, "MODEL.ROI_HEADS.NUM_CLASSES", 1))
    assert not caplog.messages
    tell_changes_of_zoo(load_config(str(tmp_path / "config.yaml")))  # in which tuples are lists
    assert not caplog.messages
    tell_changes_of_zoo(zoo_config("MODEL.RPN.POST_NMS_TOPK_TEST", 300, "INPUT.FORMAT", "RGB"))
    (told,) = caplog.messages
    assert "MODEL.RPN.POST_NMS_TOPK_TEST 300 (the zoo's is 1000)" in told
    assert "INPUT.FORMAT RGB (the zoo's is BGR)" in told
    caplog.clear()
    lazy = "COCO-Detection/fcos_R_50_FPN_1x.py"
    tell_changes_of_zoo(zoo_config("MODEL.FCOS.SCORE_THRESH_TEST", 0.9, zoo=lazy))
    (told,) = caplog.messages
    assert "No effect" in told and "MODEL.FCOS.SCORE_THRESH_TEST 0.9" in told


def test_pixel_statistics_reach_the_detector_of_a_lazy_config():
    cfg = zoo_config("MODEL.PIXEL_MEAN", [1, 2, 3], zoo="COCO-Detection/fcos_R_50_FPN_1x.py")
    cfg.MODEL.DEVICE = "cpu"
    assert build_detector(cfg).pixel_mean.flatten().tolist() == [1, 2, 3]


def test_the_persons_of_a_detector_of_many_classes_must_be_named():
    with pytest.raises(UserError, match="PERSON_CLASS is -1.* 80 classes"):
        make_model("reid", ("MODEL.ROI_HEADS.NUM_CLASSES", 80))
    with pytest.raises(UserError, match="PERSON_CLASS is 80"):
        make_model("reid", ("MODEL.ROI_HEADS.NUM_CLASSES", 80, "MODEL.DETECTOR.PERSON_CLASS", 80))


def test_stages_choose_the_number_of_classes_and_the_weights(tmp_path):
    def after(stage, *opts, **kwargs):
        opts = ["OUTPUT_DIR", str(tmp_path), "SOLVER.STAGE", stage, *opts]
        cfg = zoo_config(*opts)
        apply_stage(cfg, opts, **kwargs)
        return cfg

    assert after("detection").MODEL.ROI_HEADS.NUM_CLASSES == 1
    reid = after("reid")
    assert reid.MODEL.ROI_HEADS.NUM_CLASSES == 80 and reid.MODEL.WEIGHTS == FPN_URL
    named = after("detection", "MODEL.WEIGHTS", "zoo.pkl", eval_only=True)
    assert named.MODEL.ROI_HEADS.NUM_CLASSES == 80
    folder = tmp_path / "detection"
    folder.mkdir()
    (folder / "config.yaml").write_text(after("detection").dump())
    (folder / "last_checkpoint").write_text("model_final.pth")
    tuned = after("reid")
    assert tuned.MODEL.WEIGHTS == str(folder / "model_final.pth")
    assert tuned.MODEL.ROI_HEADS.NUM_CLASSES == 1


@pytest.mark.parametrize(
    ("key", "value", "both"),
    [
        ("INPUT.FORMAT", "RGB", ("BGR", "RGB")),
        ("MODEL.PIXEL_STD", [57.375, 57.12, 58.395], ("[1.0, 1.0, 1.0]", "57.12")),
        ("MODEL.PIXEL_MEAN", [0.0, 0.0, 0.0], ("103.53", "[0.0, 0.0, 0.0]")),
        ("MODEL.RESNETS.STRIDE_IN_1X1", False, ("True", "False")),
    ],
)
@pytest.mark.parametrize("source", ["zoo", "run", "imagenet"])
def test_a_config_that_contradicts_a_checkpoint_is_refused(key, value, both, source, tmp_path):
    weights = {
        "zoo": FPN_URL,
        "run": str(tmp_path / "model_final.pth"),
        "imagenet": "detectron2://ImageNetPretrained/MSRA/R-50.pkl",
    }[source]
    (tmp_path / "config.yaml").write_text(zoo_config().dump())
    check_trained_with(zoo_config("MODEL.WEIGHTS", weights))
    with pytest.raises(UserError, match=key) as error:
        check_trained_with(zoo_config("MODEL.WEIGHTS", weights, key, value))
    assert all(text in str(error.value) for text in both)
    assert weights in str(error.value)


def test_the_shipped_base_config_contradicts_a_zoo_file():
    cfg = load_config("prw/faster_rcnn_fpn_R50.yaml", ["MODEL.WEIGHTS", FPN_URL])
    with pytest.raises(UserError, match="INPUT.FORMAT BGR"):
        check_trained_with(cfg)


@pytest.mark.parametrize(
    ("zoo", "key", "value", "both"),
    [
        (FPN, "MODEL.ANCHOR_GENERATOR.SIZES", [[16], [32], [64], [128], [256]], ("512", "16")),
        (FPN, "MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS", (20.0, 20.0, 10.0, 10.0), ("5.0", "20.0")),
        (FPN, "MODEL.ROI_BOX_HEAD.POOLER_TYPE", "ROIPool", ("ROIAlignV2", "ROIPool")),
        (
            "COCO-Detection/retinanet_R_50_FPN_1x.yaml",
            *("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[1.0, 2.0, 3.0]], ("0.5", "3.0")),
        ),
    ],
)
def test_boxes_of_a_trained_detector_keep_their_anchors_and_weights(zoo, key, value, both):
    cfg = zoo_config(key, value, zoo=zoo)
    with pytest.raises(UserError, match=key) as error:
        check_trained_with(cfg)
    assert all(text in str(error.value) for text in both)
    check_trained_with(cfg, is_start=True)  # which may learn others
    lazy = zoo_config(key, value, zoo="COCO-Detection/retinanet_R_50_FPN_1x.py")
    check_trained_with(lazy)  # has its own


def test_a_zoo_file_is_known_under_another_name(tmp_path, monkeypatch):
    path = tmp_path / "persons.pkl"
    path.write_bytes(b"weights")
    digest = hashlib.md5(b"weights").hexdigest()[:6]
    opts = ["MODEL.WEIGHTS", str(path)]
    # by the zoo's config that is named
    with pytest.raises(UserError, match="INPUT.FORMAT BGR .MODEL.DETECTOR.ZOO"):
        check_trained_with(zoo_config(*opts, "INPUT.FORMAT", "RGB"))
    # by the file itself
    check_trained_with(load_config("prw/faster_rcnn_fpn_R50.yaml", opts))
    monkeypatch.setattr(trained_with, "_zoo_configs", lambda: {f"model_final_{digest}.pkl": FPN})
    with pytest.raises(UserError, match=f"INPUT.FORMAT BGR .{FPN}"):
        check_trained_with(load_config("prw/faster_rcnn_fpn_R50.yaml", opts))


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        (
            "COCO-Detection/rpn_R_50_FPN_1x/137258492/model_final_02ce48.pkl",
            "set INPUT.FORMAT to BGR",
        ),
        ("COCO-PanopticSegmentation/x/model_final_dbfeb4.pkl", "_1x.yaml for all its values"),
    ],
)
def test_a_zoo_file_of_another_kind_contradicts_by_its_values(name, ends):
    weights = ["MODEL.WEIGHTS", f"detectron2://{name}"]
    with pytest.raises(UserError, match="INPUT.FORMAT") as error:
        check_trained_with(load_config("prw/faster_rcnn_fpn_R50.yaml", weights))
    assert str(error.value).endswith(ends)


@pytest.mark.parametrize(
    "weights", ["detectron2://ImageNetPretrained/torchvision/R-50.pkl", "w/resnet50-0676ba61.pth"]
)
def test_a_side_net_of_another_stride_is_told_which_weights_to_take(weights):
    opts = ("SOLVER.STAGE", "reid", "MODEL.REID.SIDE_NET.WEIGHTS", weights)
    with pytest.raises(UserError, match="MSRA/R-50.pkl.*detector") as error:
        check_trained_with(zoo_config(*opts), is_start=True)
    assert "set MODEL.RESNETS" not in str(error.value)  # which would spoil the detector
    check_trained_with(zoo_config(*opts))  # a trained network has them no more
    shallow = zoo_config(*opts, "MODEL.REID.SIDE_NET.DEPTH", 34)  # without bottlenecks
    check_trained_with(shallow, is_start=True)


def test_stage_reid_needs_more_than_imagenet_weights(tmp_path):
    cfg = zoo_config("SOLVER.STAGE", "reid", zoo="Misc/mask_rcnn_R_50_FPN_1x_cls_agnostic.yaml")
    with pytest.raises(UserError, match="ImageNet weights, .*no weights for Misc/mask"):
        _check_weights(cfg)


def test_a_resnexts_side_net_is_a_resnext():
    cfg = zoo_config(
        "SOLVER.STAGE", "reid", zoo="COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x.yaml"
    )
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        network = build_model(cfg)
    theirs, ours = network.detector.backbone.bottom_up.res4, network.reid.side_net.res4
    convolutions = [
        [m.weight.shape for m in layer.modules() if isinstance(m, torch.nn.Conv2d)]
        for layer in (theirs, ours)
    ]
    assert convolutions[0] == convolutions[1]


def test_without_pkg_resources_only_the_zoo_is_missing(monkeypatch, caplog):
    monkeypatch.delattr(detectron2, "model_zoo")
    monkeypatch.setitem(sys.modules, "detectron2.model_zoo", None)  # its import fails
    monkeypatch.setattr(trained_with, "_zoo_configs", trained_with._zoo_configs.__wrapped__)
    check_trained_with(load_config("prw/faster_rcnn_R50.yaml", ["MODEL.WEIGHTS", "a.pth"]))
    assert "setuptools<81" in caplog.text
    with pytest.raises(UserError, match="setuptools<81"):
        zoo_config()


DETECTORS = {
    "R-CNN": ("Base-FasterRCNN.yaml", "roi_heads.box_predictor"),
    "RetinaNet": ("Base-RetinaNet.yaml", "head"),
    "FCOS": ("Base-FCOS.yaml", "head"),
}
CLASSES, PERSON = 7, 3


def detector_of(number, config):
    cfg = make_config("detection", TINY, config_file=CONFIGS / config)
    set_number_of_classes(cfg, number)
    cfg.MODEL.DETECTOR.PERSON_CLASS = PERSON if number > 1 else -1
    return build_detector(cfg)


@pytest.mark.parametrize("kind", DETECTORS)
def test_fine_tuning_starts_from_the_rows_of_persons(kind):
    config, predictor = DETECTORS[kind]
    many, one = detector_of(CLASSES, config), detector_of(1, config)
    state = many.state_dict()
    assert classes_in(one, state) == CLASSES and classes_in(many, one.state_dict()) == 1
    one.load_state_dict(keep_class(one, state, PERSON))
    weight = state[f"{predictor}.cls_score.weight"]
    kept = one.state_dict()[f"{predictor}.cls_score.weight"]
    if kind == "R-CNN":
        assert torch.equal(kept, torch.stack([weight[PERSON], weight[CLASSES]]))
        boxes = state[f"{predictor}.bbox_pred.weight"].reshape(CLASSES, 4, -1)
        assert torch.equal(one.state_dict()[f"{predictor}.bbox_pred.weight"], boxes[PERSON])
    else:
        anchors = weight.reshape(-1, CLASSES, *weight.shape[1:])
        assert torch.equal(kept, anchors[:, PERSON])


def test_a_file_of_other_classes_says_so_in_every_stage(tmp_path):
    state = detector_of(CLASSES, "Base-FasterRCNN.yaml").state_dict()
    path = str(tmp_path / "many.pth")
    torch.save({"model": state}, path)
    for stage in STAGES:
        with pytest.raises(UserError, match=f"{CLASSES} classes.*PERSON_CLASS"):
            PersonSearchCheckpointer(make_model(stage)).load(path)
    opts = ("MODEL.DETECTOR.PERSON_CLASS", PERSON)
    tuned = make_model("detection", opts)
    PersonSearchCheckpointer(tuned).load(path)
    weight = state["roi_heads.box_predictor.cls_score.weight"]
    predictor = tuned.detector.roi_heads.box_predictor
    assert torch.equal(predictor.cls_score.weight, weight[[PERSON, CLASSES]])
    with pytest.raises(UserError, match=f"{CLASSES} classes"):
        PersonSearchCheckpointer(make_model("reid", opts)).load(path)
    with pytest.raises(UserError, match=f"{CLASSES} classes"):
        PersonSearchCheckpointer(make_model("detection", opts)).load_trained(path)


def test_a_zoo_detector_is_not_mixed_with_another(tmp_path):
    with pytest.raises(UserError, match="prw/faster_rcnn_R50.yaml has a detector of its own"):
        load_config("prw/faster_rcnn_R50.yaml", ["MODEL.DETECTOR.ZOO", FPN])
    (tmp_path / "config.yaml").write_text(zoo_config().dump())
    same = load_config(str(tmp_path / "config.yaml"), ["MODEL.DETECTOR.ZOO", FPN])
    assert same.MODEL.DETECTOR.ZOO == FPN


def test_a_detector_alone_is_no_network():
    cfg = load_config(opts=["MODEL.META_ARCHITECTURE", "GeneralizedRCNN"])
    with pytest.raises(UserError, match="GeneralizedRCNN.*MODEL.DETECTOR.ZOO"):
        check_parts(cfg)
