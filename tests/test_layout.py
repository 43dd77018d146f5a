"""Who may import whom: the packages' parts stay separable, and what needs no network loads none.

Read from the source with ast, so imports inside functions count too.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from person_search.cli.main import SUBCOMMANDS

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "projects" / "FullyDecoupledPS"
PACKAGE, APPLICATION = "fully_decoupled_ps", "person_search"
MODULES = {
    ".".join(path.relative_to(PROJECT).with_suffix("").parts): path
    for package in (PACKAGE, APPLICATION)
    for path in sorted((PROJECT / package).rglob("*.py"))
}

# Parts of the same package that the part on the left must not import.
FORBIDDEN = {
    "checkpoint": {"evaluation", "engine", "visualization", "dataset_tools", "export"},
    "data": {"modeling", "evaluation", "engine", "visualization", "dataset_tools", "export"},
    "dataset_tools": {"modeling", "evaluation", "engine", "export", "predictor"},
    "evaluation": {"engine", "visualization", "dataset_tools", "export", "predictor"},
    "export": {"data", "evaluation", "engine", "visualization", "dataset_tools"},
    "modeling": {"data", "evaluation", "engine", "visualization", "dataset_tools", "export"},
    "predictor": {"evaluation", "visualization", "dataset_tools", "export"},
    # listed without PyTorch
    "ready": {"checkpoint", "config", "data", "modeling", "evaluation", "engine", "predictor"},
    "utils": {"data", "modeling", "evaluation", "engine", "visualization", "dataset_tools"},
    "visualization": {"modeling", "engine", "dataset_tools", "export"},
    # of the application
    "index": {"media", "search", "label", "web", "cli", "network"},
    "label": {"cli"},
    "media": {"search", "label", "web", "cli"},
    "search": {"label", "web", "cli"},
    "web": {"label", "cli"},
}
# What the application sees of the research package. An export of labels is split and written as
# converted data sets are, so that there is one rule and one format, and its boxes are those that
# `check-dataset` lets pass. It names dataset_tools' two commands too, in a table of subcommands,
# and imports them no other way. Of site_training it sees one function, which trains a network
# without the application knowing of configs or stages.
DOOR = re.compile(
    rf"{PACKAGE}\.((predictor|ready|visualization|errors"
    r"|utils\.(allocator|files|names|arguments|progress)"
    r"|dataset_tools\.(conversion\.(assemble|json_file|split)|inspection\.boxes))(\.|$)"
    r"|site_training\.(SiteRequest|train_for_site)$)"
)
PURE_LIBRARIES = {"numpy", "torch", "sklearn"}
DATASET_NAME = re.compile(r"prw|cuhk|sysu", re.IGNORECASE)


def imported_names(source: str, module: str, is_package: bool = False) -> set[str]:
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


def own_parts(names: set[str], package: str = PACKAGE) -> set[str]:
    """Return the parts of a package (``data``, ``config``, ...) among ``names``."""
    split = [name.split(".") for name in names]
    return {parts[1] for parts in split if parts[0] == package and len(parts) > 1}


def imports_of(module: str) -> set[str]:
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


def package_folders(root: Path) -> set[str]:
    """Folders below ``root`` with Python files of their own, relative to it."""
    return {str(path.parent.relative_to(root)) for path in root.rglob("*.py")}


@pytest.mark.parametrize("module", [m for m in MODULES if part_of(m) in FORBIDDEN])
def test_import_direction(module):
    package = module.split(".")[0]
    wrong = own_parts(imports_of(module), package) & FORBIDDEN[part_of(module)]
    assert not wrong, f"{module} imports {sorted(wrong)}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(APPLICATION)])
def test_the_application_sees_the_network_through_its_door_alone(module):
    names = {name for name in imports_of(module) if name.startswith(PACKAGE)}
    assert not {name for name in names if not DOOR.match(name)}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(PACKAGE)])
def test_nothing_of_the_research_package_sees_the_application(module):
    assert not {name for name in imports_of(module) if name.split(".")[0] == APPLICATION}


HELP = """
import contextlib, io, sys
from person_search.cli.main import main
with contextlib.redirect_stdout(io.StringIO()):
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        assert end.code == 0
print(*sorted({"torch", "detectron2", "cv2"} & set(sys.modules)))
"""


@pytest.mark.parametrize("command", [[], *([name] for name in SUBCOMMANDS), ["convert", "mot"]])
def test_help_loads_no_network(command):
    run = [sys.executable, "-c", HELP, *command, "--help"]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "\n"


# Forks for each order of imports (arguments), of which the first imports all that is not ours. A
# child that fails says why.
IMPORTS = """
import os, sys
for number, order in enumerate(sys.argv[1:]):
    if number == 1:
        import cv2, scipy.io, sklearn.metrics, torch, torchvision, torch.utils.tensorboard
    child = os.fork()
    if not child:
        exec(order)
        from detectron2.data import DatasetCatalog
        from detectron2.modeling import META_ARCH_REGISTRY
        assert "prw_train" in DatasetCatalog.list()
        assert "FullyDecoupledPersonSearch" in META_ARCH_REGISTRY
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status:
        sys.exit(f"failed: {order}")
"""
OURS = f"import {PACKAGE}"
NOTHING = f"""
import sys
{OURS}
from {PACKAGE}.errors import UserError
assert "torch" not in sys.modules
"""


def test_importing_registers_with_detectron2_in_any_order():
    orders = (
        NOTHING,
        f"from detectron2.data import DatasetCatalog; {OURS}",
        f"import detectron2.engine; {OURS}",
        f"{OURS}; import detectron2.engine",
        f"from {PACKAGE}.data.datasets.prw import load_prw",
        f"from {PACKAGE}.modeling.losses import OIMLoss",
        f"from {PACKAGE} import add_{PACKAGE}_config, builtin",
    )
    done = subprocess.run([sys.executable, "-c", IMPORTS, *orders], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_folder_has_its_tests_and_every_test_folder_its_twin():
    folders = {f for f in package_folders(PROJECT / PACKAGE) if f != "."}
    for other in (APPLICATION, "tools"):
        folders |= {str(Path(other, f)) for f in package_folders(PROJECT / other)}
    assert {f for f in package_folders(ROOT / "tests") if f != "."} == folders


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(f"{PACKAGE}.")])
def test_nothing_else_of_the_research_package_sees_the_training_for_a_site(module):
    assert part_of(module) == "site_training" or "site_training" not in own_parts(
        imports_of(module)
    )


def test_config_imports_nothing_of_ours_but_the_zoo_and_the_errors():
    assert own_parts(imports_of(f"{PACKAGE}.config")) <= {"errors", "zoo"}
    assert own_parts(imports_of(f"{PACKAGE}.zoo")) <= {"errors"}
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
            "import fully_decoupled_ps.data.prw",
            "from fully_decoupled_ps import data",
            "from fully_decoupled_ps.data.prw import load_prw",
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
