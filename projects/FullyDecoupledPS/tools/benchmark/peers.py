"""Networks of other projects, timed in the same turns as ours; each is built by a user's file.

The file is no part of this project. BENCHMARKS.md shows one. It defines one function or both::

    def build(height, width, device):
        ...
        return run            # run(inputs): detects, or does all of its work, on every image;
                              # a generator is run to its end

    def build_training(height, width, device):
        ...
        return step           # step(batch): losses, gradients and optimiser

Both are called with what our network is called with, Detectron2's list of dicts: ``image`` is a
(3, height, width) float32 tensor from 0 to 255, in the channel order of the config, and in training
``instances`` has ``gt_boxes``, ``gt_classes`` and ``gt_person_ids``. Each call gets
copies, which it may change.
"""

import copy
import importlib.util
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import ApplyResult
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.networks import count_multiply_adds, count_parameters
from fully_decoupled_ps.errors import UserError

# What stands for a result that is worked out later, and elsewhere.
PROMISES = (Awaitable, AsyncIterator, Future, torch.futures.Future, ApplyResult, partial)


@dataclass(frozen=True)
class Peer:
    """What a file has built.

    Attributes:
        name: the file's, without ``.py``.
        run: one pass, or one step of training, on a list of dicts, which it may change.
        module: whose parameters are counted: what was built, or its attribute ``module``; None if
            neither is a network.
    """

    name: str
    run: Callable[[list[dict]], object]
    module: nn.Module | None = field(repr=False)

    def facts(self, inputs: list[dict]) -> dict[str, Any]:
        """``model``, and parameters and multiply-adds on these inputs, None where not counted."""
        parameters = None if self.module is None else count_parameters(self.module)
        multiply_adds = count_multiply_adds(partial(self.run, copy.deepcopy(inputs)))
        return {"model": self.name, "parameters": parameters, "multiply-adds": multiply_adds}


def build_peers(
    files: Sequence[Path], size: tuple[int, int], device: torch.device, training: bool = False
) -> list[Peer]:
    """
    Args:
        files: that define ``build``, or in training ``build_training``.
        size: height and width of the images.
        device: what our network computes on.

    Raises:
        UserError: a file can't be read, lacks the function, or fails; it is named. ``Peer.run``
            raises the same.
    """
    names = [path.stem for path in files]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"--peer: two files are named {min(twice)}.py; rename one of them")
    name = "build_training" if training else "build"
    builders = [_read(path, name) for path in files]  # all are there before any is built
    return [_build(*both, size, device, training) for both in zip(files, builders)]


def _read(path: Path, name: str) -> Callable:
    """The function of that name in a file, whose imports find what lies beside it."""
    if not path.is_file():
        raise UserError(f"--peer {path}: no such file")
    spec = importlib.util.spec_from_file_location(f"benchmark_peer_{path.stem}", path)
    if spec is None:
        raise UserError(f"--peer {path}: not a Python file; its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(path.resolve().parent))
    with _told(path, "reading it"):
        spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise UserError(f"--peer {path}: it has no function {name}(height, width, device)")
    return function


def _build(path: Path, builder: Callable, size, device, training: bool) -> Peer:
    with _told(path, f"{builder.__name__}({size[0]}, {size[1]}, {device})"):
        built = builder(*size, device)
    if not callable(built):
        kind = type(built).__name__
        raise UserError(f"--peer {path}: {builder.__name__} returned {kind}, expected a callable")

    def run(inputs: list[dict]):
        # as ours: no gradients at inference
        with _told(path, "running it"), torch.inference_mode(not training):
            return _finished(built(inputs))

    module = next((x for x in (built, getattr(built, "module", None)) if _is_network(x)), None)
    return Peer(path.stem, run, module)


def _finished(result):
    """What a peer returned once its work is done: of an iterator, a list of all that it gives.

    Raises:
        TypeError: it is something that would be worked out later, and elsewhere.
    """
    if inspect.isroutine(result) or isinstance(result, PROMISES):
        if inspect.iscoroutine(result):
            result.close()  # else Python warns that nobody has awaited it
        kind = type(result).__name__
        raise TypeError(f"it returned {kind}, whose work is not done; return its result")
    # also a list of them, such as one for each image
    if isinstance(result, (Iterator, list, tuple)):
        return [_finished(x) for x in result]
    if isinstance(result, dict):
        return {key: _finished(x) for key, x in result.items()}
    return result


def _is_network(value) -> bool:
    return isinstance(value, nn.Module)


@contextmanager
def _told(path: Path, what: str):
    """Whatever a file of the user's raises becomes one line that names it."""
    try:
        yield
    except (Exception, SystemExit) as error:  # that of a file that is a command of its own
        reason = str(error).strip().splitlines() or ["no message"]
        kind = type(error).__name__
        raise UserError(f"--peer {path}: {what} failed: {kind}: {reason[0]}") from error
