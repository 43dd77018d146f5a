"""``make setup``: which Detectron2 is installed, remembered and replaced.

The environment's Python is a stand-in that writes down its arguments and fails where it is told
to, so that nothing is installed.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/sh
echo "$*" >> "$(dirname "$0")/calls"
case "$*" in *"$FAILING"*) [ -z "$FAILING" ] || exit 1;; esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def venv(tmp_path):
    """An environment of the user's own."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    return tmp_path


def setup(venv, *variables, failing=""):
    """Run ``make setup``; its exit status and what was called of the build's tool."""
    calls = venv / "bin" / "calls"
    calls.unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    environment.pop("DETECTRON2", None)
    done = subprocess.run(
        ["make", "setup", f"VENV={venv}", *variables],
        cwd=ROOT,
        env={**environment, "FAILING": failing},
        capture_output=True,
        text=True,
    )
    lines = calls.read_text().splitlines() if calls.exists() else []
    return done.returncode, [line for line in lines if "build_detectron2.py" in line]


def test_the_choice_is_remembered(venv):
    status, calls = setup(venv, "DETECTRON2=git", "UPSTREAM=git+file:///upstream")
    assert status == 0 and len(calls) == 1
    assert "--from-git git+file:///upstream" in calls[0]
    assert setup(venv) == (0, [])


def test_what_the_user_installed_is_kept(venv):
    status, (call,) = setup(venv)
    assert status == 0 and call.endswith("--keep-installed")
    assert setup(venv) == (0, [])


def test_another_choice_replaces_it(venv):
    setup(venv, "DETECTRON2=git")
    status, (call,) = setup(venv, "DETECTRON2=wheel")
    assert status == 0 and "--from-git" not in call and "--keep-installed" not in call
    assert setup(venv) == (0, [])
    assert len(setup(venv, "DETECTRON2=git")[1]) == 1


def test_a_build_that_fails_is_not_taken_for_done(venv):
    setup(venv, "DETECTRON2=wheel")
    for _ in range(2):
        status, calls = setup(venv, "DETECTRON2=git", failing="--from-git")
        assert status != 0 and len(calls) == 1
    assert setup(venv) == (0, []), "the one that was there before is still in use"


def test_requirements_of_a_users_environment_are_not_pinned(venv):
    _, (call,) = setup(venv)
    assert "--constraint" not in call
    (venv / ".fully-decoupled-ps" / "created-here").touch()
    _, (call,) = setup(venv, "DETECTRON2=git")
    assert "--constraint requirements.txt" in call


def test_an_unknown_choice_is_refused(venv):
    status, calls = setup(venv, "DETECTRON2=svn")
    assert status != 0 and calls == []
