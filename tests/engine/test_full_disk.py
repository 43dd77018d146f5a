"""A file that can't be written stops the command with one line, and what was whole stays whole."""

import errno
import os
import re
import resource
import subprocess
import sys

import pytest
import torch
from detectron2.utils.events import EventWriter

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer
from fully_decoupled_ps.engine.writers import StoppingWriter
from fully_decoupled_ps.utils.files import atomic_write, drop_torn_line, remove_partial_files
from tests import mixed_run
from tests.mixed_run import registered, train, write_set
from tests.processes import run_captured
from tests.testing import PROJECT, make_model

# --- files -----------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "a.json"
    with atomic_write(str(path)) as f:
        f.write("old")
    with pytest.raises(OSError), atomic_write(str(path)) as f:
        f.write("ne")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.json"]
    with atomic_write(str(path)) as f:
        f.write("new")
        f.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.json"]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    for name in ("model_0000001.pth.part", "model_0000001.pth", "notes.part"):
        (tmp_path / name).write_text("x")
    assert remove_partial_files(str(tmp_path), "*.pth") == [
        str(tmp_path / "model_0000001.pth.part")
    ]
    assert sorted(os.listdir(tmp_path)) == ["model_0000001.pth", "notes.part"]


@pytest.mark.parametrize(
    "before, after", [("", ""), ("a\nb\n", "a\nb\n"), ("a\nb", "a\n"), ("a", "")]
)
def test_a_torn_line_is_dropped(tmp_path, before, after):
    path = tmp_path / "metrics.json"
    path.write_text(before)
    assert drop_torn_line(str(path)) == (before != after)
    assert path.read_text() == after
    assert not drop_torn_line(str(tmp_path / "none.json"))


# --- the training command --------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixed")
    write_set(root)
    with registered(root):
        yield root


def refused(capfd, status):
    out, err = capfd.readouterr()
    return one_line(out, err, status)


def one_line(out, err, status):
    """The error, which is the last that is said; PyTorch may warn of something of its own first."""
    assert status == 2
    for word in ("Traceback", "Logging error", "Exception ignored"):
        assert word not in out + err
    (line,) = (line for line in err.splitlines() if line.startswith("error: "))
    assert err.rstrip().endswith(line)
    return line


class FullDisk:
    """``write`` of an open file fails from some place on, after it has written a part."""

    def __init__(self, f, room):
        self._f, self._room = f, room

    def __getattr__(self, name):
        return getattr(self._f, name)

    def write(self, data):
        part = data[: self._room]
        self._room -= len(part)
        self._f.write(part)
        self._f.flush()
        if len(part) < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(
    root, tmp_path, capfd, monkeypatch, restore_loggers
):
    save = torch.save

    def save_to_full_disk(content, f):
        save(content, FullDisk(f, 10**9 if content["iteration"] < 3 else 100_000))

    monkeypatch.setattr(torch, "save", save_to_full_disk)
    line = refused(capfd, train(tmp_path))
    folder = tmp_path / "detection"
    # what failed and why, how to go on, and what is left
    names = "/model_0000003.pth .*No space left on device.* --resume.*/model_0000001.pth"
    assert re.search(names, line)
    assert (folder / "last_checkpoint").read_text() == "model_0000001.pth"
    assert sorted(p.name for p in folder.glob("*.p*")) == ["model_0000001.pth"]

    monkeypatch.undo()
    assert train(tmp_path, "--resume") == 0
    assert torch.load(folder / "model_final.pth", weights_only=True)["iteration"] == 4


def test_the_pointer_to_the_last_checkpoint_is_never_torn(tmp_path, monkeypatch):
    checkpointer = PersonSearchCheckpointer(make_model("detection"), str(tmp_path))
    checkpointer.save("model_0000001")
    replace = os.replace

    def refuse(source, target):
        if target.endswith("last_checkpoint"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(UserError, match="No space left .*/model_0000001.pth"):
        checkpointer.save("model_0000003")
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"
    assert not list(tmp_path.glob("*.part"))


def test_metrics_that_do_not_fit_stop_the_training(root, tmp_path, capfd, restore_loggers):
    folder = tmp_path / "detection"
    folder.mkdir()
    (folder / "metrics.json").symlink_to("/dev/full")  # where every write fails
    line = refused(capfd, train(tmp_path))
    assert re.search("/metrics.json .*No space left on device", line)
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"


class FailingWriter(EventWriter):
    """As TensorBoard's, whose thread has failed, and which says so again when it is closed."""

    calls = 0

    def write(self):
        self.calls += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    close = write


def test_a_writer_fails_once(tmp_path):
    """The training loop calls its writers again when an error ends it."""
    failing = FailingWriter()
    writer = StoppingWriter(failing, str(tmp_path))
    with pytest.raises(UserError, match=r"events.out.tfevents.\*.*No space left"):
        writer.write()
    calls = failing.calls
    writer.write()
    writer.close()
    assert failing.calls == calls


def limit_files(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_log_that_does_not_fit_stops_the_command(root, tmp_path):
    """Nothing else is on stderr, also from what runs at the process's exit."""
    command = [sys.executable, "-m", "tests.mixed_run", root, "never", 0, tmp_path]
    done = subprocess.run(
        list(map(str, command)),
        cwd=PROJECT.parent.parent,
        capture_output=True,
        text=True,
        preexec_fn=lambda: limit_files(8_000),
    )
    line = one_line(done.stdout, done.stderr, done.returncode)
    assert re.search("/log.txt .*File too large", line)
    log = (tmp_path / "detection" / "log.txt").read_text()
    assert log.endswith("\n") and len(log) <= 8_000


def train_in_small_files(root, folder):
    limit_files(1_000_000)
    return mixed_run.main(root, "never", 0, folder)


def test_the_first_checkpoint_does_not_fit(root, tmp_path):
    status, out, err = run_captured(tmp_path, train_in_small_files, root, tmp_path)
    line = one_line(out, err, status)
    assert re.search("/model_0000001.pth .*File too large.* --resume", line)
    assert not list((tmp_path / "detection").glob("*.p*"))
    assert not (tmp_path / "detection" / "last_checkpoint").exists()
