"""No name in a dataset's files leads out of its folder; links that lie in it are followed."""

import json
import os

import pytest
from scipy.io import savemat

from fully_decoupled_ps.data import load_cuhk_sysu, load_person_search_json, load_prw
from fully_decoupled_ps.errors import UserError
from tests.data.layouts import (
    CUHK_G50,
    cell,
    write_cuhk_sysu,
    write_cuhk_test,
    write_cuhk_train,
    write_image,
    write_prw,
)


def refused(match):
    """A UserError of one line."""
    return pytest.raises(UserError, match=r"\A(?=[^\n]*\Z).*" + match)


@pytest.fixture
def secret(tmp_path):
    """A picture that lies beside the datasets' folders, whose names begin alike."""
    write_image(tmp_path / "images2" / "c1s1_000151.jpg", 200, 100)
    return tmp_path / "images2" / "c1s1_000151.jpg"


def load_json(root, *names):
    (root / "images").mkdir(exist_ok=True)
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    path = root / "set.json"
    path.write_text(json.dumps({"images": images, "annotations": []}))
    return load_person_search_json(str(path), str(root / "images"))


def test_json(tmp_path, secret):
    names = [f"../images2/{secret.name}", str(secret), f"a/../../images2/{secret.name}"]
    for name in names:
        with refused(r"images\[0\], file_name: .* leads out of the image folder; give a path"):
            load_json(tmp_path, name)
    with refused("is unreadable|not found"):
        load_json(tmp_path, "a\0.jpg")
    write_image(tmp_path / "images" / "a" / "1.jpg", 200, 100)
    inside = ["a/1.jpg", "a/../a/1.jpg", str(tmp_path / "images" / "a" / "1.jpg")]
    path = str(tmp_path / "images" / "a" / "1.jpg")
    assert [d["file_name"] for d in load_json(tmp_path, *inside)] == [path] * 3


def test_prw(tmp_path, secret):
    root = write_prw(tmp_path / "images")
    name = f"../../images2/{secret.stem}"
    queries = (root / "query_info.txt").read_text()
    (root / "query_info.txt").write_text(queries + f"5 10 20 30 60 {name}\n")
    with refused("query_info.txt, line 5: '../../images2/c1s1_000151' is no frame name"):
        load_prw(str(root), "test")
    for bad in (name, str(secret), f"{secret}.jpg", "c1s1_000151.jpg/../../x"):
        savemat(root / "frame_train.mat", {"img_index_train": cell([bad])})
        with refused("frame_train.mat, field 'img_index_train': .* is no frame name"):
            load_prw(str(root), "train")


@pytest.mark.parametrize("name", ["../../../images2/c1s1_000151.jpg", "/etc/hostname", "a/b", ".."])
def test_cuhk_sysu(tmp_path, secret, name):
    root = write_cuhk_sysu(tmp_path / "images")
    write_cuhk_train(root, {"p1": [(name, (5, 5, 9, 10))]})
    with refused(r"Train.mat, field 'Train', person 0, scene, imname: .* is no plain file name"):
        load_cuhk_sysu(str(root), "train")
    image, box, gallery = CUHK_G50["p300"]
    for query in ((name, box, gallery), (image, box, [(name, None)])):
        write_cuhk_test(root, 50, {"p300": query})
        with refused("TestG50', query 0, (Query|Gallery), imname: .* is no plain file name"):
            load_cuhk_sysu(str(root), "test", 50)
    savemat(root / "annotation" / "pool.mat", {"pool": cell([name])})
    with refused("pool.mat, field 'pool', imname: .* is no plain file name"):
        load_cuhk_sysu(str(root), "train")


def test_links_are_the_owner_s_and_are_followed(tmp_path, secret):
    """An annotation file can't make one; large folders are often links to another disk."""
    root = write_prw(tmp_path / "set")
    os.rename(root / "frames", tmp_path / "elsewhere")
    (root / "frames").symlink_to(tmp_path / "elsewhere")
    assert len(load_prw(str(root), "train")) == 3
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "link.jpg").symlink_to(secret)
    (d,) = load_json(tmp_path, "link.jpg")
    assert d["file_name"] == str(tmp_path / "images" / "link.jpg")
