"""What a decision makes of labels, worked out by hand."""

from typing import Any

import numpy as np
import pytest
from test_data_report import episode

from data.review_decisions import Decision, as_json, decision_of, problem
from data.review_rules import MOST_OF_A_FAILURE, Columns, corrected
from robo_reward.errors import InputError


def judged() -> Columns:
    """Five frames: Φ 0, .5, unknown, .96, 1."""
    phi = np.array([0.0, 0.5, np.nan, 0.96, 1.0], np.float32)
    return {
        "progress_sparse": phi,
        "progress_lower": phi - np.float32(0.1),
        "progress_forward": np.array([0, 0.4, 0.5, 0.9, 1], np.float32),
        "confidence": np.full(5, 0.7, np.float32),
        "success_prob": np.array([0, 0, 0, 0.5, 1], np.float32),
        "time_to_go": np.array([4, 3, 2, 1, 0], np.float32),
        "valid": np.array([True, True, False, True, True]),
        "reward": np.zeros(5, np.float32),
    }


def test_to_accept_or_to_note_changes_nothing() -> None:
    for decision in (Decision(), Decision(accepted=True), Decision(note="blurred")):
        after = corrected(judged(), episode(0, 5), decision, gamma=0.5)
        for name, values in judged().items():
            assert np.array_equal(after[name], values, equal_nan=True)


def test_keyframes_make_progress_bound_confidence_and_reward() -> None:
    one = episode(0, 5, outcome=True)
    after = corrected(judged(), one, Decision(keyframes=(0, 2, 3)), gamma=0.5)
    assert after["progress_sparse"].tolist() == [0.0, 0.25, 0.5, 1.0, 1.0]
    assert after["progress_lower"].tolist() == [0.0, 0.25, 0.5, 1.0, 1.0]
    assert after["confidence"].tolist() == [1.0] * 5
    assert after["valid"].all()
    assert after["success_prob"].tolist() == [0, 0, 0, 1, 1]
    assert after["time_to_go"] == pytest.approx([0.3, 0.2, 0.1, 0, 0])
    # .5 · .25 − 0, .5 · .5 − .25, .5 · 1 − .5, .5 · 1 − 1, and 0 − 1 after the termination
    assert after["reward"].tolist() == [0.125, 0.0, 0.0, -0.5, -1.0]
    assert np.array_equal(after["progress_forward"], judged()["progress_forward"])
    assert {values.dtype for values in after.values()} == {np.dtype("f4"), np.dtype(bool)}


def test_keyframes_of_a_failure_end_below_one_by_the_share_that_was_done() -> None:
    marked = Decision(keyframes=(0, 2, 4), outcome=False)
    after = corrected(judged(), episode(0, 5), marked, gamma=0.5)
    assert after["progress_sparse"] == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3])
    assert after["success_prob"].tolist() == [0] * 5
    assert np.isnan(after["time_to_go"]).all()
    assert np.isnan(after["reward"][-1])
    of_four = Decision(keyframes=(0, 2, 4), subtasks=4)
    after = corrected(judged(), episode(0, 5, outcome=False), of_four, gamma=0.5)
    assert after["progress_sparse"][-1] == 0.5
    saved = Decision(keyframes=(0, 2, 4), outcome=True)
    after = corrected(judged(), episode(0, 5, outcome=False), saved, gamma=0.5)
    assert after["progress_sparse"][-1] == 1.0


def test_a_marked_failure_never_claims_to_be_done() -> None:
    after = corrected(judged(), episode(0, 5, outcome=True), Decision(outcome=False), gamma=0.5)
    assert after["progress_sparse"][[0, 1, 3, 4]] == pytest.approx([0, 0.5, 0.9, 0.9])
    assert np.isnan(after["progress_sparse"][2])
    assert after["progress_lower"][4] == pytest.approx(MOST_OF_A_FAILURE)
    assert after["success_prob"].max() == 0
    assert np.isnan(after["reward"][-1])
    again = corrected(after, episode(0, 5, outcome=True), Decision(outcome=False), gamma=0.5)
    assert all(np.array_equal(again[name], after[name], equal_nan=True) for name in after)


def test_a_marked_success_is_a_termination_also_where_the_success_was_recorded_as_undone() -> None:
    undone = episode(0, 5, outcome=True, success=np.array([False, False, True, True, False]))
    before = corrected(judged(), undone, Decision(keyframes=(0, 4)), gamma=0.5)
    assert np.isnan(before["reward"][-1])
    after = corrected(judged(), undone, Decision(outcome=True), gamma=0.5)
    # the verdict of frame 2 does not count, so the one before it is held
    assert after["reward"] == pytest.approx([0.25, -0.25, -0.02, -0.46, -1.0])
    assert np.array_equal(after["progress_sparse"], judged()["progress_sparse"], equal_nan=True)


def test_labels_without_the_optional_columns_get_none() -> None:
    few = {name: judged()[name] for name in ("progress_sparse", "valid", "confidence")}
    after = corrected(few, episode(0, 5), Decision(keyframes=(1, 3), outcome=False), gamma=1.0)
    assert list(after) == list(few)


# ---- decisions ----


def test_a_decision_reads_back_as_it_was_written() -> None:
    decision = Decision(accepted=True, outcome=False, keyframes=(0, 4), subtasks=3, note="ü\n")
    assert decision_of(as_json(decision), 5) == decision
    assert as_json(decision)["outcome"] == "failure"
    assert decision_of({}, 5) == Decision()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must be a JSON object"),
        ({"rejected": True}, "no 'rejected'"),
        ({"accepted": 1}, "accepted must be true or false, not 1"),
        ({"outcome": True}, "success, failure or null"),
        ({"outcome": ["success"]}, "success, failure or null"),
        ({"note": "n" * 4001}, "at most 4000 characters"),
        ({"keyframes": "0"}, "a list of frame numbers"),
        ({"keyframes": [0, True]}, "a list of frame numbers"),
        ({"keyframes": [1.5]}, "a list of frame numbers"),
        ({"keyframes": [3, 3]}, r"must rise, got \[3, 3\]"),
        ({"keyframes": [0, 5]}, "the frames 0 to 4"),
        ({"keyframes": [-1, 2]}, "the frames 0 to 4"),
        ({"keyframes": list(range(201))}, "201 keyframes; at most 200"),
        ({"subtasks": 0}, "from 1 to 1000, not 0"),
    ],
)
def test_what_is_no_decision_is_refused_in_words(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decision_of(value, 5)


def test_what_cannot_become_labels_yet_is_told() -> None:
    assert problem(Decision(note="n", keyframes=(0, 3)), None) is None
    assert "needs two" in (problem(Decision(keyframes=(3,)), True) or "")
    whole = Decision(keyframes=(0, 2, 4), subtasks=2)
    assert "bound 2 of 2 subtasks" in (problem(whole, False) or "")
    assert problem(whole, True) is None
    assert problem(Decision(outcome=False, keyframes=(0, 4)), False) is None


def test_a_note_alone_is_no_review() -> None:
    assert not Decision(note="later").reviewed
    assert Decision(accepted=True).reviewed
    assert Decision(outcome=False).reviewed
    assert Decision(keyframes=(1,)).reviewed
