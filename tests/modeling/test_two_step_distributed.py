"""A crop network in several processes: the losses, gradients and memory of one with all persons."""

from unittest import mock

import pytest
import torch
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from fully_decoupled_ps.modeling import CropReIDBranch, IdentityMemory, OIMLoss, TripletLoss
from fully_decoupled_ps.modeling.box_noise import BoxNoise
from tests.modeling.crop_networks import TinyCrops
from tests.modeling.test_distributed import (
    STEPS,
    assert_equal_copies,
    assert_equals_one_process,
)
from tests.processes import run_processes
from tests.testing import training_input


class Training(nn.Module):
    """The branch as DDP wraps it; its norm looks at one crop at a time."""

    def __init__(self):
        super().__init__()
        network = TinyCrops()
        network.layers[1] = nn.GroupNorm(2, 8)
        self.reid = CropReIDBranch(
            network=network,
            size=(24, 12),
            pixel_mean=(120.0, 120.0, 120.0),
            pixel_std=(60.0, 60.0, 60.0),
            memory=IdentityMemory(num_ids=4, queue_size=3, feature_dim=8),
            losses=nn.ModuleList([OIMLoss(temperature=1 / 30), TripletLoss(margin=0.7)]),
            box_noise=BoxNoise(center_shift=0, scale=0, num_copies=0),
        )

    def forward(self, batch):
        return self.reid.training_losses(
            [x["image"] for x in batch], [x["instances"] for x in batch]
        )


@mock.patch.object(torch.Tensor, "float", torch.Tensor.double)
def train(ranks=None):
    """A few steps of SGD with the images of the given ranks, by default those of this process."""
    torch.manual_seed(0)
    training = Training().double()
    outputs = []
    training.reid.network.register_forward_hook(lambda *args: outputs.append(args[-1]))
    network = training if ranks else DistributedDataParallel(training, broadcast_buffers=False)
    optimizer = torch.optim.SGD(training.parameters(), lr=0.01)
    records = []
    for step, persons in enumerate(STEPS):
        outputs.clear()
        mine = ranks or [comm.get_rank()]
        losses = network([training_input(persons[rank], seed=10 * step + rank) for rank in mine])
        for x in outputs:
            x.retain_grad()
        sum(losses.values()).backward()
        records.append(
            {
                "losses": {name: loss.item() for name, loss in losses.items()},
                "gradients": {n: p.grad for n, p in training.named_parameters()},
                "pooled": torch.cat([torch.zeros(0, 8).double(), *(x.grad for x in outputs)]),
                "state": {name: value.clone() for name, value in training.state_dict().items()},
            }
        )
        optimizer.step()
        optimizer.zero_grad()
    return records


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_learn_what_one_learns_from_the_whole_batch(tmp_path, world_size):
    steps = list(zip(*run_processes(train, world_size, tmp_path)))
    alone = train(range(world_size))
    for records, expected in zip(steps, alone, strict=True):
        assert_equal_copies(records)
        assert_equals_one_process(records, expected)
        for name, value in expected["state"].items():
            torch.testing.assert_close(records[0]["state"][name], value, rtol=1e-9, atol=1e-9)
    assert alone[-1]["state"]["reid.memory.lookup_table"].any()
    assert sum(sum(r["losses"].values()) > 0 for r in alone) == 5
