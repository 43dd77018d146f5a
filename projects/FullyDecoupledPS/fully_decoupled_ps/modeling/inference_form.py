"""The form in which a network is fastest at inference: the same weights, laid out anew."""

import torch

from .fold_norms import fold_norms, fold_norms_that_follow
from .meta_arch import FullyDecoupledPersonSearch
from .precision import channels_last_at_inference


def prepare_for_inference(model: FullyDecoupledPersonSearch, cfg) -> None:
    """Fold batch norms into convolutions, and choose the weights' memory format.

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
        crop = torch.zeros(1, 3, *model.reid.size, device=device)
        fold_norms_that_follow(network, lambda: network(crop))
    model.is_trainable = False
    is_last = channels_last_at_inference(cfg, model.inference_dtype)
    model.to(memory_format=torch.channels_last if is_last else torch.contiguous_format)
