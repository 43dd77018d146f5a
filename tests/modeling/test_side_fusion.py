"""Side-fusion: eq. 3 by hand, and what its gradient reaches."""

import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling import SIDE_FUSION_REGISTRY, AlphaBlendFusion, NoFusion


def maps(channels=3, requires_grad=False):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, channels, 4, 5, generator=generator, requires_grad=requires_grad)
        for _ in range(2)
    ]


def fusion_with(logit):
    fusion = AlphaBlendFusion(3, 3)
    with torch.no_grad():
        fusion.alpha_logit.fill_(logit)
    return fusion


def test_alpha_blend_by_hand():
    """sigmoid(log 3) = 3 / 4, and 3/4 * 8 + 1/4 * 4 = 7."""
    fusion = fusion_with(torch.tensor(3.0).log())
    x_s = fusion(torch.full((1, 3, 1, 1), 8.0), torch.full((1, 3, 1, 1), 4.0))
    torch.testing.assert_close(x_s, torch.full((1, 3, 1, 1), 7.0))


@pytest.mark.parametrize("logit", [-200.0, -1.5, 0.0, 2.0, 200.0])
def test_alpha_blend_is_equation_3(logit):
    fusion = fusion_with(logit)
    x_d, x_r = maps()
    alpha = fusion.alpha.item()
    assert 0 <= alpha <= 1
    torch.testing.assert_close(fusion(x_d, x_r), alpha * x_d + (1 - alpha) * x_r)
    if logit == 200:
        assert torch.equal(fusion(x_d, x_r), x_d)
    if logit == -200:
        assert torch.equal(fusion(x_d, x_r), x_r)


def test_alpha_starts_at_a_half_and_is_the_only_parameter():
    fusion = AlphaBlendFusion(3, 3)
    assert fusion.alpha.item() == 0.5
    assert [p.shape for p in fusion.parameters()] == [torch.Size([])]


def test_gradients_of_alpha_blend():
    """d x_s / d logit = (x_d - x_r) alpha (1 - alpha); d x_s / d x_r = 1 - alpha."""
    fusion = fusion_with(1.0)
    x_d, x_r = maps(requires_grad=True)
    weights = torch.randn_like(x_d)
    (fusion(x_d, x_r) * weights).sum().backward()
    alpha = fusion.alpha.item()
    expected = ((x_d - x_r) * weights).sum() * alpha * (1 - alpha)
    torch.testing.assert_close(fusion.alpha_logit.grad, expected.detach())
    torch.testing.assert_close(x_r.grad, (1 - alpha) * weights)
    torch.testing.assert_close(x_d.grad, alpha * weights)


def test_alpha_blend_wants_equal_channels():
    with pytest.raises(UserError, match="512 and 128.*give f_r the detector.s network"):
        AlphaBlendFusion(512, 128)


def test_no_fusion_passes_the_re_id_map():
    fusion = NoFusion(7, 3)
    x_d, x_r = maps()
    assert fusion(x_d, x_r) is x_r
    assert not list(fusion.parameters()) and not hasattr(fusion, "alpha")


@pytest.mark.parametrize("name, kind", list(SIDE_FUSION_REGISTRY))
def test_every_fusion_keeps_the_re_id_map_s_shape(name, kind):
    x_d, x_r = maps()
    assert kind(3, 3)(x_d, x_r).shape == x_r.shape
