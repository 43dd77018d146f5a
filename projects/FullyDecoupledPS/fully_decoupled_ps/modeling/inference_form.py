"""The form in which a network is fastest at inference: the same weights, laid out anew."""

import torch
from torch import nn

from .fold_norms import fold_norms, fold_norms_that_follow, is_constant
from .meta_arch import FullyDecoupledPersonSearch
from .precision import channels_last_at_inference
from .staged.backbone import StagedBackbone
from .staged.side_net import StagedSideNet
from .threaded_roi_align import pool_on_all_threads


def prepare_for_inference(model: FullyDecoupledPersonSearch, cfg) -> None:
    """Fold batch norms into convolutions, choose the weights' memory format, pool on all threads.

    What the network computes stays what it was, up to rounding in the sixth digit. But its state
    has other names, and it can't be trained any more: weights are loaded, and a fingerprint is
    taken, before this. Evaluations during a training leave its network as it is.

    Args:
        model: with its weights; changed in place, also to eval mode.
        cfg: its config, with ``MODEL.CHANNELS_LAST``.
    """
    model.eval()
    fold_norms(model)
    if model.is_two_step and model.reid is not None and not model.reid.network.is_file:
        network, device = model.reid.network, model.device
        crop = _example(*model.reid.size).to(device)
        fold_norms_that_follow(network, lambda: network(crop))
    _fold_staged(model)
    pool_on_all_threads(model)
    model.is_trainable = False
    is_last = channels_last_at_inference(cfg, model.inference_dtype)
    model.to(memory_format=torch.channels_last if is_last else torch.contiguous_format)


def _example(height: int, width: int) -> torch.Tensor:
    """The same values each time, as pixels less their mean and by their deviation have them."""
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def _fold_staged(model: FullyDecoupledPersonSearch) -> None:
    """The batch norms of a library's networks, taken apart into stages, in f_d and in f_r."""
    found = [m for m in model.detector.modules() if isinstance(m, StagedBackbone)]
    side_net = getattr(model.reid, "side_net", None)
    if not found and not isinstance(side_net, StagedSideNet):
        return
    picture = _example(64, 64).to(model.device)
    for bottom_up in found:
        if any(map(is_constant, bottom_up.modules())):
            fold_norms_that_follow(bottom_up, lambda net=bottom_up: net(picture))
    if not isinstance(side_net, StagedSideNet):
        return
    layers = nn.Sequential(side_net)
    if hasattr(model.reid, "head"):  # which has conv5; COAT's have transformers in its place
        layers.append(model.reid.head.conv5)
    if any(map(is_constant, layers.modules())):
        maps = model.feature_tap.run(picture)
        fold_norms_that_follow(layers, lambda: layers(maps))
