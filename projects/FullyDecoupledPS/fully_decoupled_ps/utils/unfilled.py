"""Building a network whose weights are loaded next, without drawing random ones first."""

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

# Of torch.nn.init and of tensors: functions that fill their first argument with random numbers.
_DRAWS = frozenset(
    ("uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_")
    + ("kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_")
)


class WithoutRandomWeights(TorchFunctionMode):
    """A context in which parameters that would be drawn at random are zero instead.

    Drawing those of two ResNet-50s takes a second or two. What is no random number, such as a
    norm's ones, is as ever; so is a tensor that is no parameter, such as a fixed random projection,
    which no file of weights need have. Whoever uses it has to see to it that every parameter is
    loaded, or that an error says which is not.
    """

    _active = 0

    def __enter__(self):
        WithoutRandomWeights._active += 1
        return super().__enter__()

    def __exit__(self, *error):
        WithoutRandomWeights._active -= 1
        return super().__exit__(*error)

    @classmethod
    def is_on(cls) -> bool:
        """Whether new weights are no numbers that could be computed with."""
        return cls._active > 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") in _DRAWS:
            filled = args[0] if args else kwargs["tensor"]
            if isinstance(filled, nn.Parameter):
                # not as the memory is: trunc_normal_ draws again what is out of its bounds
                with torch.no_grad():
                    return filled.zero_()
        return function(*args, **kwargs)
