"""Importing torchvision without PyTorch's compiler, whose modules take as long as all others."""

import importlib
import sys
from contextlib import contextmanager
from types import ModuleType

COMPILER = "torch._dynamo.utils"


class _OnDemand(ModuleType):
    """Stands for ``torch._dynamo.utils``, and imports it when it is asked for anything of it.

    All but one function: torchvision's RoIAlign imports ``is_compile_supported``, and calls it only
    where somebody has demanded deterministic algorithms of a GPU.
    """

    def is_compile_supported(self, device_type: str) -> bool:
        return self._import().is_compile_supported(device_type)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(f"module {COMPILER!r} has no attribute {name!r}")
        return getattr(self._import(), name)

    def _import(self) -> ModuleType:
        _step_aside(self)
        return importlib.import_module(COMPILER)


@contextmanager
def without_compiler():
    """Within the context, an import of ``torch._dynamo.utils`` is put off until it is needed."""
    if COMPILER in sys.modules:
        yield
        return
    module = sys.modules[COMPILER] = _OnDemand(COMPILER)
    try:
        yield
    finally:
        _step_aside(module)


def _step_aside(module: ModuleType) -> None:
    if sys.modules.get(COMPILER) is module:
        del sys.modules[COMPILER]
