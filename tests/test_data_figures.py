"""Figures of a few episodes, worked out by hand."""

from typing import Any

import bright
import numpy as np
import pytest

from data.evaluate import Case
from data.figures import FIGURES, LOWER_IS_BETTER, Rows, row, table, taken
from robo_reward.ranking import FAILURE, PARTIAL, SUCCESS

NAN = float("nan")
RISE = [0.0, 0.5, 1.0]


def rows(*episodes: tuple[Case, list[float]], **changes: Any) -> Rows:
    found = []
    for case, phi in episodes:
        forward = bright.track(phi, **changes)
        found.append(row(case, forward, bright.track(phi[::-1])))
    return table(found, [case.instruction for case, _ in episodes])


def figure(name: str, *episodes: tuple[Case, list[float]], **changes: Any) -> float:
    return FIGURES[name](rows(*episodes, **changes))


@pytest.mark.parametrize(
    ("case", "outcome"),
    [
        (bright.case([0, 1]), SUCCESS),
        (bright.case([0, 0.4]), PARTIAL),
        (bright.case([0.9, 0.3]), FAILURE),
        (bright.case([NAN, NAN], done=np.array([0.0, 0.0])), FAILURE),
        (bright.case([NAN, NAN], done=np.array([0.0, 0.0]), graded=PARTIAL), PARTIAL),
    ],
)
def test_the_outcome_follows_from_truth_unless_somebody_gave_it(case: Case, outcome: int) -> None:
    assert case.outcome == outcome


def test_an_outcome_that_nobody_knows_is_nan() -> None:
    assert np.isnan(bright.case([NAN], done=np.array([NAN])).outcome)


def test_order_in_time_counts_undisturbed_successes_alone() -> None:
    success, failure = bright.case(RISE), bright.case([0, 0.3, 0.1], clean=False)
    asked = (success, [0.1, 0.2, 0.9]), (failure, [0.9, 0.5, 0.1])
    assert figure("voc_forward", *asked) == pytest.approx(1.0)
    assert figure("voc_reversed", *asked) == pytest.approx(1.0)
    assert figure("order_others", *asked) == pytest.approx(-0.5)  # ranks 2 1 0 against 0 2 1
    assert np.isnan(figure("voc_forward", asked[1]))


def test_what_rises_whichever_way_the_video_runs_has_no_order() -> None:
    found = row(bright.case(RISE), bright.track(RISE), bright.track(RISE))
    told = table([found], [""])
    assert FIGURES["voc_forward"](told) == pytest.approx(1.0)
    assert FIGURES["voc_reversed"](told) == pytest.approx(-1.0)
    assert FIGURES["voc_harmonic"](told) == 0.0


def test_ends_are_ranked_graded_and_judged() -> None:
    asked = (
        (bright.case(RISE), [0.1, 0.7, 0.9]),
        (bright.case([0, 0.4, 0.5]), [0.0, 0.2, 0.5]),
        (bright.case([0, 0.2, 0.2]), [0.0, 0.5, 0.7]),
    )
    assert figure("concordance", *asked) == pytest.approx(2 / 3)
    assert figure("tau_a", *asked) == pytest.approx(1 / 3)
    assert figure("grade_mae", *asked) == pytest.approx((0 + 0 + 2) / 3)
    assert figure("completion", *asked) == pytest.approx(2 / 3)  # the last claims a partial one


def test_within_an_instruction_episodes_of_others_do_not_count() -> None:
    dim = bright.case([0, 0, 0.1], instruction="dim the lamp")
    asked = (bright.case(RISE), RISE), (bright.case([0, 0, 0.1]), [0, 0.5, 0.5]), (dim, RISE)
    assert figure("tau_a_within", *asked) == 1.0
    assert figure("tau_a", *asked) == pytest.approx(1 / 3)
    assert np.isnan(figure("tau_a_within", (dim, RISE)))


def test_success_is_counted_per_episode_and_false_alarms_also_per_frame() -> None:
    asked = (bright.case(RISE), RISE), (bright.case([0, 0.2, 0.2]), [0.0, 0.96, 0.5])
    assert figure("success_f1", *asked) == pytest.approx(2 / 3)
    assert figure("success_recall", *asked) == 1.0
    assert figure("success_mcc", *asked) == 0.0
    assert figure("false_positive_rate", *asked) == 1.0
    assert figure("success_auroc", *asked) == 1.0
    assert figure("premature_frames", *asked) == pytest.approx(1 / 5)


def test_confidence_is_compared_with_how_often_it_is_right() -> None:
    sure = np.array([0.9, 0.9, NAN])
    case = bright.case([0.0, 0.5, 0.9])
    got = figure("calibration_error", (case, [0.0, 0.8, 0.9]), confidence=sure)
    assert got == pytest.approx(abs(0.9 - 0.5))
    assert np.isnan(figure("calibration_error", (case, [0.0, 0.8, 0.9])))


def test_the_reward_of_the_truth_is_nowhere_and_its_opposite_far() -> None:
    walk = [0.0, 0.2, 0.1, 0.5, 0.4, 0.8, 1.0, 1.0, 0.6, 0.7]
    case = bright.case(walk)
    assert figure("starc_distance", (case, walk)) == 0.0
    assert figure("starc_distance", (case, [v / 2 for v in walk])) == pytest.approx(0.0, abs=1e-9)
    assert figure("starc_distance", (case, [1 - v for v in walk])) == pytest.approx(1.0)


def test_the_same_progress_towards_other_goals_is_another_state() -> None:
    two = bright.case([0.0, 1.0]), bright.case([0.0, 1.0], instruction="dim the lamp")
    moves = rows(*((case, [0.0, 1.0]) for case in two))["moves"]
    assert moves[0][0, :2].tolist() == [0, 20]
    assert moves[1][0, :2].tolist() == [21, 41]


def test_what_knows_nothing_has_no_figures() -> None:
    unknown = bright.case([NAN] * 3, done=np.full(3, NAN), match=NAN)
    told = rows((unknown, [NAN] * 3))
    assert all(np.isnan(figure(told)) for figure in FIGURES.values())


def test_an_episode_of_a_single_query_has_no_order_and_no_moves() -> None:
    told = rows((bright.case([1.0]), [0.9]))
    assert np.isnan(FIGURES["voc_forward"](told))
    assert np.isnan(FIGURES["starc_distance"](told))
    assert FIGURES["mae"](told) == pytest.approx(0.1)
    assert FIGURES["completion"](told) == 1.0


def test_one_known_frame_at_the_end_is_enough_for_an_error() -> None:
    """So is a human's grade of an episode."""
    graded = bright.case([NAN, NAN, 0.5])
    assert figure("mae", (graded, [0.0, 0.0, 0.75])) == 0.25
    assert figure("grade_mae", (graded, [0.0, 0.0, 0.75])) == 1.0


def test_figures_of_rows_taken_twice() -> None:
    told = rows((bright.case(RISE), RISE), (bright.case(RISE), [0.0, 0.0, 0.0]))
    assert FIGURES["mae"](taken(told, np.array([0, 0, 1]))) == pytest.approx(0.5 / 3)
    assert set(FIGURES) > LOWER_IS_BETTER
