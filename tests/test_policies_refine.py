"""`robo-reward refine`, end to end: what it makes, that it resumes bit for bit, what it refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from policy_fixtures import TASK, stored_policy
from safetensors.torch import load_file

from data.lerobot_dataset import open_dataset
from policies import refining
from policies.config import LearnerConfig, Limits, StartConfig
from policies.refine import Refine
from policies.refining import AlarmError
from policies.storing import load_policy, read_policy
from robo_reward.errors import CheckpointError, InputError

LEARNER = LearnerConfig(minibatch=32, epochs=1, warmup=0)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored_policy(tmp_path_factory.mktemp("policy"))


def command(policy: Path, out: Path, **how: Any) -> Refine:
    settings: dict[str, Any] = {
        "policy": policy,
        "env": TASK,
        "out": out,
        "reward": "truth",
        "rollouts": 12,
        "max_steps": 16,
        "envs": 3,
        "workers": 0,
        "evaluate": 2,
        "evaluate_every": 2,
        "starts": StartConfig(rollouts=4, group=2, restarts=0.4),
        "learner": LEARNER,
    }
    return Refine(**settings | how)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "refine.jsonl").read_text().splitlines()]


def test_a_run_makes_a_policy_a_log_and_a_curve(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command(policy, out).run()
    told = capsys.readouterr().out
    assert "12 rollouts in 3 updates of 4" in told
    assert f"policy: {out / 'policy'}" in told
    updates = [line for line in lines(out) if "success" in line]
    assert [line["rollouts"] for line in updates] == [4, 8, 12]
    parts = ("environment", "policy", "reward", "learner", "overhead")
    for line in updates:
        told_seconds = sum(line[f"seconds_{part}"] for part in parts)
        assert told_seconds == pytest.approx(line["seconds_wall"])
        assert line["clip_fraction"] >= 0.0
    evaluated = [line["rollouts"] for line in lines(out) if "evaluation" in line]
    assert evaluated == [0, 8, 12]
    made = load_policy(out / "policy")
    assert made.about.training["refined"]["algorithm"] == "phi-ppo"
    start = load_policy(policy).policy.state_dict()  # type: ignore[attr-defined]
    now = made.policy.state_dict()  # type: ignore[attr-defined]
    assert any(not torch.equal(now[name], value) for name, value in start.items())
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert read_policy(out / "best")["kind"] == "compact"
    assert list((out / "tensorboard").iterdir())


@pytest.mark.parametrize("patience", [0, 2])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    command(policy, whole, patience=patience).run()
    update = refining.Refinement._update

    def stopping(self: Any, log: Any) -> None:
        if self.state.updates == 2:
            raise KeyboardInterrupt
        update(self, log)

    with monkeypatch.context() as patch:
        patch.setattr(refining.Refinement, "_update", stopping)
        with pytest.raises(KeyboardInterrupt):
            command(policy, halves, patience=patience).run()
    command(policy, halves, workers=1, patience=patience).run()
    one, two = (load_file(out / "state.safetensors") for out in (whole, halves))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert [n for n in one if n.startswith("reached.")]
    rates = [
        [line["success"] for line in lines(out) if "success" in line] for out in (whole, halves)
    ]
    assert rates[0] == rates[1]


def test_a_run_that_is_over_stays_over(policy: Path, tmp_path: Path) -> None:
    command(policy, tmp_path / "run").run()
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    command(policy, tmp_path / "run").run()
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


def test_other_settings_do_not_go_on_with_a_run(policy: Path, tmp_path: Path) -> None:
    first = command(policy, tmp_path)
    first.run()
    with pytest.raises(CheckpointError, match="another gamma; repeat its flags"):
        replace(first, gamma=0.5).run()
    replace(first, gamma=0.5, overwrite=True).run()
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        replace(first, gamma=0.5).run()


@pytest.mark.parametrize("algorithm", ["ppo", "phi-rloo", "awr", "unsound-rabc", "unsound-srpo"])
def test_algorithms_run(policy: Path, tmp_path: Path, algorithm: str) -> None:
    command(policy, tmp_path, algorithm=algorithm, rollouts=8).run()
    assert len([line for line in lines(tmp_path) if "success" in line]) == 2


def test_groups_that_all_fail_stop_the_run_and_keep_what_there_was(
    policy: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="none of 2 groups holds both a success and a failure"):
        command(policy, tmp_path, algorithm="grpo").run()
    assert read_policy(tmp_path / "best")


def test_nothing_is_made_in_a_dry_run(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(policy, tmp_path / "run", dry_run=True).run()
    assert not (tmp_path / "run").exists()
    assert "phi-ppo (PPO, critic anchored at Φ) on press_button" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"replan_steps": 5}, "this policy predicts 4 actions at once"),
        ({"max_steps": 3}, "an episode has 3 steps and 4 actions are carried out at once"),
        ({"reward": "sparse"}, "phi-ppo learns from a potential and --reward is sparse"),
        ({"algorithm": "magic"}, "no algorithm is called 'magic'; there are phi-ppo"),
        ({"env": "nothing"}, "nothing"),
        ({"robot": "so101"}, "knows other state"),
        (
            {"algorithm": "grpo", "starts": StartConfig(rollouts=4, group=1)},
            "--starts.group must be at least 2",
        ),
        ({"lam": (0.5, 1.5)}, "the last lam must be in"),
        (
            {"algorithm": "grpo", "patience": 3},
            "--patience: grpo needs to know how every episode ends",
        ),
        (
            {"algorithm": "unsound-rabc", "patience": 3},
            "--patience: unsound-rabc needs to know how every episode ends",
        ),
        (
            {"algorithm": "ppo", "reward": "sparse", "patience": 3},
            "--patience gives up where Φ does not rise, and --reward is sparse",
        ),
        ({"reward": "no/such/model"}, "no/such/model"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_played(
    policy: Path, tmp_path: Path, how: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, CheckpointError), match=message):
        command(policy, tmp_path / "run", **how).run()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "how",
    [
        {"rollouts": 0},
        {"gamma": 0.0},
        {"envs": 0},
        {"seed": -1},
        {"patience": -1},
        {"peer_deadline": 0.0},
    ],
)
def test_impossible_numbers_are_refused(policy: Path, how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be"):
        command(policy, Path("nowhere"), **how)


def test_an_alarm_is_told_and_may_end_the_run(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = Limits(kl=-1.0)
    command(policy, tmp_path / "told", monitors=limits).run()
    told = capsys.readouterr().out
    assert told.count("ALARM distance: the policy is ") == 1
    assert told.count("ALARM distance still holds") == 2
    assert [line for line in lines(tmp_path / "told") if "alarm" in line]
    stopped = command(policy, tmp_path / "ended", monitors=limits, stop_on_alarm=True)
    with pytest.raises(AlarmError, match="stopped after update 1 by the alarm distance"):
        stopped.run()
    assert read_policy(tmp_path / "ended" / "policy")
    replace(stopped, stop_on_alarm=False).run()
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("told", "ended"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("algorithm", ["phi-ppo", "ppo", "phi-rloo", "awr"])
def test_hopeless_episodes_are_given_up_and_evaluations_never_are(
    policy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
) -> None:
    judged: list[Any] = []
    evaluate = refining.evaluate
    monkeypatch.setattr(
        refining, "evaluate", lambda *how: judged.extend(found := evaluate(*how)) or found
    )
    asked = {"algorithm": algorithm, "patience": 1, "starts": StartConfig(rollouts=4, group=1)}
    command(policy, tmp_path, **asked, rollouts=8).run()
    for line in [line for line in lines(tmp_path) if "success" in line]:
        assert 0 < line["given_up"] <= 4
        assert line["success"] == 0.0
        assert line["env_steps"] + line["steps_saved"] == 4 * 16
    assert judged
    assert not any(trial.given_up for trial in judged)
    assert {int(trial.decisions.steps.sum()) for trial in judged} == {16}
    header = next(text for text in capsys.readouterr().out.splitlines() if "KL start" in text)
    assert header.endswith("given up     saved")


def test_rollouts_are_kept_where_asked(policy: Path, tmp_path: Path) -> None:
    command(policy, tmp_path, keep_rollouts=2).run()
    kept = [open_dataset(tmp_path / "rollouts" / name) for name in ("0000", "0002")]
    assert [len(dataset) for dataset in kept] == [4, 4]
