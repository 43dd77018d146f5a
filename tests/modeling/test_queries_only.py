"""Frames in which nobody is to be detected: the same features for less work."""

import pytest
import torch

from tests.modeling.test_inference_form import NETWORKS, build
from tests.testing import image, make_model

QUERIES = [[4, 6, 30, 60], [40.5, 2, 62, 50]]


def calls_of(module):
    calls = []
    module.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_those_of_the_whole_network(name):
    _, model = build(name)
    inputs = [{"image": image(seed), "queries": QUERIES} for seed in (1, 2)]
    expected = model(inputs)
    calls = calls_of(model.detector)
    found = model([{**x, "queries_only": True} for x in inputs])
    # a coupled network's features are the detector's own
    assert bool(calls) is name.startswith("coupled")
    for x, y in zip(expected, found):
        assert torch.allclose(x["query_features"], y["query_features"], atol=1e-6)
        assert y["query_features"].abs().max() > 0
        persons, others = y["instances"], x["instances"]
        assert len(persons) == 0 < len(others)
        assert persons.image_size == others.image_size
        assert set(persons.get_fields()) == set(others.get_fields())
        for field, value in persons.get_fields().items():
            value, other = (getattr(v, "tensor", v) for v in (value, others.get(field)))
            assert (value.dtype, value.shape[1:]) == (other.dtype, other.shape[1:]), field


def test_frames_of_both_kinds_in_one_batch():
    model = make_model("reid")
    size = {"height": 128, "width": 192}
    inputs = [{"image": image(seed), "queries": QUERIES, **size} for seed in (1, 2, 3)]
    expected = model(inputs)
    found = model([inputs[0], {**inputs[1], "queries_only": True}, inputs[2]])
    assert [len(x["instances"]) > 0 for x in found] == [True, False, True]
    assert found[1]["instances"].image_size == (128, 192)
    for x, y in zip(expected, found):
        assert torch.allclose(x["query_features"], y["query_features"], atol=1e-6)
    for i in (0, 2):
        assert torch.allclose(
            expected[i]["instances"].reid_features, found[i]["instances"].reid_features, atol=1e-6
        )


def test_a_frame_without_queries():
    (found,) = make_model("reid")([{"image": image(1), "queries_only": True}])
    assert set(found) == {"instances"}
    assert found["instances"].reid_features.shape == (0, 256)


def test_without_f_r_nobody_is_found():
    model = make_model("detection")
    calls = calls_of(model.detector)
    (found,) = model([{"image": image(1), "queries": QUERIES, "queries_only": True}])
    assert set(found) == {"instances"} and len(found["instances"]) == 0 and not calls
