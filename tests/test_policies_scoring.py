"""Potentials of finished episodes: one pass a decision, held verdicts, the truth, nothing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from policy_fixtures import SEEING, played_in, starts, wave

from policies.playing import Trial
from policies.scoring import Judged, Plain
from robo_reward.errors import InputError
from robo_reward.fake_model import FakeProgressModel, brightness
from robo_reward.protocols import References

NOTHING = References()


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    with played_in(SEEING, 2) as player:
        return player.play(wave, starts(1, 2, 3))


class Counting(FakeProgressModel):
    """Counts its passes, and what it was asked in each."""

    def score_many(self, sessions: Any, views: Any, times: Any) -> Any:
        PASSES.append((len(sessions), list(times)))
        return super().score_many(sessions, views, times)


PASSES: list[tuple[int, list[float]]] = []


def test_one_pass_judges_a_decision_of_all_episodes(trials: list[Trial]) -> None:
    PASSES.clear()
    model = Counting(query_period_s=0.2)
    found = Judged(model, lambda _: NOTHING).score(trials)
    assert [count for count, _ in PASSES] == [3] * 6
    assert PASSES[2][1] == pytest.approx([0.4] * 3)
    for trial, potentials in zip(trials, found, strict=True):
        assert potentials.progress.shape == (6,)
        session = model.begin(trial.instruction, NOTHING)
        for n in range(6):
            shown = {name: images[n] for name, images in trial.views.items()}
            verdict = model.score(session, shown, trial.seconds[n])
            assert potentials.progress[n] == pytest.approx(verdict.progress)
        first = {name: images[0] for name, images in trial.views.items()}
        assert potentials.progress[0] == 0.0 or potentials.progress[0] == brightness(first)
        assert (potentials.missing, potentials.invalid) == (0, 0)


def test_potentials_do_not_depend_on_who_is_judged_beside(trials: list[Trial]) -> None:
    judge = Judged(FakeProgressModel(query_period_s=0.2), lambda _: NOTHING)
    together = judge.score(trials)
    for trial, found in zip(trials, together, strict=True):
        assert np.array_equal(judge.score([trial])[0].progress, found.progress)


def test_a_verdict_that_does_not_count_is_held_and_counted(trials: list[Trial]) -> None:
    model = FakeProgressModel(query_period_s=0.2, instruction="another")
    (found,) = Judged(model, lambda _: NOTHING).score(trials[:1])
    assert found.invalid >= 4  # a match is debounced over two queries
    assert len(set(found.progress[2:])) == 1


def test_references_are_asked_for_by_instruction(trials: list[Trial]) -> None:
    asked = []

    def find(instruction: str) -> References:
        asked.append(instruction)
        return NOTHING

    Judged(FakeProgressModel(), find).score(trials)
    assert asked == [trial.instruction for trial in trials]


def test_the_truth_and_nothing_are_potentials_too(trials: list[Trial]) -> None:
    (truth,) = Plain(truth=True).score(trials[:1])
    assert truth.progress == pytest.approx(np.clip(trials[0].truth, 0, 1))
    (nothing,) = Plain(truth=False).score(trials[:1])
    assert nothing.progress.tolist() == [0.0] * 6
    unknown = replace(trials[0], truth=np.full(6, np.nan))
    with pytest.raises(InputError, match="does not tell its progress"):
        Plain(truth=True).score([unknown])
