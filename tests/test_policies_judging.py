"""How often a policy succeeds: each environment decides for itself, figures are by hand."""

import json
import multiprocessing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from test_policies_compact import policy

import policies.judging as judging
from policies.judge import JudgePolicy
from policies.judging import Played, play, summary
from policies.storing import About, StoredPolicy, load_policy, save_policy
from robo_reward.acting import Floats, Situation
from robo_reward.errors import InputError, OutputError
from sim.beds import Bed, find_bed
from sim.workforce import WorkerError

ABOUT = About(
    replan_steps=2,
    fps=20.0,
    images={"front": (8, 8)},
    state_names=("steps", "seed"),
    action_names=("a",),
    robot="counter",
)


class Counter(gym.Env[Any, Any]):
    """Ends after 3 + seed % 4 steps, in success if the seed is even; shows when it drew last."""

    metadata = {"render_fps": 20}  # noqa: RUF012 (Gymnasium's)

    def __init__(self, *, image_size: int, render_every: int, terminate_on_success: bool) -> None:
        assert terminate_on_success
        assert image_size == 8
        self.every = render_every
        self._max_episode_steps = 100
        self.action_space = spaces.Box(-9, 9, (1,), np.float32)
        images = spaces.Dict({"front": spaces.Box(0, 255, (8, 8, 3), np.uint8)})
        state = spaces.Box(-9e9, 9e9, (2,), np.float32)
        self.observation_space = spaces.Dict({"pixels": images, "agent_pos": state})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        assert seed is not None
        self.count, self.seed = 0, seed
        self.task_description = f"count to {3 + seed % 4}"
        return self.seen(), {"progress": 0.0, "is_success": False}

    def seen(self) -> dict[str, Any]:
        drawn = self.count - self.count % self.every
        images = {"front": np.full((8, 8, 3), drawn, np.uint8)}
        return {"pixels": images, "agent_pos": np.array([self.count, self.seed], np.float32)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action == pytest.approx(self.count), "the action of its own place in the chunk"
        self.count += 1
        over, good = self.count == 3 + self.seed % 4, self.seed % 2 == 0
        told = {"progress": self.count / 10, "is_success": over and good}
        return self.seen(), 0.0, over and good, over and not good, told


@dataclass
class CountingPolicy:
    """Says the number of each step; remembers when and in what company it was asked."""

    chunk: int = 3

    def __post_init__(self) -> None:
        self.asked: list[list[tuple[int, int]]] = []

    def act(self, seen: Situation) -> Floats:
        steps = seen.state[:, 0]
        assert np.array_equal(seen.views["front"][:, 0, 0, 0], steps), "images are of now"
        wanted = [f"count to {3 + int(seed) % 4}" for seed in seen.state[:, 1]]
        assert list(seen.instructions) == wanted
        self.asked.append([(int(s), int(n)) for n, s in seen.state])
        return (steps[:, None, None] + np.arange(self.chunk)[None, :, None]).astype(np.float32)


def bed(**changes: Any) -> Bed:
    made = Bed(
        task="counting",
        rules=None,  # type: ignore[arg-type]
        behaviours=(),
        expert=Counter,
        make=Counter,
        robot="counter",
        views=("front",),
        fps=20,
        state_names=ABOUT.state_names,
        action_names=ABOUT.action_names,
    )
    return replace(made, **changes)


def stored(**changes: Any) -> StoredPolicy:
    about = replace(ABOUT, **changes)
    return StoredPolicy(
        policy=CountingPolicy(),  # type: ignore[arg-type]
        kind="compact",
        about=about,
        fingerprint="counting",
    )


@pytest.mark.parametrize("executed", [1, 2, 3])
def test_every_seed_is_played_once_and_every_environment_decides_for_itself(
    monkeypatch: pytest.MonkeyPatch, executed: int
) -> None:
    monkeypatch.setattr(judging, "LANES", 3)
    made = stored(replan_steps=executed)
    played = sorted(play(made, bed(), range(10, 18), 0), key=lambda one: one.seed)
    assert [one.seed for one in played] == list(range(10, 18))
    assert [one.steps for one in played] == [3 + seed % 4 for seed in range(10, 18)]
    assert [one.success for one in played] == [seed % 2 == 0 for seed in range(10, 18)]
    assert [one.progress for one in played] == pytest.approx([one.steps / 10 for one in played])
    assert played[0].instruction == "count to 5"
    asked = made.policy.asked  # type: ignore[attr-defined]
    assert asked[0] == [(10, 0), (11, 0), (12, 0)]
    assert all(number % executed == 0 for batch in asked for _, number in batch)


def test_the_episodes_do_not_depend_on_the_workers() -> None:
    alone = list(play(stored(), bed(), range(20, 24), 0))
    assert list(play(stored(), bed(), range(20, 24), 1)) == alone


class Deadly(CountingPolicy):
    """Kills the simulator the second time that it is asked."""

    def act(self, seen: Situation) -> Floats:
        if self.asked:
            for process in multiprocessing.active_children():
                process.kill()
        return super().act(seen)


def test_a_simulator_that_is_lost_stops_the_judging() -> None:
    made = replace(stored(), policy=Deadly())  # type: ignore[arg-type]
    with pytest.raises(
        WorkerError,
        match="were lost with the processes",
    ):
        list(play(made, bed(), [20, 21], 1))
    assert not multiprocessing.active_children()


def test_fewer_episodes_than_environments_are_fine() -> None:
    assert len(list(play(stored(), bed(), [4], 0))) == 1


def test_figures_are_rates_and_means_with_wilsons_interval() -> None:
    played = [
        Played(seed=n, instruction="ab"[n % 2], success=n < 2, steps=10 * n, progress=n / 10)
        for n in (3, 0, 1, 2)
    ]
    told = summary(played)
    assert (told["episodes"], told["successes"], told["success_rate"]) == (4, 2, 0.5)
    assert told["success_interval"] == pytest.approx([0.15004, 0.84996], abs=1e-4)  # by hand
    assert (told["steps"], told["steps_success"]) == (15.0, 5.0)
    assert told["progress"] == pytest.approx(0.15)
    assert told["by_instruction"] == {"a": [1, 2], "b": [1, 2]}
    assert [row["seed"] for row in told["rows"]] == [0, 1, 2, 3]
    assert np.isnan(summary(played[:1])["steps_success"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A policy of the Panda that knows nothing."""
    home = find_bed("press_button")
    made = policy(views=("front",), state_dim=len(home.state_names), action_dim=5)
    about = replace(
        ABOUT,
        images={"front": (32, 32)},
        state_names=home.state_names,
        action_names=home.action_names,
        robot="panda",
        task="press_button",
    )
    save_policy(made, tmp_path / "policy", about)
    return tmp_path / "policy"


def test_the_command_plays_in_the_simulator_and_repeats_itself(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sim.tasks

    monkeypatch.setitem(sim.tasks.STEPS, "press_button", 6)
    command = JudgePolicy(policy=place, episodes=3, seed=7)
    command.run()
    told = capsys.readouterr().out
    assert "press_button on panda, seeds 1000007 to 1000009, 2 of 3 actions of each chunk" in told
    assert "succeeded  0 of 3 = 0.000 [0.000, 0.561] (Wilson, 95 %)" in told
    figures = json.loads((place / "eval.json").read_text())
    assert figures["policy_fingerprint"] == load_policy(place).fingerprint
    assert figures["steps_success"] is None
    assert [row["seed"] for row in figures["rows"]] == [1000007, 1000008, 1000009]
    assert all(row["steps"] == 6 for row in figures["rows"])
    replace(command, out=tmp_path / "again").run()
    assert json.loads((tmp_path / "again/eval.json").read_text()) == figures
    with pytest.raises(OutputError, match="exists: --overwrite replaces it"):
        command.run()
    replace(command, overwrite=True, replan_steps=1).run()
    assert json.loads((place / "eval.json").read_text())["replan_steps"] == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"env": "dance"}, "there is no task 'dance'"),
        ({"replan_steps": 4}, "between 1 and the policy's chunk of 3, got 4"),
        ({"seed": 500_000}, "of the held-out set"),
    ],
)
def test_what_cannot_be_played_is_refused(place: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        JudgePolicy(policy=place, dry_run=True, **changes).run()


def test_settings_and_policies_that_say_too_little_are_refused(place: Path) -> None:
    for changes in ({"episodes": 0}, {"seed": -1}, {"workers": -1}):
        with pytest.raises(InputError, match="must be at least"):
            partial(JudgePolicy, policy=place)(**changes)
    found = load_policy(place)
    save_policy(found.policy, place, replace(found.about, task=""))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not say what it was taught; say it with --env"):
        JudgePolicy(policy=place).run()
