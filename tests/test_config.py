"""How a stage's config comes about, and that mistakes in it get one line."""

import inspect
import re

import pytest
from detectron2.config import CfgNode, get_cfg

from fully_decoupled_ps import (
    UserError,
    add_fully_decoupled_ps_config,
    apply_stage,
    config,
    load_config,
    merge_config,
)
from fully_decoupled_ps.config import shipped_configs
from tests.testing import BASE_CONFIG, CONFIGS, PROJECT


def default_config():
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    return cfg


def staged(stage, opts=(), config_file=CONFIGS / "prw" / "faster_rcnn_R50.yaml", **mode):
    cfg = default_config()
    opts = ["SOLVER.STAGE", stage, *opts]
    merge_config(cfg, str(config_file), opts)
    apply_stage(cfg, opts, **mode)
    return cfg


def save_checkpoint(folder, name="model_0000019.pth"):
    folder.mkdir(parents=True)
    (folder / "last_checkpoint").write_text(name)
    return str(folder / name)


def refused(match):
    """A UserError of one line."""
    return pytest.raises(UserError, match=r"\A(?=[^\n]*\Z).*" + match)


# --- the keys --------------------------------------------------------------------------------


def own_keys(node, before, path=()):
    """Paths of leaf keys that Detectron2's config does not have."""
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from own_keys(value, before.get(key, {}), (*path, key))
        elif key not in before:
            yield (*path, key)


def test_every_key_is_read_somewhere():
    files = PROJECT.glob("fully_decoupled_ps/**/*.py")
    source = "".join(f.read_text() for f in files if f.name != "config.py")
    keys = list(own_keys(default_config(), get_cfg()))
    assert len(keys) > 15
    unread = [".".join(k) for k in keys if not re.search(rf"\b{k[-1]}\b", source)]
    assert unread == ["SOLVER.STAGE"] or unread == []


def test_every_key_has_its_comment():
    """Its own, or one for the lines around it."""
    lines = inspect.getsource(config).split("def merge_config")[0].splitlines()
    key = re.compile(r"    (cfg|reid|fcos)(\.[A-Z_0-9]+)+ = (?!CN\(\))|    .* = CN\(\)$")
    own = [i for i, line in enumerate(lines) if key.match(line)]
    assert len(own) > 30
    bare = {lines[i].strip() for i in own if i - 1 not in own and "    #" not in lines[i - 1]}
    assert {line.split(" = ")[0] for line in bare} <= {
        "cfg.MODEL.META_ARCHITECTURE",  # Detectron2's
        "reid.SIDE_NET",  # nodes, which say in their keys what they are
        "reid.FUSION",
        "reid.OIM",
        "reid.TRIPLET",
    }


def test_defaults_are_the_papers():
    cfg = default_config()
    assert cfg.MODEL.REID.POOLER_RESOLUTION == cfg.MODEL.DETECTOR.POOLER_RESOLUTION == (16, 8)
    assert cfg.MODEL.REID.POOLING == "avg"
    assert cfg.MODEL.REID.OIM.FOCAL_GAMMA == 0
    assert cfg.MODEL.REID.OIM.TEMPERATURE == pytest.approx(1 / 30)
    assert cfg.MODEL.REID.LOSSES == ("OIMLoss", "TripletLoss")
    assert cfg.TEST.SEARCH.SCORE_THRESH == 0.5


@pytest.mark.parametrize("dataset, queue, frames", [("prw", 500, 5704), ("cuhk_sysu", 5000, 11206)])
def test_the_papers_schedules(dataset, queue, frames, tmp_path):
    """18 epochs of batch 8, a tenth at 12; then 18 of batch 5, a tenth at 10; one of warm-up."""
    save_checkpoint(tmp_path / "detection")
    config_file = CONFIGS / dataset / "faster_rcnn_R50.yaml"
    for stage, batch, drop in (("detection", 8, 12), ("reid", 5, 10)):
        cfg = staged(stage, ["OUTPUT_DIR", str(tmp_path)], config_file)
        epoch = frames / batch
        assert cfg.SOLVER.IMS_PER_BATCH == batch
        assert cfg.SOLVER.MAX_ITER == pytest.approx(18 * epoch, abs=18)
        assert cfg.SOLVER.STEPS == (pytest.approx(drop * epoch, abs=18),)
        assert cfg.SOLVER.WARMUP_ITERS == pytest.approx(epoch, abs=1)
        assert cfg.SOLVER.GAMMA == 0.1
        assert cfg.SOLVER.BASE_LR == 0.003
        assert cfg.MODEL.REID.OIM.QUEUE_SIZE == queue
        assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (900, 1500)


# --- stages ----------------------------------------------------------------------------------


def test_the_detection_stage_keeps_the_solver(tmp_path):
    cfg = staged("detection", ["OUTPUT_DIR", str(tmp_path)])
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) == (12834, 8)
    assert cfg.OUTPUT_DIR == str(tmp_path / "detection")
    assert cfg.MODEL.WEIGHTS.endswith("R-50.pkl")


def test_the_reid_stage_takes_its_own_solver_and_the_last_detector(tmp_path):
    checkpoint = save_checkpoint(tmp_path / "detection")
    cfg = staged("reid", ["OUTPUT_DIR", str(tmp_path)])
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) == (20538, 5)
    assert cfg.SOLVER.STEPS == (11410,)
    assert cfg.SOLVER.BASE_LR == 0.003  # SOLVER.REID does not name it
    assert cfg.OUTPUT_DIR == str(tmp_path / "reid")
    assert cfg.MODEL.WEIGHTS == checkpoint


def test_the_command_line_wins(tmp_path):
    save_checkpoint(tmp_path / "detection")
    opts = ["OUTPUT_DIR", str(tmp_path), "SOLVER.MAX_ITER", "7", "MODEL.WEIGHTS", "other.pth"]
    cfg = staged("reid", [*opts, "SOLVER.REID.IMS_PER_BATCH", "3"])
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH) == (7, 3)
    assert cfg.MODEL.WEIGHTS == "other.pth"


def test_the_command_line_may_name_keys_of_the_reid_solver_that_the_yaml_does_not():
    opts = ["MODEL.WEIGHTS", "x", "SOLVER.REID.GAMMA", "0.5"]
    assert staged("reid", opts).SOLVER.GAMMA == 0.5
    assert staged("detection", opts).SOLVER.GAMMA == 0.1
    with refused("command line: .*SOLVER.REID.GAMA; did you mean"):
        staged("reid", ["SOLVER.REID.GAMA", "0.5"])


def test_resuming_needs_the_stages_own_checkpoint_only(tmp_path):
    opts = ["OUTPUT_DIR", str(tmp_path)]
    with refused("reid starts from a trained detector"):
        staged("reid", opts, resume=True)
    checkpoint = save_checkpoint(tmp_path / "reid")
    assert staged("reid", opts, resume=True).MODEL.WEIGHTS == checkpoint
    detector = save_checkpoint(tmp_path / "detection")
    assert staged("hybrid", opts, resume=True).MODEL.WEIGHTS == detector


def test_evaluation_takes_the_stages_own_checkpoint(tmp_path):
    opts = ["OUTPUT_DIR", str(tmp_path)]
    for stage in ("detection", "reid"):
        checkpoint = save_checkpoint(tmp_path / stage, f"{stage}.pth")
        assert staged(stage, opts, eval_only=True).MODEL.WEIGHTS == checkpoint
    weights = [*opts, "MODEL.WEIGHTS", "other.pth"]
    assert staged("reid", weights, eval_only=True).MODEL.WEIGHTS == "other.pth"


def test_stages_without_their_checkpoint_are_refused(tmp_path):
    opts = ["OUTPUT_DIR", str(tmp_path)]
    with refused("reid starts from a trained detector, .*detection holds no .*MODEL.WEIGHTS"):
        staged("reid", opts)
    save_checkpoint(tmp_path / "detection")
    with refused("--eval-only of stage reid, .*reid holds no checkpoint; train that stage first"):
        staged("reid", opts, eval_only=True)


@pytest.mark.parametrize("stage", ["re-id", "REID", ""])
def test_an_unknown_stage_is_refused(stage):
    allowed = "detection, reid, joint, detached, hybrid"
    with refused(f"SOLVER.STAGE is '{stage}'; allowed are {allowed}"):
        staged(stage)


def write_yaml(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(f"_BASE_: {BASE_CONFIG}\n{text}\n")
    return path


@pytest.mark.parametrize("stage", ["detection", "reid"])
def test_a_misspelt_key_of_the_reid_solver_is_refused_in_every_stage(stage, tmp_path):
    path = write_yaml(tmp_path, "SOLVER: {REID: {MAX_ITERS: 5}}")
    with refused("SOLVER.REID.MAX_ITERS: SOLVER has no such key; did you mean MAX_ITER?"):
        staged(stage, ["MODEL.WEIGHTS", "x"], path)


def test_a_value_of_the_wrong_type_for_the_reid_solver_is_refused(tmp_path):
    path = write_yaml(tmp_path, "SOLVER: {REID: {MAX_ITER: soon}}")
    with refused("^SOLVER.REID.MAX_ITER: .*soon"):
        staged("reid", ["MODEL.WEIGHTS", "x"], path)


# --- files and command lines -----------------------------------------------------------------


def test_misspelt_keys_are_refused_with_the_closest_one(tmp_path):
    path = write_yaml(tmp_path, "MODEL: {REID: {BOX_NOISE: {NUM_COPY: 5}}}")
    with refused("mine.yaml: .*MODEL.REID.BOX_NOISE.NUM_COPY; did you mean NUM_COPIES?"):
        merge_config(default_config(), str(path))
    with refused("command line: .*MODEL.REIDS.POOLING; did you mean REID?"):
        merge_config(default_config(), opts=["MODEL.REIDS.POOLING", "avg"])
    with refused("command line: .*MODEL.QQQQQQ"):
        merge_config(default_config(), opts=["MODEL.QQQQQQ", "1"])


def test_values_of_the_wrong_type_are_refused(tmp_path):
    path = write_yaml(tmp_path, "SOLVER: {MAX_ITER: soon}")
    with refused("mine.yaml: .*SOLVER.MAX_ITER"):
        merge_config(default_config(), str(path))
    with refused("command line: .*SOLVER.MAX_ITER"):
        merge_config(default_config(), opts=["SOLVER.MAX_ITER", "soon"])
    with refused("command line: .*odd length"):
        merge_config(default_config(), opts=["SOLVER.MAX_ITER"])


def test_config_files_that_cannot_be_read_are_refused(tmp_path):
    with refused(r"no such file.* did you mean prw/faster_rcnn_R50.yaml\?"):
        load_config("prw/faster_rcn_R50.yaml")
    with refused("--config-file .*none.yaml: no such file"):
        merge_config(default_config(), str(tmp_path / "none.yaml"))
    with refused("--config-file .*: no such file"):
        merge_config(default_config(), str(tmp_path))
    path = tmp_path / "mine.yaml"
    for text in ("MODEL: {REID: [", "_BASE_: none.yaml", "just words", "MODEL: 3"):
        path.write_text(text)
        with refused("mine.yaml: "):
            merge_config(default_config(), str(path))


# --- shipped configs by name -----------------------------------------------------------------


def test_a_shipped_config_is_found_by_its_name_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_path = load_config(str(CONFIGS / "prw" / "fcos_R34.yaml"))
    assert load_config("prw/fcos_R34.yaml") == by_path
    assert set(shipped_configs()) == {
        str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*.yaml")
    }


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "prw" / "fcos_R34.yaml"
    own.parent.mkdir()
    own.write_text("SEED: 7\n")
    assert load_config("prw/fcos_R34.yaml").SEED == 7
