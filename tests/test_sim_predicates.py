"""Stage, progress and success of putting a cube into the bin, from hand-made states."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.tasks import Verdict
from sim.tasks.carrying import CarryState, judge_carry
from sim.tasks.failures import FailureMonitor
from sim.tasks.pick_to_bin import TARGET


def judge_bin(state: CarryState) -> Verdict:
    return judge_carry(state, TARGET)


FAR = (0.0, -0.35)
START = CarryState(distance=0.4, jaw=0.08, gripped=False, height=0.0, offset=FAR, speed=0.0)
AT_CUBE = START._replace(distance=0.01)
GRASPED = AT_CUBE._replace(jaw=0.04, gripped=True)
LIFTED = GRASPED._replace(height=TARGET.carry)
OVER_BIN = LIFTED._replace(offset=(0.0, 0.0))
IN_BIN_HELD = OVER_BIN._replace(height=0.0)
DONE = IN_BIN_HELD._replace(jaw=0.08, gripped=False, distance=0.2)

lengths = st.floats(0, 1)
states = st.builds(
    CarryState,
    distance=lengths,
    jaw=st.floats(0, 0.08),
    gripped=st.booleans(),
    height=st.floats(-0.02, 0.5),
    offset=st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)),
    speed=st.floats(0, 2),
    reach=st.floats(0.1, 0.5),
)


@settings(max_examples=500, deadline=None)
@given(states)
def test_progress_is_in_0_to_1_and_1_exactly_at_success(state: CarryState) -> None:
    verdict = judge_bin(state)
    assert 0.0 <= verdict.progress <= 1.0
    assert (verdict.progress == 1.0) == verdict.success == (verdict.stage == 5)


@pytest.mark.parametrize(
    ("state", "stage", "progress"),
    [
        (START, 0, 0.0),
        (AT_CUBE, 1, 0.15),
        (GRASPED, 2, 0.25),
        (LIFTED, 3, 0.45 + 0.35 * (1 - 0.28 / 0.45)),
        (OVER_BIN, 4, 0.80),
        (IN_BIN_HELD, 4, 0.88),
        (DONE, 5, 1.0),
    ],
)
def test_each_stage_adds_its_share(state: CarryState, stage: int, progress: float) -> None:
    verdict = judge_bin(state)
    assert verdict.stage == stage
    assert verdict.progress == pytest.approx(progress, abs=1e-9)


def between(first: CarryState, last: CarryState, count: int = 200) -> list[float]:
    """Progress along a straight line in state space."""
    found = []
    for share in np.linspace(0, 1, count):
        mixed = {
            name: (1 - share) * getattr(first, name) + share * getattr(last, name)
            for name in ("distance", "jaw", "height", "speed")
        }
        ends = np.array((first.offset, last.offset))
        mixed["offset"] = tuple(((1 - share) * ends[0] + share * ends[1]).tolist())
        found.append(judge_bin(CarryState(gripped=last.gripped, **mixed)).progress)
    return found


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (START, AT_CUBE),
        (AT_CUBE, AT_CUBE._replace(jaw=0.042)),
        (GRASPED, LIFTED),
        (LIFTED, OVER_BIN),
        (OVER_BIN, IN_BIN_HELD),
        (DONE._replace(distance=0.01), DONE),
    ],
)
def test_progress_rises_without_jumps_above_2_percent_within_a_stage(
    first: CarryState, last: CarryState
) -> None:
    steps = np.diff(between(first, last))
    assert steps.min() >= -1e-9
    assert steps.max() < 0.02


def test_coming_nearer_counts_from_where_the_robot_begins_to_reach() -> None:
    half_way = START._replace(distance=0.112)
    assert judge_bin(half_way._replace(reach=0.2)).progress == pytest.approx(0.15 / 2)
    assert judge_bin(START._replace(distance=0.22, reach=0.2)).progress == 0.0
    assert judge_bin(START._replace(distance=0.222, reach=0.3)).progress == pytest.approx(0.045)


def test_a_cube_dropped_on_the_way_falls_back_to_the_reach_part() -> None:
    dropped = LIFTED._replace(gripped=False, jaw=0.08, height=0.0, distance=0.17)
    assert judge_bin(LIFTED).progress > 0.55
    assert judge_bin(dropped).progress == pytest.approx(0.15 * (0.312 - 0.17) / 0.30)
    assert judge_bin(dropped).stage == 0


@settings(max_examples=200, deadline=None)
@given(st.floats(0.13, 1), st.floats(0, 0.08), st.floats(0.09, 0.5))
def test_a_cube_that_the_tool_stays_13_cm_away_from_stays_below_15_percent(
    distance: float, jaw: float, away: float
) -> None:
    state = START._replace(distance=distance, jaw=jaw, offset=(away, 0.0))
    assert judge_bin(state).progress < 0.15


@settings(max_examples=200, deadline=None)
@given(st.floats(0.08, 2), st.floats(0, 0.08))
def test_a_cube_in_the_bin_keeps_exactly_1_wherever_the_hand_goes(
    distance: float, jaw: float
) -> None:
    assert judge_bin(DONE._replace(distance=distance, jaw=jaw)).progress == 1.0


@pytest.mark.parametrize(
    "state",
    [
        DONE._replace(speed=0.2),
        DONE._replace(distance=0.05),
        DONE._replace(height=0.10),
        DONE._replace(offset=(0.0, -0.075)),
        DONE._replace(gripped=True, distance=0.01),
    ],
    ids=["moving", "hand too near", "above the rim", "on the wall", "still held"],
)
def test_what_is_not_quite_in_the_bin_is_no_success(state: CarryState) -> None:
    verdict = judge_bin(state)
    assert not verdict.success
    assert verdict.progress < 1.0


def verdict(progress: float = 0.0, *, held: bool = False, lifted: bool = False) -> Verdict:
    done = math.isclose(progress, 1.0)
    return Verdict(
        stage=5 if done else 0, progress=progress, success=done, held=held, lifted=lifted
    )


IDLE = {"red": verdict(), "blue": verdict()}


def test_a_drop_is_noticed_at_its_step_and_cleared_by_success() -> None:
    monitor = FailureMonitor("red", IDLE)
    assert monitor.update(1, IDLE, 0.08) == "none"
    assert monitor.update(2, IDLE | {"red": verdict(0.5, held=True, lifted=True)}, 0.04) == "none"
    assert monitor.update(3, IDLE, 0.08) == "dropped"
    assert monitor.update(4, IDLE, 0.08) == "dropped"
    assert monitor.onset == 3
    assert monitor.update(5, IDLE | {"red": verdict(1.0)}, 0.08) == "none"
    assert monitor.onset == -1


def test_another_cube_in_the_hand_is_a_wrong_object_from_the_moment_it_is_lifted() -> None:
    monitor = FailureMonitor("red", IDLE)
    assert monitor.update(1, IDLE | {"blue": verdict(held=True)}, 0.04) == "none"
    assert monitor.update(2, IDLE | {"blue": verdict(held=True, lifted=True)}, 0.04) == (
        "wrong_object"
    )
    assert monitor.update(9, IDLE | {"blue": verdict(1.0)}, 0.08) == "wrong_object"
    assert monitor.onset == 2


def test_fingers_that_meet_without_a_cube_have_missed() -> None:
    monitor = FailureMonitor("red", IDLE)
    assert monitor.update(1, IDLE, 0.02) == "none"
    assert monitor.update(2, IDLE, 0.005) == "missed_grasp"
    assert monitor.update(3, IDLE, 0.08) == "missed_grasp"
    assert monitor.update(4, IDLE | {"red": verdict(0.3, held=True)}, 0.04) == "missed_grasp"
    taken = IDLE | {"red": verdict(0.4, held=True, lifted=True)}
    assert monitor.update(5, taken, 0.04) == "none"


def test_what_was_reached_stays_reached_in_the_latched_progress() -> None:
    monitor = FailureMonitor("red", IDLE)
    assert monitor.highest == 0.0
    found = []
    for progress in (0.2, 0.6, 0.1, 0.7):
        monitor.update(1, IDLE | {"red": verdict(progress), "blue": verdict(0.9)}, 0.08)
        found.append(monitor.highest)
    assert found == [0.2, 0.6, 0.6, 0.7]
