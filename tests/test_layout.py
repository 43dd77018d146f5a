"""Who may import whom: the package's parts stay separable.

``config`` imports nothing of ours; ``data`` and ``modeling`` know nothing of each other, nor of
``evaluation``; ``index`` knows of the errors alone; ``search_metrics`` is pure; nothing in
``modeling`` or ``evaluation`` names a data set. Read from the source with ast, so imports inside
functions count too.
"""

import ast
import re
import sys
from pathlib import Path
from typing import Iterator, Set

import pytest

PROJECT = Path(__file__).parents[1] / "projects" / "FullyDecoupledPS"
PACKAGE = "fully_decoupled_ps"
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts): path
    for path in sorted((PROJECT / PACKAGE).rglob("*.py"))
}

# Parts of the package that the part on the left must not import.
FORBIDDEN = {
    "data": {"modeling", "evaluation", "visualization"},
    "modeling": {"data", "evaluation", "visualization", "export"},  # it imports the other two
    "export": {"data", "evaluation", "visualization"},
    "visualization": {"modeling", "cli"},
    "index": {"cli", "data", "evaluation", "inference", "modeling", "visualization"},
    "inference": {"cli", "evaluation", "visualization"},
    "web": {"data", "evaluation", "modeling"},
}
PURE_LIBRARIES = {"numpy", "torch", "sklearn"}
DATASET_NAME = re.compile(r"prw|cuhk|sysu", re.IGNORECASE)


def imported_names(source: str, module: str, is_package: bool = False) -> Set[str]:
    """Return the absolute dotted names that ``source``, the text of ``module``, imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join(parents + ([base] if base else []))
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def own_parts(names: Set[str]) -> Set[str]:
    """Return the parts of the package (``data``, ``config``, ...) among ``names``."""
    split = [name.split(".") for name in names]
    return {parts[1] for parts in split if parts[0] == PACKAGE and len(parts) > 1}


def imports_of(module: str) -> Set[str]:
    path = MODULES[module]
    if path.name == "__init__.py":
        return imported_names(path.read_text(), module.rpartition(".")[0], is_package=True)
    return imported_names(path.read_text(), module)


def dataset_names(source: str) -> Iterator[str]:
    """Yield identifiers and string literals in ``source``, docstrings aside, naming a data set."""
    tree = ast.parse(source)
    # A string that is a statement of its own is a docstring, and may cite where a value is from.
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in docs:
            continue
        for field in ("id", "attr", "name", "arg", "value"):
            text = getattr(node, field, None)
            if isinstance(text, str) and DATASET_NAME.search(text):
                yield text


def part_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in FORBIDDEN])
def test_import_direction(module):
    wrong = own_parts(imports_of(module)) & FORBIDDEN[part_of(module)]
    assert not wrong, f"{module} imports {sorted(wrong)}"


def test_config_imports_nothing_of_ours_but_the_errors():
    assert own_parts(imports_of(f"{PACKAGE}.config")) <= {"errors"}
    assert own_parts(imports_of(f"{PACKAGE}.errors")) == set()


def test_search_metrics_needs_numeric_libraries_only():
    names = {name.split(".")[0] for name in imports_of(f"{PACKAGE}.evaluation.search_metrics")}
    own = own_parts(imports_of(f"{PACKAGE}.evaluation.search_metrics"))
    assert names - {PACKAGE} - set(sys.stdlib_module_names) <= PURE_LIBRARIES
    assert own <= {"evaluation", "errors"}


@pytest.mark.parametrize("module", MODULES)
def test_package_does_not_import_commands(module):
    assert not {name.split(".")[0] for name in imports_of(module)} & {"train_net", "tools", "tests"}


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in ("modeling", "evaluation")])
def test_no_dataset_is_named(module):
    assert list(dataset_names(MODULES[module].read_text())) == []


class TestTheReaderItself:
    """The rules above are worth as much as what they can see."""

    @pytest.mark.parametrize(
        "source",
        [
            "import fully_decoupled_ps.data.datasets.prw",
            "from fully_decoupled_ps import data",
            "from fully_decoupled_ps.data.datasets.prw import load_prw",
            "from ..data import prw",
            "from .. import data",
            "def f():\n    from ..data.prw import load_prw",
        ],
    )
    def test_it_sees_every_way_to_import(self, source):
        names = imported_names(source, f"{PACKAGE}.modeling.losses")
        assert own_parts(names) == {"data"}

    def test_relative_imports_of_a_package_start_at_itself(self):
        names = imported_names("from .losses import OIMLoss", f"{PACKAGE}.modeling", True)
        assert names == {f"{PACKAGE}.modeling.losses.OIMLoss"}

    def test_it_sees_names_of_data_sets_but_not_docstrings(self):
        assert list(dataset_names('"""As on PRW."""\nx = 1  # PRW')) == []
        assert list(dataset_names('if name == "prw_train":\n    pass')) == ["prw_train"]
        assert list(dataset_names("def load_cuhk(): ...")) == ["load_cuhk"]
