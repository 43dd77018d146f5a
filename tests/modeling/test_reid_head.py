"""The re-id head: one unit vector per box, in the boxes' order."""

import pytest
import torch
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import ReIDHead
from fully_decoupled_ps.modeling.reid_head import AveragePooling, BNNeck, GeMPooling
from tests.testing import make_config


def make_head(dim=3, conv5=None):
    pooler = ROIPooler((4, 2), scales=(1 / 16,), sampling_ratio=0, pooler_type="ROIAlignV2")
    parts = {"pooler": pooler, "pooling": AveragePooling(), "feature_dim": dim}
    return ReIDHead(conv5=conv5 or nn.Identity(), **parts)


def quarters():
    """(1, 3, 8, 8): channel 0 is 1 in the left half, channel 1 in the right; channel 2 is 0."""
    x = torch.zeros(1, 3, 8, 8)
    x[:, 0, :, :4] = 1
    x[:, 1, :, 4:] = 1
    return x


LEFT, RIGHT = [8.0, 8.0, 40.0, 120.0], [88.0, 8.0, 120.0, 120.0]


def test_features_are_those_of_their_boxes():
    """Running statistics of 0 and 1 make the neck a scale, which the L2 norm takes out."""
    head = make_head().eval()
    maps = torch.cat([quarters(), quarters().flip(3)])
    boxes = [Boxes([RIGHT, LEFT]), Boxes([RIGHT])]
    features = head(maps, boxes)
    expected = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-4)


def test_conv5_is_applied_to_every_box():
    calls = []

    class Doubling(nn.Module):
        def forward(self, x):
            calls.append(x.shape)
            return x.repeat(1, 2, 1, 1)

    head = make_head(dim=6, conv5=Doubling())
    features = head(torch.rand(2, 3, 8, 8), [Boxes([LEFT]), Boxes([LEFT, RIGHT])])
    assert calls == [(3, 3, 4, 2)]  # N, C', height, width
    assert features.shape == (3, 6)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("counts", [(1, 0), (0, 2), (5, 3)])
def test_shape_and_norm(train, counts):
    head = make_head().train(train)
    boxes = [Boxes(torch.tensor([LEFT, RIGHT]).repeat(4, 1)[:n]) for n in counts]
    features = head(torch.randn(2, 3, 8, 8, dtype=torch.float32), boxes)
    assert features.shape == (sum(counts), 3)
    assert features.dtype == torch.float32
    if not train or sum(counts) > 2:  # twice the same box: a batch without variance
        torch.testing.assert_close(features.norm(dim=1), torch.ones(sum(counts)))


@pytest.mark.parametrize("train", [True, False])
def test_no_boxes(train):
    head = make_head().train(train)
    features = head(torch.randn(2, 3, 8, 8), [Boxes(torch.zeros(0, 4))] * 2)
    assert features.shape == (0, 3) and features.dtype == torch.float32
    assert head.norm.num_batches_tracked == 0


def test_a_single_box_trains_with_the_running_statistics():
    head = make_head()
    head.norm.running_mean.copy_(torch.tensor([0.1, 0.2, 0.3]))
    before = {name: value.clone() for name, value in head.norm.state_dict().items()}
    reid_map = quarters().requires_grad_()
    alone = head.train()(reid_map, [Boxes([LEFT])])
    assert torch.equal(alone, head.eval()(reid_map, [Boxes([LEFT])]))
    for name, value in head.norm.state_dict().items():
        assert torch.equal(value, before[name]), name
    alone[0, 1].backward()
    assert reid_map.grad.abs().sum() > 0 and head.norm.weight.grad.abs().sum() > 0


def test_the_neck_is_batch_norm_without_a_trained_bias():
    neck, reference = BNNeck(3), nn.BatchNorm1d(3)
    assert [name for name, p in neck.named_parameters() if p.requires_grad] == ["weight"]
    assert neck.bias.eq(0).all()
    x = torch.randn(5, 3) * 3 + 1
    assert torch.equal(neck(x), reference(x))
    assert torch.equal(neck.running_var, reference.running_var)
    neck.eval(), reference.eval()
    assert torch.equal(neck(x[:1]), reference(x[:1]))


def test_average_pooling():
    x = torch.arange(8.0).view(1, 2, 2, 2)
    assert AveragePooling()(x).tolist() == [[1.5, 5.5]]
    assert not list(AveragePooling().parameters())


def test_generalised_mean_pooling():
    """Cube root of the mean of 0, 0, 0, 8 cubed: 128 ^ (1/3); a trained exponent of 1 averages."""
    pooling = GeMPooling()
    x = torch.tensor([0.0, 0.0, -3.0, 8.0]).view(1, 1, 2, 2)
    assert pooling(x).item() == pytest.approx(128 ** (1 / 3), rel=1e-5)
    pooling(x).backward()
    assert pooling.exponent.grad.isfinite() and pooling.exponent.grad > 0
    with torch.no_grad():
        pooling.exponent.fill_(1.0)
    assert pooling(x).item() == pytest.approx(2.0, rel=1e-5)


def test_config():
    conv5 = nn.Conv2d(3, 512, 1)
    head = ReIDHead(make_config("reid", ["MODEL.REID.POOLING", "gem"]), conv5, 512)
    assert head.conv5 is conv5
    assert isinstance(head.pooling, GeMPooling)
    assert head.pooler.output_size == (16, 8)
    assert head.pooler.level_poolers[0].spatial_scale == 1 / 16
    assert isinstance(ReIDHead(make_config("reid"), conv5, 512).pooling, AveragePooling)
    with pytest.raises(UserError, match="'max'; allowed are avg, gem"):
        ReIDHead(make_config("reid", ["MODEL.REID.POOLING", "max"]), conv5, 512)
