"""The loader of evaluation: every frame once, in order, in batches of the size asked for."""

import pytest
from detectron2.data import DatasetCatalog

from fully_decoupled_ps.data import PersonSearchMapper, build_person_search_test_loader
from tests.data.layouts import write_image
from tests.testing import make_config


@pytest.fixture
def frames(tmp_path):
    """Seven frames, one without persons."""
    dicts = []
    for i in range(7):
        write_image(tmp_path / f"{i}.jpg", 96, 64)
        file_name = str(tmp_path / f"{i}.jpg")
        dicts.append({"file_name": file_name, "image_id": i, "height": 64, "width": 96})
        dicts[-1]["annotations"] = []
    DatasetCatalog.register("seven_frames", lambda: dicts)
    yield "seven_frames"
    DatasetCatalog.remove("seven_frames")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size, batches", [(1, [1] * 7), (3, [3, 3, 1])])
def test_batches(frames, size, batches, workers):
    opts = ("TEST.IMS_PER_BATCH", size, "DATALOADER.NUM_WORKERS", workers)
    cfg = make_config("reid", opts)
    found = list(build_person_search_test_loader(cfg, frames, PersonSearchMapper(cfg, False)))
    assert [len(batch) for batch in found] == batches
    assert [x["image_id"] for batch in found for x in batch] == list(range(7))
