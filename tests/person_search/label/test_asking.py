"""Questions are about pairs that are open and probable, and learn from the answers."""

import numpy as np
import pytest

from person_search.label.asking import Asking
from person_search.label.features import SHRINKAGE, UnitFeatures
from person_search.label.identities import Facts, Identities
from person_search.label.labelling import Labelling
from person_search.label.records import DIFFERENT, NOT_PERSON, SAME, SPLIT, UNSURE

from .made_up import log, make_project, pair


def features_of(who, noise=0.1, seed=0) -> list[np.ndarray]:
    """(3, 16) each: three views of tracklets of persons with directions of their own."""
    rng = np.random.default_rng(seed)
    views = np.eye(16, dtype=np.float32)[list(who)][:, None].repeat(3, axis=1)
    views = views + noise * rng.standard_normal(views.shape)
    return list(views / np.linalg.norm(views, axis=2, keepdims=True))


def answer_all(labelling: Labelling, who) -> list[tuple[int, int, bool]]:
    """Answer truthfully until nothing is asked."""
    asked = []
    while (question := labelling.question()) is not None:
        is_same = who[question.a - 1] == who[question.b - 1]
        asked.append((question.a, question.b, is_same))
        kind = SAME if is_same else DIFFERENT
        labelling.decide(f"{len(asked)}", kind, pair(question.a, question.b))
    return asked


def test_persons_that_look_alike_are_asked_first_and_nothing_twice(tmp_path):
    who = (0, 0, 0, 1, 1, 2)
    labelling = Labelling(make_project(tmp_path, features_of(who)))
    assert labelling.question() == labelling.question()
    asked = answer_all(labelling, who)
    # two merges of the first person, one of the second; then the three persons with each other
    assert [same for _, _, same in asked] == [True] * 3 + [False] * 3
    assert [group.units for group in labelling.groups()] == [(1, 2, 3), (4, 5), (6,)]
    progress = labelling.progress()
    assert (progress.recall, progress.left) == (1.0, 0)


def test_a_question_shows_both_persons_whole(tmp_path):
    labelling = Labelling(make_project(tmp_path, features_of((0, 0, 0))))
    labelling.decide("1", SAME, pair(1, 2))
    question = labelling.question()
    assert sorted(map(sorted, (question.left, question.right))) == [[1, 2], [3]]
    assert (question.left[0], question.right[0]) == (question.a, question.b)


def test_what_follows_or_is_unsure_is_not_asked(tmp_path):
    features = features_of((0,) * 4)
    labelling = Labelling(make_project(tmp_path, features, [(1, 2, 0.0, 2.0, True)]))
    labelling.decide("1", UNSURE, pair(3, 4))
    labelling.decide("2", NOT_PERSON, {"unit": 1})
    labelling.decide("3", DIFFERENT, pair(2, 3))
    question = labelling.question()
    assert {question.a, question.b} == {2, 4}
    labelling.decide("4", DIFFERENT, pair(2, 4))
    assert labelling.question() is None
    # the first tracklet is back, and was seen with the second
    labelling.undo("5", 2)
    question = labelling.question()
    assert 1 in (question.a, question.b) and 2 not in (question.a, question.b)
    # the unsure pair is open again when one of them has grown
    labelling.decide("6", SAME, pair(1, 3))
    question = labelling.question()
    assert {*question.left, *question.right} == {1, 3, 4}


def test_probabilities_follow_the_answers(tmp_path):
    """Where pairs of the same similarity were all different, the next ones are improbable."""
    labelling = Labelling(make_project(tmp_path, features_of((0,) * 12, noise=0.3)))
    before = labelling.question().probability
    for number in range(12):
        question = labelling.question()
        labelling.decide(str(number), DIFFERENT, pair(question.a, question.b))
    assert labelling.question().probability < 0.3 < before


def test_two_parts_of_a_tracklet_have_features_of_their_own(tmp_path):
    first, other, third = features_of((0, 1, 0), noise=0.0)
    mixed = np.concatenate([first[:2], other[:1]])
    project = make_project(tmp_path, [mixed, other, third])
    labelling = Labelling(project)
    labelling.decide("1", SPLIT, {"unit": 1, "view": 2})
    questions = []
    for number in range(2):
        question = labelling.question()
        questions.append({question.a, question.b})
        labelling.decide(f"a {number}", SAME, pair(question.a, question.b))
    assert sorted(map(sorted, questions)) == [[-1, 2], [1, 3]]


def test_a_feature_is_that_of_the_views_less_what_its_camera_has_in_common(tmp_path):
    features = features_of((0, 1, 2, 3), noise=0.2)
    project = make_project(tmp_path, features, cameras=2)
    tracklets = project.tracklets()
    found = UnitFeatures(project, tracklets).of_tracklets([t.tracklet_id for t in tracklets])
    for camera in range(2):
        # as they are stored
        means = [f.astype(np.float16).astype(np.float32).mean(axis=0) for f in features[camera::2]]
        means = [mean / np.linalg.norm(mean) for mean in means]
        common = sum(means) / (len(means) + SHRINKAGE)
        rows = [t.camera == f"camera {camera}" for t in tracklets]
        for row, mean in zip(found[rows], means):
            expected = mean - common
            np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_project_without_tracklets_has_nothing_to_ask(tmp_path):
    project = make_project(tmp_path, features_of((0,)))
    for sql in ("DELETE FROM tracklets", "DELETE FROM neighbors"):
        project._run(sql)
    labelling = Labelling(project)
    assert labelling.question() is None
    assert labelling.progress()[:4] == (0, 0, 0, 1.0)


def test_examples_are_the_persons_as_they_were_when_asked(tmp_path):
    project = make_project(tmp_path, features_of((0,) * 4))
    facts = Facts(project.tracklets(), [])
    decisions = log((SAME, pair(1, 2)), (SAME, pair(2, 3)), (SAME, pair(1, 3)))
    state = Identities(facts, decisions)
    assert [tuple(example) for example in state.examples] == [
        ((1,), (2,), True),
        ((1, 2), (3,), True),
    ]
    asking = Asking(project, facts)
    asking.update(state, {d.number: d.payload for d in decisions})
    units = asking._features.of_tracklets([1, 2, 3])
    expected = (units[0] @ units[2] + units[1] @ units[2]) / 2
    columns = asking._columns_of(state.examples)
    np.testing.assert_allclose(columns[1, 1], expected, atol=1e-5)
    assert columns[1, -1] == pytest.approx(1)  # all of one camera
