"""Maps on the disk stand for images, and for nothing else."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import transforms as T
from detectron2.structures import BoxMode

from fully_decoupled_ps import UserError, add_fully_decoupled_ps_config
from fully_decoupled_ps.data import PersonSearchMapper, dataset_mapper, map_cache
from fully_decoupled_ps.data.map_cache import (
    CachedMapper,
    MapCache,
    bytes_to_keep,
    check_augmentations,
)
from fully_decoupled_ps.data.train_stream import own_random_numbers
from tests.data.layouts import write_image

MAPS = {"res2": torch.arange(12.0).half().reshape(2, 2, 3), "res3": torch.ones(4, 1, 2).half()}
SEEDS = range(8)  # four of them mirror


def annotation(box, **fields):
    return {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, **fields}


def frame_at(path, width=200, height=100):
    write_image(path, width, height)
    return {
        "file_name": str(path),
        "height": height,
        "width": width,
        "annotations": [annotation([10, 20, 30, 60], person_id=7), annotation([100, 20, 120, 60])],
        "queries": [[10, 20, 30, 60]],
        "ignore_regions": [[150, 30, 190, 90]],
    }


@pytest.fixture
def frame(tmp_path):
    return frame_at(tmp_path / "a.jpg")


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "maps").mkdir()
    return MapCache(str(tmp_path / "maps"), torch.float16)


def config(opts=()):
    cfg = get_cfg()
    add_fully_decoupled_ps_config(cfg)
    cfg.merge_from_list(["INPUT.MIN_SIZE_TRAIN", (50,), *opts])
    return cfg


def mapper_of(*opts):
    return PersonSearchMapper(config(opts), is_train=True)


def drawn(mapper, frame, seed=0):
    """The item, and what is drawn after it."""
    with own_random_numbers(seed):
        return mapper(frame), np.random.random()


def same(item, other):
    """Whether two items have the same persons, and whatever else but picture and maps."""
    ours, theirs = (dict(x["instances"].get_fields()) for x in (item, other))
    assert torch.equal(ours.pop("gt_boxes").tensor, theirs.pop("gt_boxes").tensor)
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert item["instances"].image_size == other["instances"].image_size
    assert torch.equal(item["ignore_regions"], other["ignore_regions"])
    mine = {"image", "maps", "maps_name", "instances", "ignore_regions"}
    rest, others = ({k: v for k, v in x.items() if k not in mine} for x in (item, other))
    return rest == others


def test_first_the_image_then_its_maps(frame, cache, monkeypatch):
    plain, cached = mapper_of(), CachedMapper(mapper_of(), cache)
    names, missed = set(), []
    for seed in SEEDS:
        (item, after), (expected, expected_after) = (
            drawn(cached, frame, seed),
            drawn(plain, frame, seed),
        )
        assert torch.equal(item["image"], expected["image"])
        assert same(item, expected) and after == expected_after
        names.add(item["maps_name"])
        missed.append(expected)
    assert len(names) == 2  # mirrored or not
    for name in names:
        cache.save(name, MAPS)
    monkeypatch.setattr(dataset_mapper, "load_image", lambda path: pytest.fail("it was decoded"))
    for seed, expected in zip(SEEDS, missed):
        item, after = drawn(cached, frame, seed)
        assert item["maps"].keys() == MAPS.keys() and not {"image", "maps_name"} & item.keys()
        assert all(torch.equal(item["maps"][k], MAPS[k]) for k in MAPS)
        assert same(item, expected)
        with own_random_numbers(seed):
            mapper_of().augmentations(T.AugInput(np.zeros((100, 200, 3), np.uint8)))
            assert after == np.random.random()
    assert "queries" in frame and "annotations" in frame  # the dict itself has not changed


def name_of(frame, cache, *opts):
    return drawn(CachedMapper(mapper_of("INPUT.RANDOM_FLIP", "none", *opts), cache), frame)[0][
        "maps_name"
    ]


def test_a_name_is_of_what_is_in_the_file(frame, cache, tmp_path):
    name = name_of(frame, cache)
    shutil.copy(frame["file_name"], tmp_path / "elsewhere.jpg")
    assert name_of({**frame, "file_name": str(tmp_path / "elsewhere.jpg")}, cache) == name
    assert name_of(frame, cache, "INPUT.MIN_SIZE_TRAIN", (60,)) != name
    kept = os.stat(frame["file_name"])
    with open(frame["file_name"], "r+b") as f:  # as large and, as far as its times say, as old
        f.seek(-12, os.SEEK_END)
        f.write(bytes(4))
    os.utime(frame["file_name"], ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert name_of(frame, cache) != name


def test_an_image_replaced_while_it_is_read_has_no_name(frame, cache, monkeypatch):
    load, other = dataset_mapper.load_image, os.path.join(cache.folder, "b.jpg")
    write_image(Path(other), 200, 100)

    def replace_and_load(path):
        shutil.copy(other, path)
        return load(path)

    assert "maps_name" in drawn(CachedMapper(mapper_of(), cache), frame)[0]
    monkeypatch.setattr(dataset_mapper, "load_image", replace_and_load)
    item, _ = drawn(CachedMapper(mapper_of(), cache), frame)
    assert "image" in item and "maps_name" not in item


def test_both_kinds_of_mirroring_are_told_apart(frame, cache):
    def names(flip):
        mapper = CachedMapper(mapper_of("INPUT.RANDOM_FLIP", flip), cache)
        return {drawn(mapper, frame, seed)[0]["maps_name"] for seed in SEEDS}

    assert len(names("horizontal") | names("vertical")) == 3


def test_an_image_to_be_told_of_is_decoded_each_time(frame, cache, monkeypatch):
    load = dataset_mapper.load_image
    monkeypatch.setattr(
        dataset_mapper, "load_image", lambda path: load(path)._replace(note="is odd")
    )
    item, _ = drawn(CachedMapper(mapper_of(), cache), frame)
    assert item["image_note"] == "is odd" and "maps_name" not in item


def test_an_unreadable_image_is_told_or_left_out_as_without_a_cache(frame, cache):
    with pytest.raises(UserError, match="no such file"):
        CachedMapper(mapper_of(), cache)({**frame, "file_name": "nowhere.jpg"})
    skipping = mapper_of("INPUT.UNREADABLE_IMAGES", "skip")
    with open(frame["file_name"], "wb") as f:
        f.write(b"no picture")
    assert CachedMapper(skipping, cache)(frame) is None


# --- files -----------------------------------------------------------------------------------


def damaged(content):
    """One file after the other: a block of it is lost, a bit is, its end is, or all of it."""
    size, block = len(content), 64
    for start in range(0, size, block):
        end = min(start + block, size)
        if any(content[start:end]):
            yield content[:start] + bytes(end - start) + content[end:]
    for place in range(0, size, 5):
        yield content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
    yield from (content[:-1], content[:5], content[:4], b"", bytes(size), bytes(4))
    yield from (content + bytes(1), b"text\n" * 100, b"PK\x03\x04" + bytes(100))


def test_no_damaged_file_is_taken_for_maps(cache):
    cache.save("a", MAPS)
    content = open(cache.path("a"), "rb").read()
    number = 0
    for other in damaged(content):
        with open(cache.path("a"), "wb") as f:
            f.write(other)
        maps, note = cache.load("a")
        assert maps is None and "damaged" in note
        number += 1
    assert number > 300
    os.rename(cache.path("a"), cache.path("b"))
    with open(cache.path("b"), "wb") as f:
        f.write(content)  # maps of another image, as a repaired file system may hand them out
    assert cache.load("b")[0] is None
    cache.save("a", MAPS)
    maps, note = cache.load("a")
    assert maps.keys() == MAPS.keys() and all(torch.equal(maps[k], MAPS[k]) for k in MAPS)
    assert note == "" and sorted(os.listdir(cache.folder)) == ["a.pth", "b.pth"]
    assert cache.load("c") == (None, "")
    os.mkdir(cache.path("d"))
    assert cache.load("d")[0] is None and "Is a directory" in cache.load("d")[1]


def test_damaged_maps_are_made_anew_and_told(frame, cache):
    cached = CachedMapper(mapper_of("INPUT.RANDOM_FLIP", "none"), cache)
    name = drawn(cached, frame)[0]["maps_name"]
    with open(cache.path(name), "w") as f:
        f.write("hello\n")
    item, _ = drawn(cached, frame)
    assert "image" in item and item["maps_name"] == name and "damaged" in item["image_note"]
    cache.save(name, MAPS)
    assert not {"image", "image_note"} & drawn(cached, frame)[0].keys()


def test_a_full_disk_is_told_once_and_leaves_nothing(cache, monkeypatch, caplog):
    def replace(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        cache.save("a", MAPS)
        cache.save("b", MAPS)
    assert caplog.text.count("No space left on device") == 1
    assert os.listdir(cache.folder) == []


# --- what can be kept ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opts, said",
    [
        (["INPUT.MIN_SIZE_TRAIN", (40, 50)], r"MIN_SIZE_TRAIN has several sizes \(40, 50\)"),
        (
            ["INPUT.MIN_SIZE_TRAIN", (40, 50), "INPUT.MIN_SIZE_TRAIN_SAMPLING", "range"],
            "several sizes",
        ),
        (["INPUT.CROP.ENABLED", True], "augmentation RandomCrop .*INPUT.CROP.ENABLED False"),
    ],
)
def test_what_makes_other_pictures_is_refused(opts, said):
    with pytest.raises(UserError, match=said):
        check_augmentations(mapper_of(*opts))


def test_augmentations_of_ones_own_are_refused():
    mapper = mapper_of()
    check_augmentations(mapper)
    mapper.augmentations.augs.append(T.RandomBrightness(0.9, 1.1))
    with pytest.raises(UserError, match="RandomBrightness makes another picture"):
        check_augmentations(mapper)


def test_bytes_are_those_of_every_size_both_ways_round():
    dicts = [{"height": 100, "width": 200}, {"height": 300, "width": 100}]
    sizes = []

    def bytes_of(size):
        sizes.append(size)
        return 10 * len(sizes)

    assert bytes_to_keep(dicts, mapper_of(), bytes_of) == 60
    assert sizes == [(50, 100), (150, 50)]
    assert bytes_to_keep(dicts[:1], mapper_of("INPUT.RANDOM_FLIP", "none"), lambda s: 10) == 10
    assert map_cache.ENDING == ".pth"
