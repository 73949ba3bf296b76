"""From readings to verdicts: debouncing, validity, confidence, missing anchors."""

import math
from dataclasses import replace

import numpy as np
import pytest

from robo_reward.calibration import CLOSE, NEVER, UNANCHORED_CAP, Calibration
from robo_reward.errors import InputError
from robo_reward.filtering import BINS, filter_step, mass, median
from robo_reward.tracker import COMPLETE, Reading, Tracker, TrackerSettings

NOTHING = float("nan")
READING = Reading(
    hop_previous=0.0,
    hop_start=0.5,
    hop_goal=-0.5,
    spread_previous=0.1,
    spread_start=0.2,
    spread_goal=0.3,
    success=0.0,
    match=1.0,
)


def declared(probs: list[float], threshold: float = 0.5) -> list[bool]:
    tracker = Tracker(TrackerSettings(success_threshold=threshold))
    return [tracker.update(replace(READING, success=p)).success for p in probs]


def valid(probs: list[float], threshold: float = 0.5) -> list[bool]:
    tracker = Tracker(TrackerSettings(match_threshold=threshold))
    return [tracker.update(replace(READING, match=p)).valid for p in probs]


def test_success_needs_two_queries_in_a_row() -> None:
    assert declared([0.9, 0.2, 0.9, 0.9, 0.9, 0.1]) == [False, False, False, True, True, False]


def test_success_is_not_declared_on_the_first_query() -> None:
    assert declared([1.0, 1.0]) == [False, True]


def test_the_threshold_itself_suffices() -> None:
    assert declared([0.7, 0.7], threshold=0.7) == [False, True]


def test_a_threshold_that_cannot_be_reached_declares_nothing() -> None:
    assert not any(declared([1.0] * 5, threshold=NEVER))


def test_the_success_probability_is_the_lower_of_two_queries() -> None:
    tracker = Tracker(TrackerSettings())
    got = [tracker.update(replace(READING, success=p)).success_prob for p in (0.8, 0.6, 0.9)]
    assert got == [0.0, 0.6, 0.6]


def test_two_mismatches_in_a_row_make_verdicts_invalid_and_one_match_valid_again() -> None:
    assert valid([0.1, 0.9, 0.1, 0.1, 0.1, 0.9]) == [True, True, True, False, False, True]


def test_the_match_probability_is_told_as_it_is() -> None:
    tracker = Tracker(TrackerSettings())
    assert tracker.update(replace(READING, match=0.3)).match_prob == 0.3


def test_progress_follows_fusion_and_incremental_the_hops() -> None:
    tracker = Tracker(TrackerSettings())
    first = tracker.update(READING)
    second = tracker.update(replace(READING, hop_previous=0.5, hop_start=0.75, hop_goal=-0.25))
    assert (first.progress, first.incremental) == (0.5, 0.0)
    # consistent: w = 1, Φ = .5 + ½·((.75 − .5) + .25)
    assert second.progress == pytest.approx(0.75)
    assert second.incremental == pytest.approx(0.5)
    assert (second.forward, second.backward) == (0.75, 0.75)


def test_a_missing_anchor_is_told_as_missing() -> None:
    tracker = Tracker(TrackerSettings())
    verdict = tracker.update(replace(READING, hop_goal=NOTHING, spread_goal=NOTHING))
    assert math.isnan(verdict.backward)
    # d = .2/max(.5, .5, .25)
    assert tracker.features[0] == pytest.approx(math.exp(-20 * 0.4**2))
    assert verdict.progress == 0.5


def test_an_unknown_hop_does_not_spoil_what_follows() -> None:
    tracker = Tracker(TrackerSettings())
    for step in (0.5, NOTHING, 0.5):
        verdict = tracker.update(replace(READING, hop_previous=step))
    assert verdict.incremental == pytest.approx(0.75)
    assert math.isfinite(verdict.progress)


def test_confidence_is_unknown_until_it_is_calibrated() -> None:
    assert math.isnan(Tracker(TrackerSettings()).update(READING).confidence)


def test_confidence_reads_weight_disagreement_and_spreads() -> None:
    calibration = Calibration(bias=0.0, slopes=(1.0, 2.0, 3.0, 4.0, 5.0))
    tracker = Tracker(TrackerSettings(calibration=calibration))
    verdict = tracker.update(replace(READING, hop_start=0.4))
    gap = 0.1
    weight = math.exp(-20 * (gap / 0.55) ** 2)
    assert tracker.features == pytest.approx([weight, gap, 0.1, 0.2, 0.3])
    logit = weight + 2 * gap + 3 * 0.1 + 4 * 0.2 + 5 * 0.3
    assert verdict.confidence == pytest.approx(1 / (1 + math.exp(-logit)))


@pytest.mark.parametrize(("missing", "left"), [("goal", 0.2), ("start", 0.3)])
def test_a_missing_anchor_is_no_reason_for_more_confidence(missing: str, left: float) -> None:
    calibration = Calibration(bias=3.0, slopes=(1.0, -4.0, -1.0, -3.0, -3.0))
    tracker = Tracker(TrackerSettings(calibration=calibration))
    gone = {f"hop_{missing}": NOTHING, f"spread_{missing}": NOTHING}
    lone = tracker.update(replace(READING, **gone)).confidence
    weight = math.exp(-20 * (left / 0.5) ** 2)
    assert tracker.features == pytest.approx([weight, left, 0.1, left, left])
    both = Tracker(TrackerSettings(calibration=calibration)).update(READING).confidence
    assert lone < both


def test_confidence_is_capped_where_both_anchors_are_missing() -> None:
    calibration = Calibration(bias=9.0, slopes=(0.0,) * 5)
    tracker = Tracker(TrackerSettings(calibration=calibration))
    blind = replace(READING, hop_start=NOTHING, hop_goal=NOTHING)
    assert tracker.update(blind).confidence == UNANCHORED_CAP
    assert tracker.update(READING).confidence > 0.99


def test_the_lower_bound_is_as_far_below_as_confidence_is_short_of_certain() -> None:
    sure = Calibration(bias=0.0, slopes=(0.0,) * 5)  # confidence .5 everywhere: 1.1 − .5 = .6
    verdict = Tracker(TrackerSettings(calibration=sure, margin=0.2)).update(READING)
    assert verdict.lower == pytest.approx(verdict.progress - 0.12)
    assert Tracker(TrackerSettings(calibration=sure, margin=9.0)).update(READING).lower == 0.0


def test_without_a_margin_there_is_no_lower_bound() -> None:
    assert math.isnan(Tracker(TrackerSettings()).update(READING).lower)


SILENT = replace(
    READING, hop_previous=NOTHING, hop_start=NOTHING, hop_goal=NOTHING, success=0.9, match=0.9
)


def test_where_nothing_is_answered_nothing_is_said_and_everything_is_kept() -> None:
    """The next reading goes on from the Φ before, as if the silent one had not been asked."""
    settings = TrackerSettings(success_threshold=0.5)
    asked, spared = Tracker(settings), Tracker(settings)
    first, second = replace(READING, success=0.9), replace(READING, hop_start=0.6, success=0.9)
    asked.update(first)
    silent = asked.update(SILENT)
    unknown = (silent.progress, silent.forward, silent.backward, silent.incremental, silent.lower)
    assert all(math.isnan(value) for value in (*unknown, silent.confidence, *asked.features))
    assert not silent.valid
    assert not silent.success
    spared.update(first)
    assert str(asked.update(second)) == str(spared.update(second))


def test_a_silent_first_query_is_no_beginning() -> None:
    tracker = Tracker(TrackerSettings())
    assert math.isnan(tracker.update(SILENT).progress)
    assert tracker.update(READING).progress == pytest.approx(0.5)


def test_success_and_match_that_nobody_tells_are_nan_and_invalidate_nothing() -> None:
    tracker = Tracker(TrackerSettings(match_threshold=0.5, success_threshold=0.0))
    for _ in range(2):
        verdict = tracker.update(replace(READING, success=NOTHING, match=NOTHING))
        assert math.isnan(verdict.success_prob)
        assert math.isnan(verdict.match_prob)
        assert verdict.valid
        assert not verdict.success


def test_progress_that_is_stated_is_the_progress_with_or_without_anchors() -> None:
    """Up, down, and across a query without an answer."""
    lone = replace(READING, hop_previous=NOTHING, hop_start=NOTHING, hop_goal=NOTHING)
    for anchored in (False, True):
        tracker = Tracker(TrackerSettings())
        for phi in (0.3, 0.8, NOTHING, 0.2, 1.0, 0.9):
            start = {"hop_start": phi, "spread_start": 0.0} if anchored else {}
            verdict = tracker.update(replace(lone, progress=phi, **start))
            assert verdict.progress == pytest.approx(phi, nan_ok=True)
            assert verdict.incremental == pytest.approx(phi, nan_ok=True)
            assert verdict.valid != math.isnan(phi)


def peaked(previous: float, start: float, goal: float) -> np.ndarray:
    """Return sure distributions of three hops, (3, 51); NaN for one that is missing."""
    hops = np.array([[previous], [start], [goal]])
    return np.maximum(1.0 - np.abs(hops - np.linspace(-1.0, 1.0, BINS)) * 25, hops * 0.0)


FILTERED = TrackerSettings(fusion="filter")
TOLD = replace(READING, hops=peaked(0.0, 0.5, -0.5))


def test_the_filter_s_median_is_the_progress_and_its_sureness_a_feature() -> None:
    tracker = Tracker(FILTERED)
    states = None
    for previous, start in ((0.0, 0.5), (0.2, 0.6)):
        hops = peaked(previous, start, start - 1.0)
        verdict = tracker.update(replace(TOLD, hop_start=start, hop_goal=start - 1.0, hops=hops))
        states = filter_step(states, hops)
        phi = median(states)
        assert verdict.progress == phi == pytest.approx(start, abs=0.02)
        assert tracker.features[0] == mass(states, phi - CLOSE, phi + CLOSE) > 0.9
    assert tracker.features[1:] == [0.0, 0.1, 0.2, 0.3]


def test_under_the_filter_what_is_told_apart_from_progress_stays_as_it_is() -> None:
    seen = [TOLD, replace(TOLD, hop_previous=0.5, hop_start=0.9, hop_goal=-0.3)]
    one, other = Tracker(FILTERED), Tracker(TrackerSettings())
    for reading in seen:
        filtered, weighted = one.update(reading), other.update(reading)
    for name in ("forward", "backward", "incremental", "match_prob", "valid"):
        assert getattr(filtered, name) == getattr(weighted, name), name
    assert one.belief == other.belief
    assert filtered.progress != weighted.progress


def test_progress_can_veto_a_success_and_never_declare_one() -> None:
    done = replace(TOLD, hops=peaked(0.0, 1.0, 0.0), success=0.9)
    tracker = Tracker(FILTERED)
    states = filter_step(filter_step(None, done.hops), done.hops)
    sure = mass(states, COMPLETE, 1.0)
    got = [tracker.update(done).success_prob for _ in range(2)][-1]
    assert got == pytest.approx(0.9 * sure, abs=1e-3)
    assert 0.89 < got < 0.9
    vetoed = Tracker(FILTERED)
    assert max(vetoed.update(replace(TOLD, success=1.0)).success_prob for _ in range(3)) < 1e-3
    silent = Tracker(FILTERED)
    assert max(silent.update(replace(done, success=0.0)).success_prob for _ in range(3)) == 0.0
    weighted = Tracker(TrackerSettings())
    assert [weighted.update(replace(TOLD, success=1.0)).success_prob for _ in range(2)][-1] == 1.0


def test_the_filter_goes_on_without_anchors_and_says_that_they_are_missing() -> None:
    lost = {"hop_start": NOTHING, "hop_goal": NOTHING}
    lost |= {"spread_start": NOTHING, "spread_goal": NOTHING}
    sure = Calibration(bias=9.0, slopes=(0.0,) * 5)
    tracker = Tracker(replace(FILTERED, calibration=sure))
    for _ in range(2):
        hops = peaked(0.48, NOTHING, NOTHING)
        verdict = tracker.update(replace(TOLD, **lost, hop_previous=0.48, hops=hops))
    assert verdict.progress == pytest.approx(0.48, abs=0.01)
    assert math.isnan(verdict.forward)
    assert math.isnan(verdict.backward)
    assert verdict.confidence == UNANCHORED_CAP


def test_numbers_without_distributions_are_refused_by_the_filter() -> None:
    with pytest.raises(InputError, match="needs distributions; give TrackerSettings"):
        Tracker(FILTERED).update(READING)


def test_an_unknown_fusion_is_refused() -> None:
    with pytest.raises(InputError, match="no fusion 'mean'; there are weighted, filter"):
        TrackerSettings(fusion="mean")  # type: ignore[arg-type]
