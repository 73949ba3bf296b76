"""`check_policy`: what any `Policy` promises, asked of a real one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from .acting import Policy, Situation, Trace

NUDGE = 0.02
"""How far weights are moved, as a share of their own spread, to see likelihoods move."""


def check_policy(
    policy: Policy, seen: Situation, *, tolerance: float = 1e-5, draws: int = 4096
) -> None:
    """Check that a policy keeps the promises of `Policy`; its weights are left as they were.

    Args:
        policy: A module in evaluation mode, its random parts (dropout) off.
        seen: At least 3 situations that look different.
        tolerance: Most by which equal questions may differ, relative to their size.
        draws: Samples for the mean of likelihood ratios, of the first situation.

    Raises:
        AssertionError: With the promise that is broken.
    """
    assert len(seen) >= 3, "give at least 3 situations"
    with torch.no_grad():
        _check_actions(policy, seen, tolerance)
        _check_scores(policy, seen, tolerance)
        _check_ratios(policy, seen, draws)


def _check_actions(policy: Policy, seen: Situation, tolerance: float) -> None:
    sure = policy.act(seen)
    shape = sure.shape
    assert sure.ndim == 3, f"chunks must be (B, C, A), got {shape}"
    assert shape[:2] == (len(seen), policy.chunk), f"chunks must be (B, C, A), got {shape}"
    assert np.isfinite(sure).all(), "actions must be finite"
    assert np.array_equal(policy.act(seen), sure), "without chance the same is done again"
    alone = np.concatenate([policy.act(seen.rows([i])) for i in range(len(seen))])
    _same(alone, sure, tolerance, "what is done does not depend on the batch")
    one, again, other = (policy.sample(seen, np.random.default_rng(s))[0] for s in (0, 0, 1))
    assert one.shape == shape, f"samples must be {shape}, got {one.shape}"
    assert np.isfinite(one).all(), "samples must be finite"
    assert np.array_equal(one, again), "one generator draws one sample"
    assert not np.array_equal(one, other), "another generator draws another sample"


def _check_scores(policy: Policy, seen: Situation, tolerance: float) -> None:
    _, trace = policy.sample(seen, np.random.default_rng(0))
    whole = [part.numpy(force=True) for part in policy.score(seen, trace)]
    for name, part in zip(("log-density", "entropy", "value"), whole, strict=True):
        assert part.shape == (len(seen),), f"{name} must be ({len(seen)},), got {part.shape}"
        assert np.isfinite(part).all(), f"{name} must be finite"
    for i in range(len(seen)):
        told = policy.score(seen.rows([i]), _rows(trace, [i]))
        for part, one in zip(whole, told, strict=True):
            own = one.numpy(force=True)
            _same(own, part[i : i + 1], tolerance, "scores do not depend on the batch")


def _check_ratios(policy: Policy, seen: Situation, draws: int) -> None:
    """Check that likelihoods are densities: under p the mean of p'/p is 1 whatever p' is."""
    many = seen.rows([0] * draws)
    _, trace = policy.sample(many, np.random.default_rng(2))
    before = policy.score(many, trace)[0].double()
    module: Any = policy
    kept = [parameter.clone() for parameter in module.parameters()]
    _nudge(module)
    after = policy.score(many, trace)[0].double()
    for parameter, value in zip(module.parameters(), kept, strict=True):
        parameter.copy_(value)
    ratio = (after - before).exp()
    assert float((after - before).abs().max()) > 1e-6, "other weights must have other likelihoods"
    error = float(ratio.std()) / math.sqrt(draws)
    off = abs(float(ratio.mean()) - 1.0)
    assert off <= 3.0 * error, (
        f"likelihoods must be densities: the mean ratio is off by {off:.3g}, {error:.3g} allowed "
        "three times"
    )
    again = policy.score(many, trace)[0].double()
    assert torch.equal(again, before), "the same weights score the same"


def _nudge(module: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator).to(parameter)
        spread = parameter.std() if parameter.numel() > 1 else parameter.abs()
        parameter.add_(NUDGE * spread.nan_to_num() * noise)


def _rows(trace: Trace, chosen: Sequence[int]) -> Trace:
    return {name: part[list(chosen)] for name, part in trace.items()}


def _same(
    got: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], most: float, what: str
) -> None:
    gap = float(np.abs(got - expected).max() / max(1.0, float(np.abs(expected).max())))
    assert gap <= most, f"{what}: off by {gap:.2g}, allowed {most:.2g}"
