"""``make setup``: which Detectron2 is installed, remembered and replaced; whose OpenCV is kept.

And ``make try``: what it looks at.

The environment's Python is a stand-in that writes down its arguments and fails where it is told
to, so that nothing is installed.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOL = "projects/FullyDecoupledPS/tools/build_detectron2.py"
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


def environment():
    """This process's, without what would change the choice."""
    names = ("DETECTRON2", "VIDEO", "PHOTOS", "VTEST")
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MAKE", "MFLAGS")) and key not in names
    }


def run_make(target, venv, *variables, failing=""):
    """Run a target of make in an environment of stand-ins; what it did, and all that it called."""
    calls = venv / "bin" / "calls"
    calls.unlink(missing_ok=True)
    done = subprocess.run(
        ["make", target, f"VENV={venv}", *variables],
        cwd=ROOT,
        env={**environment(), "FAILING": failing},
        capture_output=True,
        text=True,
    )
    return done, calls.read_text().splitlines() if calls.exists() else []


def run_setup(venv, *variables, failing=""):
    """Run ``make setup``; its exit status and what was called of the build's tool."""
    done, lines = run_make("setup", venv, *variables, failing=failing)
    return done.returncode, [line for line in lines if "build_detectron2.py" in line]


def test_the_choice_is_remembered(venv):
    status, calls = run_setup(venv, "DETECTRON2=git", "UPSTREAM=git+file:///upstream")
    assert status == 0 and len(calls) == 1
    assert "--from-git git+file:///upstream" in calls[0]
    assert run_setup(venv) == (0, [])
    # a newer tool builds from the same repository again
    _, (call,) = run_setup(venv, f"--assume-new={TOOL}")
    assert "--from-git git+file:///upstream" in call
    _, (call,) = run_setup(venv, "UPSTREAM=git+file:///other")
    assert "--from-git git+file:///other" in call


def test_what_the_user_installed_is_kept(venv):
    status, (call,) = run_setup(venv)
    assert status == 0 and call.endswith("--keep-installed")
    assert run_setup(venv) == (0, [])


def test_another_choice_replaces_it(venv):
    run_setup(venv, "DETECTRON2=git")
    status, (call,) = run_setup(venv, "DETECTRON2=wheel")
    assert status == 0 and "--from-git" not in call and "--keep-installed" not in call
    assert run_setup(venv) == (0, [])
    assert len(run_setup(venv, "DETECTRON2=git")[1]) == 1


def test_a_build_that_fails_is_not_taken_for_done(venv):
    run_setup(venv, "DETECTRON2=wheel")
    for _ in range(2):
        status, calls = run_setup(venv, "DETECTRON2=git", failing="--from-git")
        assert status != 0 and len(calls) == 1
    assert run_setup(venv) == (0, []), "the one that was there before is still in use"


def test_requirements_of_a_users_environment_are_not_pinned(venv):
    _, (call,) = run_setup(venv)
    assert "--constraint" not in call
    (venv / ".fully-decoupled-ps" / "created-here").touch()
    _, (call,) = run_setup(venv, "DETECTRON2=git")
    assert "--constraint requirements.txt" in call


def test_a_users_opencv_gets_no_second_one_beside_it(venv):
    """pip would install setup.py's opencv-python over another build of the same module."""
    run_setup(venv)
    calls = (venv / "bin" / "calls").read_text()
    assert "[dev]" not in calls, "pip was asked for all that setup.py names"
    listed = calls.index("tools/list_requirements.py --extra dev")
    used = calls.index(f"install --quiet --requirement {venv}/.fully-decoupled-ps/requirements.txt")
    apart = calls.index("tools/list_requirements.py --extra label --no-deps")
    alone = calls.index(f"install --quiet --no-deps --requirement {venv}/.fully-decoupled-ps/no")
    said = calls.index("tools/list_requirements.py --say-opencv")
    assert listed < used < apart < alone < said


def run_try(venv, *variables, failing=""):
    """Run ``make try``; its exit status, its output, and what of person-search was called."""
    done, lines = run_make("try", venv, *variables, failing=failing)
    commands = [line.partition("cli.main ")[2] for line in lines if "person_search" in line]
    return done.returncode, done.stdout, commands, lines


def test_a_first_look(venv, tmp_path):
    video = tmp_path / "a video.mp4"
    video.touch()
    for name in ("VIDEO", "PHOTOS", "VTEST"):
        status, _, commands, lines = run_try(venv, f"{name}={video}")
        assert status == 0
        assert commands == [
            f"index {video} --index output/try",
            "serve --index output/try --open",
        ]
        assert any("build_detectron2" in line for line in lines), "the environment is made first"
        (venv / "bin" / "calls").unlink()
        shutil.rmtree(venv / ".fully-decoupled-ps")
    # a file that can't be read is told, and the rest is shown
    assert run_try(venv, f"VIDEO={video}", failing="index")[2][-1].startswith("serve")


def test_a_first_look_at_nothing(venv, tmp_path):
    for variable in ("VIDEO=/none/a.mp4", "VTEST=/none/vtest.avi"):
        status, out, _, lines = run_try(venv, variable)
        assert status != 0 and f"There is no {variable.partition('=')[2]}." in out
        assert "make try VIDEO=file" in out and "apt install opencv-doc" in out
        assert lines == [], "nothing is installed for it"


def test_an_unknown_choice_is_refused(venv):
    status, calls = run_setup(venv, "DETECTRON2=svn")
    assert status != 0 and calls == []
