"""Registers what this package adds to Detectron2 as soon as Detectron2 is imported, and not before.

So ``import fully_decoupled_ps`` is all that ``DatasetCatalog`` and ``build_model`` need, before or
after Detectron2's own import, and what needs no network (help texts, errors) starts without it.
"""

import importlib
import importlib.abc
import importlib.util
import sys
import warnings
from contextlib import nullcontext

from ._light_torchvision import without_compiler

# A part of Detectron2 -> the part of this package that registers something with it.
PARTS = {
    "detectron2.data": "fully_decoupled_ps.data",
    "detectron2.modeling": "fully_decoupled_ps.modeling",
    "fvcore.nn": "",  # nothing: it is there for its warnings, which are hidden
    "torchvision": "",  # nothing: it is imported without what it needs for compiling alone
}


def register_with_detectron2() -> None:
    """Import the parts whose counterpart is loaded, and see to the others when it is."""
    missing = {theirs: ours for theirs, ours in PARTS.items() if theirs not in sys.modules}
    if missing:
        sys.meta_path.insert(0, _ImportAfter(missing))
    for theirs, ours in PARTS.items():
        if ours and theirs not in missing:
            importlib.import_module(ours)


class _ImportAfter(importlib.abc.MetaPathFinder):
    """Imports a module of ours when another has been imported, by the usual finders.

    Ours may be what imports Detectron2's: it goes on then, and registers at its own end.
    """

    def __init__(self, parts: dict[str, str]):
        self._parts = parts

    def find_spec(self, name, path, target=None):
        ours = self._parts.pop(name, None)
        if ours is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_import(module):
            light = without_compiler() if name == "torchvision" else nullcontext()
            with light, warnings.catch_warnings():
                # of fvcore and Detectron2, which users can do nothing about
                warnings.filterwarnings(
                    "ignore", category=FutureWarning, module=r"torch\.jit\._script"
                )
                execute(module)
            if ours:
                importlib.import_module(ours)

        spec.loader.exec_module = execute_and_import
        return spec
