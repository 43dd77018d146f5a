"""A run that was killed and resumed ends in the bits of one that was not."""

import re
import shutil
import signal
from functools import partial

import pytest
import torch
from detectron2.data import DatasetCatalog

from fully_decoupled_ps.data import load_person_search_json
from tests import mixed_run
from tests.mixed_run import FASTER_RCNN, FCOS, RETINANET, registered, train, write_set
from tests.processes import start_process

# each crop is mirrored or not, and has a black rectangle, by random numbers
CROPS = ("MODEL.REID.ORD.ENABLED", True, "MODEL.REID.ORD.CROP_SIZE", "(64, 32)")
REID = ("SOLVER.STAGE", "reid", "SOLVER.MAX_ITER", 5)


def stage(name):
    return ("SOLVER.STAGE", name) if name != "detection" else ()


def load(path):
    return torch.load(path, weights_only=True)


def first_difference(a, b, where=""):
    """The place of the first difference between two checkpoints, or None."""
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return f"{where}: keys {a.keys() ^ b.keys()}"
        pairs = [(a[k], b[k], f"{where}/{k}") for k in a]
    elif isinstance(a, (list, tuple)):
        pairs = [(x, y, f"{where}/{i}") for i, (x, y) in enumerate(zip(a, b, strict=True))]
    elif isinstance(a, torch.Tensor):
        return None if torch.equal(a, b) else where
    else:
        return None if a == b else f"{where}: {a} and {b}"
    return next(filter(None, (first_difference(*pair) for pair in pairs)), None)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixed")
    write_set(root)
    with registered(root):
        yield root


@pytest.fixture(scope="module")
def detectors(root, tmp_path_factory):
    """A folder with a trained detector of each kind, for the stages that start from one."""
    folders = {}

    def of(config):
        if config not in folders:
            folders[config] = tmp_path_factory.mktemp(config.stem)
            assert train(folders[config], config=config) == 0
        return folders[config] / "detection"

    return of


@pytest.fixture(autouse=True)
def loggers(restore_loggers):
    """The runs of this module set them up."""


def keep_until(folder, iteration):
    """Leave of a stage's folder what a run killed after that iteration leaves."""
    for path in folder.glob("model_*.pth"):
        if path.name == "model_final.pth" or int(path.stem[6:]) > iteration:
            path.unlink()
    (folder / "last_checkpoint").write_text(f"model_{iteration:07d}.pth")


GIVEN, DRAWN = ("SEED", 7), ("SEED", -1)
GROUPED, MIXED = (("DATALOADER.ASPECT_RATIO_GROUPING", on) for on in (True, False))


@pytest.mark.parametrize(
    "name, config, seed, grouping, workers",
    [
        ("detection", FASTER_RCNN, DRAWN, GROUPED, (0, 0)),
        ("detection", RETINANET, DRAWN, MIXED, (2, 2)),
        ("detection", FCOS, GIVEN, GROUPED, (2, 0)),
        ("reid", FASTER_RCNN, DRAWN, GROUPED, (2, 2)),
        ("reid", FASTER_RCNN, GIVEN, MIXED, (0, 1)),
        ("hybrid", RETINANET, DRAWN, GROUPED, (0, 0)),
        ("detached", FCOS, DRAWN, MIXED, (0, 1)),
        ("reid", FASTER_RCNN, (*DRAWN, *CROPS), GROUPED, (0, 0)),
    ],
)
def test_a_resumed_run_equals_one_that_was_not_interrupted(
    detectors, tmp_path, name, config, seed, grouping, workers
):
    """Model, memory, optimiser, schedule, iteration, stage, seed: all of the last checkpoint.

    Evaluation in between, and other numbers of worker processes, make no difference.
    """
    if name in ("reid", "hybrid"):
        shutil.copytree(detectors(config), tmp_path / "detection")
        start = "MODEL.WEIGHTS", tmp_path / "detection" / "model_final.pth"
    else:
        start = "MODEL.WEIGHTS", ""
    opts = [*stage(name), *start, *seed, *grouping]
    test = ["DATASETS.TEST", "('mixed_test',)", "TEST.EVAL_PERIOD", 2]
    assert train(tmp_path, *opts, *test, "DATALOADER.NUM_WORKERS", workers[0], config=config) == 0
    folder = tmp_path / name
    whole = load(folder / "model_final.pth")
    keep_until(folder, 1)
    command = ["--resume", *opts, "DATALOADER.NUM_WORKERS", workers[1]]
    assert train(tmp_path, *command, config=config) == 0
    resumed = load(folder / "model_final.pth")
    assert first_difference(whole, resumed) is None
    assert whole["iteration"] == 4 and whole["trainer"]["stage"] == name
    assert whole["trainer"]["_trainer"]["optimizer"]["state"]
    if name != "detection":
        assert whole["model"]["reid.memory.lookup_table"].any()
        assert whole["model"]["reid.memory.queue"].any()
    assert ("reid.crop_stream.memory.queue" in whole["model"]) == (CROPS[0] in seed)
    if config != FASTER_RCNN:
        assert whole["trainer"]["hooks"]["LossNormalizers"]["of_processes"][0][0] > 0


def killed(root, how, iteration, folder, *opts, config=FASTER_RCNN):
    """A run in a process of its own, which ends by SIGKILL."""
    run = partial(mixed_run.main, config=config)
    process = start_process(run, root, how, iteration, folder, *opts)
    process.join(300)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    "name, config, how, iteration, last",
    [
        ("detection", FASTER_RCNN, "step", 3, "model_0000001.pth"),
        ("reid", FASTER_RCNN, "save", 3, "model_0000001.pth"),
        ("hybrid", FASTER_RCNN, "tag", 3, "model_0000001.pth"),
        ("detached", FCOS, "step", 3, "model_0000001.pth"),
    ],
)
def test_a_killed_run_is_resumed_from_its_last_whole_checkpoint(
    root, detectors, tmp_path, name, config, how, iteration, last
):
    start = ("MODEL.WEIGHTS", "")
    if name in ("reid", "hybrid"):
        start = ("MODEL.WEIGHTS", detectors(config) / "model_final.pth")
    opts = [*stage(name), *start, *GIVEN, "DATALOADER.NUM_WORKERS", 1]
    killed(root, how, iteration, tmp_path / "killed", *opts, config=config)
    folder = tmp_path / "killed" / name
    assert (folder / "last_checkpoint").read_text() == last
    assert load(folder / last)["iteration"] == 1
    assert (folder / "model_0000003.pth").exists() == (how == "tag")
    assert bool(list(folder.glob("*.part"))) == (how == "save")

    assert train(tmp_path / "killed", "--resume", *opts, config=config) == 0
    assert not list(folder.glob("*.part"))
    assert train(tmp_path / "whole", *opts, config=config) == 0
    for checkpoint in ("model_0000003.pth", "model_final.pth"):
        whole, resumed = load(tmp_path / "whole" / name / checkpoint), load(folder / checkpoint)
        assert first_difference(whole, resumed) is None


def test_a_run_killed_before_its_first_checkpoint_starts_anew(root, tmp_path):
    killed(root, "save", 1, tmp_path, *GIVEN)
    folder = tmp_path / "detection"
    assert not (folder / "last_checkpoint").exists() and not list(folder.glob("*.pth"))
    assert train(tmp_path, "--resume", *GIVEN) == 0
    assert load(folder / "model_final.pth")["iteration"] == 4
    assert not list(folder.glob("*.part"))


# --- other data, and other checkpoints -------------------------------------------------------


def refused(capfd, status):
    assert status == 2
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    return err.splitlines()[-1]


def test_other_data_are_refused_at_a_resume_and_told_of_at_a_new_stage(
    detectors, tmp_path, capfd, monkeypatch
):
    """The same number of frames, boxes and persons, but persons 1 and 2 changed places."""
    shutil.copytree(detectors(FASTER_RCNN), tmp_path / "detection")
    weights = ["MODEL.WEIGHTS", tmp_path / "detection" / "model_final.pth"]
    assert train(tmp_path, *REID, *weights) == 0
    assert "trained on other data" not in (tmp_path / "reid" / "log.txt").read_text()
    other = tmp_path / "other"
    write_set(other, persons=(0, 2, 1))
    files = str(other / "set.json"), str(other / "images")
    monkeypatch.setitem(
        DatasetCatalog.data, "mixed_train", lambda: load_person_search_json(*files, "train")
    )
    for args in (["--resume"], ["--resume", *REID, *weights]):
        assert re.search("--resume.*data", refused(capfd, train(tmp_path, *args)))
    assert train(tmp_path / "new", *REID, *weights) == 0
    log = (tmp_path / "new" / "reid" / "log.txt").read_text()
    assert log.count("The detector was trained on other data than this stage is (as many") == 1


def resume_from(folder, checkpoint, *opts):
    (folder / "detection").mkdir(parents=True)
    torch.save(checkpoint, folder / "detection" / "model_0000001.pth")
    (folder / "detection" / "last_checkpoint").write_text("model_0000001.pth")
    return train(folder, "--resume", *opts)


def log_of(folder):
    return (folder / "detection" / "log.txt").read_text()


def test_a_checkpoint_without_seed_and_fingerprint_is_resumed(detectors, tmp_path):
    """As this project wrote them before it kept these."""
    checkpoint = load(detectors(FASTER_RCNN) / "model_0000001.pth")
    for name in ("stage", "stream", "training_data"):
        del checkpoint["trainer"][name]
    assert resume_from(tmp_path, checkpoint, *GIVEN) == 0
    assert "written without the seed of its training data" in log_of(tmp_path)
    assert "order is that of a run with seed 7 from iteration 2 on" in log_of(tmp_path)
    assert load(tmp_path / "detection" / "model_final.pth")["iteration"] == 4


def test_a_checkpoint_of_detectron2_v06_is_resumed_without_its_optimiser(detectors, tmp_path):
    checkpoint = load(detectors(FASTER_RCNN) / "model_0000001.pth")
    plain = {k.removeprefix("detector."): v for k, v in checkpoint["model"].items()}
    trainer = {k: checkpoint["trainer"][k] for k in ("iteration", "hooks")}
    content = {"model": plain, "trainer": trainer, "iteration": 1}
    assert resume_from(tmp_path, content) == 0
    assert "written without the optimiser's state, as Detectron2 v0.6 does" in log_of(tmp_path)
    assert load(tmp_path / "detection" / "model_final.pth")["iteration"] == 4


def test_a_checkpoint_of_another_stage_or_optimiser_is_refused(detectors, tmp_path, capfd):
    checkpoint = load(detectors(FASTER_RCNN) / "model_0000001.pth")
    status = resume_from(tmp_path / "a", checkpoint, "SOLVER.BIAS_LR_FACTOR", 2.0)
    assert re.search("--resume.*optimi[sz]er", refused(capfd, status))
    checkpoint["trainer"]["stage"] = "joint"
    line = refused(capfd, resume_from(tmp_path / "b", checkpoint))
    assert re.search("--resume.*joint.*SOLVER.STAGE.*detection", line)
