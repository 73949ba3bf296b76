"""The prefix never sees the suffix; what is absent is never seen."""

import pytest
import torch
from torch import Tensor

from robo_reward.attention import PrefixTransformer


@pytest.fixture(scope="module")
def transformer() -> PrefixTransformer:
    torch.manual_seed(0)
    return PrefixTransformer(8, 2, 3).double()


def everything(*shape: int) -> Tensor:
    return torch.ones(*shape, dtype=torch.bool)


def states(transformer: PrefixTransformer, prefix: Tensor, suffix: Tensor, there: Tensor) -> Tensor:
    length = prefix.shape[1]
    kept = transformer.prefix(prefix, there[:, :length])
    return transformer.suffix(suffix, there, kept)


def test_a_kept_prefix_is_the_same_as_a_mask_over_the_whole(
    transformer: PrefixTransformer,
) -> None:
    prefix, suffix = torch.randn(2, 5, 8).double(), torch.randn(2, 3, 8).double()
    mask = everything(8, 8)
    mask[:5, 5:] = False
    x = torch.cat([prefix, suffix], dim=1)
    for block in transformer.blocks:
        rows = []
        for row in range(8):  # each token on its own mask, one at a time
            out, _ = block(x, mask[row].expand(2, 8), None)
            rows.append(out[:, row])
        x = torch.stack(rows, dim=1)
    expected = transformer.norm(x)[:, 5:]
    got = states(transformer, prefix, suffix, everything(2, 8))
    assert torch.allclose(got, expected, atol=1e-12)


def test_absent_tokens_are_not_seen(transformer: PrefixTransformer) -> None:
    prefix, suffix = torch.randn(1, 4, 8).double(), torch.randn(1, 3, 8).double()
    there = everything(1, 7)
    there[0, 1] = there[0, 5] = False
    first = states(transformer, prefix, suffix, there)
    prefix[0, 1], suffix[0, 1] = 9.0, -9.0
    second = states(transformer, prefix, suffix, there)
    assert torch.allclose(first[0, [0, 2]], second[0, [0, 2]], atol=1e-12)


def test_present_tokens_of_prefix_and_suffix_are_seen(transformer: PrefixTransformer) -> None:
    prefix, suffix = torch.randn(1, 4, 8).double(), torch.randn(1, 3, 8).double()
    first = states(transformer, prefix, suffix, everything(1, 7))
    for changed in (prefix, suffix):
        changed[0, 1] += torch.randn(8).double()
        second = states(transformer, prefix, suffix, everything(1, 7))
        assert (second[0, 2] - first[0, 2]).abs().max() > 1e-6
        first = second


def test_order_is_only_what_the_tokens_say(transformer: PrefixTransformer) -> None:
    prefix, suffix = torch.randn(1, 4, 8).double(), torch.randn(1, 3, 8).double()
    first = states(transformer, prefix, suffix, everything(1, 7))
    second = states(transformer, prefix[:, [2, 0, 3, 1]], suffix, everything(1, 7))
    assert torch.allclose(first, second, atol=1e-12)
