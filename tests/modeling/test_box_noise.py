"""SnA: ranges, clipping, order, and that a seed fixes it."""

import pytest
import torch
from detectron2.structures import Boxes

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import BoxNoise

SIZE = (800, 800)  # height, width
GT = torch.tensor([[200.0, 300.0, 240.0, 400.0], [300.0, 250.0, 310.0, 550.0]])
WIDTH, HEIGHT = torch.tensor([40.0, 10.0]), torch.tensor([100.0, 300.0])


def centre_and_size(boxes):
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def draw(shift=0.2, scale=0.2, copies=2000, gt=GT, size=SIZE):
    """The noisy copies alone, (n, M, 4)."""
    noisy = BoxNoise(center_shift=shift, scale=scale, num_copies=copies)(Boxes(gt), size)
    return noisy.tensor[len(gt) :].view(copies, len(gt), 4)


@pytest.mark.parametrize("shift, scale", [(0.2, 0.3), (0.6, 0.1)])
def test_ranges_are_kept_and_used(shift, scale):
    centre, size = centre_and_size(draw(shift, scale))
    gt_centre, gt_size = centre_and_size(GT)
    moved = (centre - gt_centre) / gt_size  # of the width and of the height
    scaled = size / gt_size
    for values, bound in ((moved, shift / 2), (scaled - 1, scale)):
        flat = values.flatten(0, 1)  # (n * M, 2): x or width, y or height
        assert (flat.abs() <= bound + 1e-4).all()
        assert (flat.amax(0) > 0.97 * bound).all() and (flat.amin(0) < -0.97 * bound).all()
        # uniform: deviation of bound / sqrt(3), centred
        torch.testing.assert_close(flat.std(0), torch.full((2,), bound / 3**0.5), rtol=0.05, atol=0)
        assert (flat.mean(0).abs() < 0.06 * bound).all()


def test_the_four_draws_are_independent():
    centre, size = centre_and_size(draw())
    gt_centre, gt_size = centre_and_size(GT)
    draws = torch.cat([(centre - gt_centre) / gt_size, size / gt_size], dim=2).flatten(0, 1)
    correlation = torch.corrcoef(draws.t()) - torch.eye(4)
    assert (correlation.abs() < 0.1).all()


def test_given_boxes_come_first_and_copies_in_rounds():
    noise = BoxNoise(center_shift=0.1, scale=0.1, num_copies=3)
    boxes = noise(Boxes(GT), SIZE)
    assert len(boxes) == 8
    assert torch.equal(boxes.tensor[:2], GT)
    # box i of every round is a copy of box i: their centres are 90 pixels apart, noise moves by < 5
    ids = torch.tensor([0, 1]).repeat(4)
    centre, _ = centre_and_size(boxes.tensor)
    nearest = torch.cdist(centre, centre_and_size(GT)[0]).argmin(dim=1)
    assert torch.equal(nearest, ids)


def test_copies_are_clipped_and_never_empty():
    gt = torch.tensor([[0.0, 0.0, 30.0, 60.0], [770.0, 730.0, 800.0, 790.0]])
    noisy = draw(0.9, 0.9, gt=gt, size=(790, 800))
    assert (noisy >= 0).all()
    assert (noisy[..., 0::2] <= 800).all() and (noisy[..., 1::2] <= 790).all()
    assert (noisy[..., 2:] > noisy[..., :2]).all()
    assert (
        noisy[:, 0, :2].eq(0).any()
        and noisy[:, 1, 2].eq(800).any()
        and noisy[:, 1, 3].eq(790).any()
    )


def test_a_seed_fixes_the_noise():
    torch.manual_seed(7)
    first, second = draw(copies=3), draw(copies=3)
    torch.manual_seed(7)
    assert torch.equal(draw(copies=3), first)
    assert not torch.equal(first, second)


def test_no_copies():
    assert torch.equal(
        BoxNoise(center_shift=0.2, scale=0.2, num_copies=0)(Boxes(GT), SIZE).tensor, GT
    )


@pytest.mark.parametrize("copies", [0, 3])
def test_no_boxes(copies):
    noise = BoxNoise(center_shift=0.2, scale=0.2, num_copies=copies)
    assert noise(Boxes(torch.zeros(0, 4)), SIZE).tensor.shape == (0, 4)


def test_no_noise_means_equal_copies():
    assert torch.equal(draw(0.0, 0.0, copies=2), GT.expand(2, 2, 4))


def test_given_boxes_are_not_changed():
    gt = torch.tensor([[-5.0, 3.0, 700.0, 20.0]])
    before = gt.clone()
    draw(copies=2, gt=gt)
    assert torch.equal(gt, before)


@pytest.mark.parametrize(
    "name, value", [("center_shift", 1.0), ("scale", -0.1), ("num_copies", -1)]
)
def test_values_out_of_range_are_refused(name, value):
    values = {"center_shift": 0.2, "scale": 0.2, "num_copies": 1, name: value}
    with pytest.raises(UserError, match=f"{name} is {value}"):
        BoxNoise(**values)
