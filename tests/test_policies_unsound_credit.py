"""Each unsound credit by hand, and what it gets wrong."""

import math
from dataclasses import replace

import numpy as np
import pytest
from careful_or_slam import gradient, truth
from rollouts import rollout

from policies.algorithms import ALGORITHMS
from policies.credit import Rules, grpo, sparse_ppo
from policies.unsound import UNSOUND
from policies.unsound_credit import (
    bounded,
    gated,
    min_form,
    paid_by,
    rise_weighted_cloning,
    srpo_like,
    step_centred,
)

RULES = Rules(gamma=0.9, lam=0.5)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def test_ppo_on_an_unsound_reward_is_ppo_on_the_sum() -> None:
    """Kept at the end: .9 · .4 − .2 is paid for the first decision, .9 · .7 − .4 for the last."""
    given = rollout([0.2, 0.4], reward=[0, 1], final=0.7, residual=[0.3, 0.1])
    summed = replace(given, reward=np.array([0.9 * 0.4 - 0.2, 1 + 0.9 * 0.7 - 0.4]))
    got = paid_by("kept at the end", [given], RULES)
    expected = sparse_ppo([summed], RULES)
    assert got.advantage == pytest.approx(expected.advantage)
    assert got.target == pytest.approx(expected.target)


def test_at_a_truncation_phi_is_paid_only_if_the_learner_bootstraps() -> None:
    given = rollout([0.2], final=0.7, truncated=True)
    without = replace(RULES, bootstraps=False)
    assert paid_by("progress as reward", [given], RULES).advantage == pytest.approx([0.7])
    assert paid_by("progress as reward", [given], without).advantage == pytest.approx([0.0])


def test_what_is_centred_is_centred_over_the_batch() -> None:
    batch = [rollout([0.5]), rollout([0.1])]
    assert paid_by("centred", batch, RULES).advantage == pytest.approx([-0.2, 0.2])


def test_srpo_pays_failures_by_their_distance_from_successes() -> None:
    """Successes end at 1; of failures at .9, .5 and .1 the scaled distances are 0, .5 and 1."""
    final = [1.0, 0.9, 0.5, 0.1]
    batch = [rollout([0.0], final=f, success=f == 1.0) for f in final]
    paid = np.array([1.0, 0.6 * sigmoid(5), 0.3, 0.6 * sigmoid(-5)])
    assert srpo_like(batch, RULES).advantage == pytest.approx((paid - paid.mean()) * 4 / 3)


def test_srpo_has_no_reference_without_a_success() -> None:
    batch = [rollout([0.0], final=f) for f in (0.9, 0.1)]
    assert srpo_like(batch, RULES).advantage.tolist() == [0.0, 0.0]


def test_steps_are_centred_and_scaled_by_their_group_and_summed() -> None:
    """Rewards with Φ = 0: 0 and 1 of a success, 0 of a failure; mean 1/3, spread √2/3."""
    batch = [rollout([0, 0], reward=[0, 1], success=True), rollout([0])]
    scaled = (np.array([0.0, 1.0, 0.0]) - 1 / 3) / (math.sqrt(2) / 3)
    expected = [scaled[0] + scaled[1], scaled[1], scaled[2]]
    assert step_centred(batch, RULES).advantage == pytest.approx(expected)


def test_min_form_counts_the_smallest_rise_most() -> None:
    """Rises .4 and .1: weights e^−4 and e^−1 over their sum, T = .1."""
    batch = [rollout([0.0, 0.4], final=0.5, success=True), rollout([0.0])]
    small = math.exp(-1) / (math.exp(-1) + math.exp(-4))
    rises = [(1 - small) * 0.4, small * 0.1]
    got = min_form(batch, RULES).advantage
    assert got == pytest.approx([1 + sum(rises), 1 + rises[1], -(1 + sum(rises))])


def test_rises_of_failures_do_not_pass_the_gate() -> None:
    batch = [rollout([0.1, 0.4], final=0.9, success=True), rollout([0.1], final=0.9)]
    assert gated(batch, RULES).advantage == pytest.approx([1.8, 1.5, -1.8])


def test_a_bounded_reward_is_a_sigmoid_about_the_groups_mean() -> None:
    batch = [rollout([0.0], final=0.6, success=True), rollout([0.0], final=0.2)]
    gap = 1 + sigmoid(2) - sigmoid(-2)
    assert bounded(batch, RULES).advantage == pytest.approx([gap, -gap])


def test_a_lost_rollout_is_compared_with_nobody() -> None:
    batch = [
        rollout([0.0], final=0.6, success=True, truncated=True),
        rollout([0.0], final=0.1, truncated=True),
        rollout([0.0, 0.5], final=0.9, truncated=True, lost=True),
    ]
    for give in (srpo_like, min_form, gated, bounded):
        got = give(batch, RULES).advantage
        assert got[2:].tolist() == [0.0, 0.0]
        assert got[0] == pytest.approx(-got[1])


def test_cloning_by_rises_never_learns_a_step_back() -> None:
    """Rises .5, .005 and −.1: mean .135, spread .2613; the middle one is soft."""
    batch = [rollout([0.0], final=0.5), rollout([0.0], final=0.005), rollout([0.1], final=0.0)]
    rises = np.array([0.5, 0.005, -0.1])
    soft = (0.005 - (rises.mean() - 2 * rises.std())) / (4 * rises.std())
    raw = np.array([1.0, soft, 0.0])
    assert rise_weighted_cloning(batch, RULES).weight == pytest.approx(raw / raw.mean())


def test_a_batch_of_steps_back_is_not_learnt_at_all() -> None:
    batch = [rollout([0.5], final=0.1), rollout([0.6], final=0.1)]
    assert rise_weighted_cloning(batch, RULES).weight == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("name", [n for n, a in ALGORITHMS.items() if a.invariant])
def test_sound_credit_prefers_the_careful_way(name: str) -> None:
    assert gradient(ALGORITHMS[name].credit) > 0.05


@pytest.mark.parametrize("name", ["phi-ppo", "ppo", "phi-rloo", "unsound-discounted-once-a-chunk"])
def test_with_lambda_one_the_gradient_is_the_true_one(name: str) -> None:
    """All decisions last one step here, so discounting once a chunk does no harm."""
    assert gradient(ALGORITHMS[name].credit) == pytest.approx(truth())


def test_leaving_oneself_out_of_twenty_scales_the_gradient_by_twenty_nineteenths() -> None:
    assert gradient(ALGORITHMS["rloo"].credit) == pytest.approx(truth() * 20 / 19)
    assert gradient(grpo) == pytest.approx(0.25 * 0.5 * 20 / 19)


def test_where_phi_is_trusted_to_keep_it_at_the_end_prefers_the_slam() -> None:
    kept = ALGORITHMS["unsound-kept-at-the-end"].credit
    assert gradient(kept, lam=0.8) < -0.05 < 0.0 < gradient(ALGORITHMS["phi-ppo"].credit, lam=0.8)


def test_centred_steps_prefer_the_slam() -> None:
    assert gradient(step_centred) < -0.5


@pytest.mark.parametrize("name", UNSOUND)
def test_every_unsound_reward_has_its_algorithm(name: str) -> None:
    batch = [rollout([0.2, 0.5], reward=[0, 1], success=True), rollout([0.3], truncated=True)]
    algorithm = ALGORITHMS["unsound-" + name.replace(" ", "-")]
    expected = paid_by(name, batch, RULES).advantage
    assert np.array_equal(algorithm.credit(batch, RULES).advantage, expected)
