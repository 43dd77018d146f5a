"""Training in several processes: the losses, gradients and memory of one with the whole batch."""

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import get_norm
from detectron2.modeling.poolers import ROIPooler
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fully_decoupled_ps.modeling import (
    IdentityMemory,
    OIMLoss,
    ReIDBranch,
    ReIDHead,
    SideNet,
    TripletLoss,
)
from fully_decoupled_ps.modeling.box_noise import BoxNoise
from fully_decoupled_ps.modeling.crop_stream import CropStream
from fully_decoupled_ps.modeling.distributed import gather_rows
from fully_decoupled_ps.modeling.losses import PrototypeLoss
from fully_decoupled_ps.modeling.reid_head import GeMPooling
from fully_decoupled_ps.modeling.side_fusion import AlphaBlendFusion
from tests.processes import run_processes
from tests.testing import training_input, unit_rows

# Ids of the persons that each of three processes has in each step; with two, the first two's.
STEPS = (
    ([0, -1, 2], [2, 1], [3]),  # uneven
    ([1, 1, -1], [], [-1]),  # somebody has nobody
    ([-1, -1], [0, 3, 1], [2, 2]),  # somebody has nobody who is labelled
    ([-1], [-1, -1], [-1]),  # nobody has anybody who is
    ([], [], []),
    ([], [3], []),  # a single person in all
    ([0, 2, 1], [2, -1], [0, 3]),
)


def without_a_batch(channels):
    """A norm that looks at one image or box at a time."""
    return nn.GroupNorm(2, channels)


class Training(nn.Module):
    """The re-id branch as DDP wraps it, and nearly as small as can be."""

    def __init__(self, focal_gamma, norm, conv5_norm, crops):
        super().__init__()
        self.crops = crops
        side_net = SideNet(
            side_ada=nn.Identity(),
            res3=nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), get_norm(norm, 6), nn.ReLU()),
            res4=nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU()),
            res5=nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), get_norm(conv5_norm, 12)),
            feature_dim=12,
            fusions={"res3": AlphaBlendFusion(6, 6), "res4": AlphaBlendFusion(8, 8)},
        )
        self.reid = ReIDBranch(
            side_net=side_net,
            head=ReIDHead(
                conv5=side_net.res5,
                pooler=ROIPooler((4, 2), scales=[1 / 16], sampling_ratio=2, pooler_type="ROIAlign"),
                pooling=GeMPooling(),
                feature_dim=12,
            ),
            memory=IdentityMemory(num_ids=4, queue_size=3, feature_dim=12),
            losses=nn.ModuleList(
                [OIMLoss(temperature=1 / 30, focal_gamma=focal_gamma), TripletLoss(margin=0.7)]
            ),
            box_noise=BoxNoise(center_shift=0, scale=0, num_copies=0),
            crop_stream=CropStream(
                memory=IdentityMemory(num_ids=4, queue_size=3, feature_dim=12),
                contrast=PrototypeLoss(temperature=0.07),
                size=(32, 32),
                flip_prob=0,
                erase_prob=0,
            )
            if crops
            else None,
        )

    def forward(self, maps, instances, pictures):
        second = (pictures, detector_maps) if self.crops else ()
        return self.reid.training_losses(maps, instances, *second)


def detector_maps(crops):
    """A detector's maps of crops, without a detector."""
    sizes = {"res2": (4, 4), "res3": (6, 8), "res4": (8, 16)}
    means = {n: F.avg_pool2d(crops.double() / 128 - 1, k) for n, (_, k) in sizes.items()}
    return {n: x.repeat(1, 3, 1, 1)[:, : sizes[n][0]] for n, x in means.items()}


def batch(step, ranks):
    """Maps, ground truth and pictures of one image per rank."""
    generators = [torch.Generator().manual_seed(10 * step + rank) for rank in ranks]
    sizes = {"res2": (4, 16, 24), "res3": (6, 8, 12), "res4": (8, 4, 6)}
    maps = {
        name: torch.stack([torch.randn(size, generator=g) for g in generators]).double()
        for name, size in sizes.items()
    }
    images = [training_input(STEPS[step][rank], seed=10 * step + rank) for rank in ranks]
    return maps, [x["instances"] for x in images], [x["image"] for x in images]


@mock.patch.object(torch.Tensor, "float", torch.Tensor.double)
def train(
    ranks=None, focal_gamma=0.0, norm=without_a_batch, conv5_norm=without_a_batch, crops=False
):
    """A few steps of SGD with the images of the given ranks, by default those of this process.

    All is done in float64, also what the network does in float32 at the least, so that there is no
    rounding to grow from step to step.

    Returns what each step came to: losses, gradients of the parameters, gradient of the pooled
    features, and all that the network holds afterwards.
    """
    torch.manual_seed(0)
    training = Training(focal_gamma, norm, conv5_norm, crops).double()
    pooled = []
    training.reid.head.pooling.register_forward_hook(lambda *args: pooled.append(args[-1]))
    network = training if ranks else DistributedDataParallel(training, broadcast_buffers=False)
    optimizer = torch.optim.SGD(training.parameters(), lr=0.01)
    records = []
    for step in range(len(STEPS)):
        pooled.clear()
        losses = network(*batch(step, ranks or [comm.get_rank()]))
        del pooled[: int(crops)]  # those of crops, which come first
        for x in pooled:
            x.retain_grad()
        sum(losses.values()).backward()
        records.append(
            {
                "losses": {name: loss.item() for name, loss in losses.items()},
                "gradients": {n: p.grad for n, p in training.named_parameters()},
                "pooled": torch.cat([torch.zeros(0, 12).double(), *(x.grad for x in pooled)]),
                "state": {name: value.clone() for name, value in training.state_dict().items()},
            }
        )
        optimizer.step()
        optimizer.zero_grad()
    return records


def assert_equals_one_process(records, alone):
    """A step's records of all processes, and that of the one with the whole batch."""
    close = {"rtol": 1e-9, "atol": 1e-9}
    for record in records:
        assert record["losses"] == pytest.approx(alone["losses"], rel=1e-9, abs=1e-9)
        for name, gradient in record["gradients"].items():
            if name != "reid.head.norm.bias":  # frozen
                torch.testing.assert_close(gradient, alone["gradients"][name], **close)
    # DDP takes the mean over the processes of what comes from these
    pooled = torch.cat([r["pooled"] for r in records]) / len(records)
    torch.testing.assert_close(pooled, alone["pooled"], **close)


def assert_equal_copies(records):
    for name, value in records[0]["state"].items():
        assert all(torch.equal(r["state"][name], value) for r in records), name


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("focal_gamma, crops", [(0.0, False), (2.0, False), (0.0, True)])
def test_processes_learn_what_one_learns_from_the_whole_batch(
    tmp_path, world_size, focal_gamma, crops
):
    args = focal_gamma, without_a_batch, without_a_batch, crops
    steps = list(zip(*run_processes(train, world_size, tmp_path, None, *args)))
    alone = train(range(world_size), *args)
    for records, expected in zip(steps, alone, strict=True):
        assert_equal_copies(records)
        assert_equals_one_process(records, expected)
        for name, value in expected["state"].items():  # the memory too, and the norm's statistics
            torch.testing.assert_close(records[0]["state"][name], value, rtol=1e-9, atol=1e-9)
    memories = {name.rpartition(".")[0] for name in alone[0]["state"] if ".lookup" in name}
    assert len(memories) == 1 + crops
    # otherwise the losses would be worth little: two steps have nothing to learn
    assert sum(sum(r["losses"].values()) > 0 for r in alone) == 5


@pytest.mark.parametrize(
    "norms",
    [
        ("naiveSyncBN", "naiveSyncBN"),
        ("naiveSyncBN_N", "naiveSyncBN_N"),
        ("naiveSyncBN_N", without_a_batch),
        ("naiveSyncBN_N", "naiveSyncBN_N", True),
    ],
)
def test_synchronized_norms_wait_for_a_process_without_persons(tmp_path, norms):
    steps = list(zip(*run_processes(train, 3, tmp_path, None, 0.0, *norms)))
    for records in steps:
        assert_equal_copies(records)
        assert all(v.isfinite().all() for v in records[0]["state"].values())
    # one of the two weighs the processes by their boxes; and in this step all processes have some
    if "naiveSyncBN" not in norms:
        assert_equals_one_process(steps[0], train(range(3), 0.0, *norms)[0])


def gather_in_process():
    """Values, and gradients of a sum that is the same in both processes."""
    results = []
    for numbers in ((2, 3), (0, 1), (0, 0)):
        rank = comm.get_rank()
        rows = unit_rows(numbers[rank], 3, seed=rank).requires_grad_()
        counts = comm.all_gather(len(rows))
        gathered = gather_rows(rows, counts)
        ids = gather_rows(torch.full((len(rows),), rank), counts)
        (gathered.square().sum() + rows.sum() * 10).backward()
        results.append((counts, gathered.detach(), ids, rows.detach(), rows.grad))
    return results


def test_rows_are_gathered_in_the_order_of_the_ranks(tmp_path):
    first, second = run_processes(gather_in_process, 2, tmp_path)
    for (counts, rows, ids, mine, gradient), (*other, others, other_gradient) in zip(first, second):
        assert counts == other[0] == [len(mine), len(others)]
        assert torch.equal(rows, torch.cat([mine, others])) and torch.equal(rows, other[1])
        assert ids.tolist() == other[2].tolist() == [0] * counts[0] + [1] * counts[1]
        # the factor is for what comes through the gathered rows only
        torch.testing.assert_close(gradient, 2 * (2 * mine) + 10)
        torch.testing.assert_close(other_gradient, 2 * (2 * others) + 10)


def test_one_process_communicates_nothing(monkeypatch):
    def refuse(*args, **kwargs):
        pytest.fail("a collective was called")

    for name in ("all_gather", "all_reduce", "all_gather_object", "broadcast", "barrier"):
        monkeypatch.setattr(torch.distributed, name, refuse)
    rows = unit_rows(3, 4).requires_grad_()
    assert gather_rows(rows, [3]) is rows
    assert len(train(range(2))) == len(STEPS)
