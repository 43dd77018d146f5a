"""Several processes on the CPU that train together, as on several GPUs, for tests."""

import datetime
import multiprocessing
import os
import sys

import torch
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import distributed as dist
from torch.multiprocessing import start_processes

# Processes of tests are forked from one that has imported everything and has never run a network:
# PyTorch's threads don't survive a fork, and an interpreter takes seconds to import everything.
# There is one such process for all tests, so what it imports is named here alone.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["tests.mixed_run", "tests.person_search.cli.command"])


def start_process(function, *args):
    """Call ``function(*args)`` in a process that is like a command's; returns the process."""
    process = FORKSERVER.Process(target=_call, args=(function, args))
    process.start()
    return process


def _call(function, args):
    # Else the process's own children would come from another server, which outlives its kill.
    multiprocessing.set_start_method(None, force=True)
    function(*args)


def run_captured(folder, function, *args):
    """Exit with what ``function(*args)`` returns, in a process that is like a command's.

    Returns its exit status, and what it wrote to stdout and to stderr.
    """
    process = start_process(_capture, folder, function, args)
    process.join(300)
    return process.exitcode, *((folder / name).read_text() for name in ("stdout", "stderr"))


def _capture(folder, function, args):
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), number)
    sys.exit(function(*args))


def run_processes(function, world_size, folder, *args):
    """Call ``function(*args)`` in processes of one gloo group; return what they return, by rank."""
    folder.mkdir(exist_ok=True)
    start_processes(
        _process, (str(folder), world_size, function, args), world_size, start_method="forkserver"
    )
    return [torch.load(folder / f"{rank}.pth", weights_only=False) for rank in range(world_size)]


def _process(rank, folder, world_size, function, args):
    torch.set_num_threads(1)
    torch.manual_seed(rank)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=world_size,
        timeout=datetime.timedelta(seconds=120),  # a process that waits in vain fails the test
    )
    comm._LOCAL_PROCESS_GROUP = dist.group.WORLD
    with EventStorage():
        torch.save(function(*args), f"{folder}/{rank}.pth")
    dist.destroy_process_group()
