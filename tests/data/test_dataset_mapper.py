"""The mapper on a picture whose upper left quarter is red; all values are worked out by hand."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.structures import BoxMode

from fully_decoupled_ps.config import add_fully_decoupled_ps_config
from fully_decoupled_ps.data import PersonSearchMapper
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import write_image


def annotation(box, **fields):
    return {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, **fields}


@pytest.fixture
def frame(tmp_path):
    write_image(tmp_path / "a.png", 200, 100)
    return {
        "file_name": str(tmp_path / "a.png"),
        "image_id": "a",
        "height": 100,
        "width": 200,
        "annotations": [
            annotation([10, 20, 30, 60], person_id=7),
            annotation([100, 20, 120, 60], person_id=-1),
            annotation([150, 30, 190, 90], person_id=0),
        ],
        "queries": [[10, 20, 30, 60], [150, 30, 190, 90]],
    }


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    cfg.INPUT.MIN_SIZE_TRAIN = (50,)
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.INPUT.MIN_SIZE_TEST = 200
    cfg.INPUT.MAX_SIZE_TEST = 300
    return cfg


def test_masks_and_keypoints_are_not_asked_for(cfg, frame):
    cfg.MODEL.KEYPOINT_ON = cfg.MODEL.MASK_ON = True
    cfg.DATASETS.TRAIN = ("of_boxes_alone",)  # whose metadata name no keypoints
    assert set(PersonSearchMapper(cfg, True)(frame)["instances"].get_fields()) == {
        *("gt_boxes", "gt_classes", "gt_person_ids")
    }


def test_training(cfg, frame):
    mapped = PersonSearchMapper(cfg, True)(frame)
    assert mapped["image"].shape == (3, 50, 100) and mapped["image"].dtype == torch.uint8
    instances = mapped["instances"]
    assert instances.image_size == (50, 100)
    assert instances.gt_person_ids.tolist() == [7, -1, 0]
    assert instances.gt_person_ids.dtype == torch.int64
    assert instances.gt_classes.tolist() == [0, 0, 0]
    assert instances.gt_boxes.tensor.tolist() == [
        [5, 10, 15, 30], [50, 10, 60, 30], [75, 15, 95, 45]
    ]  # fmt: skip
    assert "queries" not in mapped and "annotations" not in mapped
    assert len(frame["annotations"]) == 3  # the dataset's own dict is as it was


def test_inference_keeps_queries_in_original_coordinates(cfg, frame):
    mapped = PersonSearchMapper(cfg, False)(frame)
    assert mapped["image"].shape == (3, 150, 300)  # the long side is limited
    assert mapped["queries"].tolist() == frame["queries"]
    assert mapped["queries"].dtype == torch.float32
    assert {k: mapped[k] for k in ("image_id", "height", "width", "file_name")} == {
        k: frame[k] for k in ("image_id", "height", "width", "file_name")
    }
    assert "annotations" not in mapped and "instances" not in mapped


def test_frame_without_queries(cfg, frame):
    del frame["queries"]
    assert "queries" not in PersonSearchMapper(cfg, False)(frame)


def test_ground_truth_boxes_can_be_asked_for_as_well(cfg, frame):
    queries, boxes = frame["queries"], [a["bbox"] for a in frame["annotations"]]
    mapped = PersonSearchMapper(cfg, False, query_all_boxes=True)(frame)
    assert mapped["queries"].tolist() == queries + boxes
    assert frame["queries"] == queries  # the dataset's own dict is as it was
    del frame["queries"]
    mapped = PersonSearchMapper(cfg, False, query_all_boxes=True)(frame)
    assert mapped["queries"].tolist() == boxes
    assert "queries" not in PersonSearchMapper(cfg, True, query_all_boxes=True)(frame)


def test_regions_to_ignore_go_with_the_picture(cfg, frame):
    """Cut out from x 100 on, 100 x 100, then flipped: one region is cut, one is not there."""
    frame["ignore_regions"] = [[50, 20, 130, 100], [0, 0, 90, 40]]
    assert PersonSearchMapper(cfg, True)(frame)["ignore_regions"].tolist() == [
        [25, 10, 65, 50], [0, 0, 45, 20]
    ]  # fmt: skip
    cut = T.AugmentationList([T.CropTransform(100, 0, 100, 100), T.RandomFlip(prob=1.0)])
    mapper = PersonSearchMapper(True, augmentations=[cut], image_format="RGB")
    mapped = mapper(frame)
    assert mapped["ignore_regions"].tolist() == [[70, 20, 100, 100]]
    assert mapped["ignore_regions"].dtype == torch.float32
    assert mapped["instances"].gt_person_ids.tolist() == [-1, 0]
    del frame["ignore_regions"]
    assert "ignore_regions" not in mapper(frame)


@pytest.mark.parametrize("order, red", [("RGB", 0), ("BGR", 2)])
def test_colour_order(cfg, frame, order, red):
    cfg.INPUT.FORMAT = order
    for is_train in (True, False):
        pixel = PersonSearchMapper(cfg, is_train)(frame)["image"][:, 5, 5].tolist()
        assert pixel == [255 * (channel == red) for channel in range(3)]


def test_flip(frame):
    mapper = PersonSearchMapper(True, augmentations=[T.RandomFlip(prob=1.0)], image_format="RGB")
    instances = mapper(frame)["instances"]
    assert instances.gt_boxes.tensor[0].tolist() == [170, 20, 190, 60]
    assert instances.gt_person_ids.tolist() == [7, -1, 0]


def test_random_short_side_and_flip_come_from_the_config(cfg, frame):
    cfg.INPUT.MIN_SIZE_TRAIN = (50, 60)
    cfg.INPUT.MAX_SIZE_TRAIN = 110
    cfg.INPUT.RANDOM_FLIP = "horizontal"
    mapper = PersonSearchMapper(cfg, True)
    seen = set()
    for _ in range(60):
        mapped = mapper(frame)
        left = mapped["instances"].gt_boxes.tensor[0, 0].item() < mapped["image"].shape[2] / 2
        seen.add((tuple(mapped["image"].shape), left))
    # a short side of 60 would make the long one 120
    sizes = ((3, 50, 100), (3, 55, 110))
    assert seen == {(size, left) for size in sizes for left in (True, False)}


@pytest.mark.parametrize(
    "crop, ids", [((0, 0, 90, 100), [7]), ((90, 0, 110, 100), [-1, 0]), ((40, 0, 40, 100), [])]
)
def test_persons_that_a_crop_removes_take_their_ids_along(frame, crop, ids):
    mapper = PersonSearchMapper(True, augmentations=[T.CropTransform(*crop)], image_format="RGB")
    instances = mapper(frame)["instances"]
    assert instances.gt_person_ids.tolist() == ids
    assert len(instances.gt_boxes) == len(instances.gt_classes) == len(ids)


def test_crop_of_the_config(cfg, frame):
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute"
    cfg.INPUT.CROP.SIZE = [100, 100]
    mapper = PersonSearchMapper(cfg, True)
    for _ in range(20):
        mapped = mapper(frame)
        assert mapped["image"].shape == (3, 50, 50)
        assert set(mapped["instances"].gt_person_ids.tolist()) < {7, -1, 0}


def test_frame_without_persons(cfg, frame):
    frame["annotations"] = []
    instances = PersonSearchMapper(cfg, True)(frame)["instances"]
    assert instances.gt_person_ids.shape == (0,) and instances.gt_person_ids.dtype == torch.int64
    assert instances.gt_boxes.tensor.shape == (0, 4)


def test_annotation_without_id_is_unlabelled(cfg, frame):
    frame["annotations"] = [annotation([10, 20, 30, 60])]
    assert PersonSearchMapper(cfg, True)(frame)["instances"].gt_person_ids.tolist() == [-1]


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_bad_images_are_named(cfg, frame, tmp_path, is_train, ending):
    path = tmp_path / f"b.{ending}"
    write_image(path, 200, 100)
    whole = path.read_bytes()
    frame["file_name"] = str(path)
    mapper = PersonSearchMapper(cfg, is_train)
    mapper(dict(frame))
    for damage in (whole[: len(whole) // 2], b"no picture", b"", None):
        path.unlink()
        if damage is not None:
            path.write_bytes(damage)
        with pytest.raises(UserError) as e:
            mapper(frame)
        assert str(path) in str(e.value) and "\n" not in str(e.value)


def test_image_of_another_size_is_named(cfg, frame):
    frame["width"] = 210
    with pytest.raises(UserError, match=r"a\.png' cannot be used \(SizeMismatchError: "):
        PersonSearchMapper(cfg, True)(frame)
