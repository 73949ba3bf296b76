"""Which rollouts fooled a model, how often they are drawn, and when a new version is better."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from policies.mining import Outcome, Quality, chances, held_back, improves, quality


def outcome(**how: Any) -> Outcome:
    told: dict[str, Any] = {"seed": 0, "success": False, "declared": False, "potential": 0.2}
    return Outcome(**told | how)


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({}, "failed"),
        ({"potential": 0.8}, "failed"),
        ({"potential": 0.81}, "fooled"),
        ({"potential": 0.85, "truth": 0.8}, "failed"),
        ({"potential": 0.95, "truth": 0.8}, "fooled"),
        ({"potential": 0.85, "truth": math.nan}, "fooled"),
        ({"declared": True, "potential": 0.1}, "fooled"),
        ({"declared": True, "potential": 0.8, "truth": 0.8}, "fooled"),
        ({"success": True, "declared": True, "potential": 1.0}, "succeeded"),
        ({"success": True, "potential": 0.0}, "succeeded"),
    ],
)
def test_a_failure_near_the_goal_that_is_judged_so_fooled_nobody(
    how: dict[str, Any], kind: str
) -> None:
    assert outcome(**how).kind == kind


def test_what_fooled_the_model_is_half_of_what_is_drawn() -> None:
    found = [outcome(declared=True), *[outcome()] * 5, *[outcome(success=True)] * 2]
    assert chances(found) == pytest.approx([0.5, *[0.05] * 5, 0.125, 0.125])
    assert chances(found[1:]) == pytest.approx([*[0.1] * 5, 0.25, 0.25])
    assert chances(found[:1]) == [1.0]


def scenes() -> list[Outcome]:
    """Four seeds that fooled, eight that failed, four that succeeded; two episodes of each."""
    kinds = [{"declared": True}] * 4 + [{}] * 8 + [{"success": True}] * 4
    return [outcome(seed=seed, **how) for seed, how in enumerate(kinds) for _ in range(2)]


def test_a_share_of_every_kind_is_held_back_by_whole_seeds() -> None:
    found = scenes()
    numbers = held_back(found, 0.25, np.random.default_rng(0))
    assert numbers == sorted(numbers)
    assert Counter(found[n].kind for n in numbers) == {"fooled": 2, "failed": 4, "succeeded": 2}
    seeds = {found[n].seed for n in numbers}
    assert numbers == [n for n, one in enumerate(found) if one.seed in seeds]


def test_the_same_draws_hold_the_same_back_and_others_do_not() -> None:
    drawn = [held_back(scenes(), 0.25, np.random.default_rng(seed)) for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn}) > 1


def test_of_a_single_seed_nothing_is_held_back() -> None:
    assert held_back([outcome(seed=3)] * 4, 0.25, np.random.default_rng(0)) == []
    two = [outcome(seed=3), outcome(seed=4)]
    assert len(held_back(two, 0.25, np.random.default_rng(0))) == 1


def test_quality_counts_false_positives_and_the_error_of_successes_alone() -> None:
    found = [
        outcome(declared=True, potential=0.9),
        outcome(potential=0.3),
        outcome(success=True, potential=0.9),
        outcome(success=True, potential=1.0),
    ]
    told = quality(found, [0.5, 0.5, 0.1, math.nan])
    assert told == Quality(failures=2, fooled=1, potential=pytest.approx(0.6), error=0.1)
    assert "1 false positives in 2 failures, which end at Φ 0.600" in str(told)
    empty = quality(found[3:], [math.nan])
    assert math.isnan(empty.potential)
    assert math.isnan(empty.error)


def test_a_version_must_be_fooled_less_and_judge_successes_as_well() -> None:
    old = Quality(failures=8, fooled=4, potential=0.7, error=0.05)
    assert improves(old, replace(old, fooled=3), 0.0)
    assert improves(old, replace(old, fooled=3, error=0.0599), 0.01)
    assert not improves(old, replace(old, fooled=3, error=0.0601), 0.01)
    assert not improves(old, replace(old, fooled=4, error=0.01), 0.01)
    unknown = replace(old, error=math.nan)
    assert not improves(unknown, replace(unknown, fooled=0), 0.01)
