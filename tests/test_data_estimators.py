"""The model, the baselines and the truth answer the same question in the same form."""

import bright
import numpy as np
import pytest
import tiny

from data.estimators import (
    CLOCK,
    embedding_distance,
    model_estimator,
    trivial_estimators,
    truth_estimator,
)
from data.evaluate import Case, judge
from robo_reward.protocols import References

NAN = float("nan")


def frames(length: int = 9) -> Case:
    shown = tiny.episode(length)
    references = References(start=shown[0], goal=shown[-1])
    return bright.case(
        [0.0] * length, fps=10.0, frames=lambda every: iter(shown[::every]), references=references
    )


def test_the_model_is_asked_as_when_it_labels() -> None:
    model, case = tiny.model(), frames()
    (judged,) = judge(model, [case])
    told = model_estimator(model)(case)
    assert (told.every, len(told.progress)) == (4, 9)
    assert (told.progress == judged.labels.progress).all()
    assert told.success_score == judged.labels.success_prob.max()
    assert told.asked.tolist() == told.progress[[0, 4, 8]].tolist()


def test_a_row_a_query_says_the_same_of_every_query() -> None:
    told = model_estimator(tiny.model())(frames())
    asked = told.at_queries()
    assert asked.every == 1
    assert asked.progress.tolist() == told.asked.tolist() == asked.asked.tolist()
    assert len(asked.declared) == len(asked.valid) == len(asked.confidence) == 3


def test_baselines_declare_success_when_they_arrive() -> None:
    told = trivial_estimators(0.4)[CLOCK](bright.case([0.0] * 21))
    assert told.declared.tolist() == [False] * 19 + [True] * 2
    assert told.success_score == 1.0
    assert np.isnan(told.confidence).all()


def test_the_embedding_is_as_far_from_the_goal_as_the_models_own_tokens() -> None:
    told = embedding_distance(tiny.model())(frames())
    assert told.asked[0] == 0.0
    assert told.asked[-1] == pytest.approx(1.0)
    assert 0.0 <= told.asked[1] < 1.0


def test_without_a_picture_of_the_goal_distances_say_nothing() -> None:
    blind = bright.case([0.0, 0.5, 1.0], references=References(), frames=frames().frames)
    for estimate in (trivial_estimators(0.4)["pixel_distance"], embedding_distance(tiny.model())):
        told = estimate(blind)
        assert np.isnan(told.progress).all()
        assert not told.declared.any()


def test_the_truth_is_told_as_an_estimate() -> None:
    told = truth_estimator(0.4)(bright.case([0.0, 0.5, 1.0], fps=10.0))
    assert told.progress.tolist() == [0.0, 0.5, 1.0]
    assert told.declared.tolist() == [False, False, True]
    assert told.every == 4


@pytest.mark.parametrize(
    ("changes", "claim"),
    [({}, 0.6), ({"declared": [False, True]}, 1.0), ({"valid": [True, False]}, 0.0)],
)
def test_what_is_claimed_of_the_end(changes: dict, claim: float) -> None:
    changes = {name: np.array(value) for name, value in changes.items()}
    assert bright.track([0.0, 0.6], **changes).claim == claim
