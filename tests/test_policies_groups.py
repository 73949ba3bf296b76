"""Rollouts that began alike: baselines without oneself, and which groups teach."""

import numpy as np
import pytest
from rollouts import rollout

from policies.groups import groups_to_refill, leave_one_out, members, usable_groups
from policies.rollout import Rollout
from robo_reward.errors import InputError


def batch(**groups: str) -> list[Rollout]:
    """Return rollouts; of each group a string of "+" success, "-" failure and "?" lost."""
    return [
        rollout([0.0], group=int(name[1:]), success=mark == "+", truncated=True, lost=mark == "?")
        for name, marks in groups.items()
        for mark in marks
    ]


def test_a_score_is_compared_with_the_mean_of_the_others() -> None:
    given = batch(g1="+--", g2="+-")
    got = leave_one_out(np.array([3.0, 1.0, 2.0, 10.0, 4.0]), given)
    assert got == pytest.approx([3 - 1.5, 1 - 2.5, 2 - 2.0, 6.0, -6.0])


def test_it_is_the_distance_from_the_mean_times_g_over_g_minus_one() -> None:
    scores = np.random.default_rng(0).normal(size=5)
    got = leave_one_out(scores, batch(g1="+++--"))
    assert got == pytest.approx(5 / 4 * (scores - scores.mean()))


def test_the_baseline_does_not_depend_on_ones_own_score() -> None:
    given = batch(g1="+--")
    one = leave_one_out(np.array([1.0, 0.0, 0.5]), given)
    other = leave_one_out(np.array([9.0, 0.0, 0.5]), given)
    assert other[0] - one[0] == pytest.approx(8.0)


def test_a_lost_rollout_teaches_nothing_and_counts_in_no_mean() -> None:
    got = leave_one_out(np.array([1.0, 77.0, 0.0, 5.0, 6.0]), batch(g1="+?-", g2="?-"))
    assert got == pytest.approx([1.0, 0.0, -1.0, 0.0, 0.0])


def test_a_group_of_one_is_refused() -> None:
    with pytest.raises(InputError, match="group 4 has a single rollout, which can be compared"):
        members(batch(g1="+-", g4="+"))


def test_groups_teach_that_hold_a_success_and_a_failure() -> None:
    given = batch(g1="++", g2="+-", g3="--", g4="+?", g5="?-+")
    assert usable_groups(given) == [2, 5]
    assert groups_to_refill(given, tried=1, tries=3) == [1, 3, 4]


def test_when_the_tries_are_up_what_there_is_must_do() -> None:
    assert groups_to_refill(batch(g1="++", g2="+-"), tried=3, tries=3) == []


@pytest.mark.parametrize(
    ("groups", "advice"),
    [
        ({"g1": "--", "g2": "-?"}, r"\(0 of 3 rollouts succeeded\): every one failed, so start"),
        ({"g1": "++", "g2": "++"}, r"\(4 of 4 rollouts succeeded\): nothing is left to learn"),
        ({"g1": "++", "g2": "--"}, r"\(2 of 4 rollouts succeeded\): play larger groups"),
    ],
)
def test_and_where_nothing_can_teach_it_stops(groups: dict[str, str], advice: str) -> None:
    with pytest.raises(InputError, match="after 3 tries none of 2 groups holds both.*" + advice):
        groups_to_refill(batch(**groups), tried=3, tries=3)
