"""From a dataset dict to the model's input: Detectron2's mapper, and person ids and queries."""

import copy
from collections.abc import Container
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import Boxes
from PIL import Image

from ..errors import UserError
from .images import ImageError, load_image

__all__ = ["PersonSearchMapper"]

STOP, SKIP = UNREADABLE_IMAGES = ("stop", "skip")
# Height and width of what a network gets in the place of an image that can't be read.
BLANK_SIZE = (64, 64)


class PersonSearchMapper(DatasetMapper):
    """
    Detectron2's `DatasetMapper` (arguments and config keys are the same), with

    * training: `instances.gt_person_ids`, int64 (N,), -1 for unlabelled persons, beside
      `gt_boxes` and `gt_classes`. Persons that a crop removes are left out of all three.
      `ignore_regions`, float32 (R, 4) boxes in the network's pixels, of frames that have regions.
    * inference: `queries`, float32 (Q, 4), the frame's query boxes as x0, y0, x1, y1 in the
      coordinates of the original image, for frames that hold queries. With `query_all_boxes`
      the frame's ground-truth boxes follow them.
    * `queries_only`, at inference: True for frames whose image id is among `queries_only`, in which
      nobody is to be detected.
    * `original_image`, at inference and with `keep_original`: uint8 (3, H, W), the picture before
      it is resized, its channels in the same order as `image`'s. In training `image` itself is not
      resized then.
    * `image_note`, where :func:`.images.load_image`, by which images are read, has one.

    Segmentations and precomputed proposals, which Detectron2's reads as well, are not.

    A call raises UserError, naming the file, for an image that cannot be read whole, or whose
    size is not the one in its annotations. With `unreadable_images` "skip" the first is no error:

    * training: the call returns None, and the loader puts another frame in its place;
    * inference: the frame's `image` is blank, it has no `queries`, and `unreadable` is True; what
      a network says of it means nothing.
    """

    @configurable
    def __init__(
        self,
        is_train: bool,
        *,
        query_all_boxes: bool = False,
        queries_only: Container[str] = (),
        unreadable_images: str = STOP,
        keep_original: bool = False,
        **kwargs,
    ):
        """
        Args:
            query_all_boxes: at inference, ask for the features of the ground-truth boxes as well.
            queries_only: image ids.
            unreadable_images: "stop" or "skip".
            keep_original: whether the network looks at pictures at their original resolution.
            kwargs: as in Detectron2's `DatasetMapper`.
        """
        super().__init__(is_train, **kwargs)
        self.query_all_boxes = query_all_boxes
        self.queries_only = queries_only
        self.unreadable_images = unreadable_images
        self.keep_original = keep_original

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> dict[str, Any]:
        boxes_alone = cfg.clone()  # of a zoo's detector of keypoints as well, whose data has none
        boxes_alone.defrost()
        boxes_alone.MODEL.MASK_ON = boxes_alone.MODEL.KEYPOINT_ON = False
        arguments = super().from_config(boxes_alone, is_train)
        keep_original = needs_original(cfg)
        if keep_original and is_train:
            arguments["augmentations"] = [
                a for a in arguments["augmentations"] if not isinstance(a, T.ResizeShortestEdge)
            ]
        return {
            **arguments,
            "unreadable_images": cfg.INPUT.UNREADABLE_IMAGES,
            "keep_original": keep_original,
        }

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any] | None:
        try:
            image, note = load_image(dataset_dict["file_name"])
        except ImageError as e:
            if self.unreadable_images == SKIP:
                return None if self.is_train else self._blank(dataset_dict)
            raise _unusable(dataset_dict, e.reason, e.fix) from e
        mapped = copy.deepcopy(dataset_dict)
        try:
            utils.check_image_size(mapped, image)
        except utils.SizeMismatchError as e:
            raise _unusable(dataset_dict, f"SizeMismatchError: {e}", "restore the file") from e
        if note:
            mapped["image_note"] = note
        if self.image_format != "RGB":
            image = utils.convert_PIL_to_numpy(Image.fromarray(image), self.image_format)
        if self.keep_original and not self.is_train:
            mapped["original_image"] = as_tensor(image)
        augmented = T.AugInput(image)
        transforms = self.augmentations(augmented)
        image = augmented.image
        if self.keep_original and self.is_train:
            mapped["image"] = as_tensor(image)
        else:
            mapped["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
        queries = self._queries(mapped)
        if not self.is_train:
            mapped.pop("annotations", None)
            if mapped.get("image_id") in self.queries_only:
                mapped["queries_only"] = True
            if queries is not None:
                mapped["queries"] = torch.as_tensor(np.asarray(queries, dtype=np.float32))
        elif "annotations" in mapped:
            self.transform_annotations(mapped, transforms, image.shape[:2])
        return mapped

    def _blank(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in dataset_dict.items() if k not in ("annotations", "queries")}
        image = torch.zeros((3, *BLANK_SIZE), dtype=torch.uint8)
        original = {"original_image": image} if self.keep_original else {}
        return {**kept, "image": image, **original, "unreadable": True}

    def _queries(self, mapped: dict[str, Any]) -> list[list[float]] | None:
        """Takes the query boxes out; None if there are none."""
        queries = mapped.pop("queries", None)
        if self.query_all_boxes and mapped.get("annotations"):
            boxes = [annotation["bbox"] for annotation in mapped["annotations"]]
            return (queries or []) + boxes
        return queries

    def transform_annotations(
        self, dataset_dict: dict[str, Any], transforms: T.Transform, image_shape: tuple[int, int]
    ) -> None:
        """Turn a dict's annotations and regions into what training has beside the image, in place.

        Args:
            dataset_dict: with "annotations".
            transforms: what was done to the image.
            image_shape: height and width that it has since.
        """
        annotations = [
            utils.transform_instance_annotations(annotation, transforms, image_shape)
            for annotation in dataset_dict.pop("annotations")
        ]
        instances = utils.annotations_to_instances(annotations, image_shape)
        person_ids = [annotation.get("person_id", -1) for annotation in annotations]
        instances.gt_person_ids = torch.tensor(person_ids, dtype=torch.int64)
        dataset_dict["instances"] = utils.filter_empty_instances(instances)
        regions = np.asarray(dataset_dict.pop("ignore_regions", []), dtype=np.float64)
        if len(regions):
            moved = Boxes(torch.as_tensor(transforms.apply_box(regions), dtype=torch.float32))
            moved.clip(image_shape)
            dataset_dict["ignore_regions"] = moved[moved.nonempty()].tensor


def _unusable(dataset_dict: dict[str, Any], reason: str, fix: str) -> UserError:
    return UserError(
        f"image '{dataset_dict['file_name']}' cannot be used ({' '.join(reason.split())}); {fix}, "
        "or correct its entry in the dataset"
    )


def needs_original(cfg: CfgNode) -> bool:
    """Whether a config's network looks at pictures at their original resolution."""
    # here, because it needs Detectron2's models, which may be what imports this package
    from ..config import is_two_step

    return is_two_step(cfg) and cfg.SOLVER.STAGE != "detection"


def as_tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) -> (3, H, W), a copy whose colours stay side by side: quicker to cut from."""
    return torch.from_numpy(np.array(image, order="C")).permute(2, 0, 1)
