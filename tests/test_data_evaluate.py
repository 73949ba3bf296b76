"""Figures of merit, in numbers worked out by hand, and what is calibrated from them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from data.episodes import Views
from data.evaluate import Case, Judged, calibrate, judge, success_auroc, summary
from robo_reward.checkpoint import build
from robo_reward.config import CompactConfig
from robo_reward.errors import InputError
from robo_reward.model import Labels, Model, ModelSettings
from robo_reward.protocols import References
from robo_reward.tracker import TrackerSettings

pytestmark = pytest.mark.usefixtures("one_thread")

NAN = float("nan")


def case(truth: list[float], done: list[float] | None = None, **changes: Any) -> Case:
    plain: dict[str, Any] = {
        "name": "episode",
        "instruction": "push the button",
        "references": References(),
        "frames": lambda every: iter(()),
        "fps": 10.0,
        "truth": np.array(truth),
        "done": np.array(done or [NAN] * len(truth)),
        "match": NAN,
    }
    return Case(**(plain | changes))


def labels(rows: int, **columns: Any) -> Labels:
    names = ("progress", "forward", "backward", "incremental")
    plain = {name: np.zeros(rows, np.float32) for name in names}
    plain |= {name: np.zeros(rows, np.float32) for name in ("confidence", "lower", "success_prob")}
    further = ("time_to_go", "view_disagreement")
    plain |= {name: np.full(rows, NAN, np.float32) for name in further}
    plain |= {"match_prob": np.ones(rows, np.float32), "features": np.zeros((rows, 5))}
    plain |= {name: np.ones(rows, np.bool_) for name in ("success", "valid")}
    return Labels(**(plain | {name: np.asarray(values) for name, values in columns.items()}))


def test_an_estimate_that_says_nothing_of_an_episode_is_left_out_there() -> None:
    cases = [case([0, 0.5, 1], [0, 0, 1]), case([0, 0.5, 1], [0, 0, 1]), case([0, 0], [0, 0])]
    progress = [np.full(3, NAN), np.array([0, 0.5, 0.9]), np.array([0, 0.2])]
    figures = summary(progress, cases)
    assert (figures["spearman_success"], figures["episodes"]) == (1.0, 2.0)
    assert figures["mae"] == pytest.approx((0.1 / 3 + 0.1) / 2)
    assert success_auroc([float(phi[-1]) for phi in progress], cases) == 1.0


def test_failures_that_come_to_a_potential_of_success_are_counted() -> None:
    """Not those in which the task was done for a while, nor those of which nothing is said."""
    nothing, judged = [0.0, 0.0, 0.0], [NAN, 0.5, 0.7]
    cases = [
        case([0, 0.5, 0.6], done) for done in (nothing, nothing, nothing, [0, 1, 0], [0, 0, 1])
    ]
    progress = [[0.1, 0.2, 0.9], [0.1, 0.85, 0.3], judged, [0.1, 0.9, 0.2], [0.1, 0.5, 0.9]]
    figures = summary([np.array(phi) for phi in progress], cases)
    assert (figures["failures"], figures["failures_claimed"]) == (3.0, 2.0)
    figures = summary([np.full(3, NAN)], cases[:1])
    assert (figures["failures"], figures["failures_claimed"]) == (0.0, 0.0)


def test_the_summary_in_numbers() -> None:
    cases = [
        case([0, 0.5, 1]),
        case([0, 0.5, 0.2, NAN], clean=False),
        case([0.05, 0.05, 0.05], clean=False),
        case([NAN, NAN, NAN]),
    ]
    progress = [[0.1, 0.4, 0.9], [0, 0.1, 0.3, 9], [0.1, 0.3, 0.2], [0.5, 0.5, 0.5]]
    figures = summary([np.array(phi) for phi in progress], cases)
    assert figures == pytest.approx(
        {
            "spearman_success": 1.0,
            "spearman_failure": 0.5,  # ranks 0 1 2 against 0 2 1: 1 − 6 · 2 / (3 · 8)
            "mae": (0.1 + 0.5 / 3 + 0.15) / 3,
            "constant_max": 0.3,
            "episodes": 3.0,
            "constant_episodes": 1.0,
            "failures": 0.0,
            "failures_claimed": 0.0,
        }
    )


def test_a_constant_estimate_has_no_rank_correlation() -> None:
    figures = summary([np.array([0.5, 0.5, 0.5])], [case([0, 0.5, 1])])
    assert figures["spearman_success"] == 0.0


def test_what_was_not_seen_is_nan() -> None:
    figures = summary([np.array([0, 0.5, 1])], [case([0, 0.5, 1])])
    assert np.isnan([figures["spearman_failure"], figures["constant_max"]]).all()
    assert figures["constant_episodes"] == 0.0


def test_success_auroc_leaves_out_episodes_of_unknown_end() -> None:
    ended = [case([0, 1], [0, 1]), case([0, 0], [0, 0]), case([0, 1], [1, NAN])]
    assert success_auroc([0.9, 0.2, 0.1], ended) == 1.0
    assert success_auroc([0.2, 0.9, 0.1], ended) == 0.0
    assert np.isnan(success_auroc([0.9, 0.1], [ended[0], ended[2]]))


def test_success_is_declared_from_where_declarations_are_right() -> None:
    judged = [
        Judged(
            case=case([0.5] * 5, [1, 1, 0, 0, NAN]),
            labels=labels(5, success_prob=[0.9, 0.75, 0.7, 0.2, 1.0]),
        )
    ]
    assert calibrate(TrackerSettings(), judged).success_threshold == 0.75


def test_the_threshold_of_success_stays_where_no_success_was_seen() -> None:
    judged = [Judged(case=case([0.5] * 3, [0, 0, 0]), labels=labels(3))]
    assert calibrate(TrackerSettings(success_threshold=0.3), judged).success_threshold == 0.3


@pytest.mark.parametrize(
    ("match", "threshold"),
    [([0.25, 0.125, 0.25], 0.25), ([0.9, 0.1, 0.6, 0.6], 0.5), ([0.0, 0.0, 0.0], 0.0)],
)
def test_true_matches_stay_above_the_match_threshold(match: list[float], threshold: float) -> None:
    """Two successive queries count together; a model sure of a match is never overruled."""
    rows, held = len(match), np.repeat(match, 3)
    right = Judged(
        case=case([0.5] * 3 * rows, match=1.0),
        labels=labels(3 * rows, match_prob=held),
        every=3,
    )
    wrong = Judged(case=case([0.5] * rows, match=0.0), labels=labels(rows, match_prob=[0] * rows))
    assert calibrate(TrackerSettings(), [right, wrong]).match_threshold == threshold


def test_confidence_is_high_where_validation_was_right() -> None:
    features = np.zeros((40, 5))
    features[:20, 0] = 1.0
    progress = np.where(np.arange(40) < 20, 0.55, 0.9)
    judged = [
        Judged(case=case([0.5] * 40), labels=labels(40, progress=progress, features=features))
    ]
    fitted = calibrate(TrackerSettings(), judged).calibration
    assert fitted is not None
    sure, unsure = fitted.confidence(features[[0, 39]])
    assert sure > 0.8
    assert unsure < 0.2


def test_nothing_is_calibrated_without_truth() -> None:
    with pytest.raises(InputError, match="no validation frame has a known progress"):
        calibrate(TrackerSettings(), [Judged(case=case([NAN, NAN]), labels=labels(2))])


def test_judging_asks_about_every_query_and_holds_the_verdict_between() -> None:
    torch.manual_seed(0)
    network = build(CompactConfig(image_size=16, width=8, depth=1, heads=2, channels=4))
    model = Model(network, ModelSettings(image_size=16), fingerprint="")
    asked: list[int] = []

    def frames(every: int) -> Iterator[Views]:
        asked.append(every)
        for number in range(0, 9, every):
            yield {"front": np.full((16, 16, 3), 20 * number, np.uint8)}

    (judged,) = judge(model, [case([0.0] * 9, frames=frames)])
    assert (asked, judged.every) == ([4], 4)
    held = judged.labels.success_prob
    assert len(held) == 9
    assert [len(set(held[start : start + 4])) for start in (0, 4, 8)] == [1, 1, 1]
    assert held[3] != held[4]
