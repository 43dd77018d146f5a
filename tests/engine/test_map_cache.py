"""Training on maps from the disk: the same network, from fewer passes of the frozen detector."""

import os
import shutil
import time

import pytest

from fully_decoupled_ps import UserError
from fully_decoupled_ps.data import dataset_mapper
from fully_decoupled_ps.engine import map_cache
from fully_decoupled_ps.engine.check_config import check_config
from fully_decoupled_ps.engine.map_cache import GIB, KeepMaps, make_room
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


def test_maps_are_those_of_one_detector_and_precision():
    def key(opts=(), change="", amount=0.0):
        cfg = make_config("reid", [*TINY, *opts])
        model = make_model("reid", opts)
        if change:
            model.detector.get_submodule(change).weight.data += amount
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
    }
    assert len(others) == 7 and own not in others


# --- room ------------------------------------------------------------------------------------


def put(folder, size, age=0):
    folder.mkdir(parents=True)
    with open(folder / "a.pth", "wb") as f:
        f.truncate(size)
    os.utime(folder, (time.time() - age,) * 2)
    return folder


def test_maps_of_other_detectors_make_room_the_oldest_first(tmp_path):
    ours = put(tmp_path / "maps-a", 100)
    new, old = put(tmp_path / "maps-b", 300, age=10), put(tmp_path / "maps-c", 300, age=20)
    theirs = put(tmp_path / "holiday pictures", 300)
    make_room(ours, 400, 1000, 7)
    assert new.exists() and old.exists()
    make_room(ours, 500, 1000, 7)
    assert new.exists() and not old.exists()
    make_room(ours, 1000, 1000, 7)
    assert not new.exists() and theirs.exists() and (ours / "a.pth").exists()


def test_files_that_were_never_finished_are_removed(tmp_path):
    folder = put(tmp_path / "maps-a", 100)
    left, written = folder / "b.pth.17.part", folder / "c.pth.18"
    for path, age in ((left, 7200), (written, 60)):
        path.write_bytes(b"a part")
        os.utime(path, (time.time() - age,) * 2)
    make_room(folder, 100, 1000, 7)
    assert not left.exists() and written.exists()


def test_too_little_room_is_refused_before_the_first_step(tmp_path, monkeypatch):
    folder = put(tmp_path / "maps-a", GIB // 4)
    with pytest.raises(UserError, match="maps of 7 images take up to 3.00 GiB, and MAX_GIB is 2;"):
        make_room(folder, 3 * GIB, 2 * GIB, 7)
    usage = shutil.disk_usage(tmp_path)._replace(free=GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="of which 0.25 are there, .* has 1.00 GiB free; name a"):
        make_room(folder, 3 * GIB, 4 * GIB, 7)
    make_room(folder, GIB * 5 // 4, 4 * GIB, 7)


@pytest.mark.parametrize(
    "stage, opts, said",
    [
        ("joint", [], "stage joint trains the detector, whose maps change .* train stage reid"),
        ("detached", [], "stage detached trains the detector"),
        ("reid", ["MODEL.META_ARCHITECTURE", "TwoStepPersonSearch"], "uses no map of the detector"),
        ("reid", ["MODEL.REID.ORD.ENABLED", True], "crops of MODEL.REID.ORD .* ORD.ENABLED False"),
        ("reid", ["MODEL.REID.MAP_CACHE.DTYPE", "half"], "'half'; allowed are float32, float16"),
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
