"""From a dataset dict to the model's input: Detectron2's mapper, and person ids and queries."""

from typing import Any, Dict, Optional, Tuple

import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.structures import Boxes
from PIL import Image

from ..errors import UserError

__all__ = ["PersonSearchMapper"]

UNREADABLE = (OSError, SyntaxError, Image.DecompressionBombError)
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
        unreadable_images: str = STOP,
        **kwargs,
    ):
        """
        Args:
            query_all_boxes: at inference, ask for the features of the ground-truth boxes as well.
            unreadable_images: "stop" or "skip".
            kwargs: as in Detectron2's `DatasetMapper`.
        """
        super().__init__(is_train, **kwargs)
        self.query_all_boxes = query_all_boxes
        self.unreadable_images = unreadable_images

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True) -> Dict[str, Any]:
        arguments = super().from_config(cfg, is_train)
        return {**arguments, "unreadable_images": cfg.INPUT.UNREADABLE_IMAGES}

    def __call__(self, dataset_dict: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        if self.query_all_boxes and not self.is_train and dataset_dict.get("annotations"):
            boxes = [annotation["bbox"] for annotation in dataset_dict["annotations"]]
            dataset_dict = {**dataset_dict, "queries": dataset_dict.get("queries", []) + boxes}
        try:
            mapped = super().__call__(dataset_dict)
        except (*UNREADABLE, utils.SizeMismatchError) as e:
            if self.unreadable_images == SKIP and isinstance(e, UNREADABLE):
                return None if self.is_train else _blank(dataset_dict)
            reason = " ".join(str(e).split())
            raise UserError(
                f"image '{dataset_dict['file_name']}' cannot be used ({type(e).__name__}: "
                f"{reason}); restore the file, or correct its entry in the dataset"
            ) from e
        queries = mapped.pop("queries", None)
        if queries is not None and not self.is_train:
            mapped["queries"] = torch.as_tensor(np.asarray(queries, dtype=np.float32))
        return mapped

    def _transform_annotations(
        self, dataset_dict: Dict[str, Any], transforms: T.Transform, image_shape: Tuple[int, int]
    ) -> None:
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


def _blank(dataset_dict: Dict[str, Any]) -> Dict[str, Any]:
    kept = {k: v for k, v in dataset_dict.items() if k not in ("annotations", "queries")}
    image = torch.zeros((3, *BLANK_SIZE), dtype=torch.uint8)
    return {**kept, "image": image, "unreadable": True}
