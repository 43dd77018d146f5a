"""Which network for crops a published file is of, by the names in it."""

import re


def name_of_crop_network(state: dict) -> str:
    """What MODEL.CROP_REID.NAME stands for a file's network, such as "FastReID:sbs_R50-ibn".

    Args:
        state: tensors by their published names.

    Returns:
        str: "" if the network is not known.
    """
    return _fast_reid(state) or _osnet(state) or _resnet(state)


def _resnet(state: dict, prefix: str = "") -> str:
    """ "torchvision:resnet50" for the names of one."""
    numbers = [re.match(rf"{re.escape(prefix)}layer3\.(\d+)\.", name) for name in state]
    blocks = 1 + max((int(number[1]) for number in numbers if number), default=-1)
    kind = f"{prefix}layer1.0.conv3.weight" in state, blocks
    depths = {(False, 2): 18, (False, 6): 34, (True, 6): 50, (True, 23): 101, (True, 36): 152}
    return f"torchvision:resnet{depths[kind]}" if kind in depths else ""


def _fast_reid(state: dict) -> str:
    """ "FastReID:sbs_R50-ibn" for the names of one."""
    depth = _resnet(state, "backbone.").removeprefix("torchvision:resnet")
    if depth not in ("50", "101") or not any(name.startswith("heads.") for name in state):
        return ""
    method = "bot"
    if any(name.startswith("backbone.NL_") for name in state):
        method = "sbs" if "heads.pool_layer.p" in state else "agw"
    ibn = "-ibn" if "backbone.layer1.0.bn1.IN.weight" in state else ""
    name = f"FastReID:{method}_R{depth}{ibn}"
    if method == "sbs" and "heads.bnneck.weight" in state:  # agw's power was trained too, then
        name += f" or {name.replace('sbs', 'agw')}, as the file's name says"
    return name


def _osnet(state: dict) -> str:
    """ "OSNet:x0_25" for the names of one."""
    kinds = {
        "conv2.0.conv2a.conv1.weight": "OSNet",
        "conv2.0.conv2.0.layers.0.conv1.weight": "OSNetAIN",
    }
    kind = next((kinds[name] for name in kinds if name in state), "")
    if not kind or any(".IN." in name for name in state) != (kind == "OSNetAIN"):
        return ""
    stem = state.get("conv1.conv.weight")
    widths = {64: "", 48: ":x0_75", 32: ":x0_5", 16: ":x0_25"}
    return kind + widths.get(0 if stem is None else len(stem), "")
