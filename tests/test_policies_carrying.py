"""What is taken over when Φ is replaced: V stays, the policy too, and the fit follows."""

import numpy as np
import pytest
import torch
from policy_fixtures import BLIND, played_in, small_policy, starts
from rollouts import rollout

from policies.carrying import carry, under
from policies.config import LearnerConfig
from policies.learner import VALUE, Learner
from policies.playing import Trial
from policies.scoring import Potentials

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def played() -> tuple[Learner, list[Trial]]:
    policy, _ = small_policy()
    learner = Learner(policy, LearnerConfig(minibatch=32), seed=0)
    rng = np.random.default_rng(0)
    with played_in(BLIND, 2) as player:
        return learner, player.play(lambda seen: policy.sample(seen, rng), starts(1, 2, 3, 4))


def residuals(learner: Learner, trials: list[Trial]) -> np.ndarray:
    return np.concatenate([one.residual[:-1] for one in learner.score(trials)])


def test_the_critic_takes_back_what_the_potential_moved_by(
    played: tuple[Learner, list[Trial]],
) -> None:
    learner, trials = played
    before = residuals(learner, trials)
    weights = {n: p.detach().clone() for n, p in learner.policy.named_parameters()}
    moved = np.full(len(before), -0.3)
    left = carry(learner, trials, moved)
    after = residuals(learner, trials)
    assert left == pytest.approx(np.abs(after + moved - before).mean())
    assert left < 0.1
    changed = {n for n, p in learner.policy.named_parameters() if not torch.equal(p, weights[n])}
    assert changed
    assert all(name.startswith(VALUE) for name in changed)


def test_a_rollout_under_another_potential_is_the_same_otherwise() -> None:
    one = rollout([0.1, 0.2], final=0.3, success=True)
    found = Potentials(progress=np.array([0.5, 0.6, 0.7]), apart=np.zeros(3))
    new = under(one, found)
    assert new.potential.tolist() == [0.5, 0.6]
    assert new.final_potential == 0.7
    assert new.success
    assert new.reward is one.reward
