"""Gathering rows of different numbers, and the memory's copies in several processes."""

import pytest
import torch
from torch import multiprocessing

from fully_decoupled_ps.modeling import IdentityMemory
from fully_decoupled_ps.modeling.distributed import gather_rows
from tests.testing import unit_rows

# ids a process has in each of three steps; one process has nobody in the second, nobody has in
# the third
STEPS = (
    ([0, -1, 2], [2, -1, -1, 1, 0]),
    ([1, 1, -1], []),
    ([], []),
)


def make_memory():
    return IdentityMemory(num_ids=4, queue_size=3, feature_dim=6)


def batch(step, rank):
    ids = STEPS[step][rank]
    return unit_rows(len(ids), 6, seed=10 * step + rank), torch.tensor(ids, dtype=torch.int64)


def update_in_process(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    memory = make_memory()
    gathered = []
    for step in range(len(STEPS)):
        embeddings, ids = batch(step, rank)
        gathered.append(gather_rows(embeddings.requires_grad_(), ids))
        memory.update(embeddings, ids)
    rows = [(e.detach(), i) for e, i in gathered]
    torch.save({"memory": memory.state_dict(), "gathered": rows}, f"{folder}/{rank}.pth")
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_two_processes_write_the_memory_of_one(tmp_path):
    # forked, which saves them the seconds of importing everything again
    multiprocessing.start_processes(
        update_in_process, args=(str(tmp_path),), nprocs=2, start_method="fork"
    )
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    alone = make_memory()
    for step in range(len(STEPS)):
        parts = [batch(step, rank) for rank in range(2)]
        embeddings, ids = (torch.cat(rows) for rows in zip(*parts, strict=True))
        alone.update(embeddings, ids)
        for result in (first, second):
            assert torch.equal(result["gathered"][step][0], embeddings)
            assert torch.equal(result["gathered"][step][1], ids)
    for name, value in alone.state_dict().items():
        assert torch.equal(first["memory"][name], value), name
        assert torch.equal(second["memory"][name], value), name


def test_one_process_gathers_nothing():
    embeddings, ids = batch(0, 0)
    assert gather_rows(embeddings, ids) == (embeddings, ids)
