"""A two-step network as applications use it: pictures, fingerprint, and parts by their files."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from fully_decoupled_ps import UserError
from fully_decoupled_ps.data import PersonSearchMapper
from fully_decoupled_ps.predictor import InputMapper, load_network, read_image
from tests.modeling.crop_networks import CROPS, TinyCrops
from tests.testing import CONFIGS, TINY, make_config
from tests.tiny_run import make_run, picture

OPTS = (
    *(*CROPS, "MODEL.META_ARCHITECTURE", "TwoStepPersonSearch"),
    *("MODEL.DETECTOR.NAME", "NoResNet"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("two_step") / "reid", OPTS)


@pytest.fixture(scope="module")
def two_step(folder):
    return load_network(str(folder), device="cpu")


def test_it_detects_and_embeds(two_step):
    image = picture(0, (200, 300))
    found = two_step.detect(image, boxes=[(4, 6, 30, 60), (0, 0, 300, 200)])
    assert len(found.boxes) == len(found.scores) == len(found.features) == 3
    assert two_step.dim == 8 and found.query_features.shape == (2, 8)
    asked = two_step.detect(image, boxes=found.boxes).query_features
    np.testing.assert_array_equal(asked, found.features)
    # a crop of the person is the box's own, whatever is around it
    x0, y0, x1, y1 = found.boxes[0].round().astype(int)
    alone = two_step.detect(image[y0:y1, x0:x1], boxes=[(0, 0, x1 - x0, y1 - y0)])
    np.testing.assert_allclose(alone.query_features[0], found.features[0], atol=1e-6)


def test_only_a_network_that_needs_it_gets_the_original(two_step, network):
    image = picture(0, (200, 300))
    inputs = two_step.mapper(image)
    original = inputs["original_image"]
    assert original.dtype == torch.uint8 and original.shape == (3, 200, 300)
    np.testing.assert_array_equal(original.permute(1, 2, 0), image)
    expected = image.copy()
    image[:] = 0  # the input is the mapper's own
    np.testing.assert_array_equal(original.permute(1, 2, 0), expected)
    assert network.mapper(image).keys() == {"image", "height", "width"}


def test_bgr_is_for_detector_and_crops_alike():
    image = picture(0)
    inputs = InputMapper("BGR", 64, 128, keep_original=True)(image)
    np.testing.assert_array_equal(inputs["original_image"].permute(1, 2, 0), image[:, :, ::-1])
    assert torch.equal(inputs["image"], inputs["original_image"])  # of 64 rows already


def rotated(path):
    """A picture that a phone has stored lying on its side; and as it is meant to be seen."""
    upright = picture(3, (150, 90))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    Image.fromarray(np.rot90(upright).copy()).save(path, exif=exif)
    return upright


def test_a_turned_picture_is_cut_from_upright(two_step, tmp_path):
    upright = rotated(tmp_path / "turned.png")
    boxes = [(10, 20, 60, 140)]
    found = two_step.detect(read_image(tmp_path / "turned.png"), boxes)
    expected = two_step.detect(upright, boxes)
    np.testing.assert_array_equal(found.query_features, expected.query_features)
    np.testing.assert_array_equal(found.features, expected.features)
    mapper = PersonSearchMapper(make_config("reid", (*TINY, *OPTS)), is_train=False)
    mapped = mapper({"file_name": str(tmp_path / "turned.png"), "width": 90, "height": 150})
    np.testing.assert_array_equal(mapped["original_image"].permute(1, 2, 0), upright)


def test_the_mapper_of_training_flips_and_does_not_resize(tmp_path):
    upright = rotated(tmp_path / "turned.png")
    annotation = {"bbox": [10, 20, 60, 140], "bbox_mode": 0, "category_id": 0, "person_id": 3}
    entry = {"file_name": str(tmp_path / "turned.png"), "width": 90, "height": 150}
    entry["annotations"] = [annotation]
    mapper = PersonSearchMapper(make_config("reid", (*TINY, *OPTS)), is_train=True)
    seen = set()
    for seed in range(8):
        np.random.seed(seed)
        mapped = mapper(entry)
        pixels = mapped["image"].permute(1, 2, 0).numpy()
        flipped = not np.array_equal(pixels, upright)
        np.testing.assert_array_equal(pixels, upright[:, ::-1] if flipped else upright)
        box = mapped["instances"].gt_boxes.tensor.tolist()
        assert box == [[30, 20, 80, 140] if flipped else [10, 20, 60, 140]]
        assert "original_image" not in mapped
        seen.add(flipped)
    assert seen == {False, True}
    # the detector's own stage resizes as ever
    mapper = PersonSearchMapper(make_config("detection", (*TINY, *OPTS)), is_train=True)
    assert max(mapper(entry)["image"].shape) == 107  # of 150, as 64 is of 90


def test_an_unreadable_frame_is_blank(tmp_path):
    opts = (*TINY, *OPTS, "INPUT.UNREADABLE_IMAGES", "skip")
    mapper = PersonSearchMapper(make_config("reid", opts), is_train=False)
    mapped = mapper({"file_name": str(tmp_path / "gone.jpg"), "width": 90, "height": 150})
    assert mapped["unreadable"] and mapped["original_image"].sum() == 0


@pytest.mark.parametrize(
    "key, value",
    [
        ("NAME", "TinyCrops:other"),
        ("SIZE", "[32, 12]"),
        ("PIXEL_MEAN", "[120.0, 116.28, 103.53]"),
        ("PIXEL_STD", "[58.0, 57.12, 57.375]"),
        ("FORMAT", "BGR"),
        ("FLIP", "true"),
        ("BATCH", "3"),
    ],
)
def test_the_fingerprint_is_of_what_crops_depend_on(folder, two_step, tmp_path, key, value):
    """Of the number of crops at once they do not."""
    other = shutil.copytree(folder, tmp_path / "other")
    text = (folder / "config.yaml").read_text()
    before, node, after = re.split(r"(\n  CROP_REID:\n(?:    .*\n)+)", text, maxsplit=1)
    changed = re.sub(rf"    {key}:.*\n(?:    - .*\n)*", f"    {key}: {value}\n", node)
    assert changed != node
    (other / "config.yaml").write_text(before + changed + after)
    fingerprint = load_network(str(other), device="cpu").fingerprint
    assert (fingerprint == two_step.fingerprint) == (key == "BATCH")


def test_the_fingerprint_is_of_the_class_that_is_searched(folder, two_step, tmp_path):
    """An index of persons does not go on with the same detector's dogs."""
    other = shutil.copytree(folder, tmp_path / "other")
    text = (folder / "config.yaml").read_text()
    (other / "config.yaml").write_text(text.replace("PERSON_CLASS: -1", "PERSON_CLASS: 0"))
    fingerprint = load_network(str(other), device="cpu").fingerprint
    assert fingerprint != two_step.fingerprint
    (other / "config.yaml").write_text(text.replace("PERSON_CLASS: -1", "PERSON_CLASS: 16"))
    assert load_network(str(other), device="cpu").fingerprint not in (
        *(fingerprint, two_step.fingerprint),
    )


def test_the_fingerprint_is_of_its_weights(folder, two_step, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    checkpoint = torch.load(other / "model_final.pth")
    checkpoint["model"]["reid.network.layers.3.bias"][0] += 1e-3
    torch.save(checkpoint, other / "model_final.pth")
    assert load_network(str(other), device="cpu").fingerprint != two_step.fingerprint


def test_other_networks_have_the_fingerprint_that_they_had(network, tmp_path):
    """What a crop network would be called is nothing to a network without one."""
    other = make_run(tmp_path / "other", ("MODEL.CROP_REID.NAME", "Other"))
    assert load_network(str(other), device="cpu").fingerprint == network.fingerprint


@pytest.fixture
def yaml(tmp_path):
    """A config of published files, and these."""
    torch.save(TinyCrops().state_dict(), tmp_path / "crops.pth")
    torch.save({"model": {"detector.weight": torch.ones(1)}}, tmp_path / "detector.pth")
    path = tmp_path / "pair.yaml"
    path.write_text(
        f"_BASE_: {CONFIGS / 'Base-TwoStep.yaml'}\n"
        f"MODEL:\n  WEIGHTS: {tmp_path / 'detector.pth'}\n  DETECTOR: {{NAME: NoResNet}}\n"
        f"  CROP_REID: {{NAME: TinyCrops, WEIGHTS: {tmp_path / 'crops.pth'}, SIZE: [24, 12]}}\n"
    )
    return path


def test_a_yaml_of_published_files_is_a_network(yaml, tmp_path, caplog, monkeypatch):
    # the weights are to be seen, and saved, as they were loaded
    as_loaded = "fully_decoupled_ps.predictor.prepare_for_inference"
    monkeypatch.setattr(as_loaded, lambda model, cfg: model.eval())
    network = load_network(str(yaml), device="cpu")
    assert "not found in the checkpoint" not in caplog.text  # nothing is missing after all
    assert load_network(str(yaml), device="cpu").fingerprint == network.fingerprint
    state = torch.load(tmp_path / "crops.pth")
    ours = network.model.reid.network.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in state.items())
    assert len(network.detect(picture(0)).features) == 3
    # what training has made of it is one as well
    torch.save({"model": network.model.state_dict()}, tmp_path / "trained.pth")
    trained = load_network(str(yaml), str(tmp_path / "trained.pth"), device="cpu")
    assert trained.fingerprint == network.fingerprint


def test_a_network_of_imagenet_is_told(yaml, tmp_path, caplog):
    load_network(str(yaml), device="cpu")
    assert "ImageNet" not in caplog.text
    state = TinyCrops().state_dict() | {"classifier.weight": torch.zeros(1000, 8)}
    torch.save(state, tmp_path / "crops.pth")
    load_network(str(yaml), device="cpu")
    assert "crops.pth was trained on ImageNet, as its 1000 classes say, and not to" in caplog.text


def test_a_part_that_is_missing_is_named(yaml, folder, tmp_path):
    text = yaml.read_text()
    yaml.write_text(text.replace(str(tmp_path / "crops.pth"), "random"))
    with pytest.raises(UserError, match="detector.pth holds a detector only, .* is 'random'; name"):
        load_network(str(yaml), device="cpu")
    yaml.write_text(text.replace("detector.pth", "gone.pth"))
    with pytest.raises(UserError, match="gone.pth: no such file"):
        load_network(str(yaml), device="cpu")
    yaml.write_text(text.replace(f"WEIGHTS: {tmp_path / 'detector.pth'}", 'WEIGHTS: ""'))
    with pytest.raises(UserError, match="MODEL.WEIGHTS"):
        load_network(str(yaml), device="cpu")
    # what a training started from is not what it has made
    with pytest.raises(UserError, match="is a config; name its checkpoint with --weights FILE"):
        load_network(str(folder / "config.yaml"), device="cpu")
