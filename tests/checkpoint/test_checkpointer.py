"""What each kind of checkpoint fills, and that what does not fit is refused."""

import pickle

import numpy as np
import pytest
import torch
import torchvision
from detectron2.modeling import build_backbone, build_model

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer, initialize_side_net
from fully_decoupled_ps.modeling import ReIDBranch
from fully_decoupled_ps.modeling.feature_tap import FeatureTap
from tests.testing import (
    CONFIGS,
    FRUGAL,
    RESNET18,
    TINY,
    make_config,
    make_model,
    randomize_norms,
    training_input,
)

SMALL_TABLES = ("MODEL.REID.OIM.QUEUE_SIZE", 7)


def save(path, model_state, **extra):
    torch.save({"model": model_state, **extra}, path)
    return str(path)


def load(model, path):
    checkpointer = PersonSearchCheckpointer(model)
    checkpointer.load(path, checkpointables=[])
    return checkpointer


def changed(model):
    """The network with other weights than the tests' own."""
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01)
    randomize_norms(model)
    return model


def assert_same_state(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


# --- detectors -------------------------------------------------------------------------------


@pytest.fixture
def plain_detector():
    """A state dict as Detectron2's own tools/train_net.py saves it: names start with backbone."""
    return changed(make_model("detection")).detector.state_dict()


@pytest.mark.parametrize("stage", ["detection", "reid"])
def test_a_plain_detectron2_detector_is_taken(stage, plain_detector, tmp_path):
    model = make_model(stage)
    checkpointer = load(model, save(tmp_path / "model_final.pth", plain_detector))
    assert_same_state(model.detector.state_dict(), plain_detector)
    assert not checkpointer.has_loaded_reid


def test_a_detector_of_the_model_zoo_is_taken(plain_detector, tmp_path):
    arrays = {name: value.numpy() for name, value in plain_detector.items()}
    with open(tmp_path / "model_final.pkl", "wb") as f:
        pickle.dump({"model": arrays, "__author__": "Detectron2 Model Zoo"}, f)
    model = make_model("reid")
    load(model, str(tmp_path / "model_final.pkl"))
    assert_same_state(model.detector.state_dict(), plain_detector)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("envelope", [True, False])
def test_a_detector_that_torch_save_wrote_under_a_pickles_name(
    plain_detector, tmp_path, zipped, envelope
):
    content = {"model": plain_detector} if envelope else plain_detector
    path = tmp_path / "model_final.pkl"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    model = make_model("reid")
    load(model, str(path))
    assert_same_state(model.detector.state_dict(), plain_detector)


@pytest.mark.parametrize("key", ["model", "state_dict"])
def test_a_detector_that_was_wrapped_when_it_was_saved_is_taken(key, plain_detector, tmp_path):
    wrapped = {f"module.{name}": value for name, value in plain_detector.items()}
    torch.save({key: wrapped}, tmp_path / "wrapped.pth")
    for stage in ("detection", "reid"):
        model = make_model(stage)
        load(model, str(tmp_path / "wrapped.pth"))
        assert_same_state(model.detector.state_dict(), plain_detector)


def test_the_reid_stage_takes_the_detection_stage_s_checkpoint(tmp_path):
    trained, model = changed(make_model("detection")), make_model("reid")
    before = {k: v.clone() for k, v in model.reid.state_dict().items()}
    PersonSearchCheckpointer(trained, str(tmp_path)).save("model_final")
    load(model, str(tmp_path / "model_final.pth"))
    assert_same_state(model.detector.state_dict(), trained.detector.state_dict())
    assert_same_state(model.reid.state_dict(), before)


def test_a_whole_network_comes_back(tmp_path):
    trained, model = changed(make_model("reid")), make_model("reid")
    trained.train()([training_input([0, -1, 3])])
    assert trained.reid.memory.queue_head.item() == 2
    PersonSearchCheckpointer(trained, str(tmp_path)).save("model_final")
    checkpointer = load(model, str(tmp_path / "model_final.pth"))
    assert checkpointer.has_loaded_reid
    assert_same_state(model.state_dict(), trained.state_dict())


# --- ImageNet --------------------------------------------------------------------------------


def published_resnet(depth):
    """torchvision's own network, with random weights and statistics that are not 0 and 1."""
    resnet = getattr(torchvision.models, f"resnet{depth}")(weights=None).eval()
    for name, value in resnet.state_dict().items():
        if name.endswith("running_var") or (".bn" in name and name.endswith("weight")):
            value.uniform_(0.5, 1.0)
        elif name.endswith("running_mean"):
            value.uniform_(-0.1, 0.1)
    return resnet


def assert_close(actual, expected):
    scale = expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("depth", [34, 50])
def test_torchvisions_resnets_fit_exactly(depth, tmp_path, caplog):
    """One file starts both nets, and every layer gives what torchvision's gives."""
    resnet = published_resnet(depth)
    path = str(tmp_path / f"resnet{depth}.pth")
    torch.save(resnet.state_dict(), path)
    channels = 64 if depth < 50 else 256
    opts = ["MODEL.RESNETS.DEPTH", depth, "MODEL.RESNETS.RES2_OUT_CHANNELS", channels]
    cfg = make_config("reid", [*FRUGAL, *opts])

    model = build_model(make_config("detection", [*FRUGAL, *opts])).eval()
    load(model, path)
    tap = FeatureTap(model.detector)
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64)
        maps = tap.run(x)
        stem = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
        layer1 = resnet.layer1(stem)
        layer2 = resnet.layer2(layer1)
        layer3 = resnet.layer3(layer2)
        for name, expected in (("res2", layer1), ("res3", layer2), ("res4", layer3)):
            assert_close(maps[name], expected)

    reid = ReIDBranch(cfg, tap.shapes()).eval()
    initialize_side_net(reid, path, model.detector)
    with torch.no_grad():  # trainable batch norm, as torchvision's
        assert torch.equal(reid.side_net.res3(layer1), layer2)
        assert torch.equal(reid.side_net.res4(layer2), layer3)
        stage5 = reid.head.conv5[1:](resnet.layer4[0](layer3))  # the first block's stride differs
        assert torch.equal(stage5, resnet.layer4(layer3))
    # Faster R-CNN's own conv5
    state = model.detector.roi_heads.res5.state_dict()
    assert torch.equal(state["0.conv1.weight"], resnet.layer4[0].conv1.weight)


def detectron2_imagenet(cfg, path):
    """A file as tools/convert-torchvision-to-d2.py of Detectron2 writes it."""
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res5"]
    backbone = build_backbone(cfg)
    randomize_norms(backbone)
    arrays = {name: value.numpy() for name, value in backbone.state_dict().items()}
    arrays["stem.fc.weight"] = torch.zeros(1000, 256).numpy()
    with open(path, "wb") as f:
        pickle.dump({"model": arrays, "__author__": "torchvision", "matching_heuristics": True}, f)
    return str(path), backbone.state_dict()


def test_detectron2_s_imagenet_file_starts_both_nets(tmp_path):
    path, state = detectron2_imagenet(make_config("detection", TINY), tmp_path / "R-50.pkl")
    model = make_model("detection")
    load(model, path)
    backbone = model.detector.backbone.state_dict()
    heads = model.detector.roi_heads.state_dict()
    assert_same_state(backbone, {k: v for k, v in state.items() if not k.startswith("res5")})
    assert torch.equal(heads["res5.1.conv2.weight"], state["res5.1.conv2.weight"])

    reid = make_model("reid").reid
    initialize_side_net(reid, path, model.detector)
    own = {**reid.side_net.state_dict(), **reid.head.conv5.state_dict(prefix="res5.")}
    for name, value in own.items():
        if name.startswith("res"):
            assert torch.equal(value, state[name]), name


# --- the side-net ----------------------------------------------------------------------------


def test_a_side_net_copies_the_detector():
    model = changed(make_model("reid"))
    side_net, detector = model.reid.side_net, model.detector
    initialize_side_net(model.reid, "detector", detector)
    assert not hasattr(side_net, "res5")
    copies = [
        (side_net.res3, detector.backbone.res3),
        (side_net.res4, detector.backbone.res4),
        (model.reid.head.conv5, detector.roi_heads.res5),
    ]
    for own, given in copies:
        assert_same_state(own.state_dict(), given.state_dict())
        assert all(a is not b for a, b in zip(own.parameters(), given.parameters(), strict=True))
    # and goes its own way from there
    with torch.no_grad():
        side_net.res3[0].conv1.weight.zero_()
    assert detector.backbone.res3[0].conv1.weight.abs().sum() > 0


def test_a_side_net_of_another_norm_takes_what_it_has_a_place_for(tmp_path):
    path = str(tmp_path / "resnet18.pth")
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    model = make_model("reid", RESNET18)
    for norm in ("FrozenBN", "GN"):
        cfg = make_config("reid", [*TINY, *RESNET18, "MODEL.REID.SIDE_NET.NORM", norm])
        reid = ReIDBranch(cfg, FeatureTap(model.detector).shapes())
        for weights in (path, "detector"):
            initialize_side_net(reid, weights, model.detector)


def test_random_weights_must_be_asked_for(caplog):
    model = make_model("reid")
    before = {k: v.clone() for k, v in model.reid.state_dict().items()}
    initialize_side_net(model.reid, "random", model.detector)
    assert_same_state(model.reid.state_dict(), before)
    assert "starts from random weights" in caplog.text
    with pytest.raises(UserError, match='SIDE_NET.WEIGHTS is empty; .* "detector" .* "random"'):
        initialize_side_net(model.reid, "", model.detector)


def test_a_side_net_refuses_what_is_not_there(tmp_path):
    model = make_model("reid")
    with pytest.raises(UserError, match="SIDE_NET.WEIGHTS .*none.pth"):
        initialize_side_net(model.reid, str(tmp_path / "none.pth"), model.detector)
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 not the whole of it")
    with pytest.raises(UserError, match="SIDE_NET.WEIGHTS .*cut.pth"):
        initialize_side_net(model.reid, str(tmp_path / "cut.pth"), model.detector)


def test_a_side_net_refuses_weights_of_another_depth(tmp_path):
    model = make_model("reid", RESNET18)
    path = str(tmp_path / "resnet34.pth")
    torch.save(torchvision.models.resnet34(weights=None).state_dict(), path)
    opts = [*TINY, *RESNET18, "MODEL.RESNETS.DEPTH", 34]
    reid = ReIDBranch(make_config("reid", opts), FeatureTap(model.detector).shapes())
    initialize_side_net(reid, path, model.detector)
    # a ResNet-18 has too few layers for it, and the 34's first ones alone are no ResNet-18
    with pytest.raises(UserError, match="SIDE_NET.WEIGHTS detector: .*res3.2.conv1"):
        initialize_side_net(reid, "detector", model.detector)
    with pytest.raises(UserError, match="resnet34.pth: .* have no place .*res3.2"):
        initialize_side_net(model.reid, path, model.detector)
    opts = [*TINY, *RESNET18, "MODEL.REID.SIDE_NET.DEPTH", 50, "MODEL.REID.FUSION.NAME", "NoFusion"]
    bottleneck = ReIDBranch(make_config("reid", opts), FeatureTap(model.detector).shapes())
    for weights in (path, "detector"):
        with pytest.raises(UserError, match="SIDE_NET.WEIGHTS"):
            initialize_side_net(bottleneck, weights, model.detector)


# --- refusals --------------------------------------------------------------------------------


def one_line(excinfo):
    return "\n" not in str(excinfo.value)


@pytest.mark.parametrize("scheme", ["file", "s3"])
def test_an_address_of_no_known_kind(tmp_path, scheme):
    with pytest.raises(UserError, match=f"{scheme}:///a.pth can't be downloaded; name a path"):
        load(make_model("reid"), f"{scheme}:///a.pth")


def test_missing_and_damaged_files(tmp_path):
    model = make_model("reid")
    with pytest.raises(UserError, match="none.pth: no such file") as excinfo:
        load(model, str(tmp_path / "none.pth"))
    assert one_line(excinfo)
    for name in ("cut.pth", "empty.pth", "cut.pkl"):
        (tmp_path / name).write_bytes(b"" if "empty" in name else b"PK\x03\x04 cut short")
        with pytest.raises(UserError, match=f"{name} can't be read") as excinfo:
            load(model, str(tmp_path / name))
        assert one_line(excinfo)


def test_without_a_network_the_address_and_another_way_are_told(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    url = "http://127.0.0.1:1/R-50.pkl"  # nobody listens there
    with pytest.raises(UserError, match=f"{url} can't be downloaded: .*MODEL.WEIGHTS") as excinfo:
        load(make_model("reid"), url)
    assert one_line(excinfo)


def test_the_reid_stage_refuses_what_is_no_trained_detector(tmp_path):
    path, _ = detectron2_imagenet(make_config("detection", TINY), tmp_path / "R-50.pkl")
    with pytest.raises(UserError, match="another architecture.*detector.proposal_generator"):
        load(make_model("reid"), path)
    with pytest.raises(UserError, match="another architecture.*none of its weights"):
        load(make_model("reid"), save(tmp_path / "other.pth", {"conv.weight": torch.ones(3)}))


@pytest.mark.parametrize("norms", [("GN", "BN"), ("BN", "GN"), ("BN", "FrozenBN")])
def test_what_goes_on_is_what_was_begun(norms, tmp_path):
    begun, other = (make_model("detection", ["MODEL.DETECTOR.RES5_NORM", n]) for n in norms)
    PersonSearchCheckpointer(begun, str(tmp_path)).save("model_0000001")
    again = PersonSearchCheckpointer(
        make_model("detection", ["MODEL.DETECTOR.RES5_NORM", norms[0]])
    )
    for model in (again.model, other):
        checkpointer = PersonSearchCheckpointer(model, str(tmp_path))
        if model is other:
            with pytest.raises(UserError, match="--resume: the checkpoint doesn't fit .*res5") as e:
                checkpointer.resume_or_load("", resume=True)
            assert one_line(e)
        else:
            checkpointer.resume_or_load("", resume=True)
            assert_same_state(model.state_dict(), begun.state_dict())


def test_frozen_norms_do_not_hide_that_nothing_fits(plain_detector, tmp_path):
    frozen = ("MODEL.RESNETS.NORM", "FrozenBN")
    other = {f"net.{name}": value for name, value in plain_detector.items()}
    with pytest.raises(UserError, match="another architecture.*none of its weights"):
        load(make_model("detection", frozen), save(tmp_path / "other.pth", other))


def test_a_caffe2_detector_of_other_classes_is_not_fine_tuned_at_random(tmp_path):
    blobs = {
        "cls_score_b": np.zeros(81, np.float32),
        "conv1_w": np.zeros((64, 3, 7, 7), np.float32),
    }
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"blobs": blobs}))
    with pytest.raises(UserError, match="Caffe2.* with 80 classes.*has 1"):
        load(make_model("detection"), str(tmp_path / "model.pkl"))


def test_the_reid_stage_refuses_a_detector_of_another_architecture(plain_detector, tmp_path):
    path = save(tmp_path / "model_final.pth", plain_detector)
    deeper = build_model(make_config("reid", [*TINY, "MODEL.RESNETS.DEPTH", 101]))
    with pytest.raises(UserError, match="another architecture: .* detector.backbone.res4."):
        load(deeper, path)


def test_a_trained_network_is_wanted_whole(plain_detector, tmp_path):
    path = save(tmp_path / "model_final.pth", plain_detector)

    def load_trained(model, path):
        PersonSearchCheckpointer(model).load_trained(path)

    load_trained(make_model("detection"), path)
    with pytest.raises(UserError, match="holds a detector only; train stage reid first"):
        load_trained(make_model("reid"), path)
    imagenet, _ = detectron2_imagenet(make_config("detection", TINY), tmp_path / "R-50.pkl")
    with pytest.raises(UserError, match="another architecture"):
        load_trained(make_model("detection"), imagenet)


def test_a_network_whose_side_net_has_other_parts_is_refused(tmp_path):
    path = save(tmp_path / "model_final.pth", make_model("reid").state_dict())
    opts = ["MODEL.REID.POOLING", "gem", "MODEL.REID.NUM_IDS", 4]
    model = build_model(make_config("reid", [*TINY, *opts]))
    with pytest.raises(UserError, match="another architecture: 1 .* reid.head.pooling.exponent"):
        load(model, path)


@pytest.mark.parametrize("stage", ["detection", "reid"])
def test_statistics_of_a_norm_that_the_network_has_not_are_not_left_out(stage, tmp_path):
    """Weights of batch and group norms have equal names and shapes."""
    key = "MODEL.DETECTOR.RES5_NORM"
    path = save(tmp_path / "model.pth", make_model(stage, [key, "BN"]).state_dict())
    load_trained = PersonSearchCheckpointer(make_model(stage, [key, "GN"])).load_trained
    with pytest.raises(UserError, match=r"another architecture: 2\d .*res5.*running_mean") as e:
        load_trained(path)
    assert one_line(e)
    if stage == "reid":  # a detector that is used as it is
        path = save(tmp_path / "model.pth", make_model("detection", [key, "BN"]).state_dict())
        with pytest.raises(UserError, match="another architecture: .*res5.*running_mean"):
            load(make_model("reid", [key, "GN"]), path)
    frozen = PersonSearchCheckpointer(make_model(stage, [key, "FrozenBN"]))
    frozen.load_trained(path) if stage == "detection" else frozen.load(path)


@pytest.mark.parametrize(
    "key, values, name",
    [
        ("MODEL.REID.FUSION.NAME", ("ConvFusion", "NoFusion"), "side_net.fusions.res3.conv.bias"),
        ("MODEL.REID.POOLING", ("gem", "avg"), "head.pooling.exponent"),
    ],
)
def test_nothing_of_a_trained_f_r_is_left_out(key, values, name, tmp_path):
    trained, other = (make_model("reid", [key, value]) for value in values)
    path = save(tmp_path / "model.pth", trained.state_dict())
    with pytest.raises(UserError, match=f"another architecture: .* reid.{name} among them") as e:
        PersonSearchCheckpointer(other).load_trained(path)
    assert one_line(e)
    load(other, path)  # what is trained further may do without


def test_tensors_of_a_loss_are_of_training_alone(tmp_path):
    trained, bare = make_model("reid"), make_model("reid")
    trained.reid.losses[0].register_buffer("centre", torch.ones(3))
    path = save(tmp_path / "model.pth", trained.state_dict())
    PersonSearchCheckpointer(bare).load_trained(path)
    given = trained.reid.head.state_dict()
    assert all(torch.equal(x, given[name]) for name, x in bare.reid.head.state_dict().items())


# --- the memory ------------------------------------------------------------------------------


def test_a_memory_of_no_ids_takes_those_of_the_checkpoint(tmp_path):
    trained = make_model("reid", num_ids=6)
    trained.train()([training_input([5, -1, 2])])
    path = save(tmp_path / "model_final.pth", trained.state_dict())
    model = make_model("reid", num_ids=0)
    load(model, path)
    assert_same_state(model.reid.memory.state_dict(), trained.reid.memory.state_dict())
    assert model.reid.memory.seen().tolist() == [False, False, True, False, False, True]


def test_a_memory_of_other_ids_is_refused(tmp_path):
    path = save(tmp_path / "model_final.pth", make_model("reid", num_ids=6).state_dict())
    with pytest.raises(UserError, match="trained on 6 identities, but .* says 4"):
        load(make_model("reid", num_ids=4), path)


def test_a_queue_of_another_size_is_refused(tmp_path):
    path = save(tmp_path / "model_final.pth", make_model("reid", SMALL_TABLES).state_dict())
    with pytest.raises(UserError, match="reid.memory.queue"):
        load(make_model("reid"), path)


def trained_on(**fingerprint):
    """What a checkpoint says of its training data, and what a training knows of its own."""
    known = {"names": ["yard"], "frames": 3, "boxes": 9, "identities": 4, "hash": "a"}
    return {**known, **fingerprint}


def fine_tuned(trained, model, path, data, new_data):
    """The network after a training on ``new_data`` has started from ``trained``, saved as is."""
    extra = {} if data is None else {"trainer": {"training_data": data}}
    save(path, trained.state_dict(), **extra)
    checkpointer = PersonSearchCheckpointer(model)
    checkpointer.new_training_data = new_data
    checkpointer.load(str(path), checkpointables=[])
    assert checkpointer.has_loaded_reid and checkpointer.training_data == data
    return model


def is_memory(name):
    return ".memory." in name


def coat(num_ids, queue=5):
    opts = [*TINY, "MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2]
    opts += ["MODEL.REID.NUM_IDS", num_ids, "MODEL.REID.OIM.QUEUE_SIZE", queue]
    return build_model(make_config("reid", opts, config_file=CONFIGS / "prw" / "coat_R50.yaml"))


@pytest.mark.parametrize("build, memories", [(make_model, 1), (coat, 2)])
@pytest.mark.parametrize("num_ids", [4, 6])
def test_for_other_persons_the_weights_are_kept_and_the_memories_are_not(
    build, memories, num_ids, tmp_path, caplog
):
    """Also with as many persons as before: row 0 is somebody else now."""
    networks = [
        make_model("reid", num_ids=n) if build is make_model else coat(n) for n in (4, num_ids)
    ]
    trained, model = networks
    changed(trained).train()([training_input([0, -1, 3])])
    new = trained_on(hash="b", identities=num_ids)
    fine_tuned(trained, model, tmp_path / "model_final.pth", trained_on(), new)
    expected, actual = trained.state_dict(), model.state_dict()
    kept = {k: v for k, v in expected.items() if not is_memory(k)}
    assert_same_state({k: v for k, v in actual.items() if not is_memory(k)}, kept)
    tables = [v for k, v in actual.items() if k.endswith("lookup_table")]
    assert len(tables) == memories and all(len(table) == num_ids for table in tables)
    assert not any(v.any() for k, v in actual.items() if is_memory(k))
    assert any(v.any() for k, v in expected.items() if is_memory(k))
    assert "trained on other data" in caplog.text and "memory of identities" in caplog.text


def test_for_the_same_persons_the_memory_is_kept(tmp_path, caplog):
    trained = make_model("reid")
    trained.train()([training_input([0, -1, 3])])
    model, new = make_model("reid"), trained_on(names=["moved"])
    fine_tuned(trained, model, tmp_path / "model_final.pth", trained_on(), new)
    assert_same_state(model.state_dict(), trained.state_dict())
    assert "memory" not in caplog.text


def test_for_persons_that_nobody_knows_the_memory_is_not_kept(tmp_path, caplog):
    """A checkpoint of weights alone; the queue may have another size, too."""
    trained = make_model("reid")
    trained.train()([training_input([0, -1, 3])])
    model = make_model("reid", SMALL_TABLES)
    fine_tuned(trained, model, tmp_path / "model_final.pth", None, trained_on())
    assert not any(v.any() for v in model.reid.memory.state_dict().values())
    assert model.reid.memory.queue.shape[0] == 7
    assert "It does not say on which persons it was trained" in caplog.text


ORD = ("MODEL.REID.ORD.ENABLED", True, "MODEL.REID.ORD.CROP_SIZE", (32, 32))


@pytest.mark.parametrize("num_ids", [0, 6])
def test_the_memory_of_crops_comes_back_as_the_other(num_ids, tmp_path, caplog):
    trained = make_model("reid", ORD, num_ids=6)
    trained.train()([training_input([5, -1, 2])])
    model = make_model("reid", ORD, num_ids=num_ids)
    load(model, save(tmp_path / "model_final.pth", trained.state_dict()))
    assert_same_state(model.state_dict(), trained.state_dict())
    assert model.reid.crop_stream.memory.seen().any()
    assert "memory of crops" not in caplog.text


@pytest.mark.parametrize("num_ids", [0, 6])
def test_a_checkpoint_without_a_memory_of_crops_gets_an_empty_one(num_ids, tmp_path, caplog):
    caplog.set_level("INFO")
    trained = make_model("reid", num_ids=6)
    trained.train()([training_input([5, -1, 2])])
    model = make_model("reid", ORD, num_ids=num_ids)
    path = save(tmp_path / "model_final.pth", trained.state_dict())
    PersonSearchCheckpointer(model).load_trained(path)
    crops = {n: v for n, v in model.state_dict().items() if ".crop_stream." in n}
    assert len(crops) == 3 and not any(v.any() for v in crops.values())
    rest = {n: v for n, v in model.state_dict().items() if n not in crops}
    assert_same_state(rest, trained.state_dict())
    assert model.reid.crop_stream.memory.num_ids == 6
    assert "no memory of crops (MODEL.REID.ORD), which starts empty" in caplog.text


def test_a_memory_of_crops_is_left_out_where_there_is_none(tmp_path, caplog):
    caplog.set_level("INFO")
    trained, model = changed(make_model("reid", ORD)), make_model("reid")
    path = save(tmp_path / "model_final.pth", trained.state_dict())
    PersonSearchCheckpointer(model).load_trained(path)
    kept = {n: v for n, v in trained.state_dict().items() if ".crop_stream." not in n}
    assert_same_state(model.state_dict(), kept)
    assert "memory of crops is left out" in caplog.text and "not used" not in caplog.text


@pytest.mark.parametrize("opts", [((), ORD), (ORD, ())])
def test_a_training_goes_on_with_or_without_crops_as_it_was_begun(opts, tmp_path):
    begun, other = (make_model("reid", x) for x in opts)
    PersonSearchCheckpointer(begun, str(tmp_path)).save("model_0000001")
    was, said = opts[0] == ORD, opts[1] == ORD
    wrong = f"--resume: .* begun with MODEL.REID.ORD.ENABLED {was}, .* says {said}; set it to {was}"
    with pytest.raises(UserError, match=wrong) as e:
        PersonSearchCheckpointer(other, str(tmp_path)).resume_or_load("", resume=True)
    assert one_line(e)
    again = make_model("reid", opts[0])
    PersonSearchCheckpointer(again, str(tmp_path)).resume_or_load("", resume=True)
    assert_same_state(again.state_dict(), begun.state_dict())


def test_for_other_persons_the_memory_of_crops_is_not_kept(tmp_path):
    trained, model = make_model("reid", ORD), make_model("reid", ORD, num_ids=6)
    trained.train()([training_input([0, -1, 3])])
    new = trained_on(hash="b", identities=6)
    fine_tuned(trained, model, tmp_path / "model_final.pth", trained_on(), new)
    memories = {k: v for k, v in model.state_dict().items() if is_memory(k)}
    assert len(memories) == 6 and not any(v.any() for v in memories.values())
