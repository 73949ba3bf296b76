"""`check_policy`: what any `Policy` promises, asked of a real one."""

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch

from .acting import Clonable, Floats, Policy, Situation, Trace

APART = (0.1, 0.6)
"""Spreads of log-ratios at which likelihoods are compared: of near policies, and of far ones."""
DIRECTIONS = 2
"""Ways in which weights are moved."""
TRIES = 24
"""Moves of other sizes, at most, until likelihoods are so far apart."""


def check_policy(
    policy: Policy, seen: Situation, *, tolerance: float = 1e-5, draws: int = 4096
) -> None:
    """Check that a policy keeps the promises of `Policy`, and those of `Clonable` if it is one.

    Its weights are left as they were.

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
    _check_gradient(policy, seen)
    if hasattr(policy, "cloning_loss"):
        _check_cloning(cast(Clonable, policy), seen, policy.act(seen))
    kept = {name: value.clone() for name, value in _weights(policy).items()}
    try:
        with torch.no_grad():
            for direction in range(DIRECTIONS):
                _check_ratios(policy, seen, draws, direction, kept)
    finally:
        _put(policy, kept)


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


def _check_gradient(policy: Policy, seen: Situation) -> None:
    _, trace = policy.sample(seen, np.random.default_rng(0))
    module: Any = policy
    module.zero_grad()
    policy.score(seen, trace)[0].sum().backward()  # type: ignore[no-untyped-call]
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    assert grads, "the log-density must be differentiable by the weights"
    assert all(bool(grad.isfinite().all()) for grad in grads), "gradients must be finite"


def _check_cloning(policy: Clonable, seen: Situation, actions: Floats) -> None:
    known = np.ones(actions.shape[:2], np.bool_)
    known[0] = False

    def told(seed: int) -> torch.Tensor:
        return policy.cloning_loss(seen, actions + 1.0, known, np.random.default_rng(seed))

    loss = told(0)
    assert loss.shape == (len(seen),), f"cloning losses must be ({len(seen)},), got {loss.shape}"
    assert bool(loss.isfinite().all()), "cloning losses must be finite"
    assert torch.equal(told(0), loss), "one generator draws one cloning loss"
    assert loss[0] == 0.0, "where no action is known there is no cloning loss"
    assert bool((loss[1:] > 0.0).all()), "what is not what it does is a cloning loss"
    assert loss.requires_grad, "cloning losses must be differentiable by the weights"


def _check_ratios(
    policy: Policy, seen: Situation, draws: int, direction: int, kept: dict[str, torch.Tensor]
) -> None:
    """Check that likelihoods are densities: under p the mean of p'/p is 1 whatever p' is."""
    many = seen.rows([0] * draws)
    _put(policy, kept)
    _, trace = policy.sample(many, np.random.default_rng(2 + direction))
    before = policy.score(many, trace)[0].double()
    for wanted in APART:
        small, large = 1e-6, 1e3  # sizes of moves, between which one has the distance
        for _ in range(TRIES):
            size = math.sqrt(small * large)
            _put(policy, kept)
            _nudge(policy, size, direction)
            change = policy.score(many, trace)[0].double() - before
            apart = float(change.std())
            if 0.5 * wanted <= apart <= 2.0 * wanted:
                break
            small, large = (size, large) if apart < wanted else (small, size)
        assert apart >= 0.5 * wanted, "other weights must have other likelihoods"
        ratio = change.exp()
        error = float(ratio.std()) / math.sqrt(draws)
        off = abs(float(ratio.mean()) - 1.0)
        assert off <= 3.0 * error, (
            f"likelihoods must be densities: the mean ratio is off by {off:.3g}, {error:.3g} "
            "allowed three times"
        )
    _put(policy, kept)
    again = policy.score(many, trace)[0].double()
    assert torch.equal(again, before), "the same weights score the same"


def _weights(policy: Any) -> dict[str, torch.Tensor]:
    return {name: p.data for name, p in policy.named_parameters() if p.requires_grad}


def _put(policy: Any, values: dict[str, torch.Tensor]) -> None:
    for name, weight in _weights(policy).items():
        weight.copy_(values[name])


def _nudge(policy: Any, size: float, direction: int) -> None:
    """Move every weight by a share of its layer's root mean square, at least of .1."""
    generator = torch.Generator().manual_seed(direction)
    for weight in _weights(policy).values():
        noise = torch.randn(weight.shape, generator=generator).to(weight)
        weight.add_(size * weight.square().mean().sqrt().clamp_min(0.1) * noise)


def _rows(trace: Trace, chosen: Sequence[int]) -> Trace:
    return {name: part[list(chosen)] for name, part in trace.items()}


def _same(
    got: np.ndarray[Any, Any], expected: np.ndarray[Any, Any], most: float, what: str
) -> None:
    gap = float(np.abs(got - expected).max() / max(1.0, float(np.abs(expected).max())))
    assert gap <= most, f"{what}: off by {gap:.2g}, allowed {most:.2g}"
