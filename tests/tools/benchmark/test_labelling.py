"""What the simulated labeller does, and how its work is measured, on cases worked by hand."""

from argparse import Namespace

import numpy as np
import pytest

from benchmark.labeller import Labeller, pairwise, quality
from benchmark.labelling_data import make_project
from benchmark.labelling_truth import INEXACT, NOBODY, Truth, read_truth
from benchmark_label import run
from fully_decoupled_ps.errors import UserError
from person_search.label.labelling import Labelling
from person_search.label.records import NOT_PERSON, SPLIT
from tests.person_search.label import made_up


def test_pairs():
    labels, identities = np.array([1, 1, 1, 2, NOBODY]), np.array([5, 5, 6, 6, 5])
    # of three pairs with one label one is right; of 3 pairs of 5 and one of 6 one is found
    assert pairwise(labels, identities) == (1 / 3, 1 / 4)
    # somebody with nobody is wrong
    assert pairwise(np.array([1, 1]), np.array([5, NOBODY])) == (0, 1)


@pytest.fixture
def labelling(tmp_path):
    features = [np.eye(8, dtype=np.float32)[[who] * 3] for who in (0, 0, 1)]
    return Labelling(made_up.make_project(tmp_path, features))


def truth_of(*views: list[int]) -> Truth:
    """Five boxes a tracklet, views in the first, third and last, as made_up makes them."""
    boxes = [np.array([v[0], v[0], v[1], v[2], v[2]]) for v in views]
    times = np.arange(5.0)
    return Truth({i: (times, who) for i, who in enumerate(boxes, 1)}, dict(enumerate(views, 1)))


def test_faults_are_mended_before_an_answer(labelling):
    truth = truth_of([7, 7, 8], [7, NOBODY, 7], [NOBODY, NOBODY, 9])
    labeller = Labeller(labelling, truth)
    while (question := labelling.question()) is not None:
        labeller.answer(question)
    assert labeller.decisions[SPLIT] == 1 and labeller.decisions[NOT_PERSON] == 1
    assert [len(group.units) for group in labelling.groups()] == [2, 1]
    found = quality(labelling, truth)
    # labelled: of the first tracklet boxes 0 to 2 and, as another person, box 4 (box 3 is between
    # views), of the second all, one of them nobody's: 8 boxes of the first person, 28 pairs, of
    # which the 7 with nobody's are wrong
    assert found.precision == pytest.approx(21 / 28)
    # true: 7 boxes of the first, 2 of another, and 2 of the third tracklet: 21 + 1 + 1 pairs
    assert found.recall == pytest.approx(21 / 23)
    assert found[2:] == (1, 1)


def test_nothing_is_labelled_before_a_decision(labelling):
    assert quality(labelling, truth_of(*[[1, 1, 1]] * 3))[:2] == (1, 0)


def test_truth_is_read_from_mot_files(tmp_path):
    """Boxes are 5 wide and 20 high, each 10 pixels further; frames are a second apart."""
    features = [np.eye(8, dtype=np.float32)[[0] * 3]]
    project = made_up.make_project(tmp_path, features, folder="/site/door")
    folder = tmp_path / "truth" / "door"
    (folder / "gt").mkdir(parents=True)
    with pytest.raises(UserError, match="door has no seqinfo.ini"):
        read_truth(project, folder.parent)
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=door\nframeRate=2\n")
    lines = [
        "1,4,0,0,5,20,1,1,1",  # the same box,
        "1,8,0,0,5,22,1,1,1",  # which is nearly as much this person's
        "3,4,10,0,5,50,1,1,1",  # IoU 0.4
        "5,4,20,0,5,200,1,1,1",  # IoU 0.1
        "7,4,35,0,5,20,1,1,1",  # elsewhere
        "9,4,40,0,5,34,1,1,1",
        "9,6,40,0,5,20,1,1,1",  # fits better by far
    ]
    (folder / "gt" / "gt.txt").write_text("\n".join(lines))
    truth = read_truth(project, folder.parent)
    assert truth.boxes[1][1].tolist() == [INEXACT, INEXACT, NOBODY, NOBODY, 6]
    assert truth.views == {1: [4, NOBODY, 6]}  # in frames 1, 5 and 9


def test_a_made_up_project_is_labelled(tmp_path):
    args = Namespace(
        **dict(tracklets=60, persons=8, cameras=2, dim=32, seed=0),
        **dict(impure=0.05, nobody=0.05, noise=0.5),
    )
    project, truth = make_project(tmp_path, args)
    result = run(project, truth, most=3)
    assert result["reached"]["precision"] > 0.98
    assert result["reached"]["decisions_per_tracklet"] < 1.6
    assert sum(result["decisions"].values()) == len(project.decisions())
    assert INEXACT not in {i for views in truth.views.values() for i in views}
