"""RoIAlign that is shared out to threads gives what Detectron2's gives, to the bit."""

import importlib
import threading

import pytest
import torch
from detectron2.layers import ROIAlign

from fully_decoupled_ps.modeling.threaded_roi_align import ThreadedROIAlign

MAPS = torch.randn(2, 8, 30, 40, generator=torch.Generator().manual_seed(0))


def some_rois(number):
    start = torch.rand(number, 2, generator=torch.Generator().manual_seed(1)) * 300
    image = torch.arange(number)[:, None] % 2
    return torch.cat([image, start, start * 1.4 + 30], dim=1)


@pytest.fixture
def threads_used(monkeypatch):
    """The threads in which torchvision's kernel ran, of the three that PyTorch has."""
    layer = importlib.import_module("detectron2.layers.roi_align")  # also a function's name
    used, kernel = [], layer.roi_align

    def note(*args):
        used.append(threading.get_ident())
        return kernel(*args)

    monkeypatch.setattr(layer, "roi_align", note)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    return used


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("number, calls", [(0, 1), (1, 1), (2, 2), (3, 3), (10, 3)])
def test_rois_come_back_in_their_order(number, calls, context, threads_used):
    options = ((16, 8), 1 / 16, 0)
    with context():
        maps, rois = MAPS + 0, some_rois(number)
        expected = ROIAlign(*options)(maps, rois)
        threads_used.clear()
        assert torch.equal(ThreadedROIAlign(*options)(maps, rois), expected)
        assert expected.shape == (number, 8, 16, 8)
    assert len(threads_used) == calls
    assert (threading.get_ident() in threads_used) is (calls == 1)


def test_gradients_are_detectron2_s(threads_used):
    gradients = []
    for kind in (ROIAlign, ThreadedROIAlign):
        maps = MAPS.clone().requires_grad_()
        kind((4, 2), 1 / 16, 2)(maps, some_rois(7)).square().sum().backward()
        gradients.append(maps.grad)
    assert torch.equal(*gradients) and gradients[0].any()
    assert set(threads_used) == {threading.get_ident()}


def test_under_autocast_it_is_the_same(threads_used):
    options, rois = ((4, 2), 1 / 16, 0), some_rois(9)
    with torch.no_grad():
        expected = ROIAlign(*options)(MAPS, rois)
        threads_used.clear()
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(ThreadedROIAlign(*options)(MAPS, rois), expected)
    assert len(threads_used) == 3


def test_maps_of_reduced_precision_take_detectron2_s_way(threads_used):
    options, maps, rois = ((4, 2), 1 / 16, 0), MAPS.bfloat16(), some_rois(9)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = ROIAlign(*options)(maps, rois)
        threads_used.clear()
        found = ThreadedROIAlign(*options)(maps, rois)
    assert found.dtype == expected.dtype and torch.equal(found, expected)
    assert len(threads_used) == 1


def test_at_the_end_of_the_interpreter_one_thread_does_it(monkeypatch):
    def submit(*args):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    pool, rois = ThreadedROIAlign((4, 2), 1 / 16, 0), some_rois(9)
    with torch.no_grad():
        expected = pool(MAPS, rois)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
        monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor.submit", submit)
        assert torch.equal(pool(MAPS, rois), expected)


def test_an_error_in_a_thread_is_raised(threads_used):
    with torch.no_grad(), pytest.raises((RuntimeError, IndexError)):  # by PyTorch's release
        ThreadedROIAlign((4, 2), 1 / 16, 0)(MAPS[0], some_rois(9))
    assert threading.get_ident() not in threads_used
