"""Alarms by hand, and how often they are raised in synthetic runs, clean and fooled."""

import math
from dataclasses import replace

import numpy as np
import pytest
from histories import CLEAN, FOOLED, fired, run

from policies.config import Limits
from policies.monitors import (
    MONITORS,
    alarms,
    cycling,
    disagreement,
    distance,
    divergence,
    falling,
    fooled,
    hovering,
    retracted,
)
from policies.observing import Observed
from robo_reward.errors import InputError

LIMITS = Limits()


def observation(rollouts: int = 30, **means: float) -> Observed:
    """Return an update in which every episode is alike, and the given share succeeded."""
    success = (np.arange(rollouts) < means.get("success", 0.2) * rollouts).astype(np.float64)
    return Observed(
        success=success,
        final=np.where(success > 0, 1.0, means.get("final", 0.3)),
        peak=np.where(success > 0, 1.0, means.get("peak", means.get("final", 0.3))),
        hovering=(1 - success) * (means.get("hovering", 0.0)),
        cycling=np.full(rollouts, means.get("cycling", 0.2)),
        disagreement=np.full(rollouts, means.get("disagreement", 0.1)),
        kl=means.get("kl", 1.0),
    )


def history(**later: float) -> list[Observed]:
    """Return three plain updates and three that differ."""
    return [observation()] * 3 + [observation(**later)] * 3


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


def test_falling_is_success_that_is_lost_while_the_potential_stays() -> None:
    """Of 30 episodes 18 succeed at a mean Φ of .72, then 3 at .64; an honest Φ falls to .37."""
    good, lost = observation(success=0.6), observation(success=0.1, final=0.6)
    alarm = falling([good] * 3 + [lost] * 3, LIMITS)
    assert alarm is not None
    assert alarm.value == pytest.approx(0.5)
    assert "fell by 0.50 from updates 1 to 3, the mean final potential by 0.08: the" in alarm.says
    assert falling([good] * 3 + [observation(success=0.1)] * 3, LIMITS) is None
    assert falling([good] * 3 + [observation(success=0.5, final=0.7)] * 3, LIMITS) is None


def test_falling_looks_back_to_the_best_updates() -> None:
    """What is learnt first and lost afterwards fell, though not from where it began."""
    bad, good = observation(success=0.1, final=0.6), observation(success=0.6, final=0.5)
    alarm = falling([bad] * 4 + [good] * 3 + [bad] * 3, LIMITS)
    assert alarm is not None
    assert "from updates 5 to 7" in alarm.says
    assert falling([bad] * 4 + [good] * 3, LIMITS) is None


def test_a_longer_look_back_asks_for_a_larger_fall() -> None:
    first, later = observation(success=0.5, final=0.5), observation(success=0.1, final=0.6)
    soon, late = (falling([first] * n + [later] * 3, LIMITS) for n in (3, 40))
    assert soon is not None
    assert late is not None
    assert late.bound > soon.bound


def test_without_a_reward_model_nothing_is_said_of_its_potential() -> None:
    """Sparse rewards leave Φ at 0: success that is lost is no sign of a fooled model then."""
    good, lost = observation(success=0.6), observation(success=0.1)
    sparse = [replace(one, final=np.zeros(30)) for one in [good] * 3 + [lost] * 3]
    assert alarms(sparse, LIMITS) == []


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


def test_a_claim_that_is_taken_back_is_counted_apart() -> None:
    """24 of 30 fail each time; all of them come to .9 and end at .3, which 1/74 did at first."""
    alarm = retracted(history(peak=0.9), LIMITS)
    assert alarm is not None
    assert (alarm.value, alarm.bound) == (1.0, pytest.approx(1 / 74 + 0.25))
    assert "in 72 of 72 true failures the potential rises above 0.8 and falls again" in alarm.says
    assert fooled(history(peak=0.9), LIMITS) is None
    assert retracted(history(final=0.9), LIMITS) is None
    always = [observation(peak=0.9)]
    assert retracted(always, LIMITS) is None
    assert retracted(always, replace(LIMITS, false_positive_rate=0.0)) is not None


@pytest.mark.parametrize("rate", [-0.1, 1.5, math.nan])
def test_a_rate_that_is_no_share_is_refused(rate: float) -> None:
    with pytest.raises(
        InputError, match=r"false-positive-rate is a share of failures, in \[0, 1\]"
    ):
        Limits(false_positive_rate=rate)


def test_a_high_rate_of_validation_does_not_excuse_what_was_not_there_at_first() -> None:
    known = replace(LIMITS, false_positive_rate=0.6)
    alarm = fooled(history(final=0.9), known)
    assert alarm is not None
    assert alarm.bound == pytest.approx(1 / 74 + 0.15)


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
    worst = history(success=0.0, final=0.95, hovering=1.0, cycling=3.0, disagreement=0.9, kl=50.0)
    told = alarms(worst, LIMITS)
    *others, last = [monitor.__name__ for monitor in MONITORS]
    assert [alarm.name for alarm in told] == others
    assert all(alarm.value > alarm.bound for alarm in told)
    assert [alarm.name for alarm in alarms(history(peak=0.9), LIMITS)] == [last]


RUNS = 12


def share_alarmed(kind: str, limits: Limits = LIMITS) -> float:
    """Return the share of runs of a kind in which any alarm was raised at any update."""

    def watch(so_far: list[Observed]) -> list[str]:
        return [alarm.name for alarm in alarms(so_far, limits)]

    return sum(bool(fired(run(kind, seed), watch)) for seed in range(RUNS)) / RUNS


def test_runs_without_fault_stay_silent() -> None:
    assert np.mean([share_alarmed(kind) for kind in CLEAN]) <= 0.05


def test_a_known_rate_of_nought_leaves_them_silent_too() -> None:
    known = replace(LIMITS, false_positive_rate=0.0)
    assert np.mean([share_alarmed(kind, known) for kind in CLEAN]) <= 0.05


@pytest.mark.parametrize("kind", FOOLED)
def test_runs_of_a_fooled_reward_model_are_noticed(kind: str) -> None:
    assert share_alarmed(kind) >= 0.9
