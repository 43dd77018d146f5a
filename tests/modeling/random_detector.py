"""A detector of random weights that finds something."""

from functools import partial

import torch


def random_weights(model: torch.nn.Module, run) -> None:
    """Weights with which persons are found among others, and boxes reach over the border.

    Each layer that predicts is centred and scaled once, as its outputs would be after training.
    """
    torch.manual_seed(0)
    spreads = {"cls_score": 2.0, "bbox_pred": 1.0, "objectness_logits": 1.0, "anchor_deltas": 0.5}

    def scale(layer, inputs, output, spread):
        if layer.bias.any():  # scaled already, at the first level of a pyramid
            return output
        places = [i for i in range(output.dim()) if i != 1]
        mean = output.mean(places, keepdim=True)
        factor = spread / (output - mean).std().clamp(min=1e-6)
        layer.weight.data *= factor
        layer.bias.data -= mean.flatten() * factor
        return (output - mean) * factor

    for name, norm in model.backbone.named_buffers():
        if name.endswith("conv3.norm.weight"):
            norm.fill_(0.2)  # or the maps of a ResNet without training grow to thousands
    hooks = []
    for name, layer in model.eval().named_modules():
        spread = spreads.get(name.split(".")[-1])
        if spread:
            torch.nn.init.normal_(layer.weight, std=0.01)
            torch.nn.init.zeros_(layer.bias)
            hooks.append(layer.register_forward_hook(partial(scale, spread=spread)))
    run()
    for hook in hooks:
        hook.remove()
    for name, parameter in model.named_parameters():
        if name.endswith("cls_score.bias"):
            # of the first class, which persons are: of an R-CNN's one box, or of each anchor
            parameter.data[:: 80 if name.startswith("head.") else len(parameter)] += 4.0
