"""What a training computes in is settled before it begins, and kept to its end."""

from pathlib import Path

import pytest
import yaml

from fully_decoupled_ps.engine.precision import (
    settle_precision,
    tell_other_precision,
    with_precision,
)
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


def leave_run(cfg, enabled):
    """What a run leaves in its folder."""
    folder = Path(cfg.OUTPUT_DIR)
    folder.mkdir(parents=True)
    (folder / "last_checkpoint").write_text("model_0000001.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump({"SOLVER": {"AMP": {"ENABLED": enabled}}}))


@HAS
def test_nothing_said_is_what_the_processor_has(tmp_path, processor, has):
    processor(has)
    cfg = config(tmp_path)
    settle_precision(cfg, goes_on=True)  # there is no run yet
    assert cfg.SOLVER.AMP.ENABLED is has


@HAS
@pytest.mark.parametrize("began", [False, True])
def test_a_run_goes_on_with_what_it_began_with(tmp_path, processor, has, began):
    processor(has)
    cfg = config(tmp_path)
    leave_run(cfg, began)
    new = cfg.clone()
    settle_precision(cfg, goes_on=True)
    assert cfg.SOLVER.AMP.ENABLED is began
    settle_precision(new, goes_on=False)
    assert new.SOLVER.AMP.ENABLED is has


@pytest.mark.parametrize("said", [False, True])
def test_what_is_said_is_what_is_done_and_told(tmp_path, processor, caplog, said):
    caplog.set_level("INFO", "fully_decoupled_ps")
    processor(not said)
    cfg = config(tmp_path, KEY, said)
    leave_run(cfg, not said)
    settle_precision(cfg, goes_on=True)
    assert cfg.SOLVER.AMP.ENABLED is said
    cfg.freeze()
    assert with_precision(cfg) is cfg
    order, name = ("N, H, W, C", "bfloat16") if said else ("N, C, H, W", "float32")
    assert f"computes in {name} (SOLVER.AMP.ENABLED {said}), with maps in memory as {order}" in (
        caplog.text
    )
    tell_other_precision({}, name)
    tell_other_precision({"precision": name}, name)
    assert "goes on in" not in caplog.text
    tell_other_precision({"precision": "float16"}, name)
    assert f"The run began in float16, and goes on in {name}" in caplog.text


def test_a_run_by_the_command(tmp_path, processor, restore_loggers):
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
