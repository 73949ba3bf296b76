"""A `PairBatch` refuses what does not fit together."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny

from robo_reward.errors import InputError


def test_a_batch_counts_its_pairs() -> None:
    assert len(tiny.batch(pairs=7)) == 7


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("images", np.zeros((18, 16, 16, 3), np.float32), "uint8"),
        ("images", np.zeros((18, 16, 16), np.uint8), "uint8"),
        ("images", np.zeros((18, 16, 16, 4), np.uint8), "uint8"),
        ("views", ("wrist", "side", "front"), "sorted by name"),
        ("jitter", np.zeros(3, np.int64), r"jitter must have shape \(18,\), got \(3,\)"),
        ("frames", np.zeros((6, 2), np.int64), "frames must have shape"),
        ("visible", np.ones((3, 2), bool), "visible must have shape"),
        ("start", np.zeros(2, np.int64), "start must have shape"),
        ("history", np.zeros((9, 1), np.int64), "history must have shape"),
        ("success", np.zeros(11, np.float32), "success must have shape"),
        ("after", np.full(10, 6), "after points outside its 6 targets"),
        ("goal", np.array([0, 0, -2]), "goal points outside"),
        ("prefix", np.full(10, 3), "prefix points outside its 3"),
        ("frames", np.full((6, 3), 18), "frames points outside its 18"),
    ],
)
def test_what_does_not_fit_is_refused(field: str, value: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        replace(tiny.batch(), **{field: value})


@pytest.mark.parametrize("field", ["prefix", "before", "after"])
def test_a_pair_without_prefix_or_frame_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=f"{field} points outside"):
        replace(tiny.batch(), **{field: np.full(10, -1)})


@pytest.mark.parametrize("field", ["start", "goal"])
def test_a_reference_may_be_absent(field: str) -> None:
    assert len(replace(tiny.batch(), **{field: np.full(3, -1)})) == 10
