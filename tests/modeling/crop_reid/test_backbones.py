"""Networks of torchvision and timm without their classifiers."""

import json
import sys

import pytest
import torch
import torchvision
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import load_crop_weights
from fully_decoupled_ps.modeling.crop_reid import build_crop_network
from tests.modeling.crop_reid.published import (
    FEATURES,
    PUBLISHED,
    SIZES,
    crops,
    made_up_state,
    sample,
)
from tests.testing import make_config


def build(name, size=(64, 32)):
    opts = ["MODEL.CROP_REID.NAME", name, "MODEL.CROP_REID.SIZE", size]
    return build_crop_network(make_config("reid", opts)).eval()


def test_features_of_a_resnet50_are_torchreids(tmp_path):
    """The reference comes from torchreid's own code: see ``published.py``."""
    network = build("torchvision:resnet50").double()
    torch.save(made_up_state(PUBLISHED["torchvision:resnet50"]()), tmp_path / "resnet50.pth")
    load_crop_weights(network, str(tmp_path / "resnet50.pth"))
    golden = json.loads(FEATURES.read_text())["torchvision:resnet50"]
    for size, expected in zip(SIZES, golden):
        with torch.no_grad():
            features = network(crops(size))
        assert features.shape == (2, network.feature_dim) == (2, 2048)
        torch.testing.assert_close(
            torch.tensor(sample(features)), torch.tensor(expected), rtol=1e-5, atol=1e-7
        )


@pytest.mark.parametrize(
    "name, dim", [("resnet18", 512), ("mobilenet_v3_small", 1024), ("shufflenet_v2_x0_5", 1024)]
)
def test_torchvisions_classifier_makes_its_own_scores_of_our_features(tmp_path, name, dim):
    whole = torchvision.models.get_model(name, weights=None).eval()
    torch.save(whole.state_dict(), tmp_path / "a.pth")
    network = build(f"torchvision:{name}")
    load_crop_weights(network, str(tmp_path / "a.pth"))
    classifier = [layer for layer in whole.modules() if isinstance(layer, nn.Linear)][-1]
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        features, scores = network(x), whole(x)
        torch.testing.assert_close(classifier(features), scores, rtol=1e-5, atol=1e-5)
    assert features.shape == (2, network.feature_dim) == (2, dim)


def test_inceptions_further_classifiers_are_left_out(tmp_path):
    whole = torchvision.models.googlenet(weights=None, init_weights=False, transform_input=True)
    torch.save(whole.state_dict(), tmp_path / "a.pth")
    network = build("torchvision:googlenet")
    load_crop_weights(network, str(tmp_path / "a.pth"))
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(network(x)), whole.eval()(x))


def test_older_names_of_a_densenet():
    network = build("torchvision:densenet121")
    old = "features.denseblock1.denselayer6.norm.2.weight"
    assert list(network.rename_published({old: 0})) == [
        "body.features.denseblock1.denselayer6.norm2.weight"
    ]


@pytest.mark.parametrize(
    "name, told",
    [
        ("torchvision:resnet51", r"'torchvision:resnet51'; of torchvision there are alexnet, "),
        ("torchvision:fcn_resnet50", "of torchvision there are "),
        ("torchvision:squeezenet1_0", "does not end in a linear classifier"),
        ("torchvision:vit_b_32", r"does not take crops of MODEL.CROP_REID.SIZE \(64, 32\): "),
    ],
)
def test_what_torchvision_has_not_or_not_so_is_refused(name, told):
    with pytest.raises(UserError, match=rf"\A[^\n]*{told}[^\n]*\Z"):
        build(name)


def test_timms_classifier_makes_its_own_scores_of_our_features(tmp_path):
    timm = pytest.importorskip("timm")
    whole = timm.create_model("resnet18", pretrained=False).eval()
    from safetensors.torch import save_file

    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    network = build("timm:resnet18")
    load_crop_weights(network, str(tmp_path / "model.safetensors"))
    x = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(whole.fc(network(x)), whole(x), rtol=1e-5, atol=1e-5)
    assert network.feature_dim == 512


@pytest.mark.parametrize(
    "name, told",
    [
        ("timm:resnet18x", "'timm:resnet18x'; timm has no network of that name, but "),
        ("timm:vit_tiny_patch16_224", r"does not take crops of MODEL.CROP_REID.SIZE \(64, 32\): "),
    ],
)
def test_what_timm_has_not_or_not_so_is_refused(name, told):
    pytest.importorskip("timm")
    with pytest.raises(UserError, match=rf"\A[^\n]*{told}[^\n]*\Z"):
        build(name)


def test_another_mean_than_timms_is_told(caplog):
    """Some of its networks have been trained with a mean and a deviation of one half."""
    pytest.importorskip("timm")
    build("timm:resnet18")
    assert "PIXEL" not in caplog.text
    build("timm:mixer_s32_224", (224, 224))
    told = "timm trains mixer_s32_224 with PIXEL_{0} [127.5, 127.5, 127.5]; MODEL.CROP_REID.PIXEL_"
    assert told.format("MEAN") in caplog.text and told.format("STD") in caplog.text


def test_without_timm_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"timm:resnet18 needs the package timm .*pip install timm"):
        build("timm:resnet18")
