"""Starting a command in one process or in many, with errors of the user's told in one line.

Detectron2's ``launch`` starts processes for GPUs. What it lacks is here: processes that torchrun
has started, which may be on the CPU.
"""

import functools
import logging
import os
import socket
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import contextmanager
from urllib.parse import urlsplit

import torch
from detectron2.engine import DEFAULT_TIMEOUT, defaults
from detectron2.engine import launch as launch_on_gpus
from detectron2.utils import comm
from torch import distributed as dist
from torch import multiprocessing
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from ..errors import UserError
from ..utils.commands import print_error

# In torchrun's store: how many processes of a machine have met an error of the user's.
_REPORTS = "user_errors_of_machine_{}"


def launch(
    main: Callable[[Namespace], object], args: Namespace, device_of: Callable[[Namespace], str]
) -> None:
    """Call ``main(args)`` in as many processes as ``args`` or torchrun say.

    A :class:`UserError` of any process is printed to stderr as one line, once per machine, and the
    exit status is then 2.

    Args:
        main: a function of a module, so that other processes find it.
        args: of :func:`detectron2.engine.default_argument_parser`.
        device_of: the device that ``main`` will use, of ``args``; may raise :class:`UserError`.
    """
    if dist.is_torchelastic_launched():
        return _run_under_torchrun(main, args, device_of)
    try:
        _check_numbers(args)
        if args.num_gpus * args.num_machines <= 1:
            _hide_tracebacks(lambda: False)
            main(args)
        else:
            _spawn(main, args, device_of(args))
    except UserError as error:
        sys.exit(print_error(error))


def _check_numbers(args: Namespace) -> None:
    if args.num_machines < 1 or args.num_gpus < (1 if args.num_machines > 1 else 0):
        raise UserError(
            f"--num-gpus {args.num_gpus} --num-machines {args.num_machines}: "
            "give the number of processes on each machine, and of machines, from 1 on"
        )
    if not 0 <= args.machine_rank < args.num_machines:
        raise UserError(
            f"--machine-rank is {args.machine_rank}; of {args.num_machines} machines "
            f"(--num-machines) it must be 0 to {args.num_machines - 1}"
        )


def _check_device(device: str, processes: int, said_by: str) -> None:
    """That every one of a machine's processes has a GPU of its own, unless they are on the CPU."""
    if not device.startswith("cuda"):
        return
    if processes > torch.cuda.device_count():
        raise UserError(
            f"{said_by} is {processes}, but PyTorch sees {torch.cuda.device_count()} GPUs on this "
            "machine; give no more than that, or take the CPU: torchrun --nproc-per-node "
            f"{processes} train_net.py ... MODEL.DEVICE cpu"
        )
    if processes > 1 and device != "cuda":
        raise UserError(
            f"MODEL.DEVICE is {device}, one GPU for {processes} processes; say cuda, and each "
            "takes its own"
        )


# --- processes that are started here -----------------------------------------------------------


def _check_dist_url(args: Namespace) -> None:
    """That the processes can meet; the first machine's first one will listen at the port."""
    url = args.dist_url
    if url == "auto" and args.num_machines > 1:
        raise UserError("--dist-url auto is for one machine; name tcp://<first machine>:<port>")
    if not url.startswith("tcp://") or args.machine_rank > 0:
        return
    try:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", urlsplit(url).port or 0))
    except (OSError, ValueError) as error:
        raise UserError(
            f"--dist-url {url}: {error}; another run may have the port, name a free one"
        ) from error


def _spawn(main: Callable, args: Namespace, device: str) -> None:
    if not device.startswith("cuda"):
        machines = f"--nnodes {args.num_machines} --node-rank {args.machine_rank}"
        torchrun = (
            f"torchrun {machines} --master-addr HOST" if args.num_machines > 1 else "torchrun"
        )
        raise UserError(
            f"--num-gpus {args.num_gpus} --num-machines {args.num_machines}: MODEL.DEVICE is "
            f"{device}, where torchrun starts several processes: {torchrun} "
            f"--nproc-per-node {args.num_gpus} train_net.py ... MODEL.DEVICE {device}"
        )
    _check_device(device, args.num_gpus, "--num-gpus")
    _check_dist_url(args)
    # A process that waits for one that has failed fails as well, and may be seen to fail first.
    # So the message does not go the way of exit statuses.
    messages = multiprocessing.get_context("spawn").SimpleQueue()
    # PyTorch would warn of the others that it ends when one has failed
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)
    try:
        launch_on_gpus(
            _run_spawned,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(main, args, messages),
        )
    except (ProcessRaisedException, ProcessExitedException) as error:
        if not messages.empty():
            raise UserError(messages.get()) from error
        status = getattr(error, "exit_code", 0)
        if status > 0:  # it has said why; but a signal's victim has not
            sys.exit(status)
        raise


def _run_spawned(main: Callable, args: Namespace, messages) -> None:
    _hide_tracebacks(lambda: not messages.empty())
    try:
        main(args)
    except UserError as error:
        messages.put(str(error))
        sys.exit(2)


# --- processes that torchrun has started -------------------------------------------------------


def _run_under_torchrun(main: Callable, args: Namespace, device_of: Callable) -> None:
    # The store is torchrun's own, and outlives the process that failed first.
    store, rank, world_size = next(dist.rendezvous("env://", timeout=DEFAULT_TIMEOUT))
    reports = _REPORTS.format(os.environ["GROUP_RANK"])
    _hide_tracebacks(lambda: store.check([reports]))
    try:
        if args.num_gpus > 1 or args.num_machines > 1:
            raise UserError(
                f"--num-gpus {args.num_gpus} --num-machines {args.num_machines} under torchrun; "
                "leave them out, torchrun's --nproc-per-node and --nnodes say it"
            )
        device, local_size = device_of(args), int(os.environ["LOCAL_WORLD_SIZE"])
        _check_device(device, local_size, "--nproc-per-node")
        on_gpus = device.startswith("cuda")
        if on_gpus:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group(
            "nccl" if on_gpus else "gloo",
            store=dist.PrefixStore("default", store),
            rank=rank,
            world_size=world_size,
            timeout=DEFAULT_TIMEOUT,
        )
        # what create_local_process_group of Detectron2's main branch does, which 0.6 has not
        comm._LOCAL_PROCESS_GROUP, _ = dist.new_subgroups(local_size)
        comm.synchronize()
        main(args)
    except UserError as error:
        if store.add(reports, 1) == 1:
            sys.exit(print_error(error))
        sys.exit(2)
    except Exception:
        if store.check([reports]):  # this process has lost the one that has said why
            sys.exit(2)
        raise
    dist.destroy_process_group()


# --- in both -----------------------------------------------------------------------------------


def _hide_tracebacks(is_reported: Callable[[], bool]) -> None:
    """Of errors that the user is told of in one line, which the training loop would log.

    Args:
        is_reported: whether another process has met an error of the user's; what this one then
            meets, a lost connection, follows from it.
    """

    def is_shown(record: logging.LogRecord) -> bool:
        if not record.exc_info:
            return True
        # Trainer.run_step turns the second one into the first
        is_told = isinstance(record.exc_info[1], (UserError, FloatingPointError))
        return not (is_told or is_reported())

    logging.getLogger("detectron2.engine.train_loop").addFilter(is_shown)


@contextmanager
def ddp_on(device: str):
    """Where Detectron2's ``DefaultTrainer`` is made for several processes, on the CPU as well.

    Its constructor gives DDP the number of the process's GPU, which DDP refuses for a network on
    the CPU; and it calls ``create_ddp_model`` by its name, so that no method can be overridden.
    """
    create_ddp_model = defaults.create_ddp_model
    if not device.startswith("cuda"):
        defaults.create_ddp_model = functools.partial(create_ddp_model, device_ids=None)
    try:
        yield
    finally:
        defaults.create_ddp_model = create_ddp_model
