"""Loading a trained network, its fingerprint, and what it says of a picture."""

import re
import shutil

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from fully_decoupled_ps import UserError, load_config
from fully_decoupled_ps.predictor import InputMapper, fingerprint, load_network
from tests.modeling.staged.networks import staged
from tests.testing import CONFIGS, RESNET18, TINY, make_config, make_model
from tests.tiny_run import make_run, picture


def test_it_detects_and_embeds(network):
    found = network.detect(picture(0), boxes=[(4, 6, 30, 60), (0, 0, 96, 64)])
    assert 0 < len(found.boxes) == len(found.scores) == len(found.features)
    assert (np.diff(found.scores) <= 0).all()
    assert network.dim == found.features.shape[1] == 256
    for features in (found.features, found.query_features):
        np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    asked = network.detect(picture(0), boxes=found.boxes).query_features
    np.testing.assert_allclose(asked, found.features, atol=1e-5)
    assert found.boxes.max() > 64  # in pixels of the picture, which is wider than high


def test_a_picture_is_the_same_beside_a_tall_one(network):
    inputs = [network.mapper(picture(seed, size)) for seed, size in ((1, (300, 60)), (0, (64, 96)))]
    tall, found = network.run(inputs)
    for beside, alone in ((found, network.detect(picture(0))), (tall, network.run(inputs[:1])[0])):
        assert len(beside.boxes) == len(alone.boxes) > 0
        np.testing.assert_allclose(beside.boxes, alone.boxes, rtol=1e-4)
        assert ((beside.features * alone.features).sum(axis=1) > 1 - 1e-4).all()


@pytest.mark.parametrize("size", [(64, 96), (300, 60), (90, 190)])
def test_resizing_on_the_device_changes_no_bit(network, monkeypatch, size):
    image = picture(0, size)
    expected = network.detect(image, boxes=[(4, 6, 30, 50)])
    monkeypatch.setattr(network.mapper, "resizes", False)
    assert network.mapper(image)["image"].shape == (3, *size)
    ours = network.detect(image, boxes=[(4, 6, 30, 50)])
    for mine, theirs in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_shorter_side_of_0_leaves_a_picture_as_it_is_on_every_device():
    image = picture(0, (30, 50))
    expected = torch.as_tensor(image[:, :, ::-1].copy().transpose(2, 0, 1))
    assert torch.equal(InputMapper("BGR", 0, 40)(image)["image"], expected)
    mapper = InputMapper("BGR", 0, 40, resizes=False)
    inputs = mapper.resized(mapper(image), torch.device("cpu"))
    assert torch.equal(inputs["image"], expected) and (inputs["height"], inputs["width"]) == (
        30,
        50,
    )


def test_the_order_of_maps_is_that_of_inference_whatever_the_training_s_was(run_folder, tmp_path):
    for said in ("true", "false", "null"):
        folder = shutil.copytree(run_folder, tmp_path / said)
        path = folder / "config.yaml"
        path.write_text(re.sub("CHANNELS_LAST: .*", f"CHANNELS_LAST: {said}", path.read_text()))
        weight = load_network(str(folder), device="cpu").model.detector.backbone.stem.conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_the_input_is_that_of_detectron2s_predictor(run_folder, network):
    from detectron2.engine import DefaultPredictor

    config = make_config("reid", (*TINY, "MODEL.REID.NUM_IDS", 4))
    config.MODEL.WEIGHTS = str(run_folder / "model_final.pth")
    config.DATASETS.TEST = ()
    image = picture(0, size=(80, 200))
    expected = DefaultPredictor(config)(image[:, :, ::-1])["instances"]  # it takes BGR
    found = network.detect(image)
    np.testing.assert_allclose(found.boxes, expected.pred_boxes.tensor, rtol=1e-4)
    np.testing.assert_allclose(found.features, expected.reid_features, atol=1e-4)


def test_a_network_of_bgr_gets_bgr(tmp_path, network):
    bgr = load_network(str(make_run(tmp_path / "bgr", ("INPUT.FORMAT", "BGR"))), device="cpu")
    swapped = np.ascontiguousarray(picture(0)[:, :, ::-1])
    np.testing.assert_allclose(bgr.detect(swapped).boxes, network.detect(picture(0)).boxes)


def test_other_ways_to_name_it(run_folder, network, tmp_path):
    checkpoint = run_folder / "model_final.pth"
    assert load_network(str(checkpoint)).fingerprint == network.fingerprint
    config = tmp_path / "own.yaml"
    shutil.copy(run_folder / "config.yaml", config)
    loaded = load_network(str(config), str(checkpoint))
    assert loaded.fingerprint == network.fingerprint
    assert (loaded.location, loaded.weights) == (str(config), str(checkpoint))


def test_the_fingerprint_is_of_what_features_depend_on(run_folder, network, tmp_path):
    config = (run_folder / "config.yaml").read_text()

    def with_config(name, text, state=None):
        folder = shutil.copytree(run_folder, tmp_path / name)
        (folder / "config.yaml").write_text(text)
        if state is not None:
            torch.save({"model": state}, folder / "model_final.pth")
        return load_network(str(folder)).fingerprint

    assert with_config("seed", config.replace("SEED: 1", "SEED: 2")) == network.fingerprint
    larger = config.replace("MIN_SIZE_TEST: 64", "MIN_SIZE_TEST: 96")
    assert larger != config and with_config("size", larger) != network.fingerprint
    mean = config.replace("123.675", "120.0")
    assert mean != config and with_config("mean", mean) != network.fingerprint
    state = make_model("reid").state_dict()
    state["reid.memory.lookup_table"] += 1
    assert with_config("memory", config, state) == network.fingerprint
    name = next(name for name in state if "conv5" in name and name.endswith("weight"))
    state[name].view(-1)[0] += 1e-3
    assert with_config("weights", config, state) != network.fingerprint


def test_a_network_that_has_learned_from_crops_is_the_same_without(tmp_path, network):
    """Of the memory of crops nothing is loaded, and an index of the same weights stays its own."""
    trained = make_run(tmp_path / "run", ("MODEL.REID.ORD.ENABLED", True))
    state = torch.load(trained / "model_final.pth")["model"]
    assert len(state["reid.crop_stream.memory.lookup_table"]) == 4
    loaded = load_network(str(trained), device="cpu")
    assert loaded.fingerprint == network.fingerprint
    assert loaded.model.state_dict().keys() == network.model.state_dict().keys()
    cfg = make_config("reid", (*TINY, "MODEL.REID.NUM_IDS", 4, "MODEL.REID.ORD.ENABLED", True))
    with_memory = build_model(cfg)
    with_memory.load_state_dict(state)
    assert fingerprint(cfg, with_memory) == network.fingerprint


FASTER_RCNN_FINGERPRINT = "5274ef755f2404aa987cb693e99a1a95e614645e4ede066e6aeee6b90a1ddbc1"


@pytest.mark.parametrize(
    "config, stage, expected",
    [
        # whichever stage has trained them
        *(
            ("faster_rcnn", stage, FASTER_RCNN_FINGERPRINT)
            for stage in ("reid", "detached", "hybrid")
        ),
        ("coat", "reid", "1f96cdfddfb6a3a87d91f487044d07fed551ffe0dd53fe622bbfd523de061a14"),
        (
            "coupled_faster_rcnn",
            "joint",
            "37747547ad95f5dbe75b6e1f41788ab13379a761582b3e5f6b11d5d0b1c00b31",
        ),
    ],
)
def test_the_fingerprint_of_given_weights_stays_what_it_was(config, stage, expected):
    """Recorded when conv5 was the side-net's: an index of that time fits its network still."""
    opts = ["MODEL.COAT.DIM", 32, "MODEL.COAT.NUM_HEADS", 2, "MODEL.REID.NUM_IDS", 4]
    config_file = CONFIGS / "prw" / f"{config}_R50.yaml"
    cfg = make_config(stage, [*TINY, *RESNET18, *opts], config_file=config_file)
    model = build_model(cfg)
    for value in model.state_dict().values():
        value.fill_(value.numel())
    assert fingerprint(cfg, model) == expected


def test_the_fingerprint_is_of_the_weights_as_they_were_trained(run_folder, network):
    """Not as they are laid out for inference, which would refuse every index there is."""
    cfg = load_config(str(run_folder / "config.yaml"))
    assert fingerprint(cfg, make_model("reid")) == network.fingerprint
    assert fingerprint(cfg, network.model) != network.fingerprint


def test_lighter_detectors_have_fingerprints_of_their_own():
    """The blocks are in the names of the weights; those of full ones stay what they were."""

    def of(blocks):
        cfg = make_config("reid", [*TINY, "MODEL.DETECTOR.BLOCKS", blocks, "MODEL.REID.NUM_IDS", 4])
        model = build_model(cfg)
        for value in model.state_dict().values():
            value.fill_(value.numel())
        return fingerprint(cfg, model)

    assert len({of(blocks) for blocks in ((), (3, 2, 2, 2), (3, 1, 1, 1))}) == 3
    assert of((3, 4, 6, 3)) == of(())


def test_the_names_of_staged_networks_are_in_their_fingerprint():
    """Two of equal weights may differ: here by how they are registered alone."""

    def of(name, f_r=""):
        opts = ["MODEL.BACKBONE.NAME", "build_staged_backbone", "MODEL.REID.NUM_IDS", 4]
        opts += [*staged(name), "MODEL.REID.SIDE_NET.STAGED", f_r]
        cfg = make_config("reid", [*TINY, *opts])
        model = build_model(cfg)
        for value in model.state_dict().values():
            value.fill_(value.numel())
        return fingerprint(cfg, model)

    one, other = "NarrowConvNeXt", "NarrowConvNeXt:other"
    assert len({of(one), of(other), of(one, other)}) == 3
    assert of(one) == of(one)


def test_the_class_of_persons_is_in_the_fingerprint_of_a_detector_that_has_others():
    def of(classes, person):
        opts = ["MODEL.ROI_HEADS.NUM_CLASSES", classes, "MODEL.DETECTOR.PERSON_CLASS", person]
        cfg = make_config("reid", [*TINY, *opts, "MODEL.REID.NUM_IDS", 4])
        model = build_model(cfg)
        for value in model.state_dict().values():
            value.fill_(value.numel())
        return fingerprint(cfg, model)

    assert of(3, 0) != of(3, 1)
    assert of(1, -1) == of(1, 0)


def test_mistakes(run_folder, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--model nowhere: no such file or folder; name the output"):
        load_network("nowhere")
    with pytest.raises(UserError, match="holds no config.yaml; name the output folder"):
        load_network(str(tmp_path))
    with pytest.raises(UserError, match="--weights nowhere.pth: no such file"):
        load_network(str(run_folder), "nowhere.pth")
    with pytest.raises(UserError, match="is a config; name its checkpoint with --weights FILE"):
        load_network(str(run_folder / "config.yaml"))
    shutil.copy(run_folder / "config.yaml", tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint; finish its training, or name one"):
        load_network(str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda: PyTorch sees no GPU; use --device cpu"):
        load_network(str(run_folder), device="cuda")
    detector = make_model("detection").state_dict()
    torch.save({"model": detector}, tmp_path / "detector.pth")
    with pytest.raises(UserError, match="holds a detector only; train stage reid first"):
        load_network(str(run_folder), str(tmp_path / "detector.pth"))


@pytest.mark.parametrize(
    ("key", "value"),
    [("SCORE_THRESH", ".nan"), ("SCORE_THRESH", "1.5"), ("MAX_SIZE_TEST", "0")],
)
def test_numbers_of_the_config_that_let_nothing_or_all_pass(run_folder, tmp_path, key, value):
    config = (run_folder / "config.yaml").read_text()
    changed = re.sub(f"  {key}: .*", f"  {key}: {value}", config)
    assert changed != config
    (tmp_path / "own.yaml").write_text(changed)
    with pytest.raises(UserError, match=key):
        load_network(str(tmp_path / "own.yaml"), str(run_folder / "model_final.pth"))
