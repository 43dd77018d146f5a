"""Fully decoupled end-to-end person search, as a Detectron2 project.

Importing this package registers the meta-architecture and the built-in datasets with Detectron2, at
once if Detectron2 has been imported, else when it is. By itself it imports neither Detectron2 nor
PyTorch, which take seconds: the names below are loaded when they are first used.
"""

import importlib

from ._registration import register_with_detectron2

__version__ = "0.1.0"

# Name -> the module that has it.
_EXPORTS = {
    "UserError": ".errors",
    "add_fully_decoupled_ps_config": ".config",
    "apply_stage": ".config",
    "builtin": ".data.datasets",
    "check_config": ".engine.check_config",
    "data": "",
    "load_config": ".config",
    "merge_config": ".config",
    "modeling": "",
}
__all__ = sorted(_EXPORTS)

register_with_detectron2()


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _EXPORTS[name]
    if not module:
        return importlib.import_module(f".{name}", __name__)
    value = getattr(importlib.import_module(module, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
