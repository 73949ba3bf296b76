"""`robo-reward refine` on LeRobot's policies, end to end."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from policy_fixtures import TASK, tabletop_act, tabletop_smolvla
from safetensors.torch import load_file

from policies import refining
from policies.config import LearnerConfig, StartConfig
from policies.judge import JudgePolicy
from policies.lerobot_loading import load_lerobot_policy
from policies.refine import Refine
from policies.storing import load_policy
from robo_reward.errors import InputError
from sim.beds import find_bed


def command(policy: Path, out: Path, **how: Any) -> Refine:
    settings: dict[str, Any] = {
        "policy": policy,
        "env": TASK,
        "out": out,
        "reward": "truth",
        "rollouts": 4,
        "max_steps": 12,
        "replan_steps": 3,
        "envs": 2,
        "workers": 0,
        "evaluate": 1,
        "starts": StartConfig(rollouts=2, group=1),
        "learner": LearnerConfig(minibatch=4, epochs=1, warmup=0),
    }
    return Refine(**settings | how)


def states(*places: Path) -> list[dict[str, torch.Tensor]]:
    return [load_file(place / "state.safetensors") for place in places]


def stopped_and_gone_on(
    policy: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[Path, Path], Refine] = command,
) -> list[dict[str, torch.Tensor]]:
    """The states of a run and of one that was stopped after its first update."""
    make(policy, out / "whole").run()
    update = refining.Refinement._update

    def stopping(self: Any, log: Any) -> None:
        if self.state.updates == 1:
            raise KeyboardInterrupt
        update(self, log)

    with monkeypatch.context() as patch:
        patch.setattr(refining.Refinement, "_update", stopping)
        with pytest.raises(KeyboardInterrupt):
            make(policy, out / "halves").run()
    torch.rand(7)  # what else was drawn must not matter
    make(policy, out / "halves").run()
    return states(out / "whole", out / "halves")


@pytest.mark.parametrize("make", [tabletop_act, tabletop_smolvla])
def test_a_run_goes_on_bit_for_bit_and_makes_a_policy_that_lerobot_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    policy = make(tmp_path / "made")
    one, two = stopped_and_gone_on(policy, tmp_path, monkeypatch)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    begun, made = load_policy(policy, device="cpu"), load_policy(tmp_path / "whole/policy")
    before, after = (found.policy.state_dict() for found in (begun, made))  # type: ignore[attr-defined]
    moved = {name for name in before if not torch.equal(before[name], after[name].cpu())}
    assert [name for name in moved if name.startswith("policy.")]
    assert [name for name in moved if name.startswith("value.")]
    trained = {n for n, p in begun.policy.named_parameters() if p.requires_grad}  # type: ignore[attr-defined]
    assert moved <= trained
    stored = {name.removeprefix("weight.") for name in one if name.startswith("weight.")}
    assert moved <= stored
    bed = find_bed(TASK)
    assert (made.about.named, made.about.robot, made.about.fps) == (True, bed.robot, bed.fps)
    assert made.about.action_names == bed.action_names
    assert made.about.replan_steps == 3
    plain = load_lerobot_policy(tmp_path / "whole/policy", device="cpu")
    assert all(torch.equal(value, after[n].cpu()) for n, value in plain.state_dict().items())


@pytest.mark.slow
def test_ten_updates_of_a_smolvla_move_it_step_by_step(tmp_path: Path) -> None:
    learner = LearnerConfig(learning_rate=1e-4, minibatch=64, epochs=2, warmup=1)
    long = command(
        tabletop_smolvla(tmp_path / "made"),
        tmp_path / "run",
        rollouts=320,
        max_steps=24,
        envs=8,
        evaluate_every=10,
        starts=StartConfig(rollouts=32, group=1),
        learner=learner,
    )
    long.run()
    text = (tmp_path / "run/refine.jsonl").read_text()
    updates = [line for line in map(json.loads, text.splitlines()) if "potential_end" in line]
    assert [line["rollouts"] for line in updates] == list(range(32, 321, 32))
    first, *later = updates
    assert (first["clip_fraction"], first["ratio_max"]) == pytest.approx((0.0, 1.0), abs=1e-4)
    assert first["kl_reference"] == pytest.approx(0.0, abs=1e-6), "the critic learns alone"
    for line in later:
        assert np.isfinite(line["loss"])
        assert 0.0 < line["kl_reference"] < 2.0
        assert 0.0 < line["clip_fraction"] < 0.5
        assert line["explained_variance"] < 1.0
    assert later[-1]["kl_reference"] > 2.0 * later[0]["kl_reference"]
    made = load_policy(tmp_path / "run/policy", device="cpu")
    assert made.about.training["refined"]["rollouts"] == 320


def test_it_is_played_and_replaced_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sim.tasks

    monkeypatch.setitem(sim.tasks.STEPS, TASK, 4)
    policy = tabletop_smolvla(tmp_path / "made")
    played = JudgePolicy(policy=policy, env=TASK, robot="panda", episodes=2)
    played.run()
    told = capsys.readouterr().out
    assert "only how many there are was compared with the task" in told
    assert "succeeded  0 of 2" in told
    once = command(policy, tmp_path / "run", rollouts=2)
    once.run()
    stale = tmp_path / "run/best/eval.json"
    stale.touch()
    replace(once, seed=1, overwrite=True).run()
    assert not stale.exists(), "figures of the policy that is gone"
    begun, made = (load_policy(p, device="cpu") for p in (policy, tmp_path / "run/policy"))
    assert made.about.training["refined"]["from"] == begun.fingerprint
    replace(played, policy=tmp_path / "run/policy", env="", robot="").run()
    assert "only how many" not in capsys.readouterr().out.split("evaluation")[-1]


def test_what_cannot_be_played_is_refused(tmp_path: Path) -> None:
    policy = tabletop_smolvla(tmp_path / "made")
    for place, how, message in (
        (policy, {"env": "pick_to_bin", "robot": "so101"}, "knows other state"),
        (policy, {"replan_steps": 4}, "this policy predicts 3 actions at once"),
        (Path("nobody/has-this"), {}, "neither a directory nor a model"),
    ):
        with pytest.raises(InputError, match=message):
            command(place, tmp_path / "run", **how).run()
    with pytest.raises(InputError, match="nobody/has-this is no directory here: say with --out"):
        JudgePolicy(policy=Path("nobody/has-this"), env=TASK).run()
    assert not (tmp_path / "run").exists()
