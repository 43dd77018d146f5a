"""INPUT.UNREADABLE_IMAGES: stop at the first one, or skip and count, in training and testing."""

import json
import re

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from PIL import Image

from fully_decoupled_ps import UserError, add_fully_decoupled_ps_config
from fully_decoupled_ps.data import PersonSearchMapper, TrainLoader
from fully_decoupled_ps.data.dataset_mapper import BLANK_SIZE
from fully_decoupled_ps.data.image_depth import LITTLE_CONTRAST
from fully_decoupled_ps.engine.hooks import LeftOutImages
from tests.mixed_run import registered, train, write_set

SKIP = ("INPUT.UNREADABLE_IMAGES", "skip")


@pytest.fixture
def root(tmp_path, restore_loggers):
    """Image 2, which is wide, and image 3, which is high, are damaged. Each holds a query."""
    write_set(tmp_path)
    for name in ("2.png", "3.png"):
        path = tmp_path / "images" / name
        path.write_bytes(path.read_bytes()[:900])  # its header stays
    with registered(tmp_path):
        yield tmp_path


def config(*opts):
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    cfg.merge_from_list(
        [*("DATASETS.TRAIN", ("mixed_train",), "SOLVER.IMS_PER_BATCH", 2, "SEED", 3)]
        + [*("DATALOADER.NUM_WORKERS", 0, "INPUT.MIN_SIZE_TRAIN", (64,)), *opts]
    )
    return cfg


# --- training --------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("grouping", [True, False])
def test_other_frames_take_the_places_of_unreadable_ones(root, caplog, workers, grouping):
    opts = ["DATALOADER.NUM_WORKERS", workers, "DATALOADER.ASPECT_RATIO_GROUPING", grouping]
    loader = TrainLoader(config(*SKIP, *opts))
    caplog.set_level("WARNING")
    caplog.clear()  # of what was logged of the data
    batches = [batch for _, batch in zip(range(20), loader)]
    ids = [int(x["image_id"]) for batch in batches for x in batch]
    assert len(ids) == 40 and set(ids) == {0, 1, 4, 5, 6}
    assert not any("left_out" in x for batch in batches for x in batch)
    if grouping:
        wide = [[x["width"] > x["height"] for x in batch] for batch in batches]
        assert all(a == b for a, b in wide)
    assert 6 <= loader.num_left_out <= 32  # of 40 items, and of what took their places, 2 / 7
    files = [re.search(r"(\d)\.png", record.getMessage())[1] for record in caplog.records]
    assert sorted(files) == ["2", "3"]

    again = TrainLoader(config(*SKIP, *opts, "DATALOADER.NUM_WORKERS", 2 - workers))
    again.start_at(15)
    resumed = [[int(x["image_id"]) for x in batch] for _, batch in zip(range(5), again)]
    assert resumed == [ids[i : i + 2] for i in range(30, 40, 2)]


def test_a_folder_of_unreadable_images_ends(root):
    for path in (root / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"none of 101 frames drawn .*\d.png' and '.*restore"):
        next(iter(TrainLoader(config(*SKIP))))


def test_the_default_stops(root):
    with pytest.raises(UserError, match=r"image '\S+/[23].png' cannot be used .*restore the file"):
        for _, _batch in zip(range(20), TrainLoader(config())):
            pass


def test_an_image_of_another_size_than_annotated_is_a_fault_of_the_annotations(root):
    Image.new("RGB", (32, 32)).save(root / "images" / "0.png")
    with pytest.raises(UserError, match="0.png' cannot be used .*SizeMismatchError"):
        for _, _batch in zip(range(20), TrainLoader(config(*SKIP))):
            pass


# --- testing ---------------------------------------------------------------------------------


def test_an_unreadable_test_frame_is_blank_and_has_no_queries(root):
    frame = {"file_name": str(root / "none.jpg"), "image_id": "2", "height": 64, "width": 96}
    frame = {**frame, "annotations": [], "queries": [[0.0, 0.0, 5.0, 9.0]]}
    mapped = PersonSearchMapper(config(*SKIP), False)(frame)
    assert mapped["unreadable"] and "queries" not in mapped and "annotations" not in mapped
    assert mapped["image"].shape == (3, *BLANK_SIZE) and not mapped["image"].any()
    with pytest.raises(UserError, match="none.jpg' cannot be used"):
        PersonSearchMapper(config(), False)(frame)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_assumed_of_images_is_told_once_a_file(root, caplog, workers):
    for name in ("2.png", "3.png"):  # of a 12-bit camera
        size = (96, 64) if name == "2.png" else (64, 96)
        Image.fromarray(np.full(size[::-1], 4095, np.uint16)).save(root / "images" / name)
    caplog.set_level("WARNING")
    loader = TrainLoader(config("DATALOADER.NUM_WORKERS", workers))
    caplog.clear()
    for _, batch in zip(range(20), loader):
        assert not any("image_note" in x for x in batch)
    assert sorted(loader.notes) == [str(root / "images" / name) for name in ("2.png", "3.png")]
    assert caplog.text.count("uses less than a quarter of the range") == 2
    hook = LeftOutImages(loader)
    caplog.clear()
    hook.after_train()
    assert "2 image(s) each of which uses less than a quarter" in caplog.text

    (frame, *_) = [d for d in loader.dicts if d["file_name"].endswith("2.png")]
    assert PersonSearchMapper(config(), False)(frame)["image_note"] == LITTLE_CONTRAST


@pytest.mark.parametrize("is_missing", [False, True])
def test_training_and_evaluation_of_a_damaged_set(root, tmp_path, is_missing):
    """Persons who could not be seen are missed, queries that could not be asked are counted."""
    if is_missing:
        (root / "images" / "3.png").unlink()
    opts = [*SKIP, "DATASETS.TEST", "('mixed_test',)", "TEST.SEARCH.GT_BOXES", True]
    opts += ["TEST.SEARCH.SAVE_PREDICTIONS", True, "TEST.SEARCH.BREAKDOWN", True]
    assert train(tmp_path / "output", *opts) == 0
    opts += ["SOLVER.STAGE", "reid", "SOLVER.MAX_ITER", 5]
    weights = ["MODEL.WEIGHTS", tmp_path / "output" / "detection" / "model_final.pth"]
    assert train(tmp_path / "output", *opts, *weights) == 0

    folder = tmp_path / "output" / "reid"
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    assert max(line.get("data/unreadable_images", 0) for line in lines) > 0
    folder = folder / "inference" / "mixed_test"
    results = json.loads((folder / "metrics.json").read_text())
    counts = results["counts"]
    assert counts["frames"] == 7 and counts["persons"] == 21 and counts["unreadable_frames"] == 2
    left_out = counts["queries_in_unreadable_frames"]["full"]
    assert left_out == 2 and counts["queries"]["full"] == 4
    # the persons of the two frames are missed even where all boxes are known
    assert results["search_gt_boxes"]["mAP"] < 100
    log = (tmp_path / "output" / "reid" / "log.txt").read_text()
    assert re.search(
        r"[12] image\(s\) could not be read; other frames took their places \d+ tim", log
    )
    assert "mixed_test: 2 frame(s) could not be read; their persons count as not found, " in log
    assert "left out (full: 2, multi_view: 2)" in log

    queries = json.loads((folder / "queries_full.json").read_text())["queries"]
    assert [q["query_id"] for q in queries] == [0, 2, 3, 4]
    assert not {"2", "3"} & {q["image_id"] for q in queries}
    with np.load(folder / "predictions.npz") as file:
        ids = file["image_ids"].tolist()
        assert [i for i, gone in zip(ids, file["unreadable"], strict=True) if gone] == ["2", "3"]


def test_the_default_stops_an_evaluation(root, tmp_path, capfd):
    assert train(tmp_path / "output", *SKIP) == 0
    weights = "MODEL.WEIGHTS", tmp_path / "output" / "detection" / "model_final.pth"
    test = ["--eval-only", "DATASETS.TEST", "('mixed_test',)", *weights]
    assert train(tmp_path / "output", *test) == 2
    err = capfd.readouterr().err
    assert re.search(r"error: image '\S+/[23].png' cannot be used", err)


def test_torch_is_not_disturbed_by_loading(root):
    """Whether images are loaded in this process or another, the network draws the same numbers."""
    loader = iter(TrainLoader(config(*SKIP)))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    state = np.random.get_state()[1].tolist()
    next(loader)
    assert torch.equal(torch.rand(3), expected)
    assert np.random.get_state()[1].tolist() == state
