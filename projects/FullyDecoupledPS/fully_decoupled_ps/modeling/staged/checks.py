"""Keys of staged networks that contradict the rest of a config, before anything is built."""

from ...config import is_two_step
from ...errors import UserError
from .backbone import KEY, bottom_up_builder, is_staged
from .network import STAGES, check_staged_name
from .side_net import SIDE_NET_KEY

# Of the detector's backbone.
BUILDERS = (
    "build_staged_backbone",
    "build_staged_fpn_backbone",
    "build_retinanet_staged_fpn_backbone",
)
# Those with a pyramid -> whether its last levels are made from conv5.
_PYRAMIDS = {
    "build_staged_fpn_backbone": False,
    "build_retinanet_staged_fpn_backbone": True,
    "build_fcos_resnet_fpn_backbone": True,
}
# Detectors of levels p3 to p7 -> the builder of ours that makes them.
_DENSE = {
    "RetinaNet": "build_retinanet_staged_fpn_backbone",
    "PersonRetinaNet": "build_retinanet_staged_fpn_backbone",
    "FCOS": "build_fcos_resnet_fpn_backbone",
}
_UNSTAGED = ("ResNetSideNet", "OSNetSideNet")


def check_staged(cfg) -> None:
    """Refuse what is not registered, or no part would read; impossible rates, levels of pyramids.

    Raises:
        UserError: names the key, and what is allowed.
    """
    name, side_net = cfg.MODEL.STAGED.NAME, cfg.MODEL.REID.SIDE_NET
    for key, value in ((KEY, name), (SIDE_NET_KEY, side_net.STAGED)):
        if value:
            check_staged_name(key, value)
    if bottom_up_builder(cfg) in BUILDERS and not name:
        check_staged_name(KEY, name)
    is_staged_f_r = side_net.NAME == "StagedSideNet"
    if name and not is_staged(cfg) and (not is_staged_f_r or side_net.STAGED):
        raise UserError(
            f"{KEY} is {name!r}, but the backbone is {bottom_up_builder(cfg)}, which does not read "
            f"it; set MODEL.BACKBONE.NAME to one of {', '.join(BUILDERS)} (of FCOS, "
            f"MODEL.FCOS.BOTTOM_UP to {BUILDERS[0]}), or leave the name out"
        )
    if side_net.STAGED and side_net.NAME in _UNSTAGED:  # one of others' may read it
        raise UserError(
            f"{SIDE_NET_KEY} is {side_net.STAGED!r}, which {side_net.NAME} does not read; set "
            "MODEL.REID.SIDE_NET.NAME StagedSideNet, or leave it out"
        )
    if is_staged_f_r and not name and not side_net.STAGED:
        raise UserError(
            "MODEL.REID.SIDE_NET.NAME is StagedSideNet, and of no network; name one with "
            f"{SIDE_NET_KEY}, or with {KEY} that of the detector"
        )
    rate = cfg.MODEL.STAGED.DROP_PATH
    if rate != -1 and not 0 <= rate < 1:  # nan is not
        raise UserError(
            f"MODEL.STAGED.DROP_PATH is {rate}; it must be in [0, 1), or -1 for the library's own"
        )
    if is_staged(cfg):
        _check_fits_detector(cfg)
        if cfg.MODEL.BACKBONE.NAME in _PYRAMIDS:
            _check_pyramid(cfg)


def check_unread(cfg) -> None:
    """Refuse what a training would not heed; of a trained network it changes nothing.

    Raises:
        UserError: names the key, and what is allowed.
    """
    side_net, rate = cfg.MODEL.REID.SIDE_NET, cfg.MODEL.STAGED.DROP_PATH
    if rate != -1 and not is_staged(cfg) and side_net.NAME in _UNSTAGED:
        raise UserError(
            f"MODEL.STAGED.DROP_PATH is {rate}, and no network here is a staged one, which could "
            f"have stochastic depth; leave it out, or name one with {KEY}"
        )
    if side_net.NAME == "StagedSideNet" and side_net.DEPTH and not is_two_step(cfg):
        raise UserError(
            f"MODEL.REID.SIDE_NET.DEPTH is {side_net.DEPTH}, which StagedSideNet does not read; "
            f"leave it out, name the network with {SIDE_NET_KEY}, or set MODEL.REID.SIDE_NET.NAME "
            "ResNetSideNet"
        )


def _check_fits_detector(cfg) -> None:
    detector, builder = cfg.MODEL.DETECTOR.NAME, cfg.MODEL.BACKBONE.NAME
    if detector in _DENSE and builder in BUILDERS[:2]:
        raise UserError(
            f"MODEL.BACKBONE.NAME is {builder}, which has not the levels p3 to p7 of {detector}; "
            f"set it to {_DENSE[detector]}"
        )
    bottom_up = cfg.MODEL.FCOS.BOTTOM_UP
    if builder == _DENSE["FCOS"] and bottom_up in BUILDERS[1:]:
        raise UserError(
            f"MODEL.FCOS.BOTTOM_UP is {bottom_up}, a pyramid, and {builder} makes one of what it "
            f"gives; set it to {BUILDERS[0]}"
        )
    outputs = list(cfg.MODEL.RESNETS.OUT_FEATURES)
    if not {"res4", "res5"} & {*outputs}:
        raise UserError(
            f"MODEL.RESNETS.OUT_FEATURES is {outputs}; f_r takes maps up to res4, so name it, or "
            "res5"
        )
    if cfg.MODEL.ROI_HEADS.NAME == "Res5ROIHeads" and detector not in _DENSE:
        raise UserError(
            "MODEL.ROI_HEADS.NAME is Res5ROIHeads, whose conv5 is a ResNet's; PersonRes5ROIHeads "
            f"has that of {cfg.MODEL.STAGED.NAME}"
        )


def _check_pyramid(cfg) -> None:
    builder, inputs = cfg.MODEL.BACKBONE.NAME, list(cfg.MODEL.FPN.IN_FEATURES)
    outputs = list(cfg.MODEL.RESNETS.OUT_FEATURES)
    runs = [list(STAGES[i:j]) for j in range(1, 5) for i in range(j)]
    from_conv5 = _PYRAMIDS[builder]
    fits = inputs in runs and set(inputs) <= set(outputs)
    if not fits or from_conv5 and STAGES[-1] not in inputs:
        raise UserError(
            f"MODEL.FPN.IN_FEATURES is {inputs}, and MODEL.RESNETS.OUT_FEATURES {outputs}; "
            f"{builder} needs successive stages{', with res5,' * from_conv5} in the first, and all "
            "of them in the second: set both to ['res3', 'res4', 'res5'], say"
        )
