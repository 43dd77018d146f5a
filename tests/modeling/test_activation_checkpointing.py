"""A side-net that computes its blocks again: less is remembered, and nothing else differs."""

from collections import OrderedDict

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling.activation_checkpointing import (
    STAGES,
    CheckpointedSequential,
    checkpoint_stages,
)
from tests.testing import make_model, training_input

BATCH = [training_input([0, 1, -1], seed=1), training_input([2, 0], seed=2)]
SIDE_NETS = {
    "resnet": (),
    "osnet": ("MODEL.REID.SIDE_NET.NAME", "OSNetSideNet", "MODEL.REID.FUSION.NAME", "ConvFusion"),
}


def step(side_net, stages):
    opts = (*SIDE_NETS[side_net], "MODEL.REID.SIDE_NET.CHECKPOINTING", stages)
    model = make_model("reid", opts, train=True)
    remembered = set()

    def keep(tensor):
        if tensor.ndim == 4:
            remembered.add((tensor.data_ptr(), tensor.numel()))
        return tensor

    torch.manual_seed(0)
    with EventStorage(), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        losses = model(BATCH)
    sum(losses.values()).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return losses, gradients, model.state_dict(), sum(size for _, size in remembered)


@pytest.mark.parametrize("side_net", SIDE_NETS)
def test_everything_is_equal_but_what_is_remembered(side_net):
    losses, gradients, state, remembered = step(side_net, ())
    other_losses, other_gradients, other_state, other_remembered = step(side_net, STAGES)
    assert other_remembered < 0.6 * remembered
    assert losses == other_losses
    for mine, other in ((gradients, other_gradients), (state, other_state)):
        assert mine.keys() == other.keys()
        # running statistics and their count of batches among them
        assert all(torch.equal(value, other[name]) for name, value in mine.items())


def test_inference_computes_a_block_once():
    model = make_model("reid", ("MODEL.REID.SIDE_NET.CHECKPOINTING", ("res3",)))
    stage = model.reid.side_net.res3
    assert isinstance(stage, CheckpointedSequential)
    assert not isinstance(model.reid.side_net.res4, CheckpointedSequential)
    calls = []
    stage[0].register_forward_hook(lambda *args: calls.append(1))
    model([{"image": BATCH[0]["image"]}])
    assert calls == [1]


def test_an_unknown_stage_is_refused():
    with pytest.raises(UserError, match="'conv3' is no stage .* res3, res4, res5"):
        make_model("reid", ("MODEL.REID.SIDE_NET.CHECKPOINTING", ("conv3",)))


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


def test_names_of_blocks_and_ways_to_run_them_stay():
    net = nn.Module()
    net.res3 = nn.Sequential(OrderedDict(first=nn.Linear(2, 2), then=nn.Linear(2, 2)))
    net.res4 = Doubled(nn.Linear(2, 2))
    names = list(net.state_dict())
    x = torch.ones(1, 2)
    before = net.res3(x), net.res4(x)
    checkpoint_stages(net, ("res3", "res4"))
    assert list(net.state_dict()) == names and isinstance(net.res3, CheckpointedSequential)
    assert torch.equal(net.res3(x), before[0]) and torch.equal(net.res4(x), before[1])
