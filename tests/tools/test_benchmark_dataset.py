"""The benchmark of large datasets, on a small one."""

import argparse

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

import benchmark_dataset as tool

ARGS = argparse.Namespace(frames=230, boxes=3, persons=40, seed=0)


@pytest.mark.parametrize("layout", tool.LAYOUTS)
def test_each_layout_is_written_read_and_measured(tmp_path, layout, monkeypatch):
    monkeypatch.setattr(tool, "RESUMED_AT", 50)
    monkeypatch.setattr(tool.logging, "disable", lambda level: None)
    tool.LAYOUTS[layout][0](tmp_path, ARGS)
    try:
        row = tool.measure(layout, tmp_path, workers=1)
        dicts = DatasetCatalog.get("benchmark")
    finally:
        DatasetCatalog.remove("benchmark")
        MetadataCatalog.remove("benchmark")
    assert row["frames"] == 230 and row["boxes"] == 690
    assert len({d["file_name"] for d in dicts}) == 230
    assert all(value > 0 for name, value in row.items() if name.startswith("MiB"))
    assert "s for protocols" in row or row["MiB a worker"] > 0
