"""Who can't be one person because both were elsewhere, and who looks like whom."""

import numpy as np

from person_search.label import relations
from person_search.label.records import Tracklet
from person_search.label.relations import between_cameras, find_neighbors


def tracklet(number, camera, start, end):
    return Tracklet(number, 1, camera, start, end, 5, (start,))


def test_before_two_cameras_at_once():
    tracklets = [
        tracklet(1, "a", 0, 10),
        tracklet(2, "b", 5, 20),  # with 1 from 5 to 10
        tracklet(3, "b", 8.5, 30),  # with 1 for 1.5 s only: the clocks may differ by 2 s
        tracklet(4, "a", 0, 10),  # of camera a, as 1
        tracklet(5, "c", 12, 20),
        tracklet(6, "a", 13, 14),  # with 2, 3 and 5, but too short to say
    ]
    found = {(p.a, p.b): (p.first, p.last) for p in between_cameras(tracklets, set())}
    assert found == {(1, 2): (5, 10), (2, 4): (5, 10), (2, 5): (12, 20), (3, 5): (12, 20)}
    overlapping = {frozenset(("a", "b"))}
    assert {(p.a, p.b) for p in between_cameras(tracklets, overlapping)} == {(2, 5), (3, 5)}
    assert not any(p.is_one_camera for p in between_cameras(tracklets, set()))


def test_neighbors_against_a_plain_loop(monkeypatch):
    monkeypatch.setattr(relations, "BLOCK", 7)
    monkeypatch.setattr(relations, "NUM_NEIGHBORS", 5)
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    ids = np.arange(20) * 3 + 1
    found = find_neighbors(ids, features)
    assert found.keys() == set(ids.tolist())
    for i, row in enumerate(ids.tolist()):
        others = sorted((-float(features[i] @ features[j]), ids[j]) for j in range(20) if j != i)
        assert found[row][0].tolist() == [other for _, other in others[:5]]
        np.testing.assert_allclose(found[row][1], [-s for s, _ in others[:5]], rtol=1e-5)


def test_few_tracklets_have_few_neighbors():
    assert find_neighbors(np.zeros(0, int), np.zeros((0, 0), np.float32)) == {}
    ids, similarities = find_neighbors(np.array([4]), np.ones((1, 2), np.float32))[4]
    assert len(ids) == len(similarities) == 0
