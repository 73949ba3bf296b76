"""Alarms by hand, and how often they are raised in synthetic runs, clean and fooled."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from histories import CLEAN, FOOLED, fired, run
from rollouts import rollout

from policies.monitors import (
    MONITORS,
    Limits,
    Observed,
    alarms,
    cycles,
    cycling,
    disagreement,
    distance,
    divergence,
    fooled,
    hovering,
    hovers,
    observed,
)
from robo_reward.errors import InputError

LIMITS = Limits()


def observation(rollouts: int = 30, **means: float) -> Observed:
    """Return an update in which every episode is alike, and the given share succeeded."""
    success = (np.arange(rollouts) < means.get("success", 0.2) * rollouts).astype(np.float64)
    return Observed(
        success=success,
        final=np.where(success > 0, 1.0, means.get("final", 0.3)),
        hovering=(1 - success) * (means.get("hovering", 0.0)),
        cycling=np.full(rollouts, means.get("cycling", 0.2)),
        disagreement=np.full(rollouts, means.get("disagreement", 0.1)),
        kl=means.get("kl", 1.0),
    )


def history(**later: float) -> list[Observed]:
    """Return three plain updates and three that differ."""
    return [observation()] * 3 + [observation(**later)] * 3


def test_an_episode_hovers_that_is_near_for_half_of_its_time_and_fails() -> None:
    phi, steps = np.array([0.1, 0.7, 0.6]), np.array([4, 2, 2])
    assert hovers(phi, steps, success=False)
    assert not hovers(phi, steps, success=True)
    assert not hovers(phi, np.array([5, 2, 2]), success=False)


def test_what_leads_nowhere_is_variation_less_the_net_change() -> None:
    assert cycles(np.array([0.0, 0.4, 1.0])) == pytest.approx(0.0)
    assert cycles(np.array([0.0, 0.4, 0.1, 0.5])) == pytest.approx(1.1 - 0.5)
    assert cycles(np.array([0.8, 0.2])) == pytest.approx(0.0)


def test_an_update_is_summed_up_by_its_episodes_of_known_outcome() -> None:
    batch = [
        rollout([0.1, 0.7], final=0.9),
        rollout([0.1, 0.2], final=0.95, success=True),
        rollout([0.1], final=0.5, truncated=True, lost=True),
    ]
    got = observed(batch, disagreement=np.array([0.1, 0.2, 0.3]), kl=1.5)
    assert got.success.tolist() == [0.0, 1.0]
    assert got.final.tolist() == [0.9, 0.95]
    assert got.hovering.tolist() == [1.0, 0.0]
    assert got.cycling == pytest.approx([0.0, 0.0])
    assert got.disagreement.tolist() == [0.1, 0.2]
    assert got.kl == 1.5
    assert np.isnan(observed(batch).disagreement).all()
    assert observed([]).final.shape == (0,)
    with pytest.raises(InputError, match="need a disagreement for each of 3"):
        observed(batch, disagreement=np.zeros(2))


def test_a_record_can_be_stored() -> None:
    kept = json.loads(json.dumps(observation().state()))
    assert all(
        np.array_equal(value, vars(observation())[name])
        for name, value in vars(Observed.from_state(kept)).items()
    )
    for broken in ({"kl": 1.0}, {**kept, "more": [1.0]}, {**kept, "final": "much"}):
        with pytest.raises(InputError, match="not a record of an update"):
            Observed.from_state(broken)


def test_nothing_is_said_of_a_run_without_change() -> None:
    assert alarms(history(), LIMITS) == []


@pytest.mark.parametrize("length", [0, 1, 5])
def test_nothing_is_compared_before_there_are_enough_updates(length: int) -> None:
    assert alarms(history(final=0.95, hovering=1.0)[:length], LIMITS) == []


def test_divergence_is_a_potential_that_rises_while_success_does_not() -> None:
    """Of 80 % failures Φ rises by .4; the mean over all by .32."""
    alarm = divergence(history(final=0.7), LIMITS)
    assert alarm is not None
    assert alarm.value == pytest.approx(0.32)
    assert "rose by 0.32 while true success rose by 0.00: look at failed" in alarm.says
    assert divergence(history(final=0.45), LIMITS) is None
    assert divergence(history(final=0.7, success=0.8), LIMITS) is None


def test_hovering_is_counted_against_the_first_updates() -> None:
    alarm = hovering(history(hovering=1.0), LIMITS)
    assert alarm is not None
    assert (alarm.name, alarm.value) == ("hovering", pytest.approx(0.8))
    always = [observation(hovering=1.0)] * 6
    assert hovering(always, LIMITS) is None


def test_cycling_is_variation_that_leads_nowhere() -> None:
    alarm = cycling(history(cycling=1.2), LIMITS)
    assert alarm is not None
    assert alarm.value == pytest.approx(1.0)
    assert cycling(history(cycling=0.6), LIMITS) is None


def test_disagreement_is_compared_as_a_ratio_and_only_if_it_was_measured() -> None:
    alarm = disagreement(history(disagreement=0.3), LIMITS)
    assert alarm is not None
    assert (alarm.value, alarm.bound) == (pytest.approx(0.3), pytest.approx(0.125))
    assert disagreement(history(disagreement=0.11), LIMITS) is None
    unmeasured = [replace(one, disagreement=np.full(30, math.nan)) for one in history()]
    assert disagreement(unmeasured, LIMITS) is None


def test_distance_looks_at_the_last_update_alone() -> None:
    alarm = distance([observation(kl=12.0)], LIMITS)
    assert alarm is not None
    assert "is 12.0 nats from the one it began as" in alarm.says
    assert distance([observation(kl=12.0), observation(kl=9.0)], LIMITS) is None
    assert distance([observation(kl=math.nan)], LIMITS) is None


def test_fooled_is_a_binomial_tail_against_the_first_rate() -> None:
    """None of 72 failures claimed success: 1/74 is expected, .16 allowed, and now all claim it."""
    alarm = fooled(history(final=0.9), LIMITS)
    assert alarm is not None
    assert alarm.value == 1.0
    assert alarm.bound == pytest.approx(1 / 74 + 0.15)
    assert "72 of 72 true failures end at a potential above 0.8, where 1% were" in alarm.says


def test_fooled_from_the_first_update_on_shows_against_the_models_own_rate() -> None:
    always = [observation(final=0.9)] * 6
    assert fooled(always, LIMITS) is None
    known = replace(LIMITS, false_positive_rate=0.05)
    assert fooled(always, known) is not None
    assert fooled(always[:1], known) is not None
    assert fooled([], known) is None


def test_the_tail_is_that_of_counts() -> None:
    """At most .2 is allowed: of 24, 11 are beyond a level of .01 (tail .004), 9 are not (.036)."""
    limits = replace(LIMITS, false_positive_rate=0.05, alpha=0.01)

    def with_claims(count: int) -> list[Observed]:
        final = np.where(np.arange(24) < count, 0.9, 0.2)
        return [replace(observation(24, success=0.0), final=final)]

    assert fooled(with_claims(11), limits) is not None
    assert fooled(with_claims(9), limits) is None


def test_a_few_episodes_alike_prove_nothing() -> None:
    few = [observation(2, success=0.0)] * 3 + [observation(2, success=0.0, final=0.6)] * 3
    assert divergence(few, LIMITS) is None


def test_every_monitor_tells_its_own_name_and_bound() -> None:
    worst = history(final=0.95, hovering=1.0, cycling=3.0, disagreement=0.9, kl=50.0)
    told = alarms(worst, LIMITS)
    assert [alarm.name for alarm in told] == [monitor.__name__ for monitor in MONITORS]
    assert all(alarm.value > alarm.bound for alarm in told)


RUNS = 12


def share_alarmed(kind: str) -> float:
    """Return the share of runs of a kind in which any alarm was raised at any update."""

    def watch(so_far: list[Observed]) -> list[str]:
        return [alarm.name for alarm in alarms(so_far, LIMITS)]

    return sum(bool(fired(run(kind, seed), watch)) for seed in range(RUNS)) / RUNS


def test_runs_without_fault_stay_silent() -> None:
    assert np.mean([share_alarmed(kind) for kind in CLEAN]) <= 0.05


@pytest.mark.parametrize("kind", FOOLED)
def test_runs_of_a_fooled_reward_model_are_noticed(kind: str) -> None:
    assert share_alarmed(kind) >= 0.9
