"""Figures of each dataset by itself, from rows made by hand."""

from typing import Any

import numpy as np
import pytest

from data.by_dataset import by_dataset
from data.eval_page import _each_dataset
from data.eval_table import each_row
from data.figures import FIGURES
from data.probing import Rows

PLAIN = ("voc_forward", "voc_reversed", "spearman_success", "spearman_failure", "ccc", "valid")


def rows(mae: list[float], scores: list[float], succeeded: list[float]) -> Rows:
    """Return rows of which the figures can be told by hand; the rest is unknown."""
    count = len(mae)
    unknown = np.full(count, np.nan)
    columns: dict[str, Any] = dict.fromkeys((*PLAIN, "constant_max", "claimed", "end"), unknown)
    moves = np.empty(count, dtype=object)
    moves[:] = [np.empty((0, 4))] * count
    return columns | {
        "mae": np.array(mae),
        "outcome": np.array(succeeded),
        "grade_error": unknown,
        "success_score": np.array(scores),
        "declared": np.array(scores) > 0.5,
        "succeeded": np.array(succeeded),
        "undone": np.ones(count, np.int64),
        "premature": np.zeros(count, np.int64),
        "task": np.zeros(count, np.int64),
        "reliability": np.zeros((count, 10, 3)),
        "moves": moves,
    }


MODEL = rows([0.1, 0.3, 0.2, 0.6], [0.9, 0.6, 0.8, 0.1], [1.0, 0.0, 1.0, 0.0])
CLOCK = rows([0.5] * 4, [0.7] * 4, [1.0, 0.0, 1.0, 0.0])
TOLD = by_dataset({"model": MODEL, "clock": CLOCK}, ["pick", "pick", "push", "push"])


def test_each_dataset_has_the_figures_of_its_own_episodes() -> None:
    pick, push = TOLD["datasets"]["pick"], TOLD["datasets"]["push"]
    assert (pick["episodes"], push["episodes"]) == (2, 2)
    assert pick["figures"]["mae"] == pytest.approx({"model": 0.2, "clock": 0.5})
    assert push["figures"]["mae"]["model"] == pytest.approx(0.4)
    assert pick["figures"]["false_positive_rate"]["model"] == 1.0
    assert push["figures"]["false_positive_rate"]["model"] == 0.0
    assert pick["figures"]["success_recall"] == {"model": 1.0, "clock": 1.0}


def test_the_worst_is_the_largest_where_lower_is_better() -> None:
    told = TOLD["model"]
    assert told["mae"] == pytest.approx({"mean": 0.3, "worst": 0.4, "worst_dataset": "push"})
    assert told["false_positive_rate"]["worst_dataset"] == "pick"
    assert told["success_auroc"]["worst"] == 1.0
    assert set(told) == set(FIGURES)


def test_what_no_dataset_tells_has_no_worst() -> None:
    assert np.isnan(TOLD["model"]["voc_forward"]["worst"])
    assert TOLD["model"]["voc_forward"]["worst_dataset"] == ""


def test_one_dataset_needs_no_breakdown() -> None:
    told = by_dataset({"model": MODEL}, ["pick"] * 4)
    assert told == {"datasets": {}, "model": {}}
    assert _each_dataset(told) == ""


def test_the_table_and_the_page_end_with_mean_and_worst() -> None:
    shown = each_row(TOLD)
    assert list(shown) == ["pick (2)", "push (2)", "mean", "worst"]
    assert [cells[2] for cells in shown.values()] == [".200", ".400", ".300", ".400"]
    page = _each_dataset(TOLD)
    assert page.count("<tr>") == 5
    assert "pick (2)" in page
