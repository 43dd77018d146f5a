"""A two-step network by the one command: trained, resumed, evaluated, and put together."""

import hashlib
import json

import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.checkpoint import PersonSearchCheckpointer
from fully_decoupled_ps.ready import MODELS_VARIABLE
from tests.modeling.crop_networks import CROPS, TinyCrops
from tests.small_run import SmallRun
from tests.testing import CONFIGS, make_model
from tests.utils.file_server import serving

BASE = CONFIGS / "Base-TwoStep.yaml"
DETECTOR = ("MODEL.DETECTOR.NAME", "NoResNet", "MODEL.WEIGHTS", "", "MODEL.BACKBONE.FREEZE_AT", 0)
REID = (*DETECTOR[:2], *CROPS, "SOLVER.STAGE", "reid")


@pytest.fixture
def run(tmp_path, restore_loggers):
    with SmallRun(tmp_path) as small_run:
        yield small_run


def weights(run, stage):
    return torch.load(run.output_dir / stage / "model_final.pth")["model"]


def test_both_stages_train_resume_and_are_evaluated(run):
    run.train(BASE, DETECTOR)
    results = run.results("detection")
    assert "detection" in results and "search" not in results
    scored = [*REID, "TEST.SEARCH.GT_BOXES", True, "TEST.IMS_PER_BATCH", 4]
    run.train(BASE, scored, iterations=1)
    first, detector = weights(run, "reid"), weights(run, "detection")
    assert {"loss_oim", "loss_triplet", "memory/lookup_seen"} <= run.scalars("reid").keys()
    assert {"detection", "search", "search_cws", "search_gt_boxes"} <= run.results("reid").keys()
    assert 0 < run.results("reid")["search_gt_boxes"]["mAP"] <= 100
    assert all(torch.equal(value, first[name]) for name, value in detector.items())
    run.train(BASE, scored, resume=True, iterations=3)
    assert run.scalars("reid")["iteration"] == 2
    second = weights(run, "reid")
    assert not torch.equal(
        first["reid.network.layers.0.weight"], second["reid.network.layers.0.weight"]
    )
    seen = first["reid.memory.lookup_table"].ne(0).any(dim=1)
    assert seen.any() and second["reid.memory.lookup_table"].ne(0).any(dim=1)[seen].all()


def test_it_starts_from_a_published_file_and_goes_on_from_its_own(run, tmp_path):
    published = TinyCrops().state_dict()
    torch.save({"state_dict": published}, tmp_path / "crops.pth")
    run.train(BASE, DETECTOR, iterations=1)
    still = [*REID, "MODEL.CROP_REID.WEIGHTS", tmp_path / "crops.pth", "SOLVER.BASE_LR", 0.0]
    run.train(BASE, still, iterations=1)
    name = "layers.0.weight"
    assert torch.equal(weights(run, "reid")[f"reid.network.{name}"], published[name])


def test_reduced_precision_and_the_pictures_of_an_evaluation(run):
    config = CONFIGS / "prw" / "two_step_R50.yaml"
    amp = ["SOLVER.AMP.ENABLED", True, "TEST.AUTOCAST", "bfloat16"]
    run.train(config, [*DETECTOR, *amp], iterations=1)
    run.train(config, [*REID, *amp, "TEST.SEARCH.PICTURES", True], iterations=1)
    assert {value.dtype for value in weights(run, "reid").values()} == {
        torch.float32,
        torch.int64,
    }
    assert {"detection", "search", "search_multi_view"} <= run.results("reid").keys()


@pytest.mark.parametrize(
    "opts, message",
    [
        (["SOLVER.STAGE", "joint"], "'joint'; TwoStepPersonSearch has detection and reid"),
        (["SOLVER.STAGE", "hybrid", "MODEL.WEIGHTS", "x.pth"], "'hybrid'; .* detection and reid"),
        ([*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.NAME", "VGG"], "'VGG' is not registered;"),
        ([*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.WEIGHTS", ""], "WEIGHTS is empty; name a"),
        ([*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.FORMAT", "L"], "'L'; allowed are RGB, BGR"),
        ([*REID, "MODEL.WEIGHTS", "x", "INPUT.FORMAT", "L"], "INPUT.FORMAT is 'L'; allowed are"),
        (
            [*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.SIZE", (0, 9)],
            r"SIZE is \[0, 9\]; it must",
        ),
        ([*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.PIXEL_STD", (1.0, 1.0, 0.0)], "PIXEL_STD"),
        (
            [*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.PIXEL_STD", (0.229, 0.224, 0.225)],
            r"pixels from 0 to 1; here they go from 0 to 255: set PIXEL_STD to \[58.395, 57.12, ",
        ),
        (
            [*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.SIZE", (25.6, 12)],
            r"SIZE is \[25.6, 12\]; it must be whole",
        ),
        ([*REID, "MODEL.WEIGHTS", "x", "MODEL.CROP_REID.BATCH", 0], "BATCH is 0; it must be 1"),
    ],
)
def test_wrong_use_is_one_line(run, opts, message):
    with pytest.raises(UserError, match=message) as excinfo:
        run.train(BASE, opts)
    assert "\n" not in str(excinfo.value)


def test_keys_without_effect_are_named(run, caplog):
    run.train(BASE, DETECTOR, iterations=1)
    run.train(BASE, [*REID, "MODEL.REID.FUSION.NAME", "NoFusion"], iterations=1)
    log = (run.output_dir / "reid" / "log.txt").read_text()
    assert "MODEL.REID.FUSION.NAME has no effect in TwoStepPersonSearch: its f_r is" in log


def test_a_network_without_weights_is_not_trained(run, monkeypatch):
    run.train(BASE, DETECTOR, iterations=1)
    init = TinyCrops.__init__

    def frozen(self, *args):
        init(self, *args)
        for p in self.parameters():
            p.requires_grad = False

    monkeypatch.setattr(TinyCrops, "__init__", frozen)
    with pytest.raises(UserError, match="nothing to train: .* 'TinyCrops', a file .* evaluate it"):
        run.train(BASE, REID, iterations=1)


def evaluate(run, *opts):
    """``--eval-only`` of a yaml of published files; returns the results."""
    return run.train(BASE, [*REID, *opts], eval_only=True)


def test_a_published_pair_is_evaluated_as_it_is(run, tmp_path):
    crops = TinyCrops().state_dict()
    torch.save(crops, tmp_path / "crops.pth")
    torch.save({"model": {"detector.weight": torch.ones(1)}}, tmp_path / "detector.pth")
    parts = ("MODEL.WEIGHTS", tmp_path / "detector.pth")
    with pytest.raises(UserError, match="detector only, and MODEL.CROP_REID.WEIGHTS is 'random'"):
        evaluate(run, *parts)
    results = evaluate(run, *parts, "MODEL.CROP_REID.WEIGHTS", tmp_path / "crops.pth")
    assert {"detection", "search", "search_cws"} <= results.keys()
    said = json.loads(
        (run.output_dir / "reid" / "inference" / "small_test" / "metrics.json").read_text()
    )
    assert said["search"]["mAP"] == pytest.approx(results["search"]["mAP"])
    log = (run.output_dir / "reid" / "log.txt").read_text()
    assert "put together from published files, as they are: detector " in log
    assert "not found in the checkpoint" not in log  # what the other file has
    with pytest.raises(UserError, match="MODEL.WEIGHTS .*crops.pth: .*none of its weights fit"):
        evaluate(run, "MODEL.WEIGHTS", tmp_path / "crops.pth")


def test_a_yaml_of_published_files_is_evaluated_as_a_whole(run, tmp_path):
    """Without a stage; unless the detector was trained here, whose own stage it is then."""
    torch.save(TinyCrops().state_dict(), tmp_path / "crops.pth")
    torch.save({"model": {"detector.weight": torch.ones(1)}}, tmp_path / "detector.pth")
    yaml = tmp_path / "pair.yaml"
    yaml.write_text(
        f"_BASE_: {BASE}\nMODEL:\n  WEIGHTS: {tmp_path / 'detector.pth'}\n"
        "  DETECTOR: {NAME: NoResNet}\n  CROP_REID: {NAME: TinyCrops, SIZE: [24, 12], "
        f"WEIGHTS: {tmp_path / 'crops.pth'}}}\n"
    )
    assert "search" in run.train(yaml, eval_only=True)
    run.train(yaml, DETECTOR, iterations=1)
    assert set(run.train(yaml, eval_only=True)) == {"detection"}


def test_a_ready_networks_files_are_those_of_its_folder(run, tmp_path, monkeypatch):
    """Downloaded once and checked, in evaluation and training as in search."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    torch.save(TinyCrops().state_dict(), tmp_path / "crops.pth")
    torch.save({"model": {"detector.weight": torch.ones(1)}}, tmp_path / "detector.pth")
    with serving() as server:
        server.content = (tmp_path / "crops.pth").read_bytes()
        sha256 = hashlib.sha256(server.content).hexdigest()
        yaml = tmp_path / "pair.yaml"
        yaml.write_text(
            f"_BASE_: {BASE}\nMODEL:\n  WEIGHTS: {tmp_path / 'detector.pth'}\n"
            "  DETECTOR: {NAME: NoResNet}\n"
            f"  CROP_REID: {{NAME: TinyCrops, SIZE: [24, 12], WEIGHTS: '{server.url}'}}\n"
            f"READY: {{USE: tests, CROP_REID: {{SHA256: {sha256}}}}}\n"
        )
        assert "search" in run.train(yaml, eval_only=True)
        stage = ("SOLVER.STAGE", "reid", "MODEL.WEIGHTS", tmp_path / "detector.pth")
        run.train(yaml, stage, iterations=1)
        assert len(server.asked) == 1
    (tmp_path / "models" / "weights.pth").write_bytes(b"another")
    with pytest.raises(UserError, match=f"where {sha256} is stated: it is damaged, or another"):
        run.train(yaml, [*stage, "OUTPUT_DIR", tmp_path / "other"], eval_only=True)


def test_a_trained_network_needs_all_of_itself(tmp_path):
    """A checkpoint of another f_r is none of this one's."""
    opts = (*CROPS, "MODEL.META_ARCHITECTURE", "TwoStepPersonSearch")
    torch.save({"model": make_model("reid").state_dict()}, tmp_path / "side_net.pth")
    with pytest.raises(UserError, match="another architecture: .* reid.head.conv5"):
        PersonSearchCheckpointer(make_model("reid", opts)).load_trained(
            str(tmp_path / "side_net.pth")
        )
