"""Several processes make the update that one makes: shares, statistics, weights after it."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from launching import launch
from policy_fixtures import SEEING, played_in, small_policy, starts
from safetensors.torch import load_file

from policies.config import LearnerConfig
from policies.credit import Credit
from policies.learner import Learner
from policies.playing import Trial
from policies.sharing import Rows, all_trials, check_shareable, combined, generator, share
from robo_reward.acting import Floats, Situation, Trace
from robo_reward.errors import InputError
from robo_reward.meeting import Meeting
from robo_reward.processes import ALONE, Processes

pytestmark = pytest.mark.usefixtures("one_thread")

VIEWS = ("front",)
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "far": {"learning_rate": 1e-2, "epochs": 30, "stop_kl": 1e-3},
    "warm": {"warmup": 1},
    "small": {"minibatch": 2, "epochs": 1},
}
"""Settings of updates; with the last, steps hold no decision of one of the processes."""
SCRIPT = """
import pickle
from test_policies_sharing import CASES, learnt
from robo_reward.meeting import Meeting
from robo_reward.processes import Processes
from policies.sharing import all_trials, share
from safetensors.torch import save_file
with open(f"{place}/given", "rb") as file:
    trials, given = pickle.load(file)
me = Processes(number=number, count=count, device="cpu")
meeting = Meeting(me, patience=60)
mine = share(trials, me)
trials = all_trials(meeting, mine, "share rollouts")
assert [bool(trial.views) for trial in trials] == [trial.by == number for trial in trials]
for case in CASES:
    weights, told = learnt(trials, given, meeting, **CASES[case])
    save_file(weights, f"{place}/{case}.{number}", {"told": repr(told)})
"""


def learnt(
    trials: Sequence[Trial], given: Credit, meeting: Meeting | None = None, **how: Any
) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """Return weights and statistics after an update."""
    config = LearnerConfig(**{"warmup": 0, "minibatch": 8, "clip_gradient": 0.1} | how)
    mine = Learner(small_policy(VIEWS)[0], config, seed=0, meeting=meeting)
    told = mine.update(trials, mine.score(trials), given)
    return {name: value.clone() for name, value in mine.policy.state_dict().items()}, told


def played(*seeds: int) -> list[Trial]:
    policy, rng = small_policy(VIEWS)[0], np.random.default_rng(0)

    def choose(seen: Situation) -> tuple[Floats, Trace]:
        return policy.sample(seen, rng)

    with played_in(SEEING, 3) as player:
        return player.play(choose, starts(*seeds))


def test_two_processes_make_the_update_that_one_makes(tmp_path: Path) -> None:
    trials = played(1, 2, 3)  # one for the first process, two for the second
    rng, count = np.random.default_rng(0), sum(map(len, trials))
    given = Credit(advantage=rng.standard_normal(count), target=rng.standard_normal(count))
    (tmp_path / "given").write_bytes(pickle.dumps((trials, given)))
    ended = launch(SCRIPT, tmp_path)
    assert [one.status for one in ended] == [0, 0], ended
    for case, how in CASES.items():
        weights, told = learnt(trials, given, **how)
        before = small_policy(VIEWS)[0].state_dict()
        assert any(not torch.equal(value, before[name]) for name, value in weights.items())
        one, two = (load_file(tmp_path / f"{case}.{number}") for number in range(2))
        for name, value in weights.items():
            assert torch.equal(one[name], two[name])
            assert float((one[name] - value).abs().max()) <= 1e-6, (case, name)
        found = [_told(tmp_path / f"{case}.{number}") for number in range(2)]
        assert found[0] == found[1]
        assert found[0] == pytest.approx(told, rel=1e-3, abs=1e-5), case
        assert found[0]["steps"] == told["steps"]
    assert _told(tmp_path / "far.0")["steps"] < 30


def _told(path: Path) -> dict[str, float]:
    from ast import literal_eval

    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        found: dict[str, float] = literal_eval(file.metadata()["told"])
    return found


def test_groups_stay_together_and_every_start_is_played_once() -> None:
    items = list(range(10))
    for count in (1, 2, 3, 7):
        parts = [share(items, Processes(number=n, count=count), size=2) for n in range(count)]
        assert [one for part in parts for one in part] == items
        assert all(len(part) % 2 == 0 for part in parts)
        assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_alone_everything_is_drawn_from_the_common_generator() -> None:
    common = np.random.default_rng(0)
    assert generator(ALONE, common, [1, 2]) is common
    several = [Processes(number=number, count=2) for number in (0, 1, 0)]
    drawn = [generator(one, common, [1, 2, 4]).random() for one in several]
    assert drawn[0] == drawn[2] != drawn[1]
    assert common.random() == np.random.default_rng(0).random()


def test_alone_trials_stay_as_they_are() -> None:
    trials = played(1)
    (same,) = all_trials(Meeting(), trials, "share rollouts")
    assert same.views.keys() == trials[0].views.keys()
    assert same.trace.keys() == trials[0].trace.keys()


def test_a_step_is_split_by_who_played_its_decisions() -> None:
    first, second, third = played(1, 2, 3)
    trials = [replace(first, by=1), second, replace(third, by=1)]
    rows = Rows.of(trials, 1)
    assert rows.mine.sum() == len(first) + len(third)
    part = rows.part([0, len(first), len(first) + len(second)])
    assert part.chosen == [0, len(first) + len(second)]
    assert part.rows == [0, len(first)]
    assert (part.places, part.count) == ([0, 2], 3)
    assert not Rows.of(trials, 2).part([0, 1])


def test_statistics_of_parts_are_those_of_the_step() -> None:
    one = {"loss": 0.25, "kl_old": 1.0, "ratio_max": 3.0, "clip_fraction": 0.5}
    two = {"loss": 0.5, "kl_old": 4.0, "ratio_max": 2.0, "clip_fraction": 0.0}
    assert combined([(1, one), (0, {}), (3, two)]) == {
        "loss": 0.75,
        "kl_old": 3.25,
        "ratio_max": 3.0,
        "clip_fraction": 0.125,
    }
    assert combined([(0, {}), (3, two)]) == two


@pytest.mark.parametrize(
    ("processes", "how", "says"),
    [
        (
            Processes(count=3),
            {},
            "2 groups of rollouts cannot be shared by 3 processes; raise",
        ),
        (Processes(count=2, sharded=True), {}, "as copies, not by FSDP: .* without --use_fsdp"),
        (Processes(count=2), {"ray": True}, "--launcher ray is for one process"),
        (Processes(count=2), {"refreshes": True}, "--refresh-every is for one process"),
    ],
)
def test_what_several_processes_cannot_do_is_refused(
    processes: Processes, how: dict[str, Any], says: str
) -> None:
    check_shareable(ALONE, groups=1, ray=True)
    check_shareable(Processes(count=2), groups=2, ray=False)
    with pytest.raises(InputError, match=says):
        check_shareable(processes, **{"groups": 2, "ray": False} | how)
