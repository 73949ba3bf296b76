"""What an episode teaches: where its progress comes from, and which goals it pursues."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.episodes import Episode, Subtask
from robo_reward.goals import episode_goals

BIN = ("put the red cube in the bin", "bin the cube")
BUTTON = ("push the blue button", "press the button")


def episode(length: int, **changes: Any) -> Episode:
    plain = Episode(index=0, length=length, fps=10.0, views=("front",), instructions=BIN)
    return replace(plain, **changes)


def track(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_progress_is_the_simulators_truth_where_there_is_one() -> None:
    (goal,) = episode_goals(episode(4, truth=track(0, 0.5, 1, 1), outcome=True))
    assert goal.progress.tolist() == [0, 0.5, 1, 1]
    assert goal.success.tolist() == [0, 0, 1, 1]
    assert (goal.match, goal.instructions) == (1.0, BIN)


def test_a_failure_with_truth_ends_where_the_truth_says() -> None:
    (goal,) = episode_goals(episode(4, truth=track(0, 0.25, 0.5, 0.25), outcome=False))
    assert goal.progress.tolist() == [0, 0.25, 0.5, 0.25]
    assert goal.success.tolist() == [0, 0, 0, 0]
    assert np.isnan(goal.match)


def test_progress_comes_from_annotated_subtasks_without_truth() -> None:
    subtasks = (Subtask(name="grasp", start=1, end=5), Subtask(name="release", start=5, end=9))
    (goal,) = episode_goals(episode(11, subtasks=subtasks, outcome=True))
    assert goal.progress.tolist() == [0, 0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1, 1]
    assert goal.success.tolist() == [0] * 9 + [1, 1]
    assert goal.match == 1.0


def test_a_procedural_budget_pays_longer_subtasks_more_within_bounds() -> None:
    subtasks = (Subtask(name="grasp", start=0, end=2), Subtask(name="release", start=2, end=10))
    (goal,) = episode_goals(episode(11, subtasks=subtasks, outcome=True), budget="procedural")
    assert goal.progress[[0, 1, 2]] == pytest.approx([0, 0.1875, 0.375])
    assert goal.progress[[6, 10]] == pytest.approx([0.375 + 0.3125, 1])


def test_progress_is_time_for_a_success_that_nobody_annotated() -> None:
    (goal,) = episode_goals(episode(5, outcome=True))
    assert goal.progress.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert goal.success.tolist() == [0, 0, 0, 0, 1]
    assert goal.match == 1.0


def test_the_recorded_moment_of_success_is_preferred_to_the_guessed_one() -> None:
    done = np.array([False, False, True, True, True])
    (goal,) = episode_goals(episode(5, outcome=True, success=done))
    assert goal.success.tolist() == [0, 0, 1, 1, 1]


def test_an_unannotated_failure_teaches_no_progress_only_that_it_did_not_succeed() -> None:
    (goal,) = episode_goals(episode(5, outcome=False))
    assert np.isnan(goal.progress).all()
    assert goal.success.tolist() == [0, 0, 0, 0, 0]
    assert np.isnan(goal.match)


def test_an_annotated_failure_does_not_end_at_one_and_is_no_sure_match() -> None:
    subtasks = (Subtask(name="grasp", start=0, end=2), Subtask(name="release", start=2, end=4))
    (goal,) = episode_goals(episode(5, outcome=False, subtasks=subtasks))
    assert np.isnan(goal.progress).all()
    assert goal.success.tolist() == [0, 0, 0, 0, 0]
    assert np.isnan(goal.match)


def test_an_episode_of_unknown_outcome_teaches_nothing() -> None:
    (goal,) = episode_goals(episode(5))
    assert np.isnan([*goal.progress, *goal.success, goal.match]).all()


def test_another_goal_of_the_scene_has_its_own_truth_and_is_not_pursued() -> None:
    other = {BUTTON: track(0, 0.04, 0.1)}
    own, button = episode_goals(episode(3, truth=track(0, 0.5, 1), outcome=True, other_goals=other))
    assert (own.instructions, own.match) == (BIN, 1.0)
    assert (button.instructions, button.match) == (BUTTON, 0.0)
    assert button.progress == pytest.approx([0, 0.04, 0.1])
    assert button.success.tolist() == [0, 0, 0]


def test_the_goal_brought_furthest_is_the_one_pursued_whatever_was_asked() -> None:
    other = {BUTTON: track(0, 0.6, 1)}
    own, button = episode_goals(
        episode(3, truth=track(0, 0.1, 0.1), outcome=False, other_goals=other)
    )
    assert (own.match, button.match) == (0.0, 1.0)
    assert button.success.tolist() == [0, 0, 1]


def test_a_behaviour_that_brings_no_goal_anywhere_pursues_none_that_we_know() -> None:
    other = {BUTTON: track(0, 0, 0.04)}
    goals = episode_goals(episode(3, truth=track(0, 0, 0), outcome=False, other_goals=other))
    assert np.isnan([goal.match for goal in goals]).all()
