"""Exact and approximate search of a shard's features."""

import numpy as np
import pytest

from person_search.index import Filters, IndexInfo, NewFrame, exact, ivf, open_index, shard
from person_search.index.exact import ExactSearcher, search_rows

from .made_up_index import all_persons, source, unit

DIM = 32


def people(rows, num_people=60, seed=0):
    """Features of people who are seen many times: unit vectors around one a person."""
    generator = np.random.default_rng(seed)
    centers = unit(num_people, DIM, seed)
    noise = 0.25 * unit(rows, DIM, seed + 1)
    values = centers[generator.integers(num_people, size=rows)] + noise
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)


def plain(features, feature, top, rows=None):
    similarities = features.astype(np.float32) @ feature
    rows = np.arange(len(features)) if rows is None else rows
    order = rows[np.argsort(-similarities[rows])][:top]
    return order, similarities[order]


@pytest.fixture(params=[True, False], ids=["in memory", "in blocks"])
def searcher(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(exact, "EXACT_LIMIT", 10)
        monkeypatch.setattr(exact, "BLOCK", 37)
    return ExactSearcher(people(500))


def test_exact_search(searcher):
    for feature in unit(5, DIM, seed=3):
        found, expected = searcher.search(feature, 20), plain(searcher.features, feature, 20)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_exact_search_of_some_rows(searcher):
    feature = unit(1, DIM, seed=3)[0]
    rows = np.array([400, 3, 77, 12, 199])
    found, expected = searcher.search(feature, 4, rows), plain(searcher.features, feature, 4, rows)
    np.testing.assert_array_equal(found[0], expected[0])
    assert len(searcher.search(feature, 50, rows)[0]) == 5
    assert len(searcher.search(feature, 50, rows[:0])[0]) == 0
    assert len(searcher.search(feature, 1000)[0]) == 500
    found = search_rows(searcher.features, feature, 4, rows)
    np.testing.assert_array_equal(found[0], expected[0])


def test_neighbours_to_measure_recall_with():
    features = people(300)
    rows = np.arange(0, 300, 2)
    own = rows[:3]
    found = ivf.exact_neighbours(features, rows, features[own].astype(np.float32), own)
    for row, neighbours in zip(own, found):
        others = rows[rows != row]
        expected = plain(features, features[row].astype(np.float32), 10, others)[0]
        assert set(neighbours) == set(expected)


@pytest.fixture
def small_limits(monkeypatch):
    """An IVF index of about 12 lists from 1,000 persons on."""
    monkeypatch.setattr(exact, "EXACT_LIMIT", 1000)
    monkeypatch.setattr(shard, "EXACT_LIMIT", 1000)
    monkeypatch.setattr(ivf, "PERSONS_PER_LIST", 100)
    monkeypatch.setattr(ivf, "FEW_ROWS", 20)


@pytest.fixture
def index(tmp_path, small_limits):
    info = IndexInfo(fingerprint="a" * 64, dim=DIM, model="/runs/reid")
    with open_index(str(tmp_path / "index"), create=info) as index:
        yield index


def add(index, path, features, optimize=True):
    with index.writer() as writer:
        writer.begin(source(path, camera=path))
        for i in range(0, len(features), 100):
            some = features[i : i + 100]
            boxes = np.tile(np.float32([0, 0, 10, 20]), (len(some), 1))
            writer.add(path, NewFrame(i, 0.0, 20, 20, boxes, np.full(len(some), 0.9), some))
        writer.finish(path)
        writer.commit()
        if optimize:
            writer.optimize()
    index.refresh()


def recall(index, queries, cameras=()):
    filters = Filters(cameras)
    persons = [p for p in all_persons(index) if not cameras or p.frame.camera in cameras]
    ids = np.array([p.person_id for p in persons])
    rows = index.features(ids)
    shares = []
    for feature in queries:
        expected = ids[np.argsort(-(rows @ feature))[:10]]
        hits = index.search(feature, 10, filters)
        shares.append(np.isin(expected, [hit.person.person_id for hit in hits]).mean())
        exactly = rows[[ids.tolist().index(hit.person.person_id) for hit in hits]] @ feature
        np.testing.assert_allclose([hit.similarity for hit in hits], exactly, atol=1e-5)
    return np.mean(shares)


def state(index):
    return index._shards[1].records.get("ivf")


def ivf_files(tmp_path):
    return sorted(path.name for path in (tmp_path / "index").rglob("ivf-*"))


def queries_like(features, count=100):
    some = features[:: len(features) // count].astype(np.float32)
    noisy = some + 0.1 * unit(len(some), DIM, seed=8)
    return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


def test_small_shards_have_no_ivf(index, tmp_path):
    add(index, "a", people(999))
    assert state(index) is None and ivf_files(tmp_path) == []


def test_recall_of_a_large_shard(index, tmp_path):
    features = people(1200)
    add(index, "a", features)
    settings = state(index)
    assert settings["rows"] == 1200 and settings["num_lists"] == 12
    assert settings["nprobe"] < 12  # it is no exact search in disguise
    assert settings["recall"] >= 0.98
    assert recall(index, queries_like(features)) >= 0.98
    assert ivf_files(tmp_path) == [settings["file"]]


def test_recall_with_filters(index):
    features = people(2400)
    add(index, "a", features[:300], optimize=False)
    add(index, "b", features[300:])
    queries = queries_like(features)
    assert recall(index, queries, ("a",)) >= 0.95
    assert recall(index, queries, ("b",)) >= 0.98
    assert index.search(queries[0], 10, Filters(cameras=("c",))) == []


def test_a_shard_that_grows(index, tmp_path):
    features = people(2600)
    add(index, "a", features[:1200])
    trained = state(index)["trained_rows"]
    add(index, "b", features[1200:1500], optimize=False)
    assert state(index)["rows"] == 1200  # the rest is searched exactly
    assert recall(index, queries_like(features[:1500])) >= 0.98
    add(index, "c", features[1500:1600])
    assert state(index)["rows"] == 1600 and state(index)["trained_rows"] == trained
    assert recall(index, queries_like(features[:1600])) >= 0.98
    add(index, "d", features[1600:])
    assert state(index)["trained_rows"] == 2600 and state(index)["num_lists"] == 26
    assert ivf_files(tmp_path) == [state(index)["file"]]


def test_forgotten_persons_leave_the_ivf_file(index, tmp_path):
    features = people(1300)
    add(index, "a", features)
    old = (tmp_path / "index" / "shard-1-of-1" / state(index)["file"]).read_bytes()
    gone = index.search(features[5].astype(np.float32), 1)[0].person.person_id
    assert index.forget([gone]) == 1
    assert state(index)["rows"] == 1300 and len(ivf_files(tmp_path)) == 1
    new = (tmp_path / "index" / "shard-1-of-1" / state(index)["file"]).read_bytes()
    assert len(new) < len(old) or new != old
    hits = index.search(features[5].astype(np.float32), 20)
    assert gone not in [hit.person.person_id for hit in hits]
    rows = ivf.IVFSearcher(
        tmp_path / "index" / "shard-1-of-1", state(index), index._shards[1]._store.read()
    ).index.ntotal
    assert rows == 1299
    # until it is built anew there is none
    with index.writer() as writer:
        writer.remove(["a"])
        writer.commit()
    assert ivf_files(tmp_path) == []
