"""The colour-histogram floor: its feature by hand, its figures against a plain loop."""

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from scipy.io import loadmat, savemat
from sklearn.metrics import average_precision_score

import evaluate_color_histogram as command
from fully_decoupled_ps.data import register_prw
from fully_decoupled_ps.dataset_tools.synthetic import SyntheticSpec, make_synthetic_dataset
from fully_decoupled_ps.evaluation.color_histogram import color_histogram, evaluate_color_histogram

RED, BLUE, WHITE = (0, 255, 255), (120, 255, 255), (0, 0, 255)  # HSV


def striped(*colours):
    """A 20 px wide picture of 10 rows a colour."""
    return np.repeat(np.array(colours, np.uint8), 10, axis=0)[:, None].repeat(20, axis=1)


def whole(image):
    return (0, 0, image.shape[1], image.shape[0])


def similarity(one, other):
    return float(color_histogram(one, whole(one)) @ color_histogram(other, whole(other)))


class TestFeature:
    def test_it_has_length_one_and_a_bin_a_stripe_for_one_colour(self):
        image = striped(RED)
        feature = color_histogram(image, whole(image))
        assert feature.dtype == np.float32 and feature.shape == (6 * 16 * 8 * 4,)
        assert np.linalg.norm(feature) == pytest.approx(1, abs=1e-6)
        assert np.count_nonzero(feature) == 6

    def test_the_same_colours_in_another_order_are_another_person(self):
        upper_red, upper_blue = striped(RED, BLUE), striped(BLUE, RED)
        assert similarity(upper_red, upper_red) == pytest.approx(1)
        assert similarity(upper_red, upper_blue) == 0

    def test_half_of_the_stripes_in_common(self):
        assert similarity(striped(RED, BLUE), striped(RED, WHITE)) == pytest.approx(0.5)

    def test_shares_within_a_stripe(self):
        """One is all red, the other a quarter red: sqrt(1 * 1/4) = 1/2 in every stripe."""
        image = striped(RED)
        image[:, 5:] = BLUE
        assert similarity(striped(RED), image) == pytest.approx(0.5)

    def test_size_does_not_matter(self):
        image = striped(RED, WHITE, BLUE)
        assert similarity(image, image.repeat(3, axis=0).repeat(2, axis=1)) == pytest.approx(1)

    def test_only_the_box_counts(self):
        image = striped(RED, BLUE)
        upper = color_histogram(image, (0, 0, 20, 10))
        assert upper @ color_histogram(striped(RED), (3, 0, 9, 10)) == pytest.approx(1)

    @pytest.mark.parametrize(
        "box", [(5.2, 5.3, 5.4, 5.5), (19.5, 9.5, 30, 30), (-5, -5, 1, 1), (20, 10, 20, 10)]
    )
    def test_tiny_boxes_and_boxes_at_the_border(self, box):
        image = striped(RED)
        assert color_histogram(image, box) @ color_histogram(image, whole(image)) == pytest.approx(
            1
        )


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    spec = SyntheticSpec(12, 72, 2, 20, width=240, height=135, max_queries=40)
    root = make_synthetic_dataset(tmp_path_factory.mktemp("floor") / "synthetic", spec)
    # One frame with nobody in it, as real data have.
    frame = str(loadmat(root / "frame_train.mat")["img_index_train"][0][0][0])
    names = loadmat(root / "frame_test.mat")["img_index_test"]
    cells = np.empty((len(names) + 1, 1), dtype=object)
    cells[:, 0] = [*(row[0][0] for row in names), frame]
    savemat(root / "frame_test.mat", {"img_index_test": cells})
    savemat(root / "annotations" / f"{frame}.jpg.mat", {"box_new": np.zeros((0, 5))})
    return root


@pytest.fixture
def name(root):
    register_prw("floor_test", str(root), "test")
    yield "floor_test"
    DatasetCatalog.remove("floor_test")
    MetadataCatalog.remove("floor_test")


def expected_map(name):
    """Plain loops over all boxes: every box is a detection, so AP needs no matching."""
    rows = []
    for d in DatasetCatalog.get(name):
        hsv = cv2.cvtColor(cv2.imread(d["file_name"]), cv2.COLOR_BGR2HSV)
        for a in d["annotations"]:
            box = np.float32(a["bbox"])
            rows.append((d["image_id"], a["person_id"], color_histogram(hsv, box), a["bbox"]))
    scores = []
    for query in MetadataCatalog.get(name).protocols_fn()["full"]:
        (feature,) = [r[2] for r in rows if r[0] == query["image_id"] and r[3] == query["bbox"]]
        gallery = [r for r in rows if r[0] != query["image_id"]]
        correct = [r[1] == query["person_id"] for r in gallery]
        scores.append(average_precision_score(correct, [r[2] @ feature for r in gallery]))
    return 100 * np.mean(scores)


def test_figures_are_those_of_plain_loops(name):
    results = evaluate_color_histogram(name)
    assert results["detection"]["AP"] == results["detection"]["recall"] == pytest.approx(100)
    assert results["search"]["mAP"] == pytest.approx(expected_map(name), abs=0.05)


def test_raw_colour_carries_over_to_no_other_camera(name):
    """What the synthetic benchmark is worth: the floor is low, lowest where cameras differ."""
    results = evaluate_color_histogram(name)
    assert results["search"]["mAP"] < 20
    assert results["search_multi_view"]["mAP"] < 15
    assert results["search_multi_view"]["top1"] < 0.6 * results["search"]["top1"]


def test_the_command_prints_the_table_and_names_what_is_wrong(name, tmp_path, capsys):
    main = command.main
    assert main(["--dataset", name, "--output-dir", str(tmp_path)]) == 0
    assert (tmp_path / "metrics.json").exists()
    assert "Colour histograms: 100%" in capsys.readouterr().err  # the progress
    assert main(["--dataset", "nothing"]) == 2
    error = capsys.readouterr().err
    assert "'nothing' is not registered" in error and error.strip().count("\n") == 0
