"""The coupled models of Table I: one network, whose re-id uses the detector's own features."""

from collections.abc import Callable
from contextlib import contextmanager

from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY
from torch import nn

from ..errors import UserError
from .meta_arch import FullyDecoupledPersonSearch, TrainedHead, build_detector
from .precision import precision_from_config
from .staged.backbone import StagedBackbone, norm_of
from .staged.network import Stage


class OutputTap:
    """The outputs of one module of a detector while it runs, in the order of its calls.

    A dense detector's head calls its layers once for each level of the feature pyramid.
    """

    def __init__(self, module: nn.Module):
        self.module = module

    @contextmanager
    def record(self, on_complete: Callable[[list], None] | None = None):
        """Within the context, each call of the module appends its output to the yielded list.

        Args:
            on_complete: called with the list at the end: nobody else knows which call is the last.
        """
        maps = []
        hook = self.module.register_forward_hook(lambda module, inputs, out: maps.append(out))
        try:
            yield maps
        finally:
            hook.remove()
        if on_complete is not None:
            on_complete(maps)


@META_ARCH_REGISTRY.register()
class CoupledPersonSearch(FullyDecoupledPersonSearch):
    """A detector that is trained for re-id as well: the baseline that the paper decouples.

    Its embeddings come from the features that the detector's own predictions use: for Faster R-CNN
    what its conv5 makes of a box, for a dense detector what RoIAlign takes of a box from the maps
    behind its classification layers. Head, memory, losses, box noise and inference are those of
    the decoupled network, so that coupling is the only difference; the features of gallery and
    query take the same way through the norm. There is one stage, ``joint``.
    """

    can_distill = False  # there is no f_r that could see a crop without the detector's heads

    @configurable
    def __init__(self, *, feature_tap: OutputTap, **parts):
        """
        Args:
            feature_tap: records the maps that the re-id head pools.
            parts: of :class:`FullyDecoupledPersonSearch`.
        """
        super().__init__(**parts)
        self.feature_tap = feature_tap

    @classmethod
    def from_config(cls, cfg):
        stage = cfg.SOLVER.STAGE
        if stage != "joint":
            raise UserError(
                f"SOLVER.STAGE is {stage!r}; CoupledPersonSearch is one network, which stage "
                "joint trains (its configs say so); leave SOLVER.STAGE out"
            )
        detector = build_detector(cfg)
        features = _submodule(detector, "FEATURES", cfg.MODEL.COUPLED.FEATURES)
        _refuse_map_before_norm(detector, cfg.MODEL.COUPLED.FEATURES)
        name = cfg.MODEL.COUPLED.CONV5
        conv5 = _submodule(detector, "CONV5", name) if name else nn.Identity()
        dim = _out_channels(conv5) or _out_channels(features)
        reid = TrainedHead(cfg, None, dim, cfg.MODEL.COUPLED.STRIDES)
        # past nn.Module, which would register the detector's layer a second time
        object.__setattr__(reid.head, "conv5", conv5)
        return {
            "detector": detector,
            "reid": reid,
            "stage": stage,
            "person_class": cfg.MODEL.DETECTOR.PERSON_CLASS,
            "feature_tap": OutputTap(features),
            **precision_from_config(cfg),
        }

    def _search_queries(self, batched_inputs: list[dict]) -> list[dict]:
        """The features are the detector's own: all of it is run, and who it finds is dropped."""
        outputs = self._search(batched_inputs)
        for output in outputs:
            output["instances"] = output["instances"][:0]
        return outputs


def _submodule(detector: nn.Module, key: str, name: str) -> nn.Module:
    try:
        return detector.get_submodule(name)
    except AttributeError as error:
        children = ", ".join(child for child, _ in detector.named_children())
        raise UserError(
            f"MODEL.COUPLED.{key}: {type(detector).__name__} has no module {name!r}; "
            f"its parts are {children}"
        ) from error


def _refuse_map_before_norm(detector: nn.Module, name: str) -> None:
    """A staged network's stage, whose map the detector's heads see through a norm alone."""
    parent, dot, stage = name.rpartition(".")
    backbone, norm = detector.get_submodule(parent), norm_of(stage)
    if isinstance(backbone, StagedBackbone) and norm != stage and hasattr(backbone, norm):
        raise UserError(
            f"MODEL.COUPLED.FEATURES is {name}, but what the detector sees is that map behind its "
            f"norm; set it to {parent}{dot}{norm}"
        )


def _out_channels(layer: nn.Module) -> int:
    """Channels of a layer that says them, or of its last convolution; 0 without one."""
    if isinstance(layer, Stage):
        return layer.out_channels
    return ([0] + [m.out_channels for m in layer.modules() if isinstance(m, nn.Conv2d)])[-1]
