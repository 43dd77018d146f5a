"""Large buffers are reused rather than given back to the system."""

import subprocess
import sys

import pytest

from fully_decoupled_ps.utils.allocator import keep_large_buffers

# How many pages of the system a process touches anew, over 20 buffers of 64 MiB one after another.
SCRIPT = """
import resource, sys
from fully_decoupled_ps.utils.allocator import keep_large_buffers
import torch

kept = keep_large_buffers() if sys.argv[1] == "keep" else None
torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(argument):
    command = [sys.executable, "-c", SCRIPT, argument]
    return subprocess.check_output(command, text=True, env={}).split()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_pages_are_not_touched_anew():
    kept, faults = run("keep")
    _, faults_before = run("leave")
    if kept == "False":
        pytest.skip("the C library is not glibc")
    assert int(faults) < 0.1 * int(faults_before)


def test_the_users_own_setting_wins(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    assert not keep_large_buffers()
