"""Crowds that a registered dataset has among its annotations, as Detectron2's own loaders do."""

from detectron2.structures import BoxMode

from fully_decoupled_ps.data import TrainLoader, with_regions_apart
from fully_decoupled_ps.data.datasets.checks import person
from tests.dataset_tools.inspection.test_inspection import BOX, frame

CROWD = {"bbox": [5, 6, 10, 20], "bbox_mode": BoxMode.XYWH_ABS, "iscrowd": 1, "category_id": 0}


def test_crowds_are_set_apart():
    d = frame("a", (BOX, 1), ignore_regions=[[0, 0, 9, 9]])
    d["annotations"] += [CROWD, {**person(BOX, 2), "iscrowd": 0}]
    apart = with_regions_apart(d)
    assert [a["person_id"] for a in apart["annotations"]] == [1, 2]
    assert apart["ignore_regions"] == [[0, 0, 9, 9], [5, 6, 15, 26]]
    assert len(d["annotations"]) == 3 and d["ignore_regions"] == [[0, 0, 9, 9]]
    plain = frame("b", (BOX, 1))
    assert with_regions_apart(plain) is plain


def test_the_training_loader_sets_them_apart():
    d = frame("a", (BOX, 1))
    d["annotations"].append(CROWD)
    loader = TrainLoader(
        [d], dataset_names=["a"], mapper=dict, build_sampler=None, total_batch_size=1, seed=0
    )
    assert loader.has_ignore_regions
    assert loader.dicts[0]["ignore_regions"] == [[5, 6, 15, 26]]
    assert len(loader.dicts[0]["annotations"]) == 1
