"""tools/ablation.py: which commands it runs, once each, and what it makes of their figures."""

import json
import subprocess
from pathlib import Path

import pytest
from detectron2.config import get_cfg

import ablation
from fully_decoupled_ps import add_fully_decoupled_ps_config, apply_stage, merge_config
from tests.testing import CONFIGS


@pytest.fixture
def training(monkeypatch):
    """Stands for train_net.py: writes made-up metrics, and remembers the commands."""
    commands = []

    def run(command, stdout, stderr, env):
        options = dict(zip(command[4::2], command[5::2]))
        commands.append({"config": command[3], **options})
        seed, stage = int(options["SEED"]), options["SOLVER.STAGE"]
        folder = Path(options["OUTPUT_DIR"]) / stage
        metrics = {"detection": {"AP": 80.0 + seed}}
        if stage == "detection":
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "model_final.pth").touch()
        else:
            more = seed if Path(options["OUTPUT_DIR"]).name == "joint" else 0
            metrics["search"] = {"mAP": 10.0 * seed + more, "top1": 50.0}
            if "MODEL.WEIGHTS" in options and not Path(options["MODEL.WEIGHTS"]).exists():
                return subprocess.CompletedProcess(command, 2)
        path = folder / "inference" / "synthetic_test" / "metrics.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(metrics))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(ablation.subprocess, "run", run)
    monkeypatch.setattr(ablation, "make_synthetic_dataset", lambda *args, **kwargs: None)
    return commands


def test_every_variant_runs_once_and_is_summarised(training, tmp_path, capsys):
    arguments = ["--output-dir", str(tmp_path), "--seeds", "1", "2", "4", "--iterations", "7"]
    assert ablation.main(arguments) == 0
    assert len(training) == 2 * 3 * 8
    assert len({json.dumps(command) for command in training}) == len(training)
    assert {c["SOLVER.MAX_ITER"] for c in training} == {"7"}
    started = {c["SOLVER.STAGE"] for c in training if "MODEL.WEIGHTS" in c}
    assert started == {"hybrid", "reid"}

    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results["runs"]) == len(training)
    table = (tmp_path / "ablation.md").read_text()
    # seeds 1, 2 and 4: mean 7/3, and variance ((4 + 1 + 25) / 9) / 2 of (seed - mean)
    assert table.count("82.3 ± 1.5") == table.count("50.0 ± 0.0") == 14
    assert table.count("23.3 ± 15.3") == 12 and table.count("25.7 ± 16.8") == 2
    # 6 variants beside task-incremental training, of which joint training has seed more
    assert table.count("+2.3 ± 1.5") == 2 and table.count("+0.0 ± 0.0") == 2 * (6 + 5 + 6)
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert " 48/48 " in printed and "\n| detector" in printed  # below the progress

    assert ablation.main(arguments) == 0  # nothing is run again
    assert len(training) == 48
    assert "done before" in capsys.readouterr().out
    ablation.main([*arguments[:-1], "8"])  # another schedule is another run
    assert len(training) == 96


def test_commands_are_what_the_configs_understand(training, tmp_path):
    ablation.main(["--output-dir", str(tmp_path), "--seeds", "1"])
    for command in training:
        cfg = ablation_config(command)
        assert cfg.SOLVER.MAX_ITER == 600 and cfg.SOLVER.IMS_PER_BATCH == 4
        assert cfg.INPUT.MIN_SIZE_TEST == max(cfg.INPUT.MIN_SIZE_TRAIN) == 270
    found = {Path(c["OUTPUT_DIR"]).name: ablation_config(c) for c in training}
    assert found["coupled"].MODEL.META_ARCHITECTURE == "CoupledPersonSearch"
    assert found["no_fusion"].MODEL.REID.FUSION.NAME == "NoFusion"
    assert found["no_sna"].MODEL.REID.BOX_NOISE.NUM_COPIES == 0
    joint, detached = (found[name].clone() for name in ("joint", "detached"))
    joint.OUTPUT_DIR, joint.SOLVER.STAGE = detached.OUTPUT_DIR, detached.SOLVER.STAGE
    assert detached.SOLVER.STAGE == "detached" and joint == detached
    plain = found["incremental"].MODEL.REID
    assert plain.FUSION.NAME == "AlphaBlendFusion" and plain.BOX_NOISE.NUM_COPIES > 0


def ablation_config(command):
    """The config that a command makes."""
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    opts = [x for key, value in command.items() if key != "config" for x in (key, value)]
    assert Path(command["config"]).parent == CONFIGS / "synthetic"
    merge_config(cfg, command["config"], opts)
    apply_stage(cfg, opts)
    return cfg


def test_a_failed_run_is_one_line_that_names_its_log(training, tmp_path, monkeypatch, capsys):
    fail = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(ablation.subprocess, "run", lambda *args, **kwargs: fail)
    assert ablation.main(["--output-dir", str(tmp_path), "--seeds", "1", "--jobs", "1"]) == 2
    error = capsys.readouterr().err
    assert "faster_rcnn, seed 1, detector: status 1; see" in error and "detector.log" in error
    assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        ablation.main(["--iterations", "0"])
