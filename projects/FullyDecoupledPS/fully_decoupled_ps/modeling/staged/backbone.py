"""A Detectron2 backbone of any staged network: alone (C4), or under Detectron2's pyramids."""

from collections.abc import Sequence

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torchvision.models.convnext import LayerNorm2d

from ...errors import UserError
from .network import MAP_STRIDES, STAGES, StagedNetwork, build_staged_network

KEY = "MODEL.STAGED.NAME"


class StagedBackbone(Backbone):
    """Outputs named as a ResNet's are, ``res2`` to ``res5``, of strides 4 to 32.

    Of a network that ends in a norm, each output goes through a new layer norm over its channels
    (``norm2`` to ``norm5``), as is usual for detectors on ConvNeXt and Swin. What the re-id
    side-net takes are the stages' maps before these.
    """

    @configurable
    def __init__(self, *, network: StagedNetwork, out_features: Sequence[str], freeze_at: int):
        """
        Args:
            network: its stages up to the last output are taken.
            out_features: of "res2", "res3", "res4", "res5".
            freeze_at: 0 or less: all is trained; 1: the stem is frozen; 2: ``res2`` as well, and
                so on; more than there are: all of them.

        Raises:
            UserError: if there is no such output.
        """
        super().__init__()
        unknown = [name for name in out_features if name not in STAGES]
        if unknown or not out_features:
            raise UserError(
                f"MODEL.RESNETS.OUT_FEATURES is {list(out_features)}; a staged backbone's outputs "
                f"are {', '.join(STAGES)}"
            )
        self.rename_published = network.rename_published
        self.stem = network.stem
        self.stage_names = STAGES[: max(map(STAGES.index, out_features)) + 1]
        self._out_features = [name for name in self.stage_names if name in out_features]
        self._out_feature_channels, self._out_feature_strides = {}, {}
        has_norms = network.stages[-1].norm is not None
        for name, stage, stride in zip(self.stage_names, network.stages, MAP_STRIDES):
            stage.norm = None
            self.add_module(name, stage)
            self._out_feature_channels[name] = stage.out_channels
            self._out_feature_strides[name] = stride
            if has_norms and name in out_features:
                self.add_module(norm_of(name), LayerNorm2d(stage.out_channels, eps=1e-6))
        self.has_norms = has_norms
        for name in ("stem", *self.stage_names)[: max(freeze_at, 0)]:
            getattr(self, name).freeze()

    @classmethod
    def from_config(cls, cfg, input_shape: ShapeSpec):
        return {
            "network": build_staged_network(cfg, KEY, cfg.MODEL.STAGED.NAME),
            "out_features": cfg.MODEL.RESNETS.OUT_FEATURES,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, x):
        """(B, 3, H, W) -> the outputs by name, (B, C, H / s, W / s), rounded up."""
        outputs = {}
        x = self.stem(x)
        for name in self.stage_names:
            x = getattr(self, name)(x)
            if name in self._out_features:
                outputs[name] = getattr(self, norm_of(name))(x) if self.has_norms else x
        return outputs


def bottom_up_builder(cfg) -> str:
    """The name of what builds the detector's stages, which may stand under a pyramid."""
    name = cfg.MODEL.BACKBONE.NAME
    return cfg.MODEL.FCOS.BOTTOM_UP if name == "build_fcos_resnet_fpn_backbone" else name


def is_staged(cfg) -> bool:
    """Whether the detector's backbone is of ``MODEL.STAGED.NAME``, as builders of others' may be.

    A ResNet's builder is known by its name.
    """
    return bool(cfg.MODEL.STAGED.NAME) and "resnet" not in bottom_up_builder(cfg)


def norm_of(name: str) -> str:
    """ "norm4" for "res4": what its output goes through, if the network ends in a norm."""
    return name.replace("res", "norm")


@BACKBONE_REGISTRY.register()
def build_staged_backbone(cfg, input_shape: ShapeSpec) -> StagedBackbone:
    """The network of ``MODEL.STAGED.NAME``."""
    return StagedBackbone(cfg, input_shape)


@BACKBONE_REGISTRY.register()
def build_staged_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """Under a pyramid as of Detectron2's Faster R-CNN with FPN, whose P6 is pooled from P5."""
    return _pyramid(cfg, StagedBackbone(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_retinanet_staged_fpn_backbone(cfg, input_shape: ShapeSpec) -> FPN:
    """Under a pyramid as of Detectron2's RetinaNet, whose P6 and P7 come from conv5."""
    bottom_up = StagedBackbone(cfg, input_shape)
    channels = bottom_up.output_shape()["res5"].channels
    return _pyramid(cfg, bottom_up, LastLevelP6P7(channels, cfg.MODEL.FPN.OUT_CHANNELS))


def _pyramid(cfg, bottom_up: StagedBackbone, top_block) -> FPN:
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
