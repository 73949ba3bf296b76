"""Progress targets and hops: the numbers of the formulas, their limits and their inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.errors import InputError
from robo_reward.targets import (
    apply_hop,
    hop,
    keyframe_progress,
    time_progress,
    time_to_go,
    unannotated_success,
)

shares = st.floats(0.0, 1.0)


def test_two_subtasks_share_the_progress_equally_and_rise_linearly() -> None:
    progress = keyframe_progress([1, 3, 5], 8)
    assert progress.tolist() == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_procedural_budget_is_bounded_by_three_and_five_quarters() -> None:
    # lengths 1 and 9 of 10: shares .2 and 1.8 of 2 are clipped to .75 and 1.25
    progress = keyframe_progress([0, 1, 10], 11, budget="procedural")
    assert progress[1] == pytest.approx(0.375)
    assert progress[10] == 1.0


def test_the_procedural_budget_follows_lengths_within_the_bounds() -> None:
    # lengths 4 and 6 of 10: 2·4/10 = .8 and 1.2, normalised .4 and .6
    progress = keyframe_progress([0, 4, 10], 11, budget="procedural")
    assert progress[4] == pytest.approx(0.4)


def test_progress_may_follow_visual_change_instead_of_time() -> None:
    progress = keyframe_progress([0, 4], 5, change=[9.0, 1.0, 0.0, 0.0, 3.0])
    assert progress.tolist() == [0.0, 0.25, 0.25, 0.25, 1.0]


def test_a_subtask_without_change_falls_back_to_time() -> None:
    assert keyframe_progress([0, 2], 3, change=np.zeros(3)).tolist() == [0.0, 0.5, 1.0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 29), min_size=2, max_size=8, unique=True).map(sorted),
    st.sampled_from(["stepwise", "procedural"]),
    st.lists(st.floats(0, 1e6), min_size=30, max_size=30),
)
def test_progress_of_any_annotation_never_falls_and_ends_at_one(
    keyframes: list[int], budget: str, change: list[float]
) -> None:
    progress = keyframe_progress(keyframes, 30, budget=budget, change=change)  # type: ignore[arg-type]
    assert np.all(np.diff(progress) >= 0)
    assert np.all(progress[: keyframes[0] + 1] == 0)
    assert np.all(progress[keyframes[-1] :] == 1)


@pytest.mark.parametrize(
    ("keyframes", "sentence"),
    [
        ([3], "two or more rising"),
        ([3, 3], "two or more rising"),
        ([5, 2], "two or more rising"),
        ([-1, 2], "frames 0 to 9"),
        ([0, 10], "correct the annotation"),
    ],
)
def test_impossible_keyframes_are_refused(keyframes: list[int], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        keyframe_progress(keyframes, 10)


@pytest.mark.parametrize("change", [[1.0], [1.0, -1.0, 1.0], [1.0, np.nan, 1.0]])
def test_impossible_changes_are_refused(change: list[float]) -> None:
    with pytest.raises(InputError, match="3 finite values"):
        keyframe_progress([0, 2], 3, change=change)


def test_time_progress_of_five_frames_and_of_one() -> None:
    assert time_progress(5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert time_progress(1).tolist() == [1.0]


def test_hops_of_gains_and_losses() -> None:
    # (.6 − .2)/.8, (.2 − .6)/.6, nothing
    assert hop([0.2, 0.6, 0.4], [0.6, 0.2, 0.4]) == pytest.approx([0.5, -2 / 3, 0.0])


def test_the_limits_of_a_hop_are_defined() -> None:
    assert hop([0, 1, 0, 1], [0, 1, 1, 0]).tolist() == [0.0, 0.0, 1.0, -1.0]


def test_hops_from_start_and_goal_give_progress_itself() -> None:
    phi = np.linspace(0, 1, 11)
    assert hop(0.0, phi) == pytest.approx(phi)
    assert hop(1.0, phi) == pytest.approx(phi - 1)


def test_an_unknown_progress_gives_an_unknown_hop() -> None:
    hops = hop([np.nan, 0.5, 0.5], [0.5, np.nan, 0.75])
    assert np.isnan(hops).tolist() == [True, True, False]


def test_progress_outside_its_range_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"after: progress must lie in \[0, 1\]"):
        hop(0.5, 1.01)
    with pytest.raises(InputError, match="before"):
        hop(-0.01, 0.5)


@settings(max_examples=100, deadline=None)
@given(st.lists(shares, min_size=2, max_size=20))
def test_hops_lead_back_to_progress_whatever_the_order_of_frames(progress: list[float]) -> None:
    phi = np.array(progress)
    hops = hop(phi[:-1], phi[1:])
    assert np.all(np.abs(hops) <= 1)
    reached = [phi[0]]
    for step in hops:
        reached.append(float(apply_hop(reached[-1], step)))
    assert reached == pytest.approx(phi, abs=1e-6)
    assert apply_hop(phi[:-1], hops) == pytest.approx(phi[1:], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.floats(-5, 5), st.floats(-5, 5))
def test_applied_hops_stay_in_range_for_any_input(phi: float, step: float) -> None:
    assert 0 <= apply_hop(phi, step) <= 1


def test_success_without_annotation_leaves_out_what_nobody_knows() -> None:
    success = unannotated_success(21)  # steps of .05
    assert np.all(success[:16] == 0)
    assert np.all(np.isnan(success[16:19]))
    assert np.all(success[19:] == 1)


def test_seconds_until_success_by_hand() -> None:
    assert time_to_go([0, 0, 0, 1, 1], 10.0).tolist() == pytest.approx([0.3, 0.2, 0.1, 0, 0])


def test_work_that_is_undone_has_to_be_done_again() -> None:
    told = time_to_go([0, 1, 0, 0, 1, 0], 2.0)
    assert told.tolist() == pytest.approx([0.5, 0, 1.0, 0.5, 0, np.nan], nan_ok=True)


@pytest.mark.parametrize("success", [[0, 0, 0], [0, np.nan, 1], [np.nan] * 3])
def test_no_seconds_are_told_without_a_success_or_its_moment(success: list[float]) -> None:
    assert np.isnan(time_to_go(success, 10.0)).tolist() == [True] * 3
