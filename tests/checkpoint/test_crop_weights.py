"""Published files are loaded into networks for crops whole, or refused with what they look like."""

import argparse
import collections
import functools
import logging
import os
import pickle
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, load_crop_weights
from fully_decoupled_ps.checkpoint.crop_weights import _resemblance
from fully_decoupled_ps.modeling.crop_reid import build_crop_network
from tests.modeling.crop_reid.published import made_up_state, osnet_shapes
from tests.modeling.crop_reid.test_fast_reid import published_shapes
from tests.testing import make_config, make_model

OSNET = osnet_shapes((16, 64, 96, 128))


def build(name="OSNet:x0_25"):
    cfg = make_config("reid", ["MODEL.CROP_REID.NAME", name, "MODEL.CROP_REID.SIZE", (64, 32)])
    return build_crop_network(cfg)


def save(path, content, **options):
    torch.save(content, path, **options)
    return str(path)


def resnet(name="resnet18"):
    return dict(torchvision.models.get_model(name, weights=None).state_dict())


def refuses(network, weights, told):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match=rf"\A[^\n]*{told}[^\n]*\Z"):
        load_crop_weights(network, weights)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


# --- what is taken ---------------------------------------------------------------------------


def envelopes():
    state = made_up_state(OSNET)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    training = {
        "state_dict": wrapped,
        "epoch": 60,
        "rank1": np.float32(0.94),
        "optimizer": optimizer.state_dict(),
        "scheduler": {"milestones": collections.Counter([40, 60]), "last_epoch": np.int64(60)},
    }
    return {
        "state dict": state,
        "module": wrapped,
        "torchreid's training": training,
        "model": {"model": collections.OrderedDict(state), "args": argparse.Namespace(lr=1)},
        "model in model": {"model": {"state_dict": {f"model.{n}": v for n, v in state.items()}}},
        "compiled": {f"_orig_mod.module.{name}": value for name, value in state.items()},
        "parameters": {n: nn.Parameter(v) if v.is_floating_point() else v for n, v in state.items()}
        | {"classifier.bias": nn.Parameter(torch.zeros(7))},
    }


@pytest.mark.parametrize("envelope", envelopes())
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_taken_out_of_what_is_around_them(tmp_path, envelope, zipped):
    path = save(
        tmp_path / "model.pth.tar-60",
        envelopes()[envelope],
        _use_new_zipfile_serialization=zipped,
    )
    network = build()
    load_crop_weights(network, path)
    expected = network.rename_published(made_up_state(OSNET))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, expected[name].to(value.dtype), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["a.pkl", "a.bin", "a"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_files_name_says_nothing_of_its_writer(tmp_path, name, zipped):
    """torch.save writes what it is told to, ".pkl" above all."""
    state = made_up_state(OSNET)
    network = build()
    load_crop_weights(network, save(tmp_path / name, state, _use_new_zipfile_serialization=zipped))
    assert torch.equal(network.fc[0].bias, state["fc.0.bias"].float())


@pytest.mark.parametrize("name", ["a.pth", "a.pkl"])
def test_a_pickle_of_arrays(tmp_path, name):
    state = made_up_state(OSNET)
    with open(tmp_path / name, "wb") as f:
        pickle.dump({"state_dict": {n: value.numpy() for n, value in state.items()}}, f)
    network = build()
    load_crop_weights(network, str(tmp_path / name))
    assert torch.equal(network.fc[0].bias, state["fc.0.bias"].float())


def test_torchvisions_names_stay_as_they_are(tmp_path):
    """Elsewhere they become Detectron2's."""
    state, network = resnet(), build("torchvision:resnet18")
    load_crop_weights(network, save(tmp_path / "a.pth", state))
    assert torch.equal(network.body.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_a_url(tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    save(tmp_path / "a.pth", made_up_state(OSNET))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        network = build()
        load_crop_weights(network, f"{address}/a.pth")
        refuses(network, f"{address}/b.pth", f"WEIGHTS {address}/b.pth: .*404")
        server.shutdown()
    refuses(network, f"{address}/c.pth", f"WEIGHTS {address}/c.pth: .*refused")


def test_what_is_taken_and_left_is_logged(tmp_path, caplog):
    path = save(tmp_path / "a.pth", made_up_state(OSNET))
    with caplog.at_level(logging.INFO):
        load_crop_weights(build(), path)
    tensors = sum("num_batches" not in name for name in OSNET) - 2
    assert (
        f"OSNet:x0_25 starts from {path}: all of its {tensors} tensors are taken; of the file, 2 "
        "are not taken: classifier"
    ) in caplog.text


def seqnet(*, heads=("reid_head", "box_head")):
    """SeqNet's names: a ResNet-50's stem to layer3, and its layer4 in each head."""
    state = {}
    for name, value in resnet("resnet50").items():
        if name.startswith("layer4."):
            state |= {f"roi_heads.{h}.{name}": value + (h == "box_head") for h in heads}
        elif not name.startswith("fc."):
            state[f"backbone.{name}"] = value
    others = ("rpn.head.conv.weight", "roi_heads.embedding_head.projectors.feat_res5.0.weight")
    return state | {name: torch.zeros(3) for name in others}


def test_the_resnet_in_a_person_search_network(tmp_path, caplog):
    """Its frozen norms have no counts of batches; the re-id head's layer4 is the one to take."""
    state = {name: v for name, v in seqnet().items() if "num_batches" not in name}
    path, network = save(tmp_path / "a.pth", {"model": state, "epoch": 20}), None
    network = build("torchvision:resnet50")
    with caplog.at_level(logging.INFO):
        load_crop_weights(network, path)
    last = "layer4.2.conv3.weight"
    assert torch.equal(network.body.state_dict()[last], state[f"roi_heads.reid_head.{last}"])
    assert torch.equal(network.body.conv1.weight, state["backbone.conv1.weight"])
    assert "whole person-search network or detector: torchvision:resnet50 takes the" in caplog.text
    box_head = sum(name.startswith("roi_heads.box_head.") for name in state)
    assert f"{box_head + 2} are not taken: roi_heads.box_head, roi_heads.emb" in caplog.text


@pytest.mark.parametrize("prefix", ["backbone.", "backbone.body."])
def test_the_resnet_in_a_network_whose_backbone_is_all_of_it(tmp_path, caplog, prefix):
    state = {f"{prefix}{name}": v for name, v in resnet().items() if not name.startswith("fc.")}
    state["bbox_head.conv.weight"] = torch.zeros(3)
    network = build("torchvision:resnet18")
    load_crop_weights(network, save(tmp_path / "a.pth", {"state_dict": state, "meta": {}}))
    last = state[f"{prefix}layer4.1.conv2.weight"]
    assert torch.equal(network.body.layer4[1].conv2.weight, last)
    assert "torchvision:resnet18 takes the ResNet in it" in caplog.text


@pytest.mark.parametrize("name, classifier", [("torchvision:resnet18", "fc"), ("OSNet:x0_25", "")])
def test_imagenets_classes_are_known(tmp_path, name, classifier):
    if classifier:
        state = resnet()
    else:
        state = made_up_state(osnet_shapes((16, 64, 96, 128), num_ids=1000))
    assert load_crop_weights(build(name), save(tmp_path / "a.pth", state))
    weight = f"{classifier or 'classifier'}.weight"
    state[weight] = state[weight][:751]
    assert not load_crop_weights(build(name), save(tmp_path / "b.pth", state))


def test_random_weights_are_told(caplog):
    load_crop_weights(build(), "random")
    assert "OSNet:x0_25 starts from random weights, as MODEL.CROP_REID.WEIGHTS says" in caplog.text


# --- what is refused -------------------------------------------------------------------------


def test_nothing_said_is_refused():
    refuses(build(), "", "MODEL.CROP_REID.WEIGHTS is empty; name a published file of OSNet:x0_25")


def test_a_missing_a_misshapen_and_a_surplus_tensor_are_refused(tmp_path):
    state, network = made_up_state(OSNET), build()
    tensors = sum("num_batches" not in name for name in OSNET) - 2
    fault = rf"a.pth: 1 of the {tensors} tensors of OSNet:x0_25 are not in it or have another "
    without = {name: v for name, v in state.items() if name != "conv5.bn.running_var"}
    refuses(network, save(tmp_path / "a.pth", without), f"{fault}shape, conv5.norm.running_var ")
    state["conv5.bn.running_var"] = torch.ones(5)
    refuses(network, save(tmp_path / "a.pth", state), f"{fault}shape, conv5.norm.running_var ")
    state["conv5.bn.running_var"], state["fc.3.weight"] = torch.ones(128), torch.ones(1)
    told = f"1 of its {len(state)} tensors have no place in OSNet:x0_25, fc.3.weight among them"
    refuses(network, save(tmp_path / "a.pth", state), told)


@pytest.mark.parametrize(
    "name, value, told",
    [
        ("fc.0.bias", torch.full((512,), torch.nan), "fc.0.bias has numbers that are not finite"),
        ("fc.0.bias", torch.zeros(512, dtype=torch.int8), "fc.0.bias is of type int8, where"),
        ("fc.0.bias", torch.zeros(512, dtype=torch.complex64), "fc.0.bias is of type complex64"),
        # by what would be its name here, it stands for the batch norm's
        ("conv2.0.IN.weight", torch.ones(64), "1 of its 568 tensors have the place of another"),
    ],
)
def test_what_no_trained_weight_is_or_has_no_place_of_its_own_is_refused(
    tmp_path, name, value, told
):
    refuses(build(), save(tmp_path / "a.pth", made_up_state(OSNET) | {name: value}), told)


def test_torchscript_is_told(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "a.pt")
    refuses(build(), str(tmp_path / "a.pt"), "is a TorchScript program, which can't be read")


def test_a_deeper_or_longer_network_is_no_start_of_a_shorter(tmp_path):
    """Their first layers would fit."""
    network = build("torchvision:resnet18")
    with_fc = resnet() | {"fc.0.weight": torch.zeros(512, 512), "fc.0.bias": torch.zeros(512)}
    told = "tensors have no place in torchvision:resnet18, fc.0.bias among them; it is of another "
    refuses(network, save(tmp_path / "a.pth", with_fc), told)
    told = (
        "layer.* among them; it looks like torchvision:resnet34: set MODEL.CROP_REID.NAME to that"
    )
    refuses(network, save(tmp_path / "a.pth", resnet("resnet34")), told)


def test_a_person_search_network_without_a_layer_is_refused(tmp_path):
    path = save(tmp_path / "a.pth", {"model": seqnet(heads=())})
    refuses(build("torchvision:resnet50"), path, "not in it.*looks like a detector")


@pytest.mark.parametrize(
    "state, told",
    [
        (osnet_shapes(), "looks like OSNet:"),
        (OSNET, "looks like OSNet:x0_25:"),
        (osnet_shapes(ain=True), "looks like OSNetAIN:"),
        (published_shapes("bot_R50"), "looks like FastReID:bot_R50:"),
        (published_shapes("agw_R50"), "looks like FastReID:agw_R50:"),
        (published_shapes("sbs_R50-ibn"), "looks like FastReID:sbs_R50-ibn:"),
        ({"detector.backbone.bottom_up.stem.conv1.weight": ()}, "whole network of this project"),
        ({"backbone.res2.0.conv1.weight": (), "roi_heads.box_head.fc1.weight": ()}, "a detector"),
        ({"backbone.res2.0.conv1.weight": (), "head.cls_score.weight": ()}, "a detector"),
        ({"blocks.0.attn.qkv.weight": ()}, "the first names in it are blocks.0.attn.qkv.weight"),
        ({}, "the first names in it are none"),
    ],
)
def test_what_it_looks_like(state, told):
    state = {name: torch.empty(shape) for name, shape in state.items()}
    assert told in _resemblance(state, "torchvision:resnet50")


@pytest.mark.parametrize("name, depth", [("resnet18", 18), ("resnet34", 34), ("resnet50", 50)])
def test_resnets_are_known_by_their_depth(name, depth):
    assert f"looks like torchvision:resnet{depth}:" in _resemblance(resnet(name), "OSNet")


def test_a_file_that_fits_nothing(tmp_path):
    refuses(
        build(), save(tmp_path / "a.pth", {"model": {"x": torch.ones(1)}}), "are x; take a file"
    )
    refuses(build(), save(tmp_path / "a.pth", {}), "the first names in it are none")
    refuses(build(), save(tmp_path / "a.pth", [1]), "'model' is a list, where a state dict")
    refuses(build(), save(tmp_path / "a.pth", {"lr": 0.1}), "'lr' is a float, where a state dict")
    refuses(build(), str(tmp_path / "none.pth"), "none.pth can't be read")


class Runs:
    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_training_file_that_runs_something_is_refused(tmp_path, zipped):
    """NumPy's number makes it go the way of training files."""
    content = {
        "state_dict": made_up_state(OSNET),
        "rank1": np.float32(0.9),
        "more": Runs(tmp_path / "proof"),
    }
    path = save(tmp_path / "a.pth", content, _use_new_zipfile_serialization=zipped)
    refuses(build(), path, r"is refused: it asks for \w+.system while it is read")
    assert not (tmp_path / "proof").exists()


@pytest.mark.parametrize("published, name", [("bot_R50", "FastReID:bot_R50"), ("", "OSNet:x0_25")])
def test_a_network_for_crops_is_no_detector(tmp_path, published, name):
    """fast-reid's names begin with "backbone." as a detector's do."""
    state = made_up_state(published_shapes(published) if published else OSNET)
    path = save(tmp_path / "a.pth", {"model": state})
    told = f"none of its weights fit; it looks like {name}, which MODEL.CROP_REID takes"
    with pytest.raises(UserError, match=told):
        PersonSearchCheckpointer(make_model("detection")).load(path)
