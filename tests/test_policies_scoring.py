"""Potentials of episodes: judged while they are played as they would be afterwards."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from policy_fixtures import SEEING, TASK, FragileEnv, played_in, starts, wave

from policies.playing import Player
from policies.scoring import Judged, Judging, Plain, Potentials, judge
from policies.trials import Moment, Start, Trial
from robo_reward.checkpoint import build
from robo_reward.config import CompactConfig
from robo_reward.errors import InputError, NoVerdictError
from robo_reward.fake_model import FakeProgressModel, brightness
from robo_reward.model import Model, ModelSettings
from robo_reward.protocols import References

NOTHING = References()
ENDS = References(
    start={"front": np.zeros((16, 16, 3), np.uint8)},
    goal={"front": np.full((16, 16, 3), 200, np.uint8)},
)


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    with played_in(SEEING, 2) as player:
        return player.play(wave, starts(1, 2, 3))


@pytest.fixture(scope="module")
def network() -> Model:
    torch.manual_seed(2)
    shape = CompactConfig(image_size=16, width=20, depth=1, heads=2, channels=4)
    settings = ModelSettings(image_size=16, query_period_s=0.2)
    return Model(build(shape), settings, fingerprint="tiny")


class Counting(FakeProgressModel):
    """Counts its passes, and what it was asked in each."""

    def score_many(self, sessions: Any, views: Any, times: Any) -> Any:
        PASSES.append((len(sessions), list(times)))
        return super().score_many(sessions, views, times)


PASSES: list[tuple[int, list[float]]] = []


def meanwhile(
    judging: Judging, player: Player, asked: Sequence[Start]
) -> tuple[list[Trial], list[Potentials]]:
    """Episodes, and what is judged while they are played."""

    def watch(moments: Sequence[Moment]) -> set[int]:
        judging.see(moments)
        return set()

    trials = player.play(wave, asked, watch=watch)
    return trials, judging.potentials(trials)


def alike(found: Sequence[Potentials], expected: Sequence[Potentials]) -> None:
    for one, two in zip(found, expected, strict=True):
        assert one.progress == pytest.approx(two.progress, abs=1e-6)
        assert one.apart == pytest.approx(two.apart, abs=1e-6, nan_ok=True)
        flags = [(p.declared, p.missing, p.invalid) for p in (one, two)]
        assert flags[0] == flags[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_meanwhile_is_as_good_as_afterwards(
    trials: list[Trial], network: Model, workers: int
) -> None:
    judged = Judged(network, lambda _: ENDS)
    further = Start(seed=1, group=7, played=trials[0].played(2))
    with played_in(SEEING, 2, workers=workers) as player:
        played, found = meanwhile(judged.begin(), player, [*starts(1, 2, 3), further, *starts(4)])
    expected = judge(judged, played)
    alike(found, expected)
    assert [len(one.progress) for one in found] == [6, 6, 6, 4, 6]
    assert np.ptp(np.concatenate([one.apart for one in found])) > 1e-4
    session = network.begin(trials[0].instruction, ENDS)
    shown = {name: images[2] for name, images in trials[0].views.items()}
    first = network.score(session, shown, 0.0)
    assert found[3].progress[0] == pytest.approx(first.progress, abs=1e-6)


def test_what_a_lost_process_showed_last_is_held(network: Model) -> None:
    judged = Judged(network, lambda _: ENDS)
    make = partial(FragileEnv, TASK, image_size=16, render_every=4)
    with played_in(make, 1, workers=1) as player:
        played, found = meanwhile(judged.begin(), player, starts(4, 5))
    assert [trial.lost for trial in played] == [True, False]
    assert [len(one.progress) for one in found] == [3, 6]
    alike(found, judge(judged, played))


def test_one_pass_judges_all_that_is_new() -> None:
    PASSES.clear()
    judging = Judged(Counting(query_period_s=0.2), lambda _: NOTHING).begin()
    with played_in(SEEING, 2) as player:
        meanwhile(judging, player, starts(1, 2, 3))
    assert [count for count, _ in PASSES] == [2] * 5 + [3] + [1] * 5
    assert PASSES[2][1] == pytest.approx([0.4] * 2)
    assert PASSES[5][1] == pytest.approx([1.0, 1.0, 0.0])


def test_potentials_are_what_the_model_says_of_each_alone(trials: list[Trial]) -> None:
    model = FakeProgressModel(query_period_s=0.2)
    found = judge(Judged(model, lambda _: NOTHING), trials)
    for trial, potentials in zip(trials, found, strict=True):
        assert potentials.progress.shape == (6,)
        session = model.begin(trial.instruction, NOTHING)
        for n in range(6):
            shown = trial.moment(0, n)
            verdict = model.score(session, shown.views, shown.seconds)
            assert potentials.progress[n] == pytest.approx(verdict.progress)
        first = brightness(trial.moment(0, 0).views)
        assert potentials.progress[0] == 0.0 or potentials.progress[0] == first
        assert (potentials.missing, potentials.invalid) == (0, 0)


def test_a_verdict_that_is_only_repeated_is_told_once(trials: list[Trial]) -> None:
    judging = Judged(FakeProgressModel(query_period_s=0.4), lambda _: NOTHING).begin()
    told = [judging.see([trials[0].moment(0, n)]) for n in range(6)]  # one every 0.2 s
    assert [bool(one) for one in told] == [True, False, True, False, True, False]


def test_a_verdict_that_does_not_count_is_held_counted_and_not_told(trials: list[Trial]) -> None:
    model = FakeProgressModel(query_period_s=0.2, instruction="another")
    judging = Judged(model, lambda _: NOTHING).begin()
    told = [judging.see([trials[0].moment(0, n)]) for n in range(6)]
    (found,) = judging.potentials(trials[:1])
    assert found.invalid >= 4  # a match is debounced over two queries
    assert len(set(found.progress[2:])) == 1
    assert [len(one) for one in told] == [1] * (6 - found.invalid) + [0] * found.invalid
    assert told[0] == {0: found.progress[0]}


class Forgetful(FakeProgressModel):
    """A served model that gives no verdict at some times, and then to one session alone."""

    def score_many(self, sessions: Any, views: Any, times: Any) -> Any:
        found: list[Any] = list(super().score_many(sessions, views, times))
        if not 0.3 < times[0] < 0.5:
            return found
        raise NoVerdictError("the server was late", [None, *found[1:]])


def test_where_a_server_gives_no_verdict_the_last_is_held_and_the_lack_counted(
    trials: list[Trial],
) -> None:
    model = Forgetful(query_period_s=0.2)
    lacking, other = judge(Judged(model, lambda _: NOTHING), trials[:2])
    whole, same = judge(
        Judged(FakeProgressModel(query_period_s=0.2), lambda _: NOTHING), trials[:2]
    )
    assert (lacking.missing, lacking.invalid, whole.missing) == (1, 0, 0)
    assert lacking.progress[2] == lacking.progress[1]
    assert np.isnan(lacking.apart[2])
    assert lacking.progress[3:] == pytest.approx(whole.progress[3:], abs=0.05)
    alike([other], [same])


def test_a_lost_verdict_is_told_to_nobody(trials: list[Trial]) -> None:
    judging = Judged(Forgetful(query_period_s=0.2), lambda _: NOTHING).begin()
    told = [judging.see([trials[0].moment(0, n)]) for n in range(6)]
    assert [bool(one) for one in told] == [True, True, False, True, True, True]


def test_references_are_asked_for_by_instruction(trials: list[Trial]) -> None:
    asked = []

    def find(instruction: str) -> References:
        asked.append(instruction)
        return NOTHING

    judge(Judged(FakeProgressModel(), find), trials)
    assert asked == [trial.instruction for trial in trials]


def test_the_truth_and_nothing_are_potentials_too(trials: list[Trial]) -> None:
    truth, nothing = Plain(truth=True).begin(), Plain(truth=False).begin()
    (found,) = truth.potentials(trials[:1])
    assert found.progress == pytest.approx(np.clip(trials[0].truth, 0, 1))
    assert nothing.potentials(trials[:1])[0].progress.tolist() == [0.0] * 6
    assert truth.see([trials[0].moment(2, 1)]) == {2: trials[0].truth[1]}
    assert nothing.see([trials[0].moment(2, 1)]) == {}
    unknown = replace(trials[0], truth=np.full(6, np.nan))
    assert truth.see([unknown.moment(2, 1)]) == {}
    with pytest.raises(InputError, match="does not tell its progress"):
        truth.potentials([unknown])
