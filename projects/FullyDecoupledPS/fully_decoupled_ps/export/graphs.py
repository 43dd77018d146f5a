"""What is exported, as modules from tensors to tensors: the re-id path, and the whole network."""

import logging
import math
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from detectron2.export.torchscript_patch import patch_builtin_len
from torch import nn

from ..errors import UserError
from ..modeling import (
    CoatPersonSearch,
    CoatReIDBranch,
    FullyDecoupledPersonSearch,
    PersonRes5ROIHeads,
    TwoStepPersonSearch,
)
from ..modeling.crop_reid.cutting import pixel_boxes
from ..modeling.feature_tap import FeatureTap
from ..modeling.meta_arch import num_classes

logger = logging.getLogger(__name__)


class ReIDPath(nn.Module):
    """From images and boxes to features; of the detector it has conv1 to conv4 alone."""

    # so torch.export can follow it
    has_static_control_flow = True

    input_names = ("images", "boxes", "image_indices")
    output_names = ("features",)
    dynamic_axes = {
        "images": {0: "batch", 2: "height", 3: "width"},
        "boxes": {0: "num_boxes"},
        "image_indices": {0: "num_boxes"},
        "features": {0: "num_boxes"},
    }

    def __init__(self, model: FullyDecoupledPersonSearch):
        """
        Raises:
            UserError: if the network has no path from images to features beside the detector.
        """
        super().__init__()
        _check_has_reid(model)
        if model.is_two_step:
            raise UserError(
                f"{type(model).__name__} has no path from images to features beside its detector; "
                "export its network for crops (CropPath)"
            )
        if not isinstance(model.feature_tap, FeatureTap):
            raise UserError(
                f"{type(model).__name__} has no re-id path beside its detector: its features are "
                "the detector's own; export the whole network (--only whole)"
            )
        self.detector = model.detector
        self.reid = model.reid
        self.feature_tap = model.feature_tap
        self.eval()

    def forward(self, images, boxes, image_indices):
        """
        Args:
            images: (B, 3, H, W), 0 to 255.
            boxes: (N, 4) x0, y0, x1, y1 in pixels of the images.
            image_indices: (N,) int64, the image that a box is in, 0 to B - 1.

        Returns:
            Tensor: (N, D) L2-normalised features, in the order of the boxes.
        """
        maps = self.feature_tap.run(self._normalize_and_pad(images))
        rois = torch.cat([image_indices[:, None].to(boxes.dtype), boxes], dim=1)
        return _embed(self.reid, maps, rois)

    @staticmethod
    def example(image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Arguments of :meth:`forward` on an image, (3, H, W), to export it with."""
        height, width = image.shape[-2:]
        boxes = torch.tensor([[0.1, 0.1, 0.4, 0.8], [0.5, 0.2, 0.7, 0.6], [0.2, 0.0, 0.9, 1.0]])
        boxes *= torch.tensor([width, height, width, height])
        return torch.stack([image, image.flip(-1)]), boxes, torch.tensor([0, 1, 1])

    def _normalize_and_pad(self, images):
        # The detector's own preprocess_image takes a list of images, whose number would be fixed.
        images = (images - self.detector.pixel_mean) / self.detector.pixel_std
        divisor = max(self.detector.backbone.size_divisibility, 1)
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % divisor, 0, -height % divisor))


class WholeNetwork(nn.Module):
    """From one image to boxes, scores and features; only one, as each has its number of boxes.

    The network itself looks at all proposals at once from then on, as the graph does.
    """

    # Detectron2 asks, in Python, for the values and numbers of the boxes that it has found.
    has_static_control_flow = False

    input_names = ("image",)
    output_names = ("boxes", "scores", "features")
    dynamic_axes = {
        "image": {1: "height", 2: "width"},
        "boxes": {0: "num_boxes"},
        "scores": {0: "num_boxes"},
        "features": {0: "num_boxes"},
    }

    def __init__(self, model: FullyDecoupledPersonSearch):
        """
        Raises:
            UserError: if the network can't be exported as a whole.
        """
        super().__init__()
        _check_has_reid(model)
        if isinstance(model, CoatPersonSearch):
            raise UserError(
                "CoatPersonSearch can't be exported as a whole: between its cascade's stages "
                "PyTorch's exporter fixes the number of boxes; export its re-id path (--only reid)"
            )
        if model.is_two_step:
            raise UserError(
                f"{type(model).__name__} can't be exported as one file: ONNX has no operator that "
                "cuts persons out as it does; export its two networks (--only reid, --only "
                "detector), the JSON beside them says how to cut"
            )
        self.detector = _all_at_once(model.detector)
        self.person_class = _class_to_keep(model)
        self.reid = model.reid
        self.feature_tap = model.feature_tap
        self.eval()

    def forward(self, image):
        """
        Args:
            image: (3, H, W), 0 to 255.

        Returns:
            tuple: (R, 4) boxes in pixels of the image, (R,) scores and (R, D) features.
        """
        with self.feature_tap.record() as maps:
            boxes, scores = _find_persons(self.detector, image, self.person_class)
        rois = F.pad(boxes, (1, 0))  # all in image 0
        return boxes, scores, _embed(self.reid, maps, rois)

    @staticmethod
    def example(image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Arguments of :meth:`forward`, to export it with."""
        return (image,)


class DetectorPath(nn.Module):
    """The detector of a two-step network: from one image to boxes and scores.

    The network itself looks at all proposals at once from then on, as the graph does.
    """

    has_static_control_flow = False

    input_names = ("image",)
    output_names = ("boxes", "scores")
    dynamic_axes = {name: WholeNetwork.dynamic_axes[name] for name in (*input_names, *output_names)}

    def __init__(self, model: TwoStepPersonSearch):
        """
        Raises:
            UserError: if the network has another part that exports it.
        """
        super().__init__()
        _check_is_two_step(model)
        self.detector = _all_at_once(model.detector)
        self.person_class = _class_to_keep(model)
        self.eval()

    def forward(self, image):
        """(3, H, W), 0 to 255 -> (R, 4) boxes in pixels of the image, and (R,) scores."""
        return _find_persons(self.detector, image, self.person_class)

    @staticmethod
    def example(image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (image,)


class CropPath(nn.Module):
    """The re-id network of a two-step network: from crops to features."""

    has_static_control_flow = True

    input_names = ("crops",)
    output_names = ("features",)
    dynamic_axes = {"crops": {0: "num_crops"}, "features": {0: "num_crops"}}

    def __init__(self, model: TwoStepPersonSearch):
        """
        Raises:
            UserError: if it has none, or it is an ONNX file already.
        """
        super().__init__()
        _check_has_reid(model)
        _check_is_two_step(model)
        if not list(model.reid.network.parameters()):
            raise UserError(
                "the network for crops has no layers to export: use the file of "
                "MODEL.CROP_REID.WEIGHTS itself, and --only detector for the detector"
            )
        self.reid = model.reid
        self.eval()

    def forward(self, crops):
        """(N, 3, h, w), 0 to 255, N > 0 -> (N, D) L2-normalised features."""
        return self.reid.embed_crops(crops)

    def cut(self, image: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """(N, 3, h, w) crops of an image at its original resolution, as the network cuts them."""
        return self.reid.cut(image, pixel_boxes(boxes, *image.shape[1:]))

    def example(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        height, width = image.shape[-2:]
        whole = torch.tensor([[0, 0, width, height], [0, 0, width // 2, height]])
        return (self.cut(image, whole),)


@contextmanager
def traceable():
    """Within the context, numbers of boxes stay symbolic, and attention is plain operators.

    Python's ``len`` makes an int of whatever ``__len__`` returns, so the numbers stay symbolic only
    where Detectron2's own code calls another ``len``; an argument or a subclass can't reach that.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with patch_builtin_len(), torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


def _all_at_once(detector: nn.Module) -> nn.Module:
    """The detector, whose heads look at all proposals from now on: a graph has no such loop."""
    heads = getattr(detector, "roi_heads", None)
    if isinstance(heads, PersonRes5ROIHeads) and heads.proposals_at_a_time:
        heads.proposals_at_a_time = 0
        logger.info(
            "The graph looks at all proposals at once, as if MODEL.DETECTOR.PROPOSALS_AT_A_TIME "
            "were 0; so it may find a person more"
        )
    return detector


def _class_to_keep(model) -> int:
    """The class of persons; -1 if the detector has no other."""
    return model.person_class if num_classes(model.detector) != 1 else -1


def _find_persons(detector: nn.Module, image, person_class: int) -> tuple[torch.Tensor, ...]:
    """(R, 4) boxes in pixels of the image, and (R,) scores, of the persons alone."""
    found = detector([{"image": image}])[0]["instances"]
    boxes, scores = found.pred_boxes.tensor, found.scores
    if person_class >= 0:
        rows = (found.pred_classes == person_class).nonzero()[:, 0]
        boxes, scores = boxes[rows], scores[rows]
    return boxes, scores


def _check_has_reid(model) -> None:
    if getattr(model, "reid", None) is None:
        raise UserError("SOLVER.STAGE detection has no re-id side-net; export stage reid")


def _check_is_two_step(model) -> None:
    if not model.is_two_step:
        raise UserError(
            f"{type(model).__name__} has no detector and network for crops apart; export its re-id "
            "path (--only reid) or the whole network (--only whole)"
        )


def _embed(reid: nn.Module, maps, rois: torch.Tensor) -> torch.Tensor:
    """(N, D) features of ``rois``, (N, 5): image index, x0, y0, x1, y1."""
    reid_map = reid.make_map(maps)
    # One empty box more: group norm and attention refuse to run on none at all.
    rois = F.pad(rois, (0, 0, 0, 1))
    stages = reid.stages if isinstance(reid, CoatReIDBranch) else [reid]
    features = [stage.head.embed_rois(reid_map, rois) for stage in stages]
    return (torch.cat(features, dim=1) / math.sqrt(len(features)))[:-1]
