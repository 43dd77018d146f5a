#!/usr/bin/env python
"""``train_net.py`` on a CPU without instructions for bfloat16, as one that has them would train.

    python emulated_bfloat16.py --config-file F SOLVER.AMP.ENABLED True ...

What autocast casts is rounded to bfloat16, multiplied and summed in float32, and rounded again, as
such instructions do. PyTorch's own way without them takes ten times as long, and rounds its sums in
between. How long a training takes here says nothing of a processor that has them.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fully_decoupled_ps.train_net import run

_ATEN = torch.ops.aten
# Of what autocast casts, all that a network of ours has, and its gradients.
_PRODUCTS = {
    *(_ATEN.convolution.default, _ATEN.convolution_backward.default),
    *(_ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default, _ATEN.baddbmm.default),
}


class EmulatedBfloat16(TorchDispatchMode):
    """Convolutions and matrix products of bfloat16 tensors are computed in float32, and rounded."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in _PRODUCTS or not any(map(_is_bfloat16, args)):
            return function(*args, **kwargs)
        found = function(*(x.float() if _is_bfloat16(x) else x for x in args), **kwargs)
        if isinstance(found, torch.Tensor):
            return found.bfloat16()
        return tuple(None if x is None else x.bfloat16() for x in found)  # gradients that are asked


def _is_bfloat16(value) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16


if __name__ == "__main__":
    with EmulatedBfloat16():
        run()
