"""Starting processes: that they know each other, and that a user's error is told once, in one line.

The processes that the tests start are forked from one that has imported everything, which saves
them the seconds of doing so; :mod:`tests.engine.test_several_processes` runs the real commands.
"""

import json
import logging
import os
import re
import socket
import sys
import tempfile
from unittest import mock

import pytest
import torch
from detectron2.engine import default_argument_parser, defaults
from detectron2.utils import comm
from torch import distributed as dist
from torch import nn
from torch.multiprocessing import start_processes

from fully_decoupled_ps import UserError
from fully_decoupled_ps.engine import launch as launching
from fully_decoupled_ps.engine.launch import ddp_on, launch
from tests.processes import FORKSERVER, run_processes


def arguments(*flags):
    return default_argument_parser().parse_args([str(flag) for flag in flags])


def device_of(args):
    return args.opts[0]


def launch_quickly(main, args):
    """:func:`launch`, with a stand-in for Detectron2's; returns the exit status."""
    with mock.patch.object(launching, "launch_on_gpus", launch_without_gpus):
        try:
            launch(main, args, device_of)
        except SystemExit as end:
            return end.code
    return 0


def launch_without_gpus(run, number, num_machines, machine_rank, dist_url, args):
    """Detectron2's ``launch`` on one machine, with gloo and with processes that are forked."""
    assert (num_machines, machine_rank) == (1, 0)
    with tempfile.TemporaryDirectory() as folder:
        start_processes(
            _begin_and_run,
            (f"file://{folder}/rendezvous", number, run, args),
            number,
            start_method="forkserver",
        )


def _begin_and_run(rank, url, number, run, args):
    dist.init_process_group("gloo", init_method=url, rank=rank, world_size=number)
    comm._LOCAL_PROCESS_GROUP = dist.group.WORLD
    run(*args)
    dist.destroy_process_group()


def say_who_is_there(args):
    """Leave a file for each process."""
    folder = args.opts[1]
    torch.set_num_threads(1)
    known = {
        "rank": comm.get_rank(),
        "world_size": comm.get_world_size(),
        "local_rank": comm.get_local_rank(),
        "local_size": comm.get_local_size(),
        "all": comm.all_gather(comm.get_rank()),
    }
    with open(f"{folder}/{comm.get_rank()}.json", "w") as f:
        json.dump(known, f)


def who_is_there(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def expected(rank, local_rank, local_size, world_size):
    return {
        "rank": rank,
        "world_size": world_size,
        "local_rank": local_rank,
        "local_size": local_size,
        "all": list(range(world_size)),
    }


def fail_everywhere(args):
    raise UserError("SOMETHING is wrong")


def fail_in_the_second_process(args):
    """The first one, which waits for it, meets a lost connection and logs it, as in training."""
    if comm.get_rank() == 1:
        raise UserError("SOMETHING is wrong with image 7.jpg")
    try:
        dist.barrier()
    except Exception:
        logging.getLogger("detectron2.engine.train_loop").exception("Exception during training:")
        raise


def break_down(args):
    raise ZeroDivisionError("a fault of the program's")


def end_with_status_1(args):
    sys.exit(1)  # as Detectron2's verify_results does


def one_line(capfd, status):
    out, err = capfd.readouterr()
    assert status == 2
    assert "Traceback" not in out + err
    lines = err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


# --- processes that the command starts itself --------------------------------------------------


def test_one_process_needs_no_group(tmp_path):
    for number in (0, 1):
        launch_quickly(say_who_is_there, arguments("--num-gpus", number, "cpu", tmp_path))
        assert who_is_there(tmp_path) == [expected(0, 0, 1, 1)]


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_processes_of_one_machine(tmp_path, two_gpus):
    args = arguments("--num-gpus", 2, "--dist-url", "auto", "cuda", tmp_path)
    assert launch_quickly(say_who_is_there, args) == 0
    assert who_is_there(tmp_path) == [expected(i, i, 2, 2) for i in range(2)]


@pytest.mark.parametrize("main", [fail_everywhere, fail_in_the_second_process])
def test_a_user_s_error_is_one_line(capfd, two_gpus, main):
    status = launch_quickly(main, arguments("--num-gpus", 2, "--dist-url", "auto", "cuda"))
    assert one_line(capfd, status).startswith("error: SOMETHING is wrong")


def test_other_ends_stay_what_they_are(capfd, two_gpus):
    two = arguments("--num-gpus", 2, "--dist-url", "auto", "cuda")
    assert launch_quickly(end_with_status_1, two) == 1
    with pytest.raises(Exception, match="ZeroDivisionError: a fault of the program's"):
        launch_quickly(break_down, two)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--num-gpus", 3, "cuda"], "--num-gpus is 3, but PyTorch sees 2 .* torchrun .*node 3 "),
        (["--num-gpus", 2, "cuda:1"], "MODEL.DEVICE is cuda:1, one GPU for 2 processes; say cuda"),
        (
            ["--num-gpus", 2, "cpu"],
            "is cpu, .* torchrun --nproc-per-node 2 train_net.py ",
        ),
        (
            ["--num-machines", 2, "--machine-rank", 1, "cpu"],
            "torchrun --nnodes 2 --node-rank 1 --master-addr HOST --nproc-per-node 1 train_net.py",
        ),
        (["--num-gpus", -1, "cpu"], "--num-gpus -1 --num-machines 1: give the number"),
        (["--num-gpus", 0, "--num-machines", 2, "cpu"], "--num-gpus 0 --num-machines 2: give"),
        (["--num-machines", 0, "cpu"], "--num-machines 0: give the number"),
        (["--num-machines", 2, "--machine-rank", 2, "cpu"], "--machine-rank is 2; .* 0 to 1"),
        (["--num-machines", 2, "--dist-url", "auto", "cuda"], "auto is for one machine; name tcp"),
        (["--num-gpus", 2, "--dist-url", "tcp://here:x", "cuda"], "--dist-url tcp://here:x: "),
        (["--num-gpus", 2, "--dist-url", "tcp://127.0.0.1:{taken}", "cuda"], "name a free one"),
    ],
)
def test_wrong_numbers_are_one_line_before_any_process(capfd, two_gpus, flags, message):
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        flags = [str(f).format(taken=listener.getsockname()[1]) for f in flags]
        line = one_line(capfd, launch_quickly(None, arguments(*flags)))
    assert re.search(message, line)


# --- torchrun ----------------------------------------------------------------------------------


def torchrun(folder, main, args, nodes=1, local_size=2):
    """Do what torchrun does: a store, the variables, and processes. Returns their exit statuses."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    processes = []
    for rank in range(nodes * local_size):
        environment = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": store.port,
            "TORCHELASTIC_RUN_ID": "none",
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": 0,
            "RANK": rank,
            "WORLD_SIZE": nodes * local_size,
            "LOCAL_RANK": rank % local_size,
            "LOCAL_WORLD_SIZE": local_size,
            "GROUP_RANK": rank // local_size,
        }
        process = FORKSERVER.Process(target=_worker, args=(environment, folder, main, args))
        process.start()
        processes.append(process)
    for process in processes:
        process.join(300)
    return [process.exitcode for process in processes]


def _worker(environment, folder, main, args):
    os.environ.update({name: str(value) for name, value in environment.items()})
    with open(f"{folder}/{environment['RANK']}.err", "w", buffering=1) as f:
        sys.stderr = sys.stdout = f
        logging.basicConfig(stream=f)
        launch(main, args, device_of)


def errors(folder):
    return [path.read_text() for path in sorted(folder.glob("*.err"))]


def test_torchrun(tmp_path):
    assert torchrun(tmp_path, say_who_is_there, arguments("cpu", tmp_path), nodes=2) == [0] * 4
    assert who_is_there(tmp_path) == [expected(i, i % 2, 2, 4) for i in range(4)]


@pytest.mark.parametrize("main", [fail_everywhere, fail_in_the_second_process])
def test_a_user_s_error_is_one_line_under_torchrun(tmp_path, main):
    assert torchrun(tmp_path, main, arguments("cpu", tmp_path)) == [2, 2]
    text = "".join(errors(tmp_path))
    assert re.fullmatch(r"error: SOMETHING is wrong.*\n", text)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--num-gpus", 2, "cpu"], "--num-gpus 2 --num-machines 1 under torchrun; leave them out"),
        (["cuda"], "--nproc-per-node is 2, but PyTorch sees 0 GPUs on this machine"),
    ],
)
def test_wrong_numbers_are_one_line_under_torchrun(tmp_path, flags, message):
    if "cuda" in flags and torch.cuda.is_available():
        pytest.skip("there are GPUs")
    assert torchrun(tmp_path, fail_everywhere, arguments(*flags)) == [2, 2]
    assert re.fullmatch(rf"error: {message}.*\n", "".join(errors(tmp_path)))


# --- DDP ---------------------------------------------------------------------------------------


def wrap_on_cpu():
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="device_ids"):
        defaults.create_ddp_model(model, broadcast_buffers=False)
    with ddp_on("cpu"):
        ddp = defaults.create_ddp_model(model, broadcast_buffers=False)
    return ddp.device_ids, ddp.broadcast_buffers, ddp.module is model


def test_networks_on_the_cpu_are_wrapped_in_ddp(tmp_path):
    assert run_processes(wrap_on_cpu, 2, tmp_path) == [(None, False, True)] * 2
    original = defaults.create_ddp_model
    for device in ("cuda", "cpu"):
        with ddp_on(device):
            assert (defaults.create_ddp_model is original) == (device == "cuda")
        assert defaults.create_ddp_model is original
