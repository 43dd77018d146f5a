"""The curve over the number of proposals, on a tiny set and a network of random weights."""

import json

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

import benchmark_proposals as tool
from fully_decoupled_ps import UserError
from fully_decoupled_ps.data import register_prw
from tests.testing import BASE_CONFIG, CONFIGS, TINY, make_model, make_tiny_dataset


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    register_prw("tiny_test", str(make_tiny_dataset(root / "tiny")), "test")
    # of a later stage, and with f_r
    torch.save({"model": make_model("reid").state_dict()}, root / "model.pth")
    yield list(
        map(str, (*TINY, "DATASETS.TEST", ("tiny_test",), "MODEL.WEIGHTS", root / "model.pth"))
    )
    DatasetCatalog.remove("tiny_test")
    MetadataCatalog.remove("tiny_test")


@pytest.fixture(autouse=True)
def log_as_before(monkeypatch):
    monkeypatch.setattr(tool.logging, "disable", lambda level: None)
    monkeypatch.setattr(tool, "keep_large_buffers", lambda: None)


def test_a_row_for_each_number(options, tmp_path, capsys, monkeypatch):
    seen = []
    init = tool.PersonSearchEvaluator.process

    def spy(self, inputs, outputs):
        seen.append(len(outputs[0]["instances"]))
        init(self, inputs, outputs)

    monkeypatch.setattr(tool.PersonSearchEvaluator, "process", spy)
    path = tmp_path / "curve.json"
    # without NMS, each proposal becomes a detection
    opts = ["MODEL.ROI_HEADS.NMS_THRESH_TEST", "1.0", "TEST.DETECTIONS_PER_IMAGE", "100"]
    opts += ["TEST.SEARCH.GT_BOXES_ONLY", "True"]  # as of a run of the same config
    # of random weights
    monkeypatch.setattr(tool, "least_that_suffices", lambda records: records[0])
    status = tool.main(
        [
            *("--config-file", str(BASE_CONFIG), "--numbers", "7", "2", "5", "--threads", "1"),
            *("--at-a-time", "3", "8"),  # 8 at a time would be all at once
            *("--output", str(path), "--opts", *options, *opts),
        ]
    )
    assert status == 0
    records = json.loads(path.read_text())["records"]
    assert [(r["proposals"], r["at a time"]) for r in records] == [(2, 0), (5, 0), (7, 0), (7, 3)]
    # each turn finds somebody here, so all are looked at
    assert [r["looked at"] for r in records] == [2, 5, 7, 7]
    assert all(r["ms"] > 0 and 0 <= r["AP"] <= r["recall"] <= 100 for r in records)
    assert seen[:4] == [2, 5, 7, 7]
    assert "| 7, 3 at a time | 7 " in " ".join(capsys.readouterr().out.split())


def test_a_detector_without_proposals_is_refused(options, capsys):
    config = str(CONFIGS / "Base-RetinaNet.yaml")
    assert tool.main(["--config-file", config, "--opts", *options, "MODEL.WEIGHTS", ""]) == 2
    assert "RetinaNet makes no proposals; name one with" in capsys.readouterr().err


def record(proposals, ap, recall, step=0, looked_at=None):
    return {
        **{"proposals": proposals, "at a time": step, "looked at": looked_at or proposals},
        **{"AP": ap, "recall": recall, "ms": 1.0},
    }


def test_nobody_found_is_no_recommendation():
    with pytest.raises(UserError, match="with 300 proposals the detector's AP is 0, so no"):
        tool.least_that_suffices([record(20, 0, 0), record(300, 0, 2)])


def test_the_fewest_that_suffice():
    curve = [record(20, 80, 80), record(50, 89.8, 94.6), record(100, 89.8, 94.8)]
    assert tool.least_that_suffices([*curve, record(300, 90, 95)]) == curve[2]
    assert tool.least_that_suffices([*curve, record(300, 91, 95)]) == record(300, 91, 95)


def test_some_at_a_time_suffice_where_fewer_of_them_are_looked_at():
    whole, turns = record(300, 90, 95), record(300, 89.9, 94.9, 50, 80)
    assert tool.least_that_suffices([record(100, 89.8, 94.8), whole, turns]) == turns
    # compared is what all at once find
    turns = record(300, 95, 95, 50, 80)
    assert tool.least_that_suffices([record(100, 90, 95), whole, turns]) == turns
    found_more = record(300, 95, 95, 50, 250)
    few = record(100, 89.8, 94.8)
    assert tool.least_that_suffices([few, whole, found_more]) == few
