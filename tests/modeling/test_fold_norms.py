"""Folded norms compute what the norms computed; what can't be folded stays."""

from functools import partial

import pytest
import torch
import torchvision
from detectron2.layers import Conv2d, get_norm
from torch import nn
from torch.nn import functional as F

from fully_decoupled_ps.modeling.fold_norms import fold_norms, fold_norms_that_follow

X = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))


def randomized(module):
    for name, value in module.state_dict().items():
        if name.endswith(("running_var", "norm.weight")):
            value.uniform_(0.2, 1.5)
        elif name.endswith(("running_mean", "bias")):
            value.uniform_(-1, 1)
    return module.eval()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("norm", ["BN", "FrozenBN", "SyncBN", "no affine"])
def test_a_convolution_with_its_norm(norm, groups, bias):
    made = nn.BatchNorm2d(6, affine=False) if norm == "no affine" else get_norm(norm, 6)
    conv = randomized(Conv2d(3, 6, 3, groups=groups, bias=bias, norm=made, activation=F.relu))
    weights = [None if x is None else x.double() for x in (conv.weight, conv.bias)]
    x = F.conv2d(X.double(), *weights, groups=groups)
    column = (slice(None), None, None)
    x = (x - made.running_mean.double()[column]) / (made.running_var[column] + made.eps) ** 0.5
    if made.weight is not None:
        x = x * made.weight[column] + made.bias[column]
    assert fold_norms(conv) == 1
    assert conv.norm is None
    assert torch.allclose(conv(X), x.relu().float(), atol=1e-5)


@pytest.mark.parametrize("norm", ["GN", "instance", "no statistics"])
def test_a_norm_that_depends_on_the_image_stays(norm):
    made = {
        "GN": get_norm("GN", 32),
        "instance": nn.InstanceNorm2d(32, affine=True),
        "no statistics": nn.BatchNorm2d(32, track_running_stats=False),
    }[norm]
    conv = Conv2d(3, 32, 3, norm=made).eval()
    before = conv(X)
    assert fold_norms(nn.Sequential(conv)) == 0
    assert conv.norm is made
    assert torch.equal(conv(X), before)


@pytest.mark.parametrize("is_mixed", [False, True])
@pytest.mark.parametrize("name, folded", [("resnet18", 20), ("mobilenet_v3_small", 34)])
def test_a_library_s_network(name, folded, is_mixed):
    network = randomized(torchvision.models.get_model(name, weights=None))
    x = torch.rand(2, 3, 64, 64)
    before = network(x)
    with torch.autocast("cpu", enabled=is_mixed):  # as a training in mixed precision folds
        assert fold_norms_that_follow(network, lambda: network(x[:1])) == folded
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    after = network(x)
    assert torch.allclose(F.normalize(after), F.normalize(before), atol=1e-5)


def test_timm_s_norms_have_an_activation_that_stays():
    timm = pytest.importorskip("timm")
    network = randomized(timm.create_model("mobilenetv3_small_050", num_classes=0))
    x = torch.rand(2, 3, 64, 64)
    before = network(x)
    assert fold_norms_that_follow(network, lambda: network(x[:1])) == 34
    assert torch.allclose(F.normalize(network(x)), F.normalize(before), atol=1e-5)


class Odd(nn.Module):
    """What looks like a convolution and its norm, and is not quite."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x)
        if self.kind == "used twice":
            return self.norm(y) + y
        if self.kind == "in a list":
            return torch.cat([self.norm(y), y])
        if self.kind == "something between":
            return self.norm(y.relu())
        if self.kind == "convolution called twice":
            return self.norm(y) + self.conv(x + 1)
        if self.kind == "norm called twice":
            return self.norm(y) + self.norm(x)
        if self.kind == "weight used elsewhere":
            return self.norm(y) + F.conv2d(x, self.conv.weight)
        if self.kind == "both returned":
            return {"maps": [self.norm(y), y]}
        return self.norm(y[:, [2, 1, 0]])


@pytest.mark.parametrize(
    "kind",
    [
        *("used twice", "in a list", "something between", "convolution called twice"),
        *("norm called twice", "reordered", "weight used elsewhere", "both returned"),
    ],
)
def test_pairs_that_can_t_be_folded_stay(kind):
    network = randomized(Odd(kind))
    before = network(X)
    assert fold_norms_that_follow(network, lambda: network(X)) == 0
    assert isinstance(network.norm, nn.BatchNorm2d)
    torch.testing.assert_close(network(X), before, rtol=0, atol=0)


class NormAndReLU(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


class Standardized(Conv2d):
    """Weights less their mean, as networks with group norms have them."""

    def forward(self, x):
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return self.norm(F.conv2d(x, weight, self.bias))


class Bounded(nn.BatchNorm2d):
    """Shows in large values alone."""

    def forward(self, x):
        return super().forward(x).clamp(-6, 6)


NORMS = {"norm of a subclass": NormAndReLU, "norm with a bound": Bounded}


def with_part(kind):
    """A convolution of Detectron2, and an equal one with the norm behind it, that are special."""
    conv = Standardized if kind == "convolution of a subclass" else Conv2d
    norm = NORMS.get(kind, nn.BatchNorm2d)
    within, behind = conv(3, 4, 1, norm=norm(4)), nn.Sequential(nn.Conv2d(3, 4, 1), norm(4))
    for convolution, batch_norm in ((within, within.norm), behind):
        if kind == "weight norm":
            nn.utils.weight_norm(convolution)
        elif kind == "forward of its own":
            convolution.forward = partial(_doubled, type(convolution).forward, convolution)
        elif kind == "hook of the convolution":
            convolution.register_forward_hook(lambda module, inputs, output: output + 1)
        elif kind == "hook of the norm":
            batch_norm.register_forward_pre_hook(lambda module, inputs: inputs[0].relu())
    return randomized(within), randomized(behind)


def _doubled(forward, conv, x):
    return 2 * forward(conv, x)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize(
    "kind",
    [
        *("norm of a subclass", "convolution of a subclass", "weight norm"),
        *("hook of the convolution", "hook of the norm", "norm with a bound", "forward of its own"),
    ],
)
def test_what_computes_something_of_its_own_stays(kind):
    within, behind = with_part(kind)
    before, before_behind = within(20 * X), behind(X)
    assert fold_norms(nn.Sequential(within)) == 0
    assert torch.equal(within(20 * X), before)
    followed = fold_norms_that_follow(behind, lambda: behind(X))
    assert followed == (kind == "convolution of a subclass")  # the second one is a plain one
    assert torch.allclose(behind(X), before_behind, atol=1e-5)


def test_a_network_without_parameters_is_left_as_it_is():
    network = nn.AdaptiveAvgPool2d(1).eval()
    picture = torch.rand(1, 3, 8, 8)
    assert fold_norms_that_follow(network, lambda: network(picture)) == 0
