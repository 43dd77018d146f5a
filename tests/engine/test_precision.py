"""What a training computes in is settled before it begins, and kept to its end."""

from pathlib import Path

import pytest
import torch
from detectron2.engine import AMPTrainer, SimpleTrainer

from fully_decoupled_ps.engine.precision import (
    settle_precision,
    tell_other_precision,
    with_precision,
)
from fully_decoupled_ps.engine.resume import restore_optimizer
from tests.small_run import SmallRun
from tests.testing import CONFIGS, make_config

KEY = "SOLVER.AMP.ENABLED"
# Of what has no instructions for bfloat16, and of what has.
HAS = pytest.mark.parametrize("has", [False, True])


@pytest.fixture
def processor(monkeypatch):
    def has_bfloat16(has):
        monkeypatch.setattr("fully_decoupled_ps.modeling.precision.cpu_has_bfloat16", lambda: has)

    return has_bfloat16


def config(folder, *opts):
    return make_config(
        "detection", ["MODEL.DEVICE", "cpu", "OUTPUT_DIR", str(folder), KEY, None, *opts]
    )


def leave_run(cfg, state):
    """What a run leaves in its folder, and the config of another that was begun there after it."""
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True)
    (folder / "last_checkpoint").write_text("model_0000001.pth")
    torch.save({"model": {}, "trainer": state}, folder / "model_0000001.pth")
    is_mixed = state.get("precision") == "bfloat16"
    (folder / "config.yaml").write_text(f"SOLVER: {{AMP: {{ENABLED: {not is_mixed}}}}}")


def trainer_of(kind):
    """Of one weight; with a scaler that is in use, as on a GPU, if it is for mixed precision."""
    network = torch.nn.Linear(1, 1)
    scaler = {"grad_scaler": torch.amp.GradScaler("cpu")} if kind is AMPTrainer else {}
    return kind(network, [], torch.optim.SGD(network.parameters(), lr=1.0, momentum=0.9), **scaler)


@HAS
def test_nothing_said_is_what_the_processor_has(tmp_path, processor, has):
    processor(has)
    cfg = config(tmp_path)
    settle_precision(cfg, resume=True)  # there is no run yet
    assert cfg.SOLVER.AMP.ENABLED is has


@HAS
@pytest.mark.parametrize(
    "state, began",
    [
        ({"precision": "float32"}, False),
        ({"precision": "bfloat16"}, True),
        # before there was "precision"
        ({"_trainer": {"iteration": 1, "optimizer": {}}}, False),
        ({"_trainer": {"iteration": 1, "optimizer": {}, "grad_scaler": {}}}, True),
        ({}, False),  # of Detectron2 v0.6 itself
    ],
)
def test_a_run_goes_on_with_what_it_began_with(tmp_path, processor, has, state, began):
    processor(has)
    cfg = config(tmp_path)
    leave_run(cfg, state)
    new = cfg.clone()
    settle_precision(cfg, resume=True)
    assert cfg.SOLVER.AMP.ENABLED is began
    settle_precision(new)
    assert new.SOLVER.AMP.ENABLED is has


@pytest.mark.parametrize("has", [[True, False], [True, True], [False, False]])
def test_processes_of_unlike_processors_train_alike(tmp_path, monkeypatch, processor, has):
    processor(has[0])
    monkeypatch.setattr("detectron2.utils.comm.all_gather", lambda own: has)
    cfg = config(tmp_path)
    settle_precision(cfg)
    assert cfg.SOLVER.AMP.ENABLED is all(has)


@pytest.mark.parametrize("began", [True, False, None])
def test_an_evaluation_leaves_what_the_run_says(tmp_path, began):
    cfg = config(tmp_path)
    leave_run(cfg, {})
    text = f"SOLVER: {{AMP: {{ENABLED: {'null' if began is None else began}}}}}"
    (tmp_path / "detection" / "config.yaml").write_text(text)
    settle_precision(cfg, eval_only=True)
    assert cfg.SOLVER.AMP.ENABLED is began


@pytest.mark.parametrize("before", [{}, {"grad_scaler": {}}, {"grad_scaler": {"scale": 2.0}}])
@pytest.mark.parametrize("kind", [SimpleTrainer, AMPTrainer])
def test_an_optimizer_goes_on_in_another_precision(kind, before):
    """From float32 (no scaler), a CPU (an empty one) or a GPU, to each of them."""
    trainer = trainer_of(kind)
    optimizer = trainer.optimizer
    optimizer.param_groups[0]["params"][0].grad = torch.ones(1, 1)
    optimizer.step()
    saved = {"iteration": 4, "optimizer": optimizer.state_dict(), **before}
    if before.get("grad_scaler"):
        saved["grad_scaler"] = {**torch.amp.GradScaler("cpu").state_dict(), "scale": 2.0}
    trainer = trainer_of(kind)
    restore_optimizer(trainer, {"_trainer": saved})
    momentum = next(iter(trainer.optimizer.state.values()))["momentum_buffer"]
    assert momentum == 1 and trainer.iter == 4
    if kind is AMPTrainer:
        new = torch.amp.GradScaler("cpu").get_scale()
        assert trainer.grad_scaler.get_scale() == (2.0 if before.get("grad_scaler") else new)


@pytest.mark.parametrize("said", [False, True])
def test_what_is_said_is_what_is_done_and_told(tmp_path, processor, caplog, said):
    caplog.set_level("INFO", "fully_decoupled_ps")
    processor(not said)
    cfg = config(tmp_path, KEY, said)
    leave_run(cfg, {"precision": "float32" if said else "bfloat16"})
    settle_precision(cfg, resume=True)
    assert cfg.SOLVER.AMP.ENABLED is said
    cfg.freeze()
    assert with_precision(cfg) is cfg
    order, name = ("N, H, W, C", "bfloat16") if said else ("N, C, H, W", "float32")
    assert f"computes in {name} (SOLVER.AMP.ENABLED {said}), with maps in memory as {order}" in (
        caplog.text
    )
    tell_other_precision({}, name)
    tell_other_precision({"precision": name}, name)
    unlike = {"grad_scaler": {}} if said else {}
    tell_other_precision({"_trainer": unlike}, name)  # before there was "precision"
    assert "goes on in" not in caplog.text
    tell_other_precision({"precision": "float16"}, name)
    assert f"The run began in float16, and goes on in {name}" in caplog.text
    tell_other_precision({"_trainer": {} if said else {"grad_scaler": {}}}, name)
    other = "float32" if said else "reduced precision"
    assert f"The run began in {other}, and goes on in {name}" in caplog.text


def test_a_run_by_the_command(tmp_path, processor, restore_loggers, recwarn):
    """Begun where there are instructions for bfloat16, and gone on with where there are none."""
    opts = ["MODEL.WEIGHTS", "", KEY, None]
    config_file = CONFIGS / "prw" / "faster_rcnn_R50.yaml"
    with SmallRun(tmp_path) as run:
        log = run.output_dir / "detection" / "log.txt"
        processor(True)
        run.train(config_file, opts, iterations=1)
        assert "Training computes in bfloat16 (SOLVER.AMP.ENABLED True)" in log.read_text()
        processor(False)
        run.train(config_file, opts, resume=True, iterations=2)
        assert log.read_text().count("Training computes in bfloat16") == 2
        assert "goes on in" not in log.read_text()
        run.train(config_file, [*opts, KEY, False], resume=True, iterations=3)
        assert "The run began in bfloat16, and goes on in float32" in log.read_text()
        run.train(config_file, [*opts, KEY, True], resume=True, iterations=4)
        assert "The run began in float32, and goes on in bfloat16" in log.read_text()
        assert run.scalars("detection")["iteration"] == 3
        assert not [warning for warning in recwarn if "GradScaler" in str(warning.message)]
