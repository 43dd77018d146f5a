from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings

from benchmark import plain_loops as reference
from fully_decoupled_ps.evaluation import search_metrics, similarity
from fully_decoupled_ps.evaluation.person_matches import search_iou_thresh
from fully_decoupled_ps.evaluation.search_metrics import SearchVariant

from .worlds import CWS, PLAIN, frame, query, search, worlds

HITS = SearchVariant(num_hits=10)
BOX = (0.0, 0.0, 100.0, 200.0)
FAR = (500.0, 0.0, 600.0, 200.0)


def unit(cosine):
    """A feature whose similarity to (1, 0) is ``cosine``."""
    return (cosine, (1 - cosine**2) ** 0.5)


def search_one(frames, gallery=None, variant=PLAIN):
    """The result of the query (1, 0) for person 7 in frame "q"."""
    frames = [frame("q", [(BOX, 7)], [(BOX, 1.0, (1.0, 0.0))]), *frames]
    return search(frames, [query("q", 7, (1.0, 0.0), gallery)], variant).queries[0]


def test_average_precision_by_hand():
    """
    Ranking: 0.9 right, 0.8 wrong, 0.7 right, 0.6 wrong; a third person is not detected.
    AP = (1/1 + 2/3) / 3.
    """
    found = search_one(
        [
            frame("a", [(BOX, 7)], [(BOX, 1, unit(0.7)), (FAR, 1, unit(0.8))]),
            frame("b", [(BOX, 7)], [(BOX, 1, unit(0.9)), (FAR, 1, unit(0.6))]),
            frame("c", [(BOX, 7)], []),
        ]
    )
    assert found.ap == pytest.approx((1 + 2 / 3) / 3, abs=1e-12)
    assert (found.first_hit_rank, found.num_gt, found.num_tp) == (1, 3, 2)


def test_second_detection_of_a_person_is_wrong():
    """Both overlap the person; 0.9 is right, 0.8 is wrong and ranks before frame b's 0.5."""
    found = search_one(
        [
            frame("a", [(BOX, 7)], [(BOX, 1, unit(0.8)), ((2, 0, 102, 200), 1, unit(0.9))]),
            frame("b", [(BOX, 7)], [(BOX, 1, unit(0.5))]),
        ]
    )
    assert found.ap == pytest.approx((1 + 2 / 3) / 2, abs=1e-12)


def test_ties_count_against_the_query():
    """One right among three of equal similarity: precision 1/3, rank 3."""
    dets = [(BOX, 1, (0.5, 0.0)), (FAR, 1, (0.5, 0.0)), ((0, 300, 9, 400), 1, (0.5, 0.0))]
    found = search_one([frame("a", [(BOX, 7)], dets)])
    assert found.ap == pytest.approx(1 / 3, abs=1e-12)
    assert found.first_hit_rank == 3


def test_right_ones_of_equal_similarity_do_not_push_each_other_down():
    """Two right and one wrong of 0.5: the first right one is second. Precision of both 2/3."""
    frames = [
        frame("a", [(BOX, 7)], [(BOX, 1, (0.5, 0.0)), (FAR, 1, (0.5, 0.0))]),
        frame("b", [(BOX, 7)], [(BOX, 1, (0.5, 0.0))]),
    ]
    found = search_one(frames)
    assert found.first_hit_rank == 2
    assert found.ap == pytest.approx(2 / 3, abs=1e-12)


def test_an_overlap_of_exactly_one_half_is_enough():
    for width, right in ((50, 1), (49, 0)):
        det = (0.0, 0.0, width, 200.0)
        assert search_one([frame("a", [(BOX, 7)], [(det, 1, unit(0.5))])]).num_tp == right


def test_detections_under_the_score_threshold_take_no_part():
    dets = [(BOX, 0.4, unit(0.9)), (FAR, 0.3, unit(0.8)), (BOX, 0.5, unit(0.6))]
    found = search_one([frame("a", [(BOX, 7)], dets)], variant=SearchVariant(score_thresh=0.5))
    assert (found.ap, found.first_hit_rank, found.true_positives) == (1, 1, [3])
    found = search_one([frame("a", [(BOX, 7)], dets)], variant=SearchVariant(score_thresh=0.6))
    assert (found.ap, found.num_gt, found.num_tp) == (0, 1, 0)


def test_cws_multiplies_the_similarity_by_the_score():
    """0.9 x 0.5 falls behind 0.6 x 1."""
    frames = [frame("a", [(BOX, 7)], [(BOX, 0.5, unit(0.9)), (FAR, 1.0, unit(0.6))])]
    assert search_one(frames).ap == 1.0
    assert search_one(frames, variant=CWS).ap == 0.5


def test_cws_can_change_which_detection_of_a_person_is_right():
    """By similarity 0.9 is right and leads; by 0.9 x 0.5 = 0.45 and 0.8 x 1 the other one does."""
    frames = [frame("a", [(BOX, 7)], [(BOX, 0.5, unit(0.9)), (BOX, 1.0, unit(0.8))])]
    assert search_one(frames).true_positives == [1]
    assert search_one(frames, variant=CWS).true_positives == [2]


def test_the_own_frame_is_left_out_unless_listed():
    frames = [frame("a", [(BOX, 7)], [(BOX, 1, unit(0.5))])]
    assert search_one(frames).num_gt == 1
    assert search_one(frames, gallery=["a"]).num_gt == 1
    found = search_one(frames, gallery=["q", "a"])
    assert (found.num_gt, found.num_tp, found.first_hit_rank) == (2, 2, 1)


def test_a_frame_listed_twice_is_scored_once_but_counts_twice():
    frames = [frame("a", [(BOX, 7)], [(BOX, 1, unit(0.5)), (FAR, 1, unit(0.9))])]
    found = search_one(frames, gallery=["a", "a"])
    assert (found.num_gt, found.num_tp, found.first_hit_rank) == (2, 1, 2)
    assert found.ap == pytest.approx((1 / 2) / 2, abs=1e-12)


def test_query_only_frames_are_in_no_gallery_of_all_frames():
    frames = [frame("a", [(BOX, 7)], [(BOX, 1, unit(0.5))], query_only=True)]
    found = search_one(frames, variant=HITS)
    assert (found.num_gt, len(found.hits)) == (0, 0)


def test_first_of_two_boxes_of_an_id_in_a_frame_counts():
    frames = [frame("a", [(BOX, 7), (FAR, 7)], [(FAR, 1, unit(0.9)), (BOX, 1, unit(0.8))])]
    found = search_one(frames)
    assert (found.num_gt, found.num_tp, found.first_hit_rank) == (1, 1, 2)


def test_tiny_boxes_need_less_overlap():
    """10 x 10 pixels: threshold 100 / 400. IoU of a box shifted by 5: 50 / 150, by 7: 30 / 170."""
    tiny = (0.0, 0.0, 10.0, 10.0)
    assert search_iou_thresh(np.array([tiny])) == [0.25]
    for shift, right in ((5, 1), (7, 0)):
        det = (tiny[0] + shift, 0.0, tiny[2] + shift, 10.0)
        assert search_one([frame("a", [(tiny, 7)], [(det, 1, unit(0.5))])]).num_tp == right


def test_negative_similarities():
    frames = [frame("a", [(BOX, 7)], [(FAR, 1, unit(-0.2)), (BOX, 1, unit(-0.9))])]
    found = search_one(frames)
    assert (found.ap, found.first_hit_rank) == (0.5, 2)


def test_hits_are_the_head_of_the_ranking_with_wrong_before_right_in_ties():
    dets = [(BOX, 1, (0.5, 0.0)), (FAR, 1, (0.5, 0.0)), ((0, 300, 9, 400), 1, unit(0.75))]
    found = search_one([frame("a", [(BOX, 7)], dets)], variant=HITS)
    assert found.hits.tolist() == [3, 2, 1]  # row 0 is the query's own
    assert found.hit_similarities.tolist() == [0.75, 0.5, 0.5]
    assert search_one(
        [frame("a", [(BOX, 7)], dets)], variant=SearchVariant(num_hits=2)
    ).hits.tolist() == [3, 2]


def test_queries_without_ground_truth_count_as_zero_or_are_left_out():
    frames = [
        frame("a", [(BOX, 7)], []),
        frame("b", [(BOX, 7)], [(BOX, 1, (1, 0))]),
        frame("c", [(BOX, 8)], [(BOX, 1, (0, 1))]),
    ]
    queries = [query("a", 7, (1, 0)), query("c", 8, (0, 1))]
    assert search(frames, queries).metrics()["mAP"] == 50
    skipped = search(frames, queries, skip=True)
    assert skipped.metrics() == {"mAP": 100, "top1": 100, "top5": 100, "top10": 100}
    assert skipped.num_without_ground_truth == 1 and len(skipped.counted) == 1


def test_nothing_at_all():
    zeros = {"mAP": 0, "top1": 0, "top5": 0, "top10": 0}
    assert search([], []).metrics() == {}
    assert search([frame("a")], [], CWS).metrics() == {}
    assert search([frame("a")], [query("a", 1, (1, 0))], CWS).metrics() == zeros


@pytest.mark.parametrize("cws", [False, True])
@given(world=worlds())
@settings(max_examples=80, deadline=None)
def test_every_query_agrees_with_the_reference(cws, world):
    frames, queries = world
    expected = [reference.search_query(frames, q, cws) for q in queries]
    for skip in (False, True):
        result = search(frames, queries, SearchVariant(cws), skip=skip)
        for found, wanted in zip(result.queries, expected):
            assert found.ap == pytest.approx(wanted["ap"], abs=1e-9)
            assert found.first_hit_rank == wanted["first_hit_rank"]
            assert (found.num_gt, found.num_tp) == (wanted["num_gt"], wanted["num_tp"])
        assert result.metrics() == pytest.approx(
            reference.mean_over_queries(expected, skip), abs=1e-9
        )


@given(world=worlds())
@settings(max_examples=50, deadline=None)
def test_similarities_of_listed_frames_alone_give_the_same(world):
    frames, queries = world
    queries = [q for q in queries if q["gallery"] is not None]
    with mock.patch.object(similarity, "SPARSE_SHARE", 0):
        whole = search(frames, queries, CWS)
    with mock.patch.object(similarity, "SPARSE_SHARE", 2):
        sparse = search(frames, queries, CWS)
    for one, other in zip(whole.queries, sparse.queries):
        assert (one.ap, one.first_hit_rank) == (other.ap, other.first_hit_rank)
        assert (one.num_gt, one.num_tp) == (other.num_gt, other.num_tp)


@given(world=worlds())
@settings(max_examples=50, deadline=None)
def test_hits_agree_with_the_other_figures(world):
    frames, queries = world
    for found in search(frames, queries, HITS).queries:
        ranks = np.flatnonzero(np.isin(found.hits, found.true_positives)) + 1
        first = found.first_hit_rank
        assert (ranks[0] if len(ranks) else None) == (first if first and first <= 10 else None)
        assert (np.diff(found.hit_similarities) <= 0).all()
        assert len(found.gt_rows) == len(found.true_positives)


@given(world=worlds())
@settings(max_examples=50, deadline=None)
def test_the_order_of_frames_does_not_matter(world):
    frames, queries = world
    one = search(frames, queries)
    other = search(frames[::-1], queries)
    assert [q.ap for q in one.queries] == pytest.approx([q.ap for q in other.queries], abs=1e-12)
    assert one.metrics() == pytest.approx(other.metrics(), abs=1e-9)


def test_blocks_of_queries_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    queries = [query("q", 7, unit(c)) for c in rng.uniform(-1, 1, 9)]
    frames = [frame("q")] + [
        frame(str(i), [(BOX, 7)], [(BOX, 1, unit(c)), (FAR, 1, unit(-c))])
        for i, c in enumerate(rng.uniform(-1, 1, 20))
    ]
    whole = search(frames, queries, CWS)
    monkeypatch.setattr(similarity, "BLOCK_BYTES", 4 * 40 * 5)  # 5 queries a block
    monkeypatch.setattr(search_metrics, "PART_BYTES", 4 * 40 * 2)  # and 2 of them a part
    blocks = search(frames, queries, CWS)
    assert [q.ap for q in blocks.queries] == [q.ap for q in whole.queries]
    assert whole.metrics()["mAP"] > 0


def many_dimensions(rng, exact):
    """200 frames of 2048-d features, in float32; if ``exact``, all sums of products are exact."""

    def feature(center):
        values = center + rng.normal(size=2048)
        if exact:  # multiples of 1/64 of at most 2/64: sums stay below 2^13 of 2^-12
            return np.clip(np.round(values), -2, 2).astype(np.float32) / 64
        return (values / np.linalg.norm(values)).astype(np.float32)

    centers = rng.normal(size=(5, 2048)) / 8
    frames = [frame("q", [(BOX, 0)])]
    for i in range(200):
        person, scores = int(rng.integers(5)), np.round(rng.uniform(0.5, 1, 3) * 256) / 256
        features = [feature(centers[person]), feature(0), feature(0)]
        boxes = (BOX, FAR, (0.0, 300.0, 90.0, 500.0))
        frames.append(frame(str(i), [(BOX, person)], list(zip(boxes, scores, features))))
    return frames, [query("q", i, feature(centers[i])) for i in range(5)]


def exact_similarities(queries, gallery, *_):
    yield 0, queries.astype(np.float64) @ gallery.T.astype(np.float64)


@pytest.mark.parametrize("cws", [False, True])
def test_2048_dimensions_without_rounding_agree_to_1e_12(cws, monkeypatch):
    """
    Once with features whose products float32 holds exactly, once with products in float64. So what
    two programs differ by in float32 is its rounding, and nothing else.
    """
    for exact in (True, False):
        frames, queries = many_dimensions(np.random.default_rng(3), exact)
        expected = [reference.search_query(frames, q, cws, dtype=np.float64) for q in queries]
        if not exact:
            monkeypatch.setattr(search_metrics, "similarity_blocks", exact_similarities)
        result = search(frames, queries, SearchVariant(cws), dim=2048)
        for found, wanted in zip(result.queries, expected):
            assert 0.05 < wanted["ap"] < 1
            assert found.ap == pytest.approx(wanted["ap"], abs=1e-12)
