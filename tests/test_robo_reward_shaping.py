"""Shaping by hand, its telescoping sum, and the identity with an anchored critic."""

import math

import numpy as np
import pytest

from robo_reward.errors import InputError
from robo_reward.shaping import (
    Decisions,
    HeldPotential,
    advantages,
    after,
    decision_reward,
    shaping,
)

GAMMA = 0.9


def decisions(steps: list[int], terminated: str = "", truncated: str = "") -> Decisions:
    """Return decisions; the ends are the places of a "x" in a string."""
    count = len(steps)

    def marks(text: str) -> np.ndarray:
        return np.array([mark == "x" for mark in text.ljust(count, ".")], np.bool_)

    return Decisions(
        steps=np.array(steps), terminated=marks(terminated), truncated=marks(truncated)
    )


def random_case(seed: int) -> tuple[Decisions, dict[str, np.ndarray]]:
    """Return 40 decisions of several episodes with random numbers."""
    rng = np.random.default_rng(seed)
    count = 40
    terminated = rng.random(count) < 0.15
    case = Decisions(
        steps=rng.integers(1, 6, count),
        terminated=terminated,
        truncated=(rng.random(count) < 0.15) & ~terminated,
    )
    names = ("reward", "phi", "final_phi", "values", "final_values")
    return case, {name: rng.uniform(-1.0, 1.0, count) for name in names}


def test_the_reward_of_a_decision_is_discounted_within_it() -> None:
    assert decision_reward([1.0, 0.0, 2.0], GAMMA) == pytest.approx(1 + 2 * 0.81)
    assert decision_reward([0.5], GAMMA) == 0.5


@pytest.mark.parametrize("rewards", [[], [math.nan], [[1.0]]])
def test_rewards_that_are_none_are_refused(rewards: list[float]) -> None:
    with pytest.raises(InputError, match="finite numbers of executed steps"):
        decision_reward(rewards, GAMMA)


def test_shaping_by_hand() -> None:
    """Two steps, one step to success; then one step to a truncation, one that goes on."""
    given = decisions([2, 1, 1, 3], terminated=".x..", truncated="..x.")
    phi, final = [0.2, 0.5, 0.1, 0.4], [9.0, 1.0, 0.3, 0.7]
    kept = shaping(phi, final, given, gamma=GAMMA)
    assert kept == pytest.approx([0.81 * 0.5 - 0.2, -0.5, 0.9 * 0.3 - 0.1, 0.729 * 0.7 - 0.4])
    dropped = shaping(phi, final, given, gamma=GAMMA, bootstraps=False)
    assert dropped[2] == pytest.approx(-0.1)
    assert dropped[[0, 1, 3]] == pytest.approx(kept[[0, 1, 3]])


def test_the_observation_of_a_reset_is_never_what_follows_an_end() -> None:
    given = decisions([1, 1, 1], truncated=".x.")
    one = after([0.1, 0.2, 0.9], [0, 0.3, 0.4], given, bootstraps=True)
    other = after([0.1, 0.2, 0.0], [0, 0.3, 0.4], given, bootstraps=True)
    assert one[1] == other[1] == 0.3


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("bootstraps", [True, False])
def test_the_sum_over_an_episode_telescopes(seed: int, bootstraps: bool) -> None:
    case, given = random_case(seed)
    paid = shaping(given["phi"], given["final_phi"], case, gamma=GAMMA, bootstraps=bootstraps)
    ends = np.flatnonzero(case.terminated | case.truncated)
    for first, last in zip([0, *(ends[:-1] + 1)], ends, strict=True):
        steps = np.cumsum([0, *case.steps[first : last + 1]])
        total = (GAMMA ** steps[:-1] * paid[first : last + 1]).sum()
        kept = bootstraps and not case.terminated[last]
        left = given["final_phi"][last] if kept else 0.0
        assert total == pytest.approx(GAMMA ** steps[-1] * left - given["phi"][first], abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("bootstraps", [True, False])
def test_shaping_is_a_critic_that_is_anchored_at_the_potential(
    seed: int, lam: float, bootstraps: bool
) -> None:
    case, given = random_case(seed)
    rules = {"gamma": GAMMA, "bootstraps": bootstraps}
    paid = shaping(given["phi"], given["final_phi"], case, **rules)  # type: ignore[arg-type]
    shaped = advantages(
        given["reward"] + paid,
        given["values"] - given["phi"],
        given["final_values"] - given["final_phi"],
        case,
        lam=lam,
        **rules,  # type: ignore[arg-type]
    )
    plain = advantages(
        given["reward"],
        given["values"],
        given["final_values"],
        case,
        lam=lam,
        **rules,  # type: ignore[arg-type]
    )
    assert shaped == pytest.approx(plain, abs=1e-9)


def test_advantages_by_hand() -> None:
    given = decisions([2, 1], terminated=".x")
    got = advantages([0.0, 1.0], [0.3, 0.5], [0.0, 8.0], given, gamma=GAMMA, lam=0.5)
    last = 1.0 - 0.5
    first = 0.81 * 0.5 - 0.3 + 0.81 * 0.5 * last
    assert got == pytest.approx([first, last])


def test_nothing_is_carried_over_an_end() -> None:
    for ends in ({"terminated": "x."}, {"truncated": "x."}):
        given = decisions([1, 1], **ends)
        one = advantages([0, 1.0], [0, 0], [0, 0], given, gamma=GAMMA, lam=1.0)
        other = advantages([0, 9.0], [0, 0], [0, 0], given, gamma=GAMMA, lam=1.0)
        assert one[0] == other[0] == 0.0


def test_no_decision_has_no_shaping() -> None:
    nothing = decisions([])
    assert shaping([], [], nothing, gamma=GAMMA).shape == (0,)
    assert advantages([], [], [], nothing, gamma=GAMMA, lam=0.5).shape == (0,)


def test_what_cannot_be_shaped_is_refused() -> None:
    given = decisions([1, 1])
    with pytest.raises(InputError, match="hold the last one where a verdict is missing"):
        shaping([0.1, math.nan], [0, 0], given, gamma=GAMMA)
    with pytest.raises(InputError, match="a potential or value is not finite"):
        shaping([0.1, 0.2], [0, math.inf], given, gamma=GAMMA)
    shaping([0.1, 0.2], [math.nan, 0], given, gamma=GAMMA)  # read nowhere
    with pytest.raises(InputError, match=r"gamma must be in \[0, 1\], got 1.1"):
        shaping([0, 0], [0, 0], given, gamma=1.1)
    with pytest.raises(InputError, match=r"lam must be in \[0, 1\]"):
        advantages([0, 0], [0, 0], [0, 0], given, gamma=GAMMA, lam=-1.0)
    with pytest.raises(InputError, match=r"must be \(2,\), got \(3,\)"):
        shaping([0, 0, 0], [0, 0], given, gamma=GAMMA)
    with pytest.raises(InputError, match="reward must be"):
        advantages([0, math.nan], [0, 0], [0, 0], given, gamma=GAMMA, lam=0.5)
    with pytest.raises(InputError, match="at least 1 step"):
        decisions([1, 0])
    with pytest.raises(InputError, match="must be alike"):
        Decisions(steps=np.ones(2, int), terminated=np.ones(1, bool), truncated=np.ones(2, bool))


def test_a_potential_is_held_while_no_verdict_counts_and_both_kinds_are_counted() -> None:
    held = HeldPotential()
    told = [(math.nan, True), (0.3, True), (0.9, False), (math.nan, True), (0.5, True)]
    assert [held.update(phi, valid=valid) for phi, valid in told] == [0.0, 0.3, 0.3, 0.3, 0.5]
    assert (held.missing, held.invalid) == (2, 1)
    with pytest.raises(InputError, match="a potential is a progress"):
        held.update(1.2)
