"""Φ fitted to returns, for the batch after."""

import numpy as np
import pytest
from rollouts import rollout

from policies.potential_fit import PotentialFit, fitted, returns_to_go
from robo_reward.errors import InputError

FIT = PotentialFit(offset=0.1, slope=0.5, decisions=4)


def test_before_the_first_fit_it_is_the_potential_itself() -> None:
    assert PotentialFit().values(np.array([0.0, 0.3])).tolist() == [0.0, 0.3]
    assert float(FIT.values(0.4)) == pytest.approx(0.3)


def test_returns_to_go_by_hand() -> None:
    given = rollout([0, 0], reward=[1, 2], steps=[2, 1])
    assert returns_to_go(given, FIT, gamma=0.9) == pytest.approx([1 + 0.81 * 2, 2.0])


def test_after_a_truncation_the_fit_before_counts_if_the_learner_bootstraps() -> None:
    given = rollout([0, 0], final=0.4, truncated=True, steps=[2, 1])
    assert returns_to_go(given, FIT, gamma=0.9) == pytest.approx([0.81 * 0.27, 0.27])
    without = returns_to_go(given, FIT, gamma=0.9, bootstraps=False)
    assert without.tolist() == [0.0, 0.0]


def test_the_fit_is_least_squares() -> None:
    pairs = [(0.1, 0.0), (0.5, 1.0), (0.9, 0.5)]
    batch = [rollout([phi], reward=[paid]) for phi, paid in pairs]
    got = fitted(batch, FIT, gamma=0.9)
    slope, offset = np.polyfit(*zip(*pairs, strict=True), 1)
    assert (got.slope, got.offset) == pytest.approx((slope, offset))
    assert got.decisions == 3


def test_a_potential_that_runs_against_the_returns_is_ignored() -> None:
    batch = [rollout([0.1], reward=[1.0]), rollout([0.9], reward=[0.0])]
    got = fitted(batch, FIT, gamma=0.9)
    assert (got.slope, got.offset) == (0.0, pytest.approx(0.5))


@pytest.mark.parametrize("seed", range(5))
def test_residuals_of_the_fit_vary_less_than_those_of_the_raw_potential(seed: int) -> None:
    rng = np.random.default_rng(seed)
    phi = rng.random(40)
    paid = rng.random(40) < phi / 2
    batch = [rollout([p], reward=[float(r)]) for p, r in zip(phi, paid, strict=True)]
    got = fitted(batch, PotentialFit(), gamma=1.0)
    assert ((paid - got.values(phi)) ** 2).mean() < ((paid - phi) ** 2).mean()


def test_a_batch_that_cannot_tell_leaves_the_fit_as_it_was() -> None:
    failures = [rollout([0.1, 0.7], truncated=True, final=f) for f in (0.2, 0.9)]
    assert fitted(failures, FIT, gamma=0.9) is FIT
    flat = [rollout([0.3], reward=[r]) for r in (0.0, 1.0)]
    assert fitted(flat, FIT, gamma=0.9) is FIT


def test_it_can_be_stored() -> None:
    assert PotentialFit.from_state(FIT.state()) == FIT
    with pytest.raises(InputError, match=r"not a fit of the potential: it holds \['slope'\]"):
        PotentialFit.from_state({"slope": 1.0})
