"""Large buffers are reused rather than given back to the system."""

import resource
import sys

import pytest
import torch

from fully_decoupled_ps.utils.allocator import keep_large_buffers
from tests.processes import run_processes


def touched_pages():
    """How many pages of the system are touched anew by 10 buffers of 64 MiB one after another."""
    for _ in range(10):  # until all of the process's memory that will be used for them is
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def touched_pages_before_and_after():
    return touched_pages(), keep_large_buffers(), touched_pages()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_pages_are_not_touched_anew(tmp_path):
    ((before, kept, after),) = run_processes(touched_pages_before_and_after, 1, tmp_path)
    if not kept:
        pytest.skip("the C library is not glibc, or the environment sets it up")
    assert after < 0.3 * before


def test_the_users_own_setting_wins(monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    assert not keep_large_buffers()
