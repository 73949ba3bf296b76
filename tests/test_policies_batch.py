"""What an update makes of episodes: rollouts for credit, and figures."""

from dataclasses import replace

import numpy as np
import pytest
from policy_fixtures import played_in, starts, wave

from policies.batch import rollouts_of, said_of
from policies.learner import Scores
from policies.scoring import Plain, Potentials, judge
from policies.trials import Trial


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    with played_in() as player:
        return player.play(wave, starts(1, 2))


def scores(trial: Trial) -> Scores:
    count = len(trial)
    return Scores(log_prob=np.zeros(count), residual=np.arange(count + 1, dtype=np.float64))


def test_a_rollout_has_what_was_played_judged_and_scored(trials: list[Trial]) -> None:
    trial, judged = trials[0], judge(Plain(truth=True), trials[:1])
    (one,) = rollouts_of([trial], judged, [scores(trial)], critic=True)
    assert np.array_equal(one.potential, trial.truth[:-1])
    assert one.final_potential == trial.truth[-1]
    assert np.array_equal(one.residual, np.arange(len(trial)))
    assert one.final_residual == len(trial)
    assert (one.group, one.success, one.lost) == (0, False, False)
    assert np.array_equal(one.reward, trial.reward)


def test_without_a_critic_the_residual_is_nothing(trials: list[Trial]) -> None:
    judged = judge(Plain(truth=True), trials)
    found = rollouts_of(trials, judged, [scores(trial) for trial in trials])
    assert [one.final_residual for one in found] == [0.0, 0.0]
    assert not any(one.residual.any() for one in found)


@pytest.mark.parametrize("how", ["lost", "given_up"])
def test_what_was_cut_off_is_told_as_such_and_open_ended(trials: list[Trial], how: str) -> None:
    changed = replace(trials[0], lost=how == "lost", given_up=how == "given_up")
    (one,) = rollouts_of([changed], judge(Plain(truth=True), trials[:1]), [scores(changed)])
    assert (one.lost, one.given_up) == (how == "lost", how == "given_up")
    assert one.open_ended


def test_figures_are_means_and_sums_over_episodes(trials: list[Trial]) -> None:
    won, failed = replace(trials[0], success=True), replace(trials[1], given_up=True)
    ends = [
        Potentials(progress=np.array([0.0, end]), apart=np.zeros(2), missing=2, invalid=invalid)
        for end, invalid in ((0.9, 1), (0.3, 0))
    ]
    told = said_of([won, failed], ends)
    assert told["potential_end"] == pytest.approx(0.6)
    assert told["potential_end_failed"] == pytest.approx(0.3)
    counts = {name: told[name] for name in ("missing", "invalid", "lost", "given_up", "env_steps")}
    assert counts == {"missing": 4, "invalid": 1, "lost": 0, "given_up": 1, "env_steps": 40}
    assert np.isnan(said_of([won], ends[:1])["potential_end_failed"])
