"""tools/ablation.py: which commands it runs, once each, and what it makes of their figures."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg

import ablation
from ablation_study import runs
from ablation_study.variants import VARIANTS
from fully_decoupled_ps import add_fully_decoupled_ps_config, apply_stage, merge_config
from fully_decoupled_ps.dataset_tools.synthetic.plan import make_plan
from tests.testing import CONFIGS

# 20 variants and 5 detectors to start from with Faster R-CNN, 12 and 4 with FCOS
NUM_RUNS = 25 + 16


@pytest.fixture
def training(monkeypatch):
    """Stands for train_net.py: writes made-up metrics, and remembers the commands."""
    commands = []

    def run(command, stdout, stderr, env):
        options = dict(zip(command[4::2], command[5::2]))
        name = Path(options["OUTPUT_DIR"]).name
        commands.append({"program": Path(command[1]).name, "config": command[3], **options})
        seed, stage = int(options["SEED"]), options["SOLVER.STAGE"]
        folder = Path(options["OUTPUT_DIR"]) / stage
        for key in ("MODEL.WEIGHTS", "MODEL.REID.SIDE_NET.WEIGHTS"):
            if options.get(key, "detector") != "detector" and not Path(options[key]).exists():
                return subprocess.CompletedProcess(command, 2)
        metrics = {"detection": {"AP": 80.0 + seed}}
        if stage != "detection":
            more = {"joint": seed, "copy": 3}.get(name, 0)
            metrics["search"] = {"mAP": 10.0 * seed + more, "top1": 50.0}
        path = folder / "inference" / "synthetic_test" / "metrics.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(metrics))
        torch.save({"model": made_up_state(name)}, folder / "model_final.pth")
        is_elsewhere = Path(env["DETECTRON2_DATASETS"]).name == "other_datasets"
        assert is_elsewhere == (name == "pretraining")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(runs.subprocess, "run", run)
    monkeypatch.setattr(ablation, "make_synthetic_dataset", lambda *args, **kwargs: None)
    return commands


def made_up_state(name):
    """A detector of 2.5 million numbers, and alphas of a half and of nearly one."""
    alphas = {"res3": torch.tensor(0.0), "res4": torch.tensor(9.0)}
    fusions = {f"reid.side_net.fusions.{k}.alpha_logit": v for k, v in alphas.items()}
    return {
        "detector.a": torch.zeros(1).expand(2, 1_250_000),
        **({} if "no_fusion" in name else fusions),
    }


def test_every_variant_runs_once_and_is_summarised(training, tmp_path, capsys):
    arguments = ["--output-dir", str(tmp_path), "--seeds", "1", "2", "4", "--iterations", "7"]
    assert ablation.main(arguments) == 0
    assert len(training) == 3 * NUM_RUNS + 1  # there is one pretraining
    assert len({json.dumps(command) for command in training}) == len(training)
    assert {c["SOLVER.MAX_ITER"] for c in training} == {"7"}
    started = {c["SOLVER.STAGE"] for c in training if "model_final" in c.get("MODEL.WEIGHTS", "")}
    assert started == {"hybrid", "reid"}

    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results["runs"]) == len(training)
    means, differences, fusions = tables(tmp_path / "ablation.md")
    assert len(means) == 20 + 12 and len(differences) == 32 - 2 and len(fusions) == 5 + 1
    # seeds 1, 2 and 4: mean 7/3, and variance ((4 + 1 + 25) / 9) / 2 of (seed - mean)
    rows = "\n".join(means)
    assert squeezed(rows).count(" | 3 | 2.50 | ") == 32  # seeds, and f_d's size
    assert rows.count("82.3 ± 1.5") == rows.count("50.0 ± 0.0") == 32
    assert rows.count("25.7 ± 16.8") == 2 and rows.count("26.3 ± 15.3") == 1
    assert rows.count("23.3 ± 15.3") == 32 - 3
    joint = next(row for row in differences if "FCOS" in row and "| joint" in row)
    assert "| task-incremental |" in squeezed(joint) and "+2.3 (+1.0, +2.0, +4.0)" in joint
    plain = next(row for row in differences if "f_r a copy of f_d, no side-fusion" in row)
    assert "| f_r a copy of f_d |" in squeezed(plain) and "-3.0 (-3.0, -3.0, -3.0)" in plain
    copied = next(row for row in fusions if "copy" in row)
    assert "+3.0 (+3.0, +3.0, +3.0)" in copied and squeezed(copied).endswith("| 0.50 | 1.00 |")
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert " 124/124 " in printed and "\n| detector" in printed  # below the progress

    assert ablation.main(arguments) == 0  # nothing is run again
    assert len(training) == 124
    assert "done before" in capsys.readouterr().out
    ablation.main([*arguments[:-1], "8"])  # another schedule is another run
    assert len(training) == 248


def tables(path):
    """The rows of each table of a file, without their heads."""
    found = [block.splitlines() for block in path.read_text().split("\n\n")]
    return [block[2:] for block in found if block[0].startswith("|")]


def squeezed(row):
    return " ".join(row.split())


def test_a_part_of_the_variants_brings_what_it_starts_from(training, tmp_path):
    arguments = ["--output-dir", str(tmp_path), "--seeds", "3", "--variants", "pretrained", "lite"]
    ablation.main(arguments)
    names = [Path(c["OUTPUT_DIR"]).name for c in training]
    assert sorted(names) == sorted(
        ["pretraining", "detector", "pretrained", *2 * ["lite_detector", "lite"]]
    )
    assert len(tables(tmp_path / "ablation.md")[0]) == 3


def test_commands_are_what_the_configs_understand(training, tmp_path):
    ablation.main(["--output-dir", str(tmp_path), "--seeds", "1"])
    for command in training:
        cfg = ablation_config(command)
        assert cfg.SOLVER.MAX_ITER == 600 and cfg.SOLVER.IMS_PER_BATCH == 4
        assert cfg.INPUT.MIN_SIZE_TEST == max(cfg.INPUT.MIN_SIZE_TRAIN) == 270
    found = {Path(c["OUTPUT_DIR"]).name: ablation_config(c) for c in training}
    assert found.keys() == VARIANTS.keys()
    assert found["coupled"].MODEL.META_ARCHITECTURE == "CoupledPersonSearch"
    without = {name for name, cfg in found.items() if cfg.MODEL.REID.FUSION.NAME == "NoFusion"}
    assert without == {name for name in VARIANTS if "no_fusion" in name} | {"pretraining"}
    assert [name for name, cfg in found.items() if cfg.MODEL.REID.ORD.ENABLED] == ["ord"]
    assert found["no_sna"].MODEL.REID.BOX_NOISE.NUM_COPIES == 0
    assert found["lite"].MODEL.DETECTOR.BLOCKS == (2, 1, 1, 1)
    assert found["lite_detector"].MODEL.DETECTOR == found["lite"].MODEL.DETECTOR
    assert found["minor_detector"].MODEL.DETECTOR == found["minor"].MODEL.DETECTOR
    joint, detached = (found[name].clone() for name in ("joint", "detached"))
    joint.OUTPUT_DIR, joint.SOLVER.STAGE = detached.OUTPUT_DIR, detached.SOLVER.STAGE
    assert detached.SOLVER.STAGE == "detached" and joint == detached
    # the one rate of both nets is f_r's of the other rows, or f_d's
    assert detached.SOLVER.BASE_LR == found["incremental"].SOLVER.BASE_LR
    assert found["detached_slow"].SOLVER.BASE_LR == found["detector"].SOLVER.BASE_LR
    plain = found["incremental"].MODEL.REID
    assert plain.FUSION.NAME == "AlphaBlendFusion" and plain.BOX_NOISE.NUM_COPIES > 0


def test_the_data_sets_can_be_drawn():
    for spec in (ablation.DATASET, ablation.OTHER_DATASET):
        assert len(make_plan(spec).frames["train"]) == spec.train_frames
    assert ablation.DATASET.seed != ablation.OTHER_DATASET.seed  # other persons and scenes


def test_where_the_nets_of_each_start_come_from(training, tmp_path):
    ablation.main(["--output-dir", str(tmp_path), "--seeds", "1"])
    found = {Path(c["OUTPUT_DIR"]).name: ablation_config(c) for c in training}
    pretrained = str(tmp_path / "pretrained.pth")
    side_nets = {
        **{"incremental": "random", "copy": "detector", "pretrained": pretrained},
        **{"pretrained_fd": "random", "both_pretrained": pretrained},
    }
    for name, weights in side_nets.items():
        for cfg in (
            found[name],
            found["no_fusion" if name == "incremental" else f"{name}_no_fusion"],
        ):
            assert cfg.MODEL.REID.SIDE_NET.WEIGHTS == weights
            is_pretrained = name in ("pretrained_fd", "both_pretrained")
            detector = "pretrained_detector" if is_pretrained else "detector"
            assert Path(cfg.MODEL.WEIGHTS).parts[-3:] == (detector, "detection", "model_final.pth")
    detector = found["pretrained_detector"]
    assert detector.MODEL.WEIGHTS == pretrained and detector.MODEL.BACKBONE.FREEZE_AT == 2
    assert found["detector"].MODEL.WEIGHTS == "" and found["detector"].MODEL.BACKBONE.FREEZE_AT == 0


def ablation_config(command):
    """The config that a command makes."""
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    told = {key: value for key, value in command.items() if key not in ("program", "config")}
    opts = [x for key, value in told.items() for x in (key, value)]
    assert Path(command["config"]).parent == CONFIGS / "synthetic"
    merge_config(cfg, command["config"], opts)
    apply_stage(cfg, opts)
    return cfg


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_mixed_precision_is_emulated_where_there_is_none(
    has_bfloat16, training, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runs, "cpu_has_bfloat16", lambda: has_bfloat16)
    chosen = ["--variants", "incremental", "mixed_precision", "--detectors", "fcos"]
    ablation.main(["--output-dir", str(tmp_path), "--seeds", "1", *chosen])
    found = {Path(c["OUTPUT_DIR"]).name: c for c in training}
    for name, command in found.items():
        is_mixed = name.startswith("mixed_precision")
        assert ablation_config(command).SOLVER.AMP.ENABLED is is_mixed
        is_emulated = is_mixed and not has_bfloat16
        assert command["program"] == ("emulated_bfloat16.py" if is_emulated else "train_net.py")
    assert len(found) == 4
    written = (tmp_path / "ablation.md").read_text()
    assert ("mixed precision: emulated bfloat16" in written) is not has_bfloat16


def test_a_failed_run_is_one_line_that_names_its_log(training, tmp_path, monkeypatch, capsys):
    fail = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(runs.subprocess, "run", lambda *args, **kwargs: fail)
    assert ablation.main(["--output-dir", str(tmp_path), "--seeds", "1", "--jobs", "1"]) == 2
    error = capsys.readouterr().err
    assert "faster_rcnn, seed 1, detector: status 1; see" in error and "detector.log" in error
    assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        ablation.main(["--iterations", "0"])
