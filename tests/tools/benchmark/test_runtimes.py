"""Other runtimes have one interface."""

import sys

import numpy as np
import pytest
import torch

from benchmark.runtimes import OpenVinoSession, TorchSession
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
