"""Other runtimes have one interface."""

import sys

import numpy as np
import pytest
import torch

from benchmark.runtimes import (
    REDUCED_TOLERANCE,
    OpenVinoSession,
    TorchSession,
    check_reduced,
)
from fully_decoupled_ps import UserError
from tests.testing import make_model


def test_pytorchs_session_gives_what_the_network_gives():
    model = make_model("reid", ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0))
    image = torch.rand(3, 64, 96) * 255
    boxes, scores, features = TorchSession(model).run(None, {"image": image.numpy()})
    found = model([{"image": image}])[0]["instances"]
    assert len(found) > 0
    np.testing.assert_array_equal(boxes, found.pred_boxes.tensor)
    np.testing.assert_array_equal(scores, found.scores)
    np.testing.assert_array_equal(features, found.reid_features)


def test_a_runtime_that_is_not_installed_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match="pip install openvino"):
        OpenVinoSession(tmp_path / "whole.onnx", threads=1)


class Changed:
    """A session whose results are changed."""

    def __init__(self, session, change):
        self.session, self.change = session, change

    def run(self, names, feeds):
        return self.change(*self.session.run(names, feeds))


def test_a_reduced_type_is_compared_more_loosely_but_compared():
    model = make_model("reid", ("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0))
    session, images = TorchSession(model), [torch.rand(3, 64, 96) * 255]
    number = len(model([{"image": images[0]}])[0]["instances"])
    assert check_reduced(session, model, images) == (0.0, number)
    # in another order, moved by half a pixel, one feature by a little
    near = Changed(session, lambda b, s, f: (b[::-1] + 0.1, s[::-1], f[::-1] + np.float32(0.01)))
    difference, compared = check_reduced(near, model, images)
    assert compared == number and difference > 0.009
    other = Changed(session, lambda b, s, f: (b, s, -f))
    assert check_reduced(other, model, images)[0] > REDUCED_TOLERANCE
    for change in (lambda b, s, f: (b + 500, s, f), lambda b, s, f: (b[:0], s[:0], f[:0])):
        with pytest.raises(UserError, match=f"of {number} persons only 0 are found by PyTorch in"):
            check_reduced(Changed(session, change), model, images)
