"""Published files of staged networks: what f_d and f_r take of them, by their publishers' names."""

import logging
import re

import pytest
import timm
import torch
from detectron2.modeling import build_model

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, initialize_side_net
from fully_decoupled_ps.checkpoint.trained_with import known_values
from tests.modeling.staged.networks import BUILDERS, convnext, of_timm, staged, swin
from tests.testing import CONFIGS, FRUGAL, NARROW, make_config

LITE = ("MODEL.DETECTOR.BLOCKS", (2, 1, 2, 1))


def build(stage="detection", detector="Base-FasterRCNN.yaml", *opts, name="NarrowConvNeXt"):
    opts = [*NARROW, *FRUGAL, *staged(name), "MODEL.REID.NUM_IDS", 4, *opts]
    opts += ["MODEL.BACKBONE.NAME", BUILDERS[detector]]
    return build_model(make_config(stage, opts, config_file=CONFIGS / detector))


def load(model, path):
    checkpointer = PersonSearchCheckpointer(model)
    checkpointer.load(str(path), checkpointables=[])
    return checkpointer


def told(caplog, start):
    return next(r.getMessage() for r in caplog.records if r.getMessage().startswith(start))


def authors_names(state):
    """A ConvNeXt's tensors as its authors' files have them."""
    renamed = {}
    for name, value in state.items():
        place = re.match(r"features\.(\d)\.(.*)", name)
        if place and int(place[1]) % 2:
            rest = place[2].replace("block.0.", "dwconv.").replace("block.2.", "norm.")
            rest = rest.replace("block.3.", "pwconv1.").replace("block.5.", "pwconv2.")
            if rest.endswith("layer_scale"):
                rest, value = rest.replace("layer_scale", "gamma"), value.flatten()
            name = f"stages.{int(place[1]) // 2}.{rest}"
        elif place:
            name = f"downsample_layers.{int(place[1]) // 2}.{place[2]}"
        name = name.replace("classifier.0.", "norm.").replace("classifier.2.", "head.")
        renamed[name] = value
    return {"model": renamed}


@pytest.fixture
def files(tmp_path):
    """A network, and its files as torchvision and as its authors write them."""
    body = convnext()
    paths = {name: tmp_path / f"{name}.pth" for name in ("torchvision", "authors")}
    torch.save(body.state_dict(), paths["torchvision"])
    torch.save(authors_names(body.state_dict()), paths["authors"])
    return body, paths


@pytest.mark.parametrize("publisher", ["torchvision", "authors"])
@pytest.mark.parametrize("detector", BUILDERS)
def test_f_d_starts_from_a_published_file(files, detector, publisher, caplog):
    body, paths = files
    caplog.set_level(logging.INFO)
    model = build("detection", detector, *LITE)
    load(model, paths[publisher])
    bottom_up = model.feature_tap.bottom_up
    head = getattr(model.detector, "roi_heads", None)
    last = bottom_up.res5 if hasattr(bottom_up, "res5") else head.res5
    mine = (bottom_up.stem, bottom_up.res2, bottom_up.res3, bottom_up.res4, last)
    theirs = (body.features[i] for i in range(8))
    stem, blocks2, entry3, blocks3, entry4, blocks4, entry5, blocks5 = theirs
    parts = [(mine[0].entry, stem), (mine[1].blocks, blocks2)]
    parts += [(mine[2].entry, entry3), (mine[2].blocks, blocks3), (mine[3].entry, entry4)]
    parts += [(mine[3].blocks, blocks4), (mine[4].entry, entry5), (mine[4].blocks, blocks5)]
    if last.norm is not None:
        parts.append((last.norm, body.classifier[0]))
    for part, wanted in parts:
        state = wanted.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
    number = sum(len(part.state_dict()) for part, _ in parts)
    line = told(caplog, "The backbone starts")
    assert f"{number} of its {number} tensors are taken" in line
    assert ("classifier.2" if publisher == "torchvision" else "head") in line
    assert "blocks" not in line  # which the next line tells of
    line = told(caplog, "The detector has fewer")
    assert "res2 2 of 2, res3 1 of 2, res4 2 of 3, res5 1 of 2" in line
    assert line.endswith("left out are res3.1, res4.2, res5.1")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module.model."])
def test_a_wrapper_s_prefix_is_taken_off_for_both_nets(files, prefix, tmp_path):
    body, _ = files
    path = tmp_path / "wrapped.pth"
    torch.save({"state_dict": {f"{prefix}{n}": x for n, x in body.state_dict().items()}}, path)
    model = build("joint")
    load(model, path)
    initialize_side_net(model.reid, str(path), model.detector)
    wanted = body.features[3].state_dict()
    for net in (model.detector.backbone, model.reid.side_net):
        state = net.res3.blocks.state_dict()
        assert all(torch.equal(x, wanted[name]) for name, x in state.items())


def test_names_that_all_begin_alike_are_told(files, tmp_path):
    path = tmp_path / "inside.pth"
    torch.save({f"backbone.{n}": x for n, x in files[0].state_dict().items()}, path)
    model = build("joint")
    for take in (
        lambda: load(model, path),
        lambda: initialize_side_net(model.reid, str(path), model.detector),
    ):
        with pytest.raises(
            UserError, match="none of its weights fit.* names begin with 'backbone'"
        ):
            take()


@pytest.mark.parametrize("publisher", ["torchvision", "authors"])
def test_f_r_starts_from_a_published_file(files, publisher, caplog):
    body, paths = files
    caplog.set_level(logging.INFO)
    model = build("reid", "Base-FasterRCNN.yaml", *LITE)
    before = [p.clone() for p in model.detector.parameters()]
    initialize_side_net(model.reid, str(paths[publisher]), model.detector)
    side_net, conv5 = model.reid.side_net, model.reid.head.conv5
    parts = zip(
        (side_net.res3.entry, side_net.res3.blocks, side_net.res4.entry, side_net.res4.blocks)
        + (conv5.entry, conv5.blocks, conv5.norm),
        (*body.features[2:], body.classifier[0]),
        strict=True,
    )
    for part, wanted in parts:
        state = wanted.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(before, model.detector.parameters()))
    assert "new are fusions; of the file, not taken are" in told(caplog, "The side-net starts")


def test_f_r_starts_from_f_d_unless_that_is_lighter():
    model = build("reid")
    initialize_side_net(model.reid, "detector", model.detector)
    backbone, head = model.detector.backbone, model.detector.roi_heads
    side_net, conv5 = model.reid.side_net, model.reid.head.conv5
    for mine, wanted in ((side_net.res4, backbone.res4), (conv5, head.res5)):
        state = wanted.state_dict()
        assert all(torch.equal(value, state[n]) for n, value in mine.state_dict().items())
    lite = build("reid", "Base-FasterRCNN.yaml", *LITE)
    with pytest.raises(UserError, match="f_r is full where the detector is lighter"):
        initialize_side_net(lite.reid, "detector", lite.detector)


TINY = ("test_resnet", "test_convnext", "test_efficientnet")


@pytest.mark.parametrize("name", [of_timm(name) for name in TINY])
def test_timm_s_files(name, tmp_path, caplog):
    """Also of its ResNets, whose names are torchvision's, and would be taken for Detectron2's."""
    from safetensors.torch import save_file

    whole = timm.create_model(name)
    path = str(tmp_path / "model.safetensors")
    save_file(whole.state_dict(), path)
    caplog.set_level(logging.INFO)
    model = build("reid", "Base-FasterRCNN.yaml", name=f"timm:{name}")
    load(build("detection", "Base-FasterRCNN.yaml", name=f"timm:{name}"), path)
    taken = re.search(r"(\d+) of its (\d+) tensors", told(caplog, "The backbone starts"))
    assert taken[1] == taken[2]
    initialize_side_net(model.reid, path, model.detector)
    first = next(iter(model.reid.side_net.res4.parameters()))
    assert any(first.shape == p.shape and torch.equal(first, p) for p in whole.parameters())


def test_a_file_of_another_network_is_refused_and_nothing_stays_random(files, tmp_path):
    body, _ = files
    path = tmp_path / "other.pth"
    state = body.state_dict()
    for wrong, said in (
        (swin().state_dict(), "another architecture"),
        (convnext((2, 2, 2, 2)).state_dict(), r"res4\.blocks\.2\..* among them"),  # too few blocks
        ({k: v for k, v in state.items() if "features.5.0" not in k}, r"res4\.blocks\.0\."),
        ({k: v for k, v in state.items() if "classifier.0" not in k}, r"res5\.norm\."),
    ):
        torch.save(wrong, path)
        with pytest.raises(UserError, match=said):
            load(build(), path)
        model = build("reid")
        with pytest.raises(
            UserError, match="SIDE_NET.WEIGHTS .*: .*(another architecture|are not in)"
        ):
            initialize_side_net(model.reid, str(path), model.detector)
    torch.save(convnext((2, 3, 3, 2)).state_dict(), path)  # and a deeper one's has no place in f_r
    model = build("reid")
    with pytest.raises(UserError, match="in it have no place in the side-net"):
        initialize_side_net(model.reid, str(path), model.detector)


@pytest.mark.parametrize("detector", ["Base-FasterRCNN.yaml", "Base-FCOS.yaml"])
def test_a_start_of_another_network_leaves_no_layer_random(detector, tmp_path):
    """Its heads may fit: then only the backbone would be random, and in part frozen at that."""
    path = tmp_path / "resnet.pth"
    opts = [*NARROW, *FRUGAL, "MODEL.FPN.OUT_CHANNELS", 64, "MODEL.FCOS.NUM_CONVS", 1]
    resnet = build_model(make_config("detection", opts, config_file=CONFIGS / detector))
    torch.save({"model": resnet.state_dict()}, path)
    for freeze_at in (2, 0):
        model = build("detection", detector, "MODEL.BACKBONE.FREEZE_AT", freeze_at)
        with pytest.raises(UserError, match=r"backbone are not in it .*backbone\..* among them"):
            load(model, path)


def test_a_final_norm_that_a_detector_has_not_is_new(caplog):
    caplog.set_level(logging.INFO)
    model = build("joint", "Base-RetinaNet.yaml")
    initialize_side_net(model.reid, "detector", model.detector)
    assert "new are fusions, res5.norm; of" in told(caplog, "The side-net starts")
    wanted = model.detector.backbone.bottom_up.res5.state_dict()
    conv5 = model.reid.head.conv5.state_dict()
    assert all(torch.equal(value, conv5[name]) for name, value in wanted.items())
    assert conv5.keys() - wanted.keys() == {"norm.weight", "norm.bias"}


def test_a_trained_detector_is_taken_whole_by_stage_reid(files, tmp_path):
    detector = build("detection", "Base-FasterRCNN.yaml", *LITE)
    path = tmp_path / "detector.pth"
    torch.save({"model": detector.state_dict()}, path)
    model = build("reid", "Base-FasterRCNN.yaml", *LITE)
    load(model, path)
    state = model.detector.state_dict()
    assert all(torch.equal(v, state[n]) for n, v in detector.detector.state_dict().items())
    with pytest.raises(UserError, match="of another architecture"):
        load(build("reid"), path)
    with pytest.raises(UserError, match="another architecture"):  # ImageNet's is no detector
        load(model, files[1]["torchvision"])


@pytest.mark.parametrize(
    "name, is_known",
    [
        ("convnext_tiny-983f1562.pth", True),
        ("swin_t-704ceda3.pth", True),
        ("convnext_tiny_22k_224.pth", True),
        ("convnext_base_22k_1k_224.pth", True),
        ("convnext_base_1k_224_ema.pth", True),
        ("my_convnext_detector.pth", False),
    ],
)
def test_what_files_are_known_to_be_trained_with(name, is_known):
    source, values = known_values(f"https://example.org/{name}")
    assert source == ("ImageNet weights of torchvision" if is_known else "")
    assert values.get("INPUT.FORMAT") == ("RGB" if is_known else None)
