"""The classes that a checkpoint's detector tells apart, and its fine-tuning to one of them."""

import torch
from detectron2.modeling.meta_arch.fcos import FCOSHead
from detectron2.modeling.meta_arch.retinanet import RetinaNetHead
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from torch import nn

# Coordinates that a class's own box regressor predicts.
BOX_DIM = 4


def predictors(detector: nn.Module) -> dict[str, nn.Module]:
    """What tells classes apart in a Detectron2 detector, by name."""
    kinds = (FastRCNNOutputLayers, RetinaNetHead, FCOSHead)
    return {name: m for name, m in detector.named_modules() if isinstance(m, kinds)}


def classes_in(detector: nn.Module, state: dict) -> int | None:
    """The number of classes of a state dict's detector; None if it does not tell.

    Args:
        detector: of the same architecture, of any number of classes.
        state: by the detector's own names.
    """
    for name, module in predictors(detector).items():
        weight = state.get(f"{name}.cls_score.weight")
        if weight is not None:
            if isinstance(module, FastRCNNOutputLayers):
                return len(weight) - 1  # the last is background
            return len(weight) // _anchors(module)
    return None


def keep_class(detector: nn.Module, state: dict, kept: int) -> dict:
    """A state dict of several classes for a detector of one: that class's rows of each predictor.

    Args:
        detector: of one class.
        state: by the detector's own names; tensors or arrays.
        kept: a class, 0 to ``classes_in(detector, state) - 1``.
    """
    number, state = classes_in(detector, state), dict(state)
    for name, module in predictors(detector).items():
        for part in ("weight", "bias"):
            scores, boxes = f"{name}.cls_score.{part}", f"{name}.bbox_pred.{part}"
            if isinstance(module, FastRCNNOutputLayers):
                _take(state, scores, [kept, number])
                if len(state.get(boxes, ())) == BOX_DIM * number:  # else one for all classes
                    _take(state, boxes, [BOX_DIM * kept + i for i in range(BOX_DIM)])
            else:
                _take(state, scores, [number * a + kept for a in range(_anchors(module))])
    return state


def _take(state: dict, name: str, rows: list[int]) -> None:
    if name in state:
        state[name] = torch.as_tensor(state[name])[rows]


def _anchors(head: nn.Module) -> int:
    """Anchors in one place, each of which a dense head scores for every class in turn."""
    return head.bbox_pred.out_channels // BOX_DIM
