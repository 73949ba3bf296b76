"""The learner: ratios of 1 before a step, the right direction after it, nothing infinite."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from policy_fixtures import SEEING, played_in, small_policy, starts

from policies.config import LearnerConfig, ObjectiveConfig
from policies.credit import Credit
from policies.learner import Learner
from policies.table import gathered
from policies.trials import Trial
from robo_reward.acting import Floats, Situation, Trace
from robo_reward.errors import InputError
from robo_reward.fake_policy import FakePolicy

VIEWS = ("front", "wrist")


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    policy, _ = small_policy(VIEWS)
    rng = np.random.default_rng(0)

    def choose(seen: Situation) -> tuple[Floats, Trace]:
        return policy.sample(seen, rng)

    with played_in(SEEING, 3) as player:
        return player.play(choose, starts(1, 2, 3))


def learner(**how: object) -> Learner:
    config = LearnerConfig(**{"warmup": 0, "minibatch": 8} | how)  # type: ignore[arg-type]
    return Learner(small_policy(VIEWS)[0], config, seed=0)


def credit(trials: list[Trial], seed: int = 0) -> Credit:
    rng = np.random.default_rng(seed)
    count = sum(len(trial) for trial in trials)
    return Credit(advantage=rng.standard_normal(count), target=rng.standard_normal(count))


def flat(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_decisions_are_scored_in_the_order_of_their_trials(trials: list[Trial]) -> None:
    mine = learner()
    found = mine.score(trials)
    assert [len(one.log_prob) for one in found] == [5, 5, 5]
    assert [len(one.residual) for one in found] == [6, 6, 6]
    alone = mine.score(trials[1:2])[0]
    assert alone.log_prob == pytest.approx(found[1].log_prob, rel=1e-5)
    assert alone.residual == pytest.approx(found[1].residual, abs=1e-6)
    assert len(gathered(trials)) == 15


def test_without_a_rate_every_ratio_is_one(trials: list[Trial]) -> None:
    mine = learner(learning_rate=0.0, value_learning_rate=0.0, epochs=3)
    before = flat(mine.policy)
    told = mine.update(trials, mine.score(trials), credit(trials))
    assert told["ratio_max"] == pytest.approx(1.0, abs=1e-5)
    assert told["clip_fraction"] == 0.0
    assert told["kl_reference"] == pytest.approx(0.0, abs=1e-6)
    assert told["steps"] == 6
    after = mine.policy.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_good_decisions_become_likelier_and_bad_ones_do_not(trials: list[Trial]) -> None:
    mine = learner(learning_rate=3e-4, epochs=4, objective=ObjectiveConfig(kl_weight=0.0))
    old = mine.score(trials)
    good = np.array([1.0] * 5 + [-1.0] * 10)
    told = mine.update(trials, old, Credit(advantage=good, target=np.zeros(15)))
    new = mine.score(trials)
    moved = [float((a.log_prob - b.log_prob).mean()) for a, b in zip(new, old, strict=True)]
    assert moved[0] > 0 > moved[1] + moved[2]
    assert told["kl_old"] > 0
    assert mine.updates == 1


def test_the_critic_learns_its_targets_and_alone_at_first(trials: list[Trial]) -> None:
    mine = learner(warmup=1, value_learning_rate=0.05, epochs=30)
    before = flat(mine.policy)
    given = Credit(advantage=np.ones(15), target=np.full(15, 0.7))
    mine.update(trials, mine.score(trials), given)
    assert mine.score(trials)[0].residual[:-1] == pytest.approx([0.7] * 5, abs=0.1)
    moved = {
        n for n, value in mine.policy.state_dict().items() if not torch.equal(value, before[n])
    }
    assert moved
    assert all(name.startswith("value") for name in moved)


def test_the_distance_to_the_start_is_applied(trials: list[Trial]) -> None:
    moved = []
    for weight in (0.0, 10.0):
        mine = learner(learning_rate=1e-3, epochs=6, objective=ObjectiveConfig(kl_weight=weight))
        mine.update(trials, mine.score(trials), credit(trials))
        told = mine.update(trials, mine.score(trials), credit(trials, seed=1))
        moved.append(told["kl_reference"])
    assert moved[1] < 0.5 * moved[0]


def test_an_update_ends_early_when_the_policy_is_far(trials: list[Trial]) -> None:
    mine = learner(learning_rate=1e-2, epochs=50, stop_kl=1e-3)
    assert mine.update(trials, mine.score(trials), credit(trials))["steps"] < 20


def test_updates_repeat_themselves(trials: list[Trial]) -> None:
    one, two = learner(), learner()
    for mine in (one, two):
        mine.update(trials, mine.score(trials), credit(trials))
    other = two.policy.state_dict()
    assert all(torch.equal(value, other[n]) for n, value in one.policy.state_dict().items())


def test_what_is_not_finite_stops_before_the_step(trials: list[Trial]) -> None:
    mine = learner()
    old = mine.score(trials)
    before = flat(mine.policy)
    broken = [replace(old[0], log_prob=old[0].log_prob * np.nan), *old[1:]]
    with pytest.raises(InputError, match=r"old_log_prob of decision .* no step was taken"):
        mine.update(trials, broken, credit(trials))
    hook = mine.policy.trunk[0].weight.register_hook(  # type: ignore[union-attr,operator,index]
        lambda grad: grad * float("inf")
    )
    with pytest.raises(InputError, match=r"a gradient is \w+ at update 1, step 1"):
        mine.update(trials, old, credit(trials))
    hook.remove()
    after = mine.policy.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_policy_without_a_critic_is_refused() -> None:
    with pytest.raises(InputError, match="no critic called 'value'"):
        Learner(FakePolicy(3, 2), LearnerConfig(), seed=0)


def cloned(trials: list[Trial], good: int, **more: Any) -> Credit:
    """Credit that imitates one trial and not the others."""
    weight = np.concatenate(
        [np.full(len(trial), 3.0 * (n == good)) for n, trial in enumerate(trials)]
    )
    return Credit(advantage=-weight, weight=weight, **more)


@pytest.mark.parametrize("good", [0, 1, 2])
def test_weighted_cloning_makes_the_good_ones_likelier(trials: list[Trial], good: int) -> None:
    mine = learner(learning_rate=3e-4, epochs=20)
    old = mine.score(trials)
    told = mine.update(trials, old, cloned(trials, good))
    moved = [
        float((a.log_prob - b.log_prob).mean())
        for a, b in zip(mine.score(trials), old, strict=True)
    ]
    assert moved[good] > 0.0
    assert max(range(3), key=lambda n: moved[n]) == good
    assert told["policy_loss"] > 0.0


def test_weighted_cloning_never_looks_at_the_clip_or_at_advantages(trials: list[Trial]) -> None:
    ends = []
    for shift, sign in ((0.0, 1.0), (-50.0, 1.0), (50.0, -1.0)):
        mine = learner(learning_rate=1e-3, stop_kl=0.0)
        old = [replace(one, log_prob=one.log_prob + shift) for one in mine.score(trials)]
        given = cloned(trials, 0)
        mine.update(trials, old, replace(given, advantage=sign * given.advantage))
        ends.append(flat(mine.policy))
    for other in ends[1:]:
        assert all(torch.equal(value, other[name]) for name, value in ends[0].items())
    assert any(not torch.equal(v, ends[0][n]) for n, v in flat(learner().policy).items())


def test_weighted_cloning_teaches_the_critic_where_it_has_a_target(trials: list[Trial]) -> None:
    for target in (None, np.full(15, 0.7)):
        mine = learner(learning_rate=0.0, value_learning_rate=0.01)
        before = flat(mine.policy)
        mine.update(trials, mine.score(trials), cloned(trials, 0, target=target))
        now = flat(mine.policy)
        moved = {name for name, value in now.items() if not torch.equal(value, before[name])}
        assert bool(moved) == (target is not None)
        assert all(name.startswith("value") for name in moved)


def test_only_what_was_carried_out_is_imitated() -> None:
    policy, _ = small_policy()
    rng = np.random.default_rng(0)
    with played_in(replan=3) as player:
        played = player.play(lambda seen: policy.sample(seen, rng), starts(1))
    table = gathered(played)
    assert table.done.tolist() == [[True, True, True, False]] * 6 + [[True, True, False, False]]
    asked: list[np.ndarray] = []

    class Watched(type(policy)):  # type: ignore[misc]
        def cloning_loss(self, seen: Situation, actions: Floats, known: Any, rng: Any) -> Any:
            asked.append(known)
            return super().cloning_loss(seen, actions, known, rng)

    mine = Learner(Watched(policy.config).eval(), LearnerConfig(epochs=1), seed=0, clones=True)
    mine.update(played, mine.score(played), cloned(played, 0))
    assert [known.sum() for known in asked] == [20]


class Mute(FakePolicy):
    """Has a critic, and cannot imitate."""

    cloning_loss = property()  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(3, 2)
        self.value = torch.nn.Linear(1, 1)


def test_a_policy_that_cannot_imitate_is_refused_where_it_must() -> None:
    Learner(Mute(), LearnerConfig(), seed=0)
    for how in ({"clones": True}, {"shown": Still()}):
        with pytest.raises(InputError, match="a Mute cannot imitate: it has no cloning_loss"):
            Learner(Mute(), LearnerConfig(), seed=0, **how)  # type: ignore[arg-type]


class Still:
    """Demonstrations that always hold still, at random states."""

    def draw(
        self, rng: np.random.Generator, count: int, some: Sequence[int] | None = None
    ) -> tuple[Situation, Floats, Any]:
        state = rng.standard_normal((count, small_policy()[0].config.state_dim))
        if some is not None:
            state = state[list(some)]
        count = len(state)
        seen = Situation(views={}, state=state.astype(np.float32), instructions=["go"] * count)
        return seen, np.zeros((count, 4, 5), np.float32), np.ones((count, 4), np.bool_)


def test_demonstrations_are_imitated_along_with_it(trials: list[Trial]) -> None:
    def taught(weight: float, shown: Still | None = None) -> Learner:
        config = LearnerConfig(
            warmup=0, minibatch=8, epochs=10, objective=ObjectiveConfig(bc_weight=weight)
        )
        return Learner(small_policy(VIEWS)[0], config, seed=0, shown=shown)

    off, ends = [], []
    for mine in (taught(0.0), taught(1.0, Still()), taught(1.0, Still())):
        told = mine.update(trials, mine.score(trials), credit(trials))
        assert ("bc_loss" in told) == (mine.shown is not None)
        seen, still, _ = Still().draw(np.random.default_rng(5), 64)
        off.append(float(np.abs(mine.policy.act(seen) - still).mean()))  # type: ignore[operator]
        ends.append(flat(mine.policy))
    assert off[1] < off[0]
    assert all(torch.equal(value, ends[2][name]) for name, value in ends[1].items())


def test_the_reference_stays_what_it_was(trials: list[Trial]) -> None:
    mine = learner(learning_rate=1e-2)
    before = deepcopy(mine.reference.state_dict())
    mine.update(trials, mine.score(trials), credit(trials))
    after = mine.reference.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
