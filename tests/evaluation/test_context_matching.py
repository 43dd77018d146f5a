import numpy as np
import pytest

from benchmark import plain_loops as reference
from fully_decoupled_ps.evaluation.search_metrics import SearchVariant

from .worlds import frame, query, search

A = (0.0, 0.0, 100.0, 200.0)
B = (300.0, 0.0, 400.0, 200.0)
C = (600.0, 0.0, 700.0, 200.0)
D = (900.0, 0.0, 1000.0, 200.0)


def test_company_outweighs_a_look_alike():
    """
    Alone, the look-alike in b (0.8) beats the person in a (0.7). The query's companion (0, 1, 0) is
    beside the person in a: of the matched similarities 0.7 and 0.9 the largest is 0.9, which the
    person gets; not their sum. Nobody like it is in b: of 0.8 and 0 the largest is 0.8.
    """
    frames = [
        frame("q", [(A, 7)], [(A, 1, (1, 0, 0)), (B, 0.9, (0, 1, 0))]),
        frame("a", [(A, 7)], [(A, 1, (0.7, 0, 0)), (B, 1, (0, 0.9, 0))]),
        frame("b", [], [(A, 1, (0.8, 0, 0)), (B, 1, (0, 0, 1))]),
    ]
    queries = [query("q", 7, (1, 0, 0), bbox=A)]
    plain = search(frames, queries, dim=3).queries[0]
    matched = search(frames, queries, SearchVariant(context=(10, 2), num_hits=4), dim=3).queries[0]
    assert (plain.first_hit_rank, matched.first_hit_rank) == (2, 1)
    assert matched.hit_similarities.tolist() == pytest.approx([0.9, 0.8, 0, 0])
    # only the frame of the most similar detection, b, is looked at
    matched = search(frames, queries, SearchVariant(context=(1, 2), num_hits=4), dim=3).queries[0]
    assert matched.hit_similarities.tolist() == pytest.approx([0.8, 0.7, 0, 0])


def test_a_case_by_hand():
    """
    The query's frame holds, beside the query, X (score 0.9), Y (0.8) and Z (0.7); k2 = 3 takes X
    and Y. Similarities of query, X and Y to the three people of frame a:

        query  0.5   0.6   0.1
        X      0.1   0.75  0.0
        Y      0.2   0.3   0.4

    Sums: 0.5 + 0.75 + 0.4 = 1.65 is the highest (0.6 + 0.1 + 0.4 = 1.1, 0.6 + 0.0 + 0.2 = 0.8,
    0.5 + 0.0 + 0.3 = 0.8, 0.1 + 0.75 + 0.2 = 1.05, 0.1 + 0.1 + 0.3 = 0.5). So the query's partner
    is the first, which gets 0.75; the second, most similar to the query, keeps 0.6. With Z, which
    resembles the third by 1, in Y's place, the first would get 1.
    """
    own = [(A, 1, (1, 0, 0, 0)), (D, 0.7, (0, 0, 0, 1))]
    own += [(C, 0.8, (0, 0, 1, 0)), (B, 0.9, (0, 1, 0, 0))]
    people = [(A, 1, (0.5, 0.1, 0.2, 0)), (B, 1, (0.6, 0.75, 0.3, 0)), (C, 1, (0.1, 0, 0.4, 1))]
    frames = [frame("q", [(A, 7)], own), frame("a", [(A, 7)], people)]
    variant = SearchVariant(context=(1, 3), num_hits=3)
    found = search(frames, [query("q", 7, (1, 0, 0, 0), bbox=A)], variant, dim=4).queries[0]
    assert found.hit_similarities.tolist() == pytest.approx([0.75, 0.6, 0.1])
    assert found.first_hit_rank == 1


def test_scores_weigh_gallery_detections_only():
    """CWS: query 0.8 x 0.5 and companion 1 x 0.9; the companion's own score, 0.7, has no part."""
    frames = [
        frame("q", [(A, 7)], [(B, 0.7, (0, 1, 0))]),
        frame("a", [(A, 7)], [(A, 0.5, (0.8, 0, 0)), (B, 0.9, (0, 1, 0))]),
    ]
    variant = SearchVariant(True, context=(10, 2), num_hits=2)
    found = search(frames, [query("q", 7, (1, 0, 0), bbox=A)], variant, dim=3).queries[0]
    assert found.hit_similarities.tolist() == pytest.approx([0.9, 0])


def test_the_query_itself_is_no_context():
    """The detection on the query's own box takes no part: only B's (0, 0, 1) is context."""
    frames = [
        frame("q", [(A, 7)], [(A, 1, (1, 0, 0)), (B, 0.5, (0, 0, 1))]),
        frame("a", [(A, 7)], [(A, 1, (0.5, 0, 0)), (B, 1, (0.25, 0, 0.75))]),
    ]
    variant = SearchVariant(context=(10, 2), num_hits=1)
    found = search(frames, [query("q", 7, (1, 0, 0), bbox=A)], variant, dim=3).queries[0]
    assert found.hit_similarities.tolist() == [0.75]


@pytest.mark.parametrize("width, similarity", [(50, 0.75), (51, 0.5)])
def test_what_overlaps_the_query_by_more_than_one_half_is_the_query(width, similarity):
    """IoU 50 / 100 is another person, 51 / 100 is not."""
    beside = (0.0, 0.0, float(width), 200.0)
    frames = [
        frame("q", [(A, 7)], [(beside, 1, (0, 0, 1))]),
        frame("a", [(A, 7)], [(A, 1, (0.5, 0, 0)), (B, 1, (0.25, 0, 0.75))]),
    ]
    variant = SearchVariant(context=(10, 2), num_hits=1)
    found = search(frames, [query("q", 7, (1, 0, 0), bbox=A)], variant, dim=3).queries[0]
    assert found.hit_similarities.tolist() == [similarity]


def test_a_frame_with_fewer_people_than_the_context():
    """One detection, and the companion resembles it more: the query has no partner there."""
    frames = [
        frame("q", [(A, 7)], [(B, 1, (0, 1, 0))]),
        frame("a", [(A, 7)], [(A, 1, (0.25, 0.5, 0))]),
    ]
    variant = SearchVariant(context=(10, 3), num_hits=1)
    found = search(frames, [query("q", 7, (1, 0, 0), bbox=A)], variant, dim=3).queries[0]
    assert found.hit_similarities.tolist() == [0.25]


@pytest.mark.parametrize("cws", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_agrees_with_trying_all_pairings(cws, seed):
    rng = np.random.default_rng(seed)

    def people(count):
        features = rng.normal(size=(count, 3)).astype(np.float32)
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        boxes = [(A, B, C)[i] for i in rng.integers(0, 3, count)]
        return list(zip(boxes, rng.uniform(0.1, 1, count), features))

    frames = [
        frame(f"f{i}", [(A, 1), (B, 2)], people(rng.integers(0, 5)), query_only=i == 5)
        for i in range(6)
    ]
    queries = [
        query(f"f{i}", i % 2 + 1, rng.normal(size=3), gallery, bbox=(A, B)[i % 2])
        for i, gallery in ((0, None), (1, None), (2, ["f0", "f2", "f4"]), (5, None))
    ]
    context = (int(rng.integers(1, 6)), int(rng.integers(1, 5)))
    result = search(frames, queries, SearchVariant(cws, context=context), dim=3)
    for found, q in zip(result.queries, queries):
        wanted = reference.search_query(frames, q, cws, context)
        assert found.ap == pytest.approx(wanted["ap"], abs=1e-9)
        assert found.first_hit_rank == wanted["first_hit_rank"]
