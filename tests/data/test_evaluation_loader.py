"""The loader of evaluation: every frame once, in batches of the size asked for, of one size."""

import pytest
from detectron2.data import DatasetCatalog
from detectron2.data.samplers import distributed_sampler as samplers

from fully_decoupled_ps.data import PersonSearchMapper, build_person_search_test_loader
from fully_decoupled_ps.data.evaluation_loader import same_size_batches
from tests.data.layouts import write_image
from tests.testing import make_config

HIGH = {1, 2, 5}  # of 64 x 96 pixels; the others are 96 x 64


@pytest.fixture(params=[False, True])
def frames(request, tmp_path):
    """Seven frames without persons, of one size or of two."""
    dicts = []
    for i in range(7):
        size = (64, 96) if request.param and i in HIGH else (96, 64)
        write_image(tmp_path / f"{i}.jpg", *size)
        file_name = str(tmp_path / f"{i}.jpg")
        dicts.append({"file_name": file_name, "image_id": i, "height": size[1], "width": size[0]})
        dicts[-1]["annotations"] = []
    DatasetCatalog.register("seven_frames", lambda: dicts)
    yield "seven_frames", request.param
    DatasetCatalog.remove("seven_frames")


ONE_SIZE = {1: [[i] for i in range(7)], 3: [[0, 1, 2], [3, 4, 5], [6]]}
TWO_SIZES = {1: ONE_SIZE[1], 3: [[0, 3, 4], [1, 2, 5], [6]]}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_batches(frames, size, workers):
    name, has_two_sizes = frames
    opts = ("TEST.IMS_PER_BATCH", size, "DATALOADER.NUM_WORKERS", workers)
    cfg = make_config("reid", opts)
    loader = build_person_search_test_loader(cfg, name, PersonSearchMapper(cfg, False))
    expected = (TWO_SIZES if has_two_sizes else ONE_SIZE)[size]
    assert len(loader) == len(expected)
    assert [[x["image_id"] for x in batch] for batch in loader] == expected


@pytest.mark.parametrize("rank, expected", [(0, [[0, 3], [1, 2]]), (1, [[4, 6], [5]])])
def test_of_two_processes_each_evaluates_its_own_part(monkeypatch, rank, expected):
    monkeypatch.setattr(samplers.comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(samplers.comm, "get_rank", lambda: rank)
    dicts = [{"width": 96 - (i in HIGH), "height": 64} for i in range(7)]
    assert same_size_batches(dicts, 3) == expected
