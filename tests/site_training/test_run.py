"""The whole work on tiny data: both kinds of start, resuming, and what it leaves."""

import json
import logging
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import yaml

from fully_decoupled_ps import UserError
from fully_decoupled_ps.predictor import load_network
from fully_decoupled_ps.site_training import SiteRequest, stages, train_for_site
from tests.processes import start_process
from tests.tiny_run import make_run

from .killed import train_until
from .site import QUICK, write_ready, write_site

OFTEN = ("SOLVER.CHECKPOINT_PERIOD", "1")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    train, test = write_site(root / "site")
    request = SiteRequest(
        str(train),
        str(test),
        str(root / "trained"),
        start=str(write_ready(root / "start")),
        detector="tune",
        device="cpu",
        opts=[*QUICK, *OFTEN],
    )
    return SimpleNamespace(root=root, request=request)


@pytest.fixture(scope="module")
def trained(site):
    """From a ready network, both stages."""
    return train_for_site(site.request)


def weights(folder):
    return torch.load(folder / "model_final.pth", weights_only=False)["model"]


def test_a_ready_network_is_trained_in_two_stages(site, trained):
    assert trained.run == site.root / "trained" / "reid"
    detection, reid = weights(trained.run.parent / "detection"), weights(trained.run)
    # NoResNet's loss is the square of its weight, which was 1
    assert 0 < detection["detector.weight"].item() < 1
    assert torch.equal(reid["detector.weight"], detection["detector.weight"])
    published = torch.load(site.root / "start" / "crops.pth")
    change = reid["reid.network.layers.0.weight"] - published["layers.0.weight"]
    assert 0 < change.abs().max() < 0.1  # it started from there


def test_the_result_is_a_network_for_applications(trained, monkeypatch):
    # its weights are to be seen as they were loaded
    as_loaded = "fully_decoupled_ps.predictor.prepare_for_inference"
    monkeypatch.setattr(as_loaded, lambda model, cfg: model.eval())
    network = load_network(str(trained.run), device="cpu")
    assert torch.equal(
        network.model.reid.network.layers[0].weight,
        weights(trained.run)["reid.network.layers.0.weight"],
    )


def test_the_table_is_that_of_the_evaluator(site, trained):
    results = json.loads((site.root / "trained" / "results.json").read_text())
    assert results["run"] == str(trained.run) and results["worse"] is False
    figures = {row["figure"]: row for row in results["figures"]}
    folders = {name: site.root / "trained" / path for name, path in (("before", "before/reid"),)}
    folders["after"] = trained.run
    for name, folder in folders.items():
        metrics = json.loads((folder / "inference" / "site_test" / "metrics.json").read_text())
        for figure, task, key in (
            ("detection AP", "detection", "AP"),
            ("detection recall", "detection", "recall"),
            ("search mAP, full gallery", "search", "mAP"),
            ("search top-1, full gallery", "search", "top1"),
            ("search mAP, other cameras alone", "search_multi_view", "mAP"),
            ("search top-1, other cameras alone", "search_multi_view", "top1"),
        ):
            assert figures[figure][name]["value"] == pytest.approx(metrics[task][key])
            assert figure in trained.table
    assert figures["search mAP, full gallery"]["over"] == "6 queries of 3 persons"
    assert figures["search mAP, full gallery"]["groups"] == 3
    assert figures["detection recall"]["over"] == "24 persons in 8 frames"


def test_the_report_has_both_networks(trained):
    page = trained.report.read_text()
    assert "The network that it started from" in page
    assert "Stage 1, detection" in page and "Stage 2, re-identification" in page


def test_the_same_again_does_nothing_again(site, trained, monkeypatch, caplog):
    monkeypatch.setattr(stages, "Trainer", None)
    with caplog.at_level(logging.INFO):
        again = train_for_site(site.request)
    assert again == trained
    assert "Done already: before, detection, reid, after" in caplog.text


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"detector": "freeze"},
            r"another choice of --detector .tune. than .* .freeze.",
        ),
        (
            {"opts": [*QUICK, *OFTEN, "SEED", "7"]},
            "another set of KEY VALUE .* than .* SEED 7",
        ),
    ],
)
def test_another_request_in_the_same_folder_is_refused(site, trained, change, message):
    with pytest.raises(UserError, match=message):
        train_for_site(replace(site.request, **change))


def test_another_start_or_data_set_is_refused(site, trained, tmp_path):
    start = write_ready(tmp_path)
    torch.save({"model": {"detector.weight": torch.zeros(1)}}, tmp_path / "detector.pth")
    with pytest.raises(UserError, match="another start .tiny.yaml .* than .* .tiny.yaml"):
        train_for_site(replace(site.request, start=str(start)))
    content = json.loads((site.root / "site" / "train.json").read_text())
    del content["annotations"][2]
    changed = site.root / "site" / "changed.json"
    changed.write_text(json.dumps(content))
    with pytest.raises(UserError, match="another training set .* 24 boxes, .* than .* 23 boxes"):
        train_for_site(replace(site.request, train_json=str(changed)))


def test_loggers_are_what_they_were(site, trained):
    for name in ("detectron2", "fvcore", "fully_decoupled_ps"):
        logger = logging.getLogger(name)
        assert logger.propagate and not any(
            isinstance(handler, logging.FileHandler) for handler in logger.handlers
        )


def test_what_was_killed_anywhere_goes_on_to_the_same_network(site, trained, tmp_path):
    """In each stage, and in each evaluation when all of its files are written."""
    output = tmp_path / "killed"
    request = site.request
    command = (
        *("train", request.train_json, "--test", request.test_json, "--output", output),
        *("--start", request.start, "--detector", "tune", "--device", "cpu", *request.opts),
    )
    for stage, iteration in (("evaluation", 0), ("detection", 1), ("reid", 2), ("evaluation", 0)):
        process = start_process(train_until, str(output), stage, iteration, *command)
        process.join()
        assert process.exitcode == -signal.SIGKILL, stage
    assert json.loads((output / "site.json").read_text())["done"] == ["before", "detection", "reid"]
    finished = train_for_site(replace(request, output=str(output)))
    for stage, done in (("detection", 1), ("reid", 2)):
        log = (output / stage / "log.txt").read_text()
        assert f"stage {stage} goes on after iteration {done}" in log
        whole, pieces = weights(site.root / "trained" / stage), weights(output / stage)
        assert all(torch.equal(value, pieces[name]) for name, value in whole.items())
    assert finished.table == trained.table
    # of the checkpoints that were gone on from none is left but the last
    assert not list((output / "reid").glob("model_0000000.pth"))


def test_a_run_is_trained_further_from_its_own_weights(site, tmp_path):
    """The detector is tuned, and the re-id part goes on from what the run had."""
    start = make_run(tmp_path / "start" / "reid", ("MODEL.REID.NUM_IDS", 9))
    still = ["SOLVER.REID.BASE_LR", "0.0", "SOLVER.REID.MAX_ITER", "1"]
    output = tmp_path / "out"
    request = replace(
        site.request, start=str(start), output=str(output), opts=[*site.request.opts, *still]
    )
    train_for_site(request)
    before, after = weights(start), weights(output / "reid")
    name = "reid.side_net.res3.0.conv1.weight"
    assert torch.equal(before[name], after[name])  # a rate of 0
    assert len(after["reid.memory.lookup_table"]) == 4  # but other persons
    name = "detector.roi_heads.box_predictor.cls_score.weight"
    assert not torch.equal(before[name], after[name])
    assert torch.equal(after[name], weights(output / "detection")[name])
    assert not (output / "detection" / "with_reid_of_start.pth").exists()
    # and that again, by the folder of both stages, as it is
    frozen = replace(request, start=str(output), output=str(tmp_path / "more"), detector="freeze")
    train_for_site(frozen)
    assert not (tmp_path / "more" / "detection").exists()
    assert torch.equal(weights(tmp_path / "more" / "reid")[name], after[name])


def test_the_start_is_evaluated_as_it_is(site, trained, tmp_path):
    """But for how figures are made; and so is the time for it estimated."""
    changed = ["INPUT.MIN_SIZE_TEST", "48", "TEST.SEARCH.SCORE_THRESH", "0.75"]
    opts = [*site.request.opts, *changed]
    request = replace(site.request, output=str(tmp_path / "out"), detector="freeze", opts=opts)
    train_for_site(request)
    for folder, size in (("before", 64), (".", 48)):
        config = yaml.safe_load((tmp_path / "out" / folder / "reid" / "config.yaml").read_text())
        assert config["INPUT"]["MIN_SIZE_TEST"] == size
        assert config["TEST"]["SEARCH"]["SCORE_THRESH"] == 0.75
    state = json.loads((tmp_path / "out" / "site.json").read_text())
    assert list(state["plan"]["seconds"]) == ["before", "reid", "after"]


# --- memory -----------------------------------------------------------------------------------


def test_a_batch_is_halved_until_memory_has_room_for_it(monkeypatch):
    tried = []

    def steps(job, stage, cfg, batch):
        tried.append(batch)
        if batch > 2:
            raise torch.cuda.OutOfMemoryError("full")
        return 0.5

    monkeypatch.setattr(stages, "_seconds_per_step", steps)
    assert stages.try_batch(SimpleNamespace(device="cuda"), "reid", None, 9) == (2, 0.5)
    assert tried == [9, 4, 2]
    monkeypatch.setattr(stages, "_seconds_per_step", lambda *args: steps(*args[:3], 3))
    with pytest.raises(UserError, match="stage reid does not fit into the memory of cuda"):
        stages.try_batch(SimpleNamespace(device="cuda"), "reid", None, 4)


def test_memory_that_runs_out_later_is_told_in_one_line(site, trained, monkeypatch, tmp_path):
    shutil.copytree(site.root / "trained", tmp_path / "out")
    state = json.loads((tmp_path / "out" / "site.json").read_text())
    state["done"] = ["before", "detection"]
    (tmp_path / "out" / "site.json").write_text(json.dumps(state))
    shutil.rmtree(tmp_path / "out" / "reid")

    def fail(self):
        raise torch.cuda.OutOfMemoryError("full")

    monkeypatch.setattr(stages.SiteTrainer, "run_step", fail)
    with pytest.raises(UserError, match="stage reid ran out of memory with 2 frames in a batch"):
        train_for_site(replace(site.request, output=str(tmp_path / "out")))


@pytest.mark.parametrize(
    "seconds, text", [(0.2, "1 s"), (89, "89 s"), (600, "10 min"), (5400, "1.5 h")]
)
def test_durations(seconds, text):
    assert stages.duration(seconds) == text
