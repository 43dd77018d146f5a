"""Import Detectron2's models without warnings that its users can do nothing about.

fvcore and Detectron2 compile functions with torch.jit when they are imported, and current PyTorch
warns of each.
"""

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit\._script")
    import detectron2.modeling  # noqa: F401
