"""f_r of any staged network: its stages 2 to 4 beside the detector's."""

from collections.abc import Callable

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from torch import nn

from ..reid_side_net import REID_SIDE_NET_REGISTRY, SideNet, conv_side_ada
from ..side_fusion import SIDE_FUSION_REGISTRY
from .backbone import KEY
from .network import build_staged_network, stride_one_stage

SIDE_NET_KEY = "MODEL.REID.SIDE_NET.STAGED"


@REID_SIDE_NET_REGISTRY.register()
class StagedSideNet(SideNet):
    """Stages 2 to 4 of a ConvNeXt, a Swin, or another staged network, with norms of their own.

    Of the detector's own network (homogeneous) or of another. conv5 is the last stage at stride 1,
    followed by the network's final norm, as in the paper's successor; the fused maps are the
    stages' outputs, which have no norm.
    """

    @configurable
    def __init__(self, *, rename_published: Callable[[dict], dict], **parts):
        super().__init__(**parts)
        self._rename_published = rename_published

    @classmethod
    def from_config(cls, cfg, detector_shapes: dict[str, ShapeSpec]):
        name, key = cfg.MODEL.REID.SIDE_NET.STAGED, SIDE_NET_KEY
        if not name:
            name, key = cfg.MODEL.STAGED.NAME, KEY
        network = build_staged_network(cfg, key, name)
        res2, res3, res4, _ = network.stages
        given, wanted = detector_shapes["res2"].channels, res2.out_channels
        fusion = SIDE_FUSION_REGISTRY.get(cfg.MODEL.REID.FUSION.NAME)
        return {
            "side_ada": nn.Identity() if given == wanted else conv_side_ada(given, wanted),
            "res3": res3,
            "res4": res4,
            "res5": stride_one_stage(network, key, name),
            "feature_dim": network.stages[-1].out_channels,
            "fusions": {
                level: fusion(detector_shapes[level].channels, stage.out_channels)
                for level, stage in (("res3", res3), ("res4", res4))
            },
            "rename_published": network.rename_published,
        }

    def rename_published(self, state: dict) -> dict:
        return self._rename_published(state)
