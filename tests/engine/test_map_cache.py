"""Training on maps from the disk: the same network, from fewer passes of the frozen detector."""

import importlib
import os
import re
import time

import pytest
from detectron2.modeling import GeneralizedRCNN

from fully_decoupled_ps import UserError
from fully_decoupled_ps.data import dataset_mapper
from fully_decoupled_ps.engine import map_cache
from fully_decoupled_ps.engine.check_config import check_config
from fully_decoupled_ps.engine.map_cache import GIB, KeepMaps, check_map_cache
from fully_decoupled_ps.modeling.feature_tap import FeatureTap
from tests.engine.test_resume import first_difference, keep_until, load
from tests.mixed_run import FCOS, registered, train, write_set
from tests.testing import TINY, make_config, make_model

ONE_SIZE = ("INPUT.MIN_SIZE_TRAIN", "(64,)")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mixed")
    write_set(root)
    with registered(root):
        assert train(root / "start", config=FCOS) == 0
        yield root


@pytest.fixture
def run(root, tmp_path, restore_loggers):
    """Trains stage reid of a network of its own; returns its last checkpoint and its log."""

    def run(name, *args):
        cache = "MODEL.REID.MAP_CACHE."
        opts = [*(f"{cache}FOLDER", tmp_path / "maps", f"{cache}DTYPE", "float32"), *ONE_SIZE]
        opts += ["MODEL.WEIGHTS", root / "start" / "detection" / "model_final.pth"]
        folder = tmp_path / name
        assert train(folder, "SOLVER.STAGE", "reid", *opts, *args, config=FCOS) == 0
        log = (folder / "reid" / "log.txt").read_text()
        return load(folder / "reid" / "model_final.pth"), log

    return run


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_full_cache_gives_the_bits_of_an_empty_one(run, tmp_path, monkeypatch):
    needed = []
    monkeypatch.setattr(map_cache, "make_room", lambda folder, *given: needed.append(given[0]))
    first, _ = run("first", "SOLVER.MAX_ITER", 8)
    kept = files(tmp_path / "maps")
    assert 7 < len(kept) <= 14 and len({path.parent for path in kept}) == 1
    # what was estimated, of seven images both ways round, is what is needed, to a block of the disk
    assert all(0 <= needed[0] / 14 - path.stat().st_size <= 8192 for path in kept)
    monkeypatch.undo()
    # neither is any image decoded again, nor does the detector run
    monkeypatch.setattr(dataset_mapper, "load_image", lambda path: pytest.fail("decoded"))
    monkeypatch.setattr(FeatureTap, "run", lambda *args: pytest.fail("the detector was run"))
    second, log = run("second", "SOLVER.MAX_ITER", 8)
    assert first_difference(first["model"], second["model"]) is None
    used = sum(path.stat().st_size for path in kept)
    assert f"of which {used / GIB:.2f} are there" in log
    assert files(tmp_path / "maps") == kept
    monkeypatch.undo()
    whole = {path: path.read_bytes() for path in kept}
    for path, content in whole.items():
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes(512) + content[middle + 512 :])
    third, log = run("third", "SOLVER.MAX_ITER", 8)
    assert first_difference(first["model"], third["model"]) is None
    told = re.findall("image '(.*)' has kept maps whose file is damaged", log)
    assert len(told) == len(set(told)) == len({path.name[:32] for path in kept})
    assert {path: path.read_bytes() for path in files(tmp_path / "maps")} == whole


def test_batches_of_one_image_give_the_bits_of_a_run_without_a_cache(run):
    opts = ("SOLVER.IMS_PER_BATCH", 1, "SOLVER.MAX_ITER", 6)
    cached, _ = run("cached", *opts)
    without, _ = run("without", *opts, "MODEL.REID.MAP_CACHE.FOLDER", "")
    assert first_difference(cached["model"], without["model"]) is None


def test_a_resumed_run_equals_one_that_was_not_interrupted(run, tmp_path):
    opts = ("MODEL.REID.MAP_CACHE.DTYPE", "float16")
    whole, _ = run("run", *opts, "DATALOADER.NUM_WORKERS", 2)
    keep_until(tmp_path / "run" / "reid", 1)
    for path in files(tmp_path / "maps")[::2]:
        path.unlink()
    resumed, _ = run("run", "--resume", *opts)
    assert first_difference(whole, resumed) is None


class OtherPreprocessing(GeneralizedRCNN):
    """One that makes another input of an image."""

    def preprocess_image(self, batched_inputs):
        raise NotImplementedError


def test_maps_are_those_of_one_detector_and_precision():
    def key(opts=(), change="", amount=0.0, kind=None, constraints=None):
        cfg = make_config("reid", [*TINY, *opts])
        model = make_model("reid", opts)
        if change:
            model.detector.get_submodule(change).weight.data += amount
        if kind:
            model.detector.__class__ = kind
        if constraints:
            backbone = type(model.detector.backbone)
            other = type(backbone.__name__, (backbone,), {"padding_constraints": constraints})
            model.detector.backbone.__class__ = other
        return KeepMaps(cfg, model, None)._detector_key()

    own = key()
    assert key() == own == key(change="backbone.res4.0.conv1", amount=0.0)
    assert key(change="proposal_generator.rpn_head.conv", amount=1.0) == own  # of no map
    others = {
        key(change="backbone.res4.0.conv1", amount=1e-4),
        key(change="backbone.stem.conv1.norm", amount=1e-4),
        key(["MODEL.PIXEL_MEAN", (1.0, 2.0, 3.0)]),
        key(["INPUT.FORMAT", "BGR"]),
        key(["MODEL.REID.MAP_CACHE.DTYPE", "float32"]),
        key(["SOLVER.AMP.ENABLED", True]),
        key(["MODEL.RESNETS.STRIDE_IN_1X1", True]),
        key(["INPUT.MIN_SIZE_TRAIN", (100,)]),
        key(["INPUT.MAX_SIZE_TRAIN", 100]),
        key(["INPUT.RANDOM_FLIP", "none"]),
        key(kind=OtherPreprocessing),
        key(constraints={"square_size": 64}),
    }
    assert len(others) == 12 and own not in others


def test_maps_are_those_of_one_state_of_the_layers_code(tmp_path, monkeypatch):
    """Also where its weights and its structure are the same."""
    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    for name, forward in (("own_a", "super().forward(x)"), ("own_b", "super().forward(x) + 1")):
        (tmp_path / f"{name}.py").write_text(
            "from detectron2.modeling.backbone.resnet import BasicStem\n"
            f"class Stem(BasicStem):\n    def forward(self, x):\n        return {forward}\n"
        )
        model = make_model("reid")
        model.detector.backbone.stem.__class__ = importlib.import_module(name).Stem
        keys.append(KeepMaps(make_config("reid", TINY), model, None)._detector_key())
    assert len(set(keys)) == 2
    (tmp_path / "own_b.py").unlink()  # a package may be there compiled alone
    assert KeepMaps(make_config("reid", TINY), model, None)._detector_key() not in keys


def test_stage_detection_says_that_it_keeps_none(caplog):
    caplog.set_level("INFO")
    check_map_cache(make_config("detection", ["MODEL.REID.MAP_CACHE.FOLDER", "maps"]))
    assert "FOLDER has no effect in stage detection" in caplog.text


def test_a_running_training_says_that_it_uses_its_maps(tmp_path):
    hook = KeepMaps(None, None, None)
    hook._folder = tmp_path
    os.utime(tmp_path, (1000.0, 1000.0))
    hook._marked = time.monotonic()
    hook.after_step()
    assert tmp_path.stat().st_mtime == 1000
    hook._marked -= 301
    hook.after_step()
    assert time.time() - tmp_path.stat().st_mtime < 60
    hook._folder, hook._marked = tmp_path / "gone", -1e9
    hook.after_step()


@pytest.mark.parametrize(
    "stage, opts, said",
    [
        ("joint", [], "stage joint trains the detector, whose maps change .* train stage reid"),
        ("detached", [], "stage detached trains the detector"),
        ("reid", ["MODEL.META_ARCHITECTURE", "TwoStepPersonSearch"], "uses no map of the detector"),
        ("reid", ["MODEL.REID.ORD.ENABLED", True], "crops of MODEL.REID.ORD .* ORD.ENABLED False"),
        ("reid", ["MODEL.REID.MAP_CACHE.DTYPE", "half"], "'half'; allowed are float32, float16"),
        ("detection", ["MODEL.REID.MAP_CACHE.DTYPE", "half"], "'half'; allowed are float32"),
        ("reid", ["MODEL.REID.MAP_CACHE.MAX_GIB", -1], "MAX_GIB is -1; it must be 1 or more"),
        ("reid", [], r"INPUT.MIN_SIZE_TRAIN has several sizes \(480, 512"),
        ("reid", [*ONE_SIZE, "INPUT.CROP.ENABLED", True], "augmentation RandomCrop"),
    ],
)
def test_refused_in_one_line(root, stage, opts, said):
    cfg = make_config(
        stage,
        [
            *("MODEL.DEVICE", "cpu", "MODEL.REID.MAP_CACHE.FOLDER", "maps"),
            *("DATASETS.TRAIN", "('mixed_train',)", "DATASETS.TEST", "()"),
            *("MODEL.REID.SIDE_NET.WEIGHTS", "detector", "MODEL.WEIGHTS", "x.pth"),
            *("MODEL.CROP_REID.WEIGHTS", "random", *opts),
        ],
    )
    with pytest.raises(UserError, match=said) as error:
        check_config(cfg)
    assert "\n" not in str(error.value)
