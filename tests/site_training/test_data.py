"""The two data sets of a site: registered for a while, and refused if they overlap."""

import json
import shutil

import pytest
from detectron2.data import DatasetCatalog

from fully_decoupled_ps import UserError
from fully_decoupled_ps.site_training.data import TEST, TRAIN, registered_site

from .site import write_set, write_site


def refused(*args, **options):
    with pytest.raises(UserError) as error, registered_site(*map(str, args), None, **options):
        pass
    assert "\n" not in str(error.value)
    assert TRAIN not in DatasetCatalog.list()
    return str(error.value)


def test_they_are_registered_within_the_block(tmp_path):
    train, test = write_site(tmp_path)
    with registered_site(str(train), str(test), None) as data:
        assert {TRAIN, TEST} <= set(DatasetCatalog.list())
        assert (data.train.identities, data.test.identities) == (4, 3)
    assert not {TRAIN, TEST} & set(DatasetCatalog.list())


def test_the_identity_is_that_of_the_content(tmp_path):
    train, test = write_site(tmp_path)
    with registered_site(str(train), str(test), None) as data:
        first = data.identity
    content = json.loads(train.read_text())
    content["annotations"][0]["bbox"][0] += 1
    train.write_text(json.dumps(content))
    with registered_site(str(train), str(test), None) as data:
        assert data.identity["test set"] == first["test set"]
        assert data.identity["training set"] != first["training set"]


def test_shared_persons_are_refused_unless_numbers_are_apart(tmp_path):
    train = write_set(tmp_path, "train", [0, 1, 2, 5])
    test = write_set(tmp_path, "test", [4, 5, 6])
    message = refused(train, test)
    assert "share the persons 5;" in message and "--ids-apart" in message
    with registered_site(str(train), str(test), None, ids_apart=True) as data:
        assert data.train.identities == 4


def test_shared_pictures_are_refused(tmp_path):
    train, test = write_site(tmp_path)
    shutil.copy(tmp_path / "train" / "3.png", tmp_path / "test" / "3.png")
    message = refused(train, test)
    assert "test.json: 1 pictures that are in the training set as well" in message
    assert "3.png" in message


def test_what_check_dataset_refuses_is_refused(tmp_path):
    train, test = write_site(tmp_path)
    (tmp_path / "test" / "2.png").write_bytes(b"none")
    message = refused(train, test)
    assert "test.json: 1 pictures that can't be read" in message and "check-dataset" in message


def test_a_test_set_without_anybody_to_find_has_too_little(tmp_path):
    train, test = write_set(tmp_path, "train", [0, 1]), write_set(tmp_path, "test", [4, 5], 1)
    assert refused(train, test).startswith("too little data: no query")


def test_a_missing_file_is_named(tmp_path):
    assert "absent.json" in refused(tmp_path / "absent.json", write_site(tmp_path)[1])
