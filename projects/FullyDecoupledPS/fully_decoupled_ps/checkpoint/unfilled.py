"""What of a detector's backbone would stay random where a checkpoint has started the rest."""

import re
from collections import defaultdict

from torch import nn

from .blocks import blocks_of

# "backbone.bottom_up.res3", "roi_heads.res5"
_STAGE = re.compile(r"(?:^|.*\.)(?:stem|res[2-5])(?=\.)")


def left_random(detector: nn.Module, misfits: set[str], prefix: str) -> list[str]:
    """Frozen weights, and whole stages and blocks, that a file did not fill; heads may be new.

    Args:
        detector: whose stages are called "stem" and "res2" to "res5", wherever they stand.
        misfits: names of the whole network's tensors that the file did not fill.
        prefix: of the detector's names there.

    Returns:
        list: names of the whole network's tensors, sorted.
    """
    frozen, wholes = [], defaultdict(list)
    for name, parameter in detector.named_parameters():
        if not parameter.requires_grad:
            frozen.append(prefix + name)
        if stage := _STAGE.match(name):
            wholes[stage[0]].append(prefix + name)
            for block in blocks_of([name]):
                wholes[stage[0], block].append(prefix + name)
    wrong = misfits.intersection(frozen)
    for names in wholes.values():
        if misfits.issuperset(names):
            wrong.update(names)
    return sorted(wrong)
