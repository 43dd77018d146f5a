"""The wheel holds what its commands need, and they run where there is no checkout."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from tests.testing import CONFIGS, PROJECT

ROOT = PROJECT.parents[1]
PACKAGES = ("fully_decoupled_ps", "person_search")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's path; built from a copy, for what an earlier build has left would get into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in (*PACKAGES, "configs"):
        copy = source / PROJECT.relative_to(ROOT) / name
        shutil.copytree(PROJECT / name, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_it_holds_every_module_template_and_config(wheel):
    wanted = {
        str(path.relative_to(PROJECT))
        for name in PACKAGES
        for path in (PROJECT / name).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    configs = (path.relative_to(CONFIGS) for path in CONFIGS.rglob("*.yaml"))
    wanted |= {f"fully_decoupled_ps/configs/{path}" for path in configs}
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == wanted


# What imports PyTorch does so once, for that takes seconds; runpy does what -m does.
NEEDS_PYTORCH = """
import runpy, sys
from fully_decoupled_ps import load_config
load_config("prw/fcos_R50.yaml")
from person_search.web.views import read_template
read_template("page.css")
runpy.run_module("fully_decoupled_ps.train_net", run_name="__main__", alter_sys=True)
"""
COMMANDS = [
    ("-m", "person_search.cli.main", "convert", "mot", "--help"),
    ("-c", NEEDS_PYTORCH, "--help"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=["without PyTorch", "with PyTorch"])
def test_its_commands_run_outside_the_checkout(wheel, tmp_path, command):
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "PYTHONWARNINGS": ""}
    run = [sys.executable, *command]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert "--help" in done.stdout
