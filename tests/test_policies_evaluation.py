"""Success on fixed seeds: Wilson's interval by hand, lost episodes, no chance."""

import math
from dataclasses import replace

import numpy as np
import pytest
from policy_fixtures import played_in, small_policy, starts, wave

from policies.evaluation import evaluate, summed_up, wilson
from robo_reward.errors import InputError


def test_wilsons_interval_by_hand() -> None:
    z = 1.959963985
    n, p = 10, 0.3
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson(3, 10) == pytest.approx((middle - half, middle + half))
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0
    with pytest.raises(InputError, match="no rate to tell"):
        wilson(0, 0)


def test_lost_episodes_are_told_and_not_counted() -> None:
    with played_in() as player:
        failed = player.play(wave, starts(1))[0]
    won, lost = replace(failed, success=True), replace(failed, lost=True)
    found = summed_up([failed, won, won, lost])
    assert (found.successes, found.count, found.lost) == (2, 3, 1)
    assert found.rate == pytest.approx(2 / 3)
    assert found.steps == 20
    assert str(found).startswith("0.667 (")
    assert math.isnan(summed_up([failed]).steps)
    with pytest.raises(InputError, match="no episode has an end that is known"):
        summed_up([lost])


def test_an_evaluation_repeats_itself() -> None:
    policy, _ = small_policy()
    with played_in(count=3) as player:
        trials = evaluate(policy, player, [5, 6, 7])
        again = evaluate(policy, player, [5, 6, 7])
    assert [trial.start.seed for trial in trials] == [5, 6, 7]
    for first, second in zip(trials, again, strict=True):
        assert np.array_equal(first.chunks, second.chunks)
