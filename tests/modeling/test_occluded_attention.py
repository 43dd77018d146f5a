"""The exchange of tokens, and a transformer that sees a whole person and nobody else."""

import pytest
import torch

from fully_decoupled_ps import UserError
from fully_decoupled_ps.modeling.occluded_attention import OccludedAttention, exchange_tokens


def attention(**kwargs):
    torch.manual_seed(0)
    kwargs = {"in_channels": 6, "dim": 16, "num_heads": 2, **kwargs}
    return OccludedAttention(**kwargs)


def test_each_person_is_covered_by_another_in_one_rectangle():
    torch.manual_seed(1)
    n, height, width, max_share = 5, 16, 8, 0.5
    tokens = torch.arange(float(n)).reshape(n, 1, 1, 1).expand(n, 3, height, width)
    shares = []
    for _ in range(40):
        exchanged = exchange_tokens(tokens, max_share)
        givers = []
        for person, found in enumerate(exchanged):
            assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
            covered = found[0] != person
            shares.append(covered.float().mean().item())
            if covered.any():
                (giver,) = set(found[0][covered].tolist())
                givers.append(giver)
                rows, columns = covered.any(dim=1), covered.any(dim=0)
                assert torch.equal(covered, rows[:, None] & columns[None, :])
                for line in (rows, columns):  # in one piece
                    assert line.float().diff().clamp(min=0).sum() + line[0] == 1
        assert len(set(givers)) == len(givers)
    assert max(shares) <= 0.6  # of whole tokens, so not quite 0.5
    assert 0.15 < sum(shares) / len(shares) < 0.35  # uniform up to 0.5


def test_nothing_is_exchanged_without_a_partner_or_a_share():
    tokens = torch.rand(3, 2, 4, 4)
    assert torch.equal(exchange_tokens(tokens[:1], 0.5), tokens[:1])
    assert torch.equal(exchange_tokens(tokens, 0.0), tokens)
    assert exchange_tokens(tokens[:0], 0.5).shape == (0, 2, 4, 4)


def test_it_sees_the_whole_person_and_nobody_else():
    module = attention().eval()
    x = torch.rand(3, 6, 5, 4)
    out = module(x)
    assert out.shape == (3, 16, 5, 4) and module.out_channels == 16
    changed = x.clone()
    changed[1, :, 0, 0] += 1
    difference = (module(changed) - out).abs().amax(dim=1)
    assert difference[1].min() > 1e-6
    assert difference[0].max() < 1e-6 and difference[2].max() < 1e-6


def test_persons_are_mixed_in_training_only():
    module = attention()
    x = torch.rand(4, 6, 5, 4)
    assert torch.equal(module.eval()(x), module(x))
    torch.manual_seed(0)
    assert not torch.equal(module.train()(x), module.eval()(x))
    alone = attention(max_occlusion=0.0).train()
    torch.testing.assert_close(alone(x), attention(max_occlusion=0.0).eval()(x))


def test_a_scale_takes_its_own_slice_of_channels_with_its_own_kernel():
    module = attention(token_kernels=(1, 3))
    assert [conv.kernel_size for conv in module.tokens] == [(1, 1), (3, 3)]
    assert [conv.in_channels for conv in module.tokens] == [3, 3]
    x = torch.rand(1, 6, 5, 4)
    out = module.eval()(x)
    x[:, 3:] += 1
    same = (module(x) - out).abs().amax(dim=(0, 2, 3)) < 1e-6
    assert same[:8].all() and not same[8:].any()


def test_an_empty_batch_and_gradients():
    module = attention().train()
    assert module(torch.zeros(0, 6, 5, 4)).shape == (0, 16, 5, 4)
    module(torch.rand(2, 6, 5, 4)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"dim": 18}, "COAT.DIM is 18"),
        ({"in_channels": 7}, "on 7 channels"),
        ({"token_kernels": (2,)}, r"COAT.TOKEN_KERNELS is \(2,\)"),
        ({"token_kernels": ()}, "COAT.TOKEN_KERNELS"),
        ({"max_occlusion": 1.0}, "COAT.MAX_OCCLUSION is 1.0"),
    ],
)
def test_wrong_values(kwargs, message):
    with pytest.raises(UserError, match=message):
        attention(**kwargs)
