"""Advantages, targets and weights by hand, and the identity that makes Φ a critic."""

import math
from dataclasses import replace

import numpy as np
import pytest
from rollouts import random_rollouts, rollout

from policies.credit import (
    Credit,
    LambdaSchedule,
    Rules,
    grpo,
    normalised,
    phi_ppo,
    phi_rloo,
    rloo,
    sparse_ppo,
    weighted_cloning,
)
from policies.potential_fit import PotentialFit
from robo_reward.errors import InputError
from robo_reward.shaping import advantages, shaping

RULES = Rules(gamma=0.9, lam=0.5)


def test_phi_ppo_by_hand() -> None:
    """Two steps, then one to success; V = Φ + f."""
    given = rollout([0.2, 0.4], reward=[0, 1], final=9.0, steps=[2, 1], residual=[0.1, -0.1])
    got = phi_ppo([given], RULES)
    last = 1.0 - 0.3
    first = 0.81 * 0.3 - 0.3 + 0.81 * 0.5 * last
    assert got.advantage == pytest.approx([first, last])
    assert got.target == pytest.approx([first + 0.1, last - 0.1])
    assert got.weight is None


def test_after_a_truncation_phi_and_residual_of_the_final_observation_count() -> None:
    given = rollout([0.2], final=0.5, final_residual=0.1, truncated=True)
    assert phi_ppo([given], RULES).advantage == pytest.approx([0.9 * 0.6 - 0.2])
    without = replace(RULES, bootstraps=False)
    assert phi_ppo([given], without).advantage == pytest.approx([-0.2])
    lost = replace(given, lost=True)
    assert phi_ppo([lost], without).advantage == pytest.approx([0.9 * 0.6 - 0.2])


def test_sparse_ppo_does_not_see_phi() -> None:
    given = rollout([0.2, 0.4], reward=[0, 1], residual=[0.3, 0.5])
    got = sparse_ppo([given], RULES)
    assert got.advantage == pytest.approx([0.9 * 0.5 - 0.3 + 0.45 * 0.5, 0.5])
    assert got.target == pytest.approx([got.advantage[0] + 0.3, got.advantage[1] + 0.5])
    other = replace(given, potential=np.array([0.9, 0.1]), final_potential=0.7)
    assert np.array_equal(sparse_ppo([other], RULES).advantage, got.advantage)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("bootstraps", [True, False])
def test_phi_ppo_is_gae_of_shaped_rewards_with_the_residual(
    seed: int, lam: float, bootstraps: bool
) -> None:
    """Rule 4: rewards r + F with critic f, or rewards r with critic Φ + f: the same numbers."""
    batch = random_rollouts(seed)
    got = phi_ppo(batch, Rules(gamma=0.9, lam=lam, bootstraps=bootstraps)).advantage
    shaped = [
        advantages(
            one.reward
            + shaping(
                one.potential, one.following, one.decisions, gamma=0.9, bootstraps=bootstraps
            ),
            one.residual,
            one.following_residual,
            one.decisions,
            gamma=0.9,
            lam=lam,
            bootstraps=bootstraps,
        )
        for one in batch
    ]
    assert got == pytest.approx(np.concatenate(shaped), abs=1e-9)


def test_the_batch_is_the_rollouts_one_after_another() -> None:
    batch = random_rollouts(3)
    together = phi_ppo(batch, RULES)
    alone = [phi_ppo([one], RULES) for one in batch]
    assert np.array_equal(together.advantage, np.concatenate([one.advantage for one in alone]))


def test_grpo_compares_success_with_the_others_at_every_decision() -> None:
    batch = [
        rollout([0.1, 0.9], success=True),
        rollout([0.1], truncated=True),
        rollout([0.1], truncated=True),
    ]
    assert grpo(batch, RULES).advantage == pytest.approx([1.0, 1.0, -0.5, -0.5])


def test_rloo_compares_discounted_returns() -> None:
    """A success after two decisions of two steps is worth .9² at the start, a later one less."""
    batch = [
        rollout([0, 0], reward=[0, 1], steps=[2, 1], success=True),
        rollout([0, 0], reward=[0, 1], steps=[4, 1], success=True),
    ]
    gap = 0.9**2 - 0.9**4
    assert rloo(batch, RULES).advantage == pytest.approx([gap, gap, -gap, -gap])


def test_phi_moves_neither_grpo_nor_rloo() -> None:
    batch = random_rollouts(5)
    other = [replace(one, potential=1.0 - one.potential) for one in batch]
    for give in (grpo, rloo):
        assert np.array_equal(give(batch, RULES).advantage, give(other, RULES).advantage)


def test_phi_rloo_is_gae_with_the_fit_of_the_batch_before() -> None:
    given = rollout([0.2, 0.4], reward=[0, 1], residual=[5.0, 5.0])
    rules = replace(RULES, fit=PotentialFit(offset=0.1, slope=0.5, decisions=9))
    last = 1.0 - 0.3
    assert phi_rloo([given], rules).advantage == pytest.approx(
        [0.9 * 0.3 - 0.2 + 0.45 * last, last]
    )
    assert phi_rloo([given], rules).target is None


def test_before_the_first_fit_phi_rloo_is_phi_ppo_without_a_residual() -> None:
    batch = [
        replace(one, residual=0 * one.residual, final_residual=0.0) for one in random_rollouts(1)
    ]
    assert phi_rloo(batch, RULES).advantage == pytest.approx(phi_ppo(batch, RULES).advantage)


def test_cloning_is_weighted_by_exp_of_advantages_clipped_and_of_mean_one() -> None:
    batch = [rollout([0.0], reward=[a]) for a in (0.0, 0.2, 100.0, -0.2)]
    got = weighted_cloning(batch, replace(RULES, beta=0.2, largest_weight=20.0))
    raised = np.array([1.0, math.e, 20.0, 1 / math.e])
    assert got.weight == pytest.approx(raised / raised.mean())
    assert got.advantage == pytest.approx([0.0, 0.2, 100.0, -0.2])
    assert got.target is not None


def test_normalised_advantages_have_mean_zero_and_spread_one() -> None:
    assert normalised(np.array([1.0, 3.0])) == pytest.approx([-1.0, 1.0])
    assert np.array_equal(normalised(np.full(3, 0.7)), np.zeros(3))


def test_lambda_rises_evenly_and_then_stays() -> None:
    schedule = LambdaSchedule(start=0.5, end=0.9, updates=5)
    assert [schedule.at(i) for i in range(6)] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9])
    assert LambdaSchedule(start=0.5, end=0.9, updates=1).at(0) == 0.5


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"gamma must be in \[0, 1\], got 1.5"):
        Rules(gamma=1.5)
    with pytest.raises(InputError, match="beta must be above 0"):
        Rules(beta=0.0)
    with pytest.raises(InputError, match="largest_weight must be above 0, got nan"):
        Rules(largest_weight=math.nan)
    with pytest.raises(InputError, match="the last lam must be"):
        LambdaSchedule(end=2.0)
    with pytest.raises(InputError, match="at least 1 update"):
        LambdaSchedule(updates=0)


def test_credit_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match="the advantage of decision 1 of the batch is nan"):
        Credit(advantage=np.array([0.0, math.nan]))
    with pytest.raises(InputError, match="the target of decision 0 of the batch is inf"):
        Credit(advantage=np.zeros(1), target=np.array([math.inf]))
    with np.errstate(over="ignore"), pytest.raises(InputError, match="the advantage of decision 0"):
        phi_ppo([rollout([0, 0], reward=[1e308, 1e308])], Rules(gamma=1.0, lam=1.0))
