"""Detectors of Detectron2's model zoo in place of f_d give what they give by themselves."""

import numpy as np
import pytest
import torch
from detectron2 import model_zoo
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import instantiate
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model

from fully_decoupled_ps.config import load_config
from fully_decoupled_ps.predictor import InputMapper
from tests.modeling.random_detector import random_weights

# Height and width; odd, and with a long side that the network's input cuts short.
SIZES = ((121, 97), (75, 203))
SMALL = ("INPUT.MIN_SIZE_TEST", 96, "INPUT.MAX_SIZE_TEST", 160, "MODEL.DEVICE", "cpu")
ZOO = (
    "COCO-Detection/faster_rcnn_R_50_C4_1x.yaml",
    "COCO-Detection/faster_rcnn_R_50_DC5_1x.yaml",
    "COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml",
    "COCO-Detection/retinanet_R_50_FPN_3x.yaml",
    "COCO-Detection/fcos_R_50_FPN_1x.py",
    "Misc/cascade_mask_rcnn_R_50_FPN_1x.yaml",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml",
    "COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.py",
    "COCO-Keypoints/keypoint_rcnn_R_50_FPN_1x.yaml",
    "COCO-PanopticSegmentation/panoptic_fpn_R_50_1x.yaml",
)


def with_fewer_boxes(model):
    """So that its box head, its masks and its keypoints take a tenth of the time."""
    if hasattr(model, "roi_heads"):
        model.proposal_generator.post_nms_topk = {False: 30}
        predictor = model.roi_heads.box_predictor
        for step in predictor if isinstance(predictor, torch.nn.ModuleList) else [predictor]:
            step.test_topk_per_image = 10


def picture(size) -> np.ndarray:
    """(H, W, 3) RGB."""
    return np.random.default_rng(sum(size)).integers(0, 256, (*size, 3), dtype=np.uint8)


class LazyPredictor:
    """What DefaultPredictor is for yamls, for a lazy config."""

    def __init__(self, name):
        config = model_zoo.get_config(name)
        self.model = instantiate(config.model)
        self.resize = instantiate(config.dataloader.test.mapper.augmentations[0])
        self.resize.short_edge_length, self.resize.max_size = [96, 96], 160

    def __call__(self, image):
        resized = self.resize.get_transform(image).apply_image(image).transpose(2, 0, 1)
        inputs = {"image": torch.tensor(resized.astype("float32"))}
        with torch.no_grad():
            return self.model([{**inputs, "height": len(image), "width": image.shape[1]}])[0]


def detectron2s_own(name, monkeypatch):
    """A predictor by Detectron2 alone; called with a BGR picture."""
    if name.endswith(".py"):
        return LazyPredictor(name)
    cfg = model_zoo.get_config(name)
    cfg.merge_from_list(list(SMALL))
    monkeypatch.setattr(DetectionCheckpointer, "load", lambda *args, **kwargs: {})
    return DefaultPredictor(cfg)


@pytest.mark.parametrize("name", ZOO)
def test_boxes_and_scores_are_those_of_detectron2_to_the_bit(name, monkeypatch):
    reference = detectron2s_own(name, monkeypatch)
    with_fewer_boxes(reference.model)
    random_weights(reference.model, lambda: reference(picture(SIZES[0])))
    monkeypatch.undo()
    opts = ("MODEL.DETECTOR.ZOO", name, "SOLVER.STAGE", "reid", *SMALL, "SOLVER.AMP.ENABLED", False)
    cfg = load_config(opts=opts)
    assert cfg.MODEL.DETECTOR.PERSON_CLASS == 0
    network = build_model(cfg).eval()
    missing = network.detector.load_state_dict(reference.model.state_dict(), strict=False)
    assert not missing.missing_keys
    assert all("mask" in k or "keypoint" in k or "sem_seg" in k for k in missing.unexpected_keys)
    with_fewer_boxes(network.detector)
    mapper = InputMapper(cfg.INPUT.FORMAT, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)
    number = at_border = others = 0
    for size in SIZES:
        image = picture(size)
        expected = reference(image[:, :, ::-1])["instances"]
        others += int((expected.pred_classes != 0).sum())
        expected = expected[expected.pred_classes == 0]
        number += len(expected)
        query = [[5.0, 6.0, 40.0, 70.0]]
        found = network([{**mapper(image), "queries": query}])[0]
        persons = found["instances"]
        assert torch.equal(persons.pred_boxes.tensor, expected.pred_boxes.tensor)
        assert torch.equal(persons.scores, expected.scores)
        assert persons.image_size == size and not persons.pred_classes.any()
        assert persons.reid_features.shape == (len(expected), 2048)
        assert found["query_features"].shape == (1, 2048)
        assert set(persons.get_fields()) == {
            *("pred_boxes", "scores", "pred_classes", "reid_features")
        }
        limit = torch.tensor([0, 0, size[1], size[0]])
        at_border += int((persons.pred_boxes.tensor == limit).any(1).sum())
    assert number and at_border
    assert others or "Keypoints" in name  # whose only class persons are
