"""Suspicion, computed by hand."""

from typing import Any

import numpy as np
import pytest

from data.report_suspicion import suspicion


def judge(phi: list[float], outcome: bool | None = None, **changes: Any) -> Any:
    values = np.array(phi, np.float32)
    plain: dict[str, Any] = {
        "forward": values,
        "backward": values,
        "confidence": np.ones(len(phi), np.float32),
        "valid": np.isfinite(values),
        "outcome": outcome,
    }
    return suspicion(values, **{**plain, **changes})


def test_a_clean_success_has_no_suspicion_and_no_reason() -> None:
    verdict = judge([0.0, 0.5, 1.0], True)
    assert verdict.score == 0.0
    assert verdict.reasons == ()


def test_a_fall_from_08_to_02_scores_08_times_06() -> None:
    verdict = judge([0.0, 0.8, 0.2, 0.5])
    assert verdict.values["fall"] == pytest.approx(0.6)
    assert verdict.score == pytest.approx(0.48)
    assert verdict.reasons == ("falls back by 0.60",)


def test_small_falls_do_not_add_up_to_a_deep_one() -> None:
    saw = [0.5 + 0.04 * (t % 2) for t in range(100)]
    assert judge(saw).values["fall"] == pytest.approx(0.04, abs=1e-6)
    assert judge(saw).reasons == ()


def test_anchors_that_differ_by_03_score_08_times_03_and_missing_answers_are_left_out() -> None:
    phi = np.full(4, 0.5, np.float32)
    backward = np.array([0.2, np.nan, 0.2, 0.2], np.float32)
    verdict = judge([0.5] * 4, forward=phi, backward=backward)
    assert verdict.values["disagreement"] == pytest.approx(0.3)
    assert verdict.score == pytest.approx(0.24)
    never = judge([0.5] * 4, backward=np.full(4, np.nan, np.float32))
    assert never.values["disagreement"] == 0.0


@pytest.mark.parametrize(
    ("outcome", "last", "value"),
    [(True, 0.3, 0.7), (True, 1.0, 0.0), (False, 0.9, 0.8), (False, 0.4, 0.0), (None, 0.1, 0.0)],
)
def test_the_end_counts_against_the_outcome(
    outcome: bool | None, last: float, value: float
) -> None:
    verdict = judge([0.0, last], outcome)
    assert verdict.values["end"] == pytest.approx(value)
    assert verdict.score == pytest.approx(value)


def test_the_end_is_the_last_valid_frame() -> None:
    assert judge([0.0, 1.0, float("nan")], True).values["end"] == 0.0


def test_reasons_are_ordered_by_weight_times_value_and_combine_as_one_minus_product() -> None:
    verdict = judge([0.0, 0.9, 0.6, float("nan")], True, confidence=np.full(4, 0.4, np.float32))
    # fall .3·.8 = .24, end .4, invalid .25, doubt .6·.5 = .3
    assert verdict.score == pytest.approx(1 - 0.76 * 0.6 * 0.75 * 0.7)
    assert verdict.reasons == (
        "ends at 0.60 after success",
        "mean confidence 0.40",
        "invalid 25%",
        "falls back by 0.30",
    )


def test_nothing_valid_is_as_suspicious_as_can_be_with_that_one_reason() -> None:
    verdict = judge([float("nan")] * 3, True)
    assert verdict.score == 1.0
    assert verdict.reasons == ("nothing valid",)
