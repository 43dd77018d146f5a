"""The training command as a user runs it, on a tiny synthetic set in PRW's layout."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
import torch.utils.cpp_extension  # noqa: F401 - says once, on stderr, that there is no CUDA
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import hooks
from torch import nn

from fully_decoupled_ps.data import register_prw
from fully_decoupled_ps.engine.divergence import LatestBatch
from fully_decoupled_ps.modeling import REID_LOSS_REGISTRY
from tests.small_run import run_train_net
from tests.testing import CONFIGS, TINY, make_tiny_dataset

SETS = {"tiny_train": "train", "tiny_test": "test"}
OPTS = (
    *TINY,
    *("MODEL.REID.SIDE_NET.WEIGHTS", "detector"),
    *("DATASETS.TRAIN", "('tiny_train',)", "DATASETS.TEST", "('tiny_test',)"),
    *("SOLVER.BASE_LR", 0.001, "SOLVER.WARMUP_ITERS", 0, "SOLVER.CHECKPOINT_PERIOD", 2),
    *("SOLVER.MAX_ITER", 3, "SOLVER.STEPS", "(2,)"),
)
DETECTION = ("MODEL.WEIGHTS", "")  # from random weights, of which none is frozen
REID = ("SOLVER.STAGE", "reid", "SOLVER.MAX_ITER", 4, "SOLVER.STEPS", "(3,)")


def run_in_process(folder, *args):
    """``python train_net.py ...`` with flags and options; returns its exit status."""
    config = CONFIGS / "prw" / "faster_rcnn_R50.yaml"
    return run_train_net(config, *OPTS, "OUTPUT_DIR", folder, *args)


def load(path):
    return torch.load(path, weights_only=False)


@pytest.fixture(scope="module")
def tiny_sets(tmp_path_factory):
    root = make_tiny_dataset(tmp_path_factory.mktemp("data") / "tiny")
    for name, split in SETS.items():
        register_prw(name, str(root), split)
    yield root
    for name in SETS:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


@pytest.fixture(scope="module")
def trained(tiny_sets, tmp_path_factory):
    """Both stages, one after the other, in one output folder."""
    folder = tmp_path_factory.mktemp("output")
    statuses = [run_in_process(folder, *DETECTION), run_in_process(folder, *REID)]
    assert statuses == [0, 0]
    return SimpleNamespace(folder=folder, detection=folder / "detection", reid=folder / "reid")


@pytest.fixture
def run(tiny_sets, restore_loggers):
    return run_in_process


# --- both stages -----------------------------------------------------------------------------


def scalars(folder):
    """Scalars by name, in the order of the iterations."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return {name: [line[name] for line in lines if name in line] for line in lines for name in line}


def test_each_stage_leaves_its_files(trained):
    for folder, last in ((trained.detection, 3), (trained.reid, 4)):
        assert (folder / "last_checkpoint").read_text() == "model_final.pth"
        assert (folder / "model_0000001.pth").is_file()
        assert load(folder / "model_final.pth")["iteration"] == last - 1
        assert list(folder.glob("events.out.tfevents.*"))
        assert (folder / "config.yaml").is_file()


def test_what_is_logged(trained):
    detection, reid = scalars(trained.detection), scalars(trained.reid)
    assert {"total_loss", "loss_cls", "loss_rpn_cls", "lr"} <= detection.keys()
    assert {"total_loss", "loss_oim", "loss_triplet", "lr"} <= reid.keys()
    names = {"alpha/res3", "alpha/res4", "memory/lookup_seen", "memory/queue_fill"}
    assert names <= reid.keys() and not names & detection.keys()
    assert all(0 <= value <= 1 for name in names for value in reid[name])
    assert reid["memory/lookup_seen"][-1] > 0

    log = (trained.reid / "log.txt").read_text()
    for text in ("eta: ", "memory/lookup_seen: ", "loss_oim: "):
        assert text in log, text
    assert re.search(r"alpha/res3: 0\.(50|49)", log)  # it starts at 0.5
    # what the loaders counted; the second stage has the data from the first, in one process
    log = (trained.detection / "log.txt").read_text()
    assert "12 frames, " in log and "8 frames, " in log and " unlabelled)" in log


def test_evaluation_at_the_end_of_training(trained):
    def results(folder):
        return json.loads((folder / "inference" / "tiny_test" / "metrics.json").read_text())

    detection, reid = results(trained.detection), results(trained.reid)
    assert "search" not in detection and {"AP", "recall"} <= detection["detection"].keys()
    assert reid["detection"] == detection["detection"]
    for task in ("search", "search_cws", "search_multi_view", "search_multi_view_cws"):
        assert {"mAP", "top1", "top5", "top10"} <= reid[task].keys()
    assert (trained.reid / "inference" / "tiny_test" / "queries_full.json").is_file()


def test_the_reid_stage_leaves_the_detector_bit_identical(trained):
    before = load(trained.detection / "model_final.pth")["model"]
    after = load(trained.reid / "model_final.pth")["model"]
    assert len(before) > 100 and before.keys() < after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_side_net_started_from_the_detector(trained):
    """Its learning rate is small, so conv3 is still near to the detector's."""
    state = load(trained.reid / "model_final.pth")["model"]
    own = state["reid.side_net.res3.0.conv1.weight"]
    given = state["detector.backbone.res3.0.conv1.weight"]
    assert 0 < (own - given).abs().mean() < 0.05 * given.abs().mean()


def test_the_same_seed_gives_the_same_network(run, trained, tmp_path):
    shutil.copytree(trained.detection, tmp_path / "detection")
    assert run(tmp_path, *REID, "DATASETS.TEST", "()") == 0
    first, second = (load(f / "reid" / "model_final.pth") for f in (trained.folder, tmp_path))
    assert all(torch.equal(value, second["model"][k]) for k, value in first["model"].items())


def test_evaluation_only(run, trained, tmp_path, caplog):
    metrics = json.loads((trained.reid / "inference" / "tiny_test" / "metrics.json").read_text())
    expected = str([["search", "mAP", metrics["search"]["mAP"], 0.01]])
    weights = ["MODEL.WEIGHTS", trained.reid / "model_final.pth"]
    assert run(tmp_path, "--eval-only", *REID, *weights, "TEST.EXPECTED_RESULTS", expected) == 0
    again = json.loads((tmp_path / "reid/inference/tiny_test/metrics.json").read_text())
    assert again == metrics

    wrong = str([["search", "mAP", metrics["search"]["mAP"] + 5, 0.01]])
    assert run(trained.folder, "--eval-only", *REID, "TEST.EXPECTED_RESULTS", wrong) == 1


# --- resuming --------------------------------------------------------------------------------


def test_resume_restores_everything(run, trained, tmp_path, monkeypatch):
    """The state that training goes on from is the one that was saved: see the first step's."""
    shutil.copytree(trained.detection, tmp_path / "detection")
    shutil.copytree(trained.reid, tmp_path / "reid")
    (tmp_path / "reid" / "last_checkpoint").write_text("model_0000001.pth")
    saved = load(tmp_path / "reid" / "model_0000001.pth")
    assert saved["iteration"] == 1
    resumed = {}

    def record(trainer):
        resumed["start_iter"] = trainer.start_iter
        resumed["model"] = {k: v.clone() for k, v in trainer.model.state_dict().items()}
        resumed["optimizer"] = trainer._trainer.optimizer.state_dict()["state"]
        resumed["momentum"] = [v["momentum_buffer"].clone() for v in resumed["optimizer"].values()]
        resumed["schedule"] = trainer.scheduler.last_epoch

    monkeypatch.setattr(hooks.IterationTimer, "before_train", lambda self: record(self.trainer))
    monkeypatch.setattr(hooks.IterationTimer, "before_step", lambda self: None)
    monkeypatch.setattr(hooks.IterationTimer, "after_step", lambda self: None)
    monkeypatch.setattr(hooks.IterationTimer, "after_train", lambda self: None)
    assert run(tmp_path, "--resume", *REID, "DATASETS.TEST", "()") == 0

    assert resumed["start_iter"] == 2
    assert all(torch.equal(value, resumed["model"][k]) for k, value in saved["model"].items())
    assert saved["model"]["reid.memory.lookup_table"].any(1).sum() > 0
    assert "reid.memory.queue_head" in saved["model"]
    momentum = [
        v["momentum_buffer"] for v in saved["trainer"]["_trainer"]["optimizer"]["state"].values()
    ]
    assert len(momentum) > 40 and any(m.abs().sum() > 0 for m in momentum)
    assert len(resumed["momentum"]) == len(momentum)
    assert all(map(torch.equal, resumed["momentum"], momentum))
    assert resumed["schedule"] == saved["trainer"]["hooks"]["LRScheduler"]["last_epoch"]
    # the rate falls at iteration 3, counted from the start of training
    assert scalars(tmp_path / "reid")["lr"][-1] == pytest.approx(0.0001)
    assert load(tmp_path / "reid" / "model_final.pth")["iteration"] == 3


# --- wrong use -------------------------------------------------------------------------------


def wrong_use(capfd, status):
    """The one line of an error; what was printed before it is the log."""
    out, err = capfd.readouterr()
    assert status == 2
    assert "Traceback" not in out + err
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    "opts, names",
    [
        (["SOLVER.STAGE", "re-id"], "SOLVER.STAGE.*'re-id'.*detection, reid"),
        (REID, "stage reid.*/detection"),
        ([*REID, "MODEL.WEIGHTS", ""], "MODEL.WEIGHTS.*stage reid"),
        ([*REID, "MODEL.WEIGHTS", "none.pth"], "checkpoint none.pth"),
        (["DATASETS.TRAIN", "('prw_trian',)"], "'prw_trian'"),
        (["DATASETS.TRAIN", "('absent',)"], "PRW.*/no/such'"),
        (["DATASETS.TEST", "('absent',)"], "PRW.*/no/such'"),
        (["DATASETS.TRAIN", "('absent',)", "SOLVER.STAGE", "joint"], "/no/such'"),
        (["SOLVER.MAX_ITERS", "3"], r"SOLVER.MAX_ITERS\b.*MAX_ITER\b"),
        ([*REID, "MODEL.WEIGHTS", "x", "MODEL.REID.OIM.TEMPERATURE", "0.0"], "TEMPERATURE.*0.0"),
        ([*DETECTION, "MODEL.BACKBONE.FREEZE_AT", 2], "FREEZE_AT.*random"),
        (["--eval-only"], "--eval-only.*stage detection"),
        (["--eval-only", "MODEL.WEIGHTS", ""], "MODEL.WEIGHTS"),
    ],
)
def test_wrong_use_gets_one_line(run, tmp_path, capfd, opts, names):
    register_prw("absent", str(tmp_path / "no" / "such"), "test")
    try:
        status = run(tmp_path / "output", *opts)
    finally:
        DatasetCatalog.remove("absent")
        MetadataCatalog.remove("absent")
    assert re.search(names, wrong_use(capfd, status))


def test_contradicted_identities_get_one_line(run, trained, tmp_path, capfd):
    weights = ["MODEL.WEIGHTS", trained.detection / "model_final.pth"]
    status = run(tmp_path, *REID, *weights, "MODEL.REID.NUM_IDS", 483)
    assert re.search("NUM_IDS.*483.*tiny_train.* 4 ", wrong_use(capfd, status))


def test_checkpoints_that_do_not_fit_get_one_line(run, trained, tmp_path, capfd):
    detector = ["MODEL.WEIGHTS", trained.detection / "model_final.pth"]
    deeper = ["MODEL.RESNETS.DEPTH", 101]
    for args in ([*REID, *detector, *deeper], ["--eval-only", *detector, *deeper]):
        status = run(tmp_path, *args)
        assert "checkpoint is of another architecture" in wrong_use(capfd, status)
    status = run(tmp_path, "--eval-only", *REID, *detector)
    assert "holds a detector only; train stage reid first" in wrong_use(capfd, status)


def test_a_side_net_s_start_must_be_said(run, trained, tmp_path, capfd):
    weights = ["MODEL.WEIGHTS", trained.detection / "model_final.pth"]
    status = run(tmp_path, *REID, *weights, "MODEL.REID.SIDE_NET.WEIGHTS", "")
    assert "MODEL.REID.SIDE_NET.WEIGHTS" in wrong_use(capfd, status)


@REID_LOSS_REGISTRY.register()
class DivergingLoss(nn.Module):
    """Finite three times, then not."""

    def __init__(self, cfg):
        super().__init__()
        self.calls = 0

    def forward(self, embeddings, person_ids, memory):
        self.calls += 1
        return {"loss_diverging": embeddings.sum() * (float("nan") if self.calls > 3 else 1.0)}


def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_batch(
    run, trained, tmp_path, capfd
):
    weights = ["MODEL.WEIGHTS", trained.detection / "model_final.pth", "SOLVER.MAX_ITER", 9]
    losses = ["MODEL.REID.LOSSES", "('OIMLoss', 'DivergingLoss')"]
    line = wrong_use(capfd, run(tmp_path, *REID, *weights, *losses))
    assert re.search(r"stopped at iteration 3: loss_diverging is nan, on \S+jpg, \S+jpg; ", line)
    # the checkpoint before it is whole, and without what the iteration did
    assert (tmp_path / "reid" / "last_checkpoint").read_text() == "model_0000001.pth"
    saved = load(tmp_path / "reid" / "model_0000001.pth")
    assert all(v.isfinite().all() for v in saved["model"].values())
    # and a training goes on from it, once what made the loss diverge is mended
    assert run(tmp_path, "--resume", *REID, *weights[:2], "DATASETS.TEST", "()") == 0
    assert load(tmp_path / "reid" / "model_final.pth")["iteration"] == 3


def test_what_another_process_has_lost_is_told_as_it_came():
    """Only the process that gathers the losses stops, and its own may be finite."""
    model = nn.Identity()
    batch = LatestBatch(model)
    model([{"file_name": "7.jpg"}])
    batch.losses = {"loss_oim": torch.tensor(1.0)}
    error = FloatingPointError("Loss became NaN at iteration=3!\nloss_dict = {'loss_oim': nan}")
    text = str(batch.divergence_error(error, 3, "output"))
    assert "NaN at iteration=3! loss_dict = {'loss_oim': nan}, on 7.jpg; " in text


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_gets_one_line_from_any_process(
    tmp_path, capfd, restore_loggers, workers
):
    root = make_tiny_dataset(tmp_path / "tiny")
    for frame in (root / "frames").iterdir():  # the header stays, as of a download cut short
        frame.write_bytes(frame.read_bytes()[:3000])
    register_prw("damaged", str(root), "train")
    opts = ["DATASETS.TRAIN", "('damaged',)", "DATASETS.TEST", "()"]
    try:
        workers = ["DATALOADER.NUM_WORKERS", workers]
        assert run_in_process(tmp_path / "output", *DETECTION, *opts, *workers) == 2
    finally:
        DatasetCatalog.remove("damaged")
        MetadataCatalog.remove("damaged")
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    # PyTorch may warn of something of its own before it
    line = err.splitlines()[-1]
    assert re.match(r"error: image '\S+\.jpg' cannot be used .*truncated.*restore the file", line)


def test_a_missing_config_file_gets_one_line(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status = run_train_net(tmp_path / "none.yaml")
    assert f"--config-file {tmp_path}/none.yaml" in wrong_use(capfd, status)
    assert not list(tmp_path.iterdir())
