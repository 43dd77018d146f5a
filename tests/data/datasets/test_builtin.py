"""The built-in names."""

import importlib

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from fully_decoupled_ps.data import get_protocols
from fully_decoupled_ps.data.datasets import builtin
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import write_cuhk_sysu, write_prw

SIZES = (50, 100, 500, 1000, 2000, 4000)
TEST_NAMES = [
    "prw_test",
    "synthetic_test",
    "cuhk_sysu_test",
    "cuhk_sysu_test_all",
    *(f"cuhk_sysu_test_g{size}" for size in SIZES),
]
NAMES = ["prw_train", "synthetic_train", "cuhk_sysu_train", *TEST_NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_registered(name):
    assert name in DatasetCatalog.list()
    metadata = MetadataCatalog.get(name)
    assert metadata.thing_classes == ["person"]
    assert metadata.evaluator_type == "person_search"
    assert hasattr(metadata, "protocols_fn") == (name in TEST_NAMES)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="dataset 'prw_tset' is not registered") as e:
        get_protocols("prw_tset")
    assert all(name in str(e.value) for name in TEST_NAMES)
    assert "prw_tset" not in MetadataCatalog.list()


@pytest.fixture
def datasets_folder(tmp_path, monkeypatch):
    """The built-in names, registered anew under another folder for the time of a test."""

    def register():
        for name in NAMES:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
        importlib.reload(builtin)

    with monkeypatch.context() as patch:
        patch.setenv("DETECTRON2_DATASETS", str(tmp_path))
        register()
    yield tmp_path
    register()


def test_datasets_lie_under_the_environment_variable(datasets_folder):
    with pytest.raises(UserError, match="DETECTRON2_DATASETS"):
        DatasetCatalog.get("prw_train")
    write_prw(datasets_folder / "PRW")
    write_cuhk_sysu(datasets_folder / "CUHK-SYSU")
    assert len(DatasetCatalog.get("prw_train")) == 3
    assert len(DatasetCatalog.get("prw_test")) == 4
    assert len(DatasetCatalog.get("cuhk_sysu_train")) == 3
    assert list(get_protocols("cuhk_sysu_test")) == ["gallery_100"]
    assert list(get_protocols("cuhk_sysu_test_g50")) == ["gallery_50"]
