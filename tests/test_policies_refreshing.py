"""`refine --refresh-every`: a mended model takes over between updates, a worse one never does."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from policy_fixtures import TASK, stored_policy, tabletop_demos
from safetensors import safe_open
from safetensors.torch import load_file

import robo_reward
from data.label import Label
from data.train import Train
from policies import refreshing
from policies.config import LearnerConfig, RefreshConfig, StartConfig
from policies.refine import Refine
from policies.refining import Refinement
from policies.run_state import begin_or_resume
from policies.storing import load_policy
from robo_reward.checkpoint import read_config
from robo_reward.config import CompactConfig, TrainingConfig
from robo_reward.errors import CheckpointError, InputError, RoboRewardError
from robo_reward.plan import SamplingConfig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demonstrations, a tiny reward model of them, references, and a policy that sees nothing."""
    root = tmp_path_factory.mktemp("refresh")
    tabletop_demos(root / "demos", seeds=(1, 2, 3))
    Train(
        dataset=(str(root / "demos"),),
        out=root / "model",
        cache=root / "cache",
        query_period=0.2,
        backbone=CompactConfig(image_size=16, width=16, depth=1, heads=2, channels=8, belief=True),
        training=TrainingConfig(steps=2, warmup=1),
        sampling=SamplingConfig(episodes=2, frames=4, prefixes=1, pairs=2),
        evaluate_every=2,
    ).run()
    for role, grey in (("start", 60), ("goal", 180)):
        (root / "shown" / role).mkdir(parents=True)
        picture = np.full((16, 16, 3), grey, np.uint8)
        cv2.imwrite(str(root / "shown" / role / "front.png"), picture)
    stored_policy(root / "policy")
    return root


def with_threshold(place: Path, threshold: float, copy: Path) -> Path:
    """The model as it is, but that it declares success above a threshold."""
    shutil.copytree(place / "model" / "best", copy)
    stored = json.loads((copy / "config.json").read_text())
    stored["settings"]["tracker"] |= {"success_threshold": threshold, "match_threshold": 0.0}
    (copy / "config.json").write_text(json.dumps(stored))
    return copy


def command(place: Path, model: Path, out: Path, **how: Any) -> Refine:
    settings: dict[str, Any] = {
        "policy": place / "policy",
        "env": TASK,
        "out": out,
        "reward": str(model),
        "references": str(place / "shown"),
        "rollouts": 16,
        "max_steps": 16,
        "envs": 2,
        "workers": 0,
        "evaluate": 1,
        "evaluate_every": 9,
        "refresh_every": 2,
        "refresh": RefreshConfig(
            rehearse=(str(place / "demos"),), steps=12, learning_rate=0.02, least=1, tolerance=1.0
        ),
        "cache": place / "cache",
        "starts": StartConfig(rollouts=4, group=2, restarts=0.4),
        "learner": LearnerConfig(minibatch=32, epochs=1, warmup=0),
    }
    return Refine(**settings | how)


@pytest.fixture(scope="module")
def credulous(place: Path) -> Path:
    """A model that declares whatever happens a success, until it is trained a little."""
    return with_threshold(place, 0.3, place / "credulous")


@pytest.fixture(scope="module")
def finished(place: Path, credulous: Path) -> Path:
    """The directory of a run of four updates and two refreshes. Do not change it."""
    command(place, credulous, place / "finished").run()
    return place / "finished"


def told_of(out: Path, name: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "refine.jsonl").read_text().splitlines()]
    return [line for line in found if name in line]


def state_of(out: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(out / "state.safetensors", framework="pt") as file:
        told = json.loads(file.metadata()["state"])
    return load_file(out / "state.safetensors"), told


def assert_same(one: Path, two: Path) -> None:
    (tensors, told), (others, other_told) = state_of(one), state_of(two)
    assert tensors.keys() == others.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], others[name])] == []
    assert told == other_told
    (weights,), (other_weights,) = (
        list(refreshing.version_place(out, 1).glob("model-*.safetensors")) for out in (one, two)
    )
    assert weights.read_bytes() == other_weights.read_bytes()


def test_a_mended_model_takes_over_and_is_a_checkpoint(
    place: Path, credulous: Path, finished: Path, tmp_path: Path
) -> None:
    version = finished / "reward" / "0001"
    first, new = robo_reward.load(credulous).fingerprint, robo_reward.load(version).fingerprint
    assert first != new
    updates = told_of(finished, "success")
    assert [line["reward"] for line in updates] == [first] * 2 + [new] * 2
    line = told_of(finished, "refresh")[0]
    figures = line["refresh"]
    assert (line["update"], figures["version"]) == (2, 1)
    assert figures["says"].startswith("reward model refreshed: 0 false positives in ")
    assert figures["before"]["fooled"] > figures["after"]["fooled"] == 0
    assert figures["jump"] > figures["jump_left"]
    made = load_policy(finished / "policy").about.training["refined"]
    assert made["reward_fingerprint"] == new
    stored = json.loads((version / "config.json").read_text())
    assert stored["training"]["refreshed"]["from"] == first
    labels = tmp_path / "labels"
    Label(dataset=str(place / "demos"), model=version, out=labels).run()
    assert (labels / "progress.parquet").is_file()


def test_what_is_mended_is_left_alone(finished: Path) -> None:
    line = told_of(finished, "refresh")[1]
    assert line["update"] == 4
    assert "stays as it is: " in line["refresh"]["says"]
    assert "no false positive to mend" in line["refresh"]["says"]
    assert [path.name for path in (finished / "reward").iterdir()] == ["0001"]


@pytest.mark.parametrize(
    ("where", "version"), [("policies.playing.Player.play", 1), ("policies.refreshing.save", 0)]
)
def test_a_run_that_was_stopped_after_or_amid_a_refresh_goes_on_bit_for_bit(
    place: Path,
    finished: Path,
    credulous: Path,
    tmp_path: Path,
    gone: int,
    where: str,
    version: int,
) -> None:
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, stopping(out / "reward", where))
        with pytest.raises(KeyboardInterrupt):
            command(place, credulous, out).run()
    assert state_of(out)[1]["version"] == version
    assert len(list((out / "reward").iterdir())) == version
    left = out / "reward" / f"{version + 1:04d}.partial-{gone}"  # of a run that was killed there
    left.mkdir()
    (left / "half").write_bytes(b"half")
    command(place, credulous, out).run()
    assert_same(finished, out)
    assert not left.exists()


def stopping(versions: Path, where: str) -> Callable[..., Any]:
    """What stands in for saving, and for playing once a version is there, and never ends."""
    from policies.playing import Player

    play = Player.play

    def stop(*args: Any, **how: Any) -> Any:
        if where.endswith("play") and not (versions / "0001").exists():
            return play(*args, **how)
        raise KeyboardInterrupt

    return stop


def test_a_version_that_is_no_better_is_refused_and_the_figures_are_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    always, out = with_threshold(place, 0.0, tmp_path / "model"), tmp_path / "run"
    command(place, always, out, rollouts=8).run()
    said = capsys.readouterr().out
    assert "the reward model stays as it is: the new one has " in said
    (line,) = told_of(out, "refresh")
    figures = line["refresh"]
    assert figures["before"]["fooled"] == figures["after"]["fooled"] > 0
    assert line["reward"] == robo_reward.load(always).fingerprint
    assert not list((out / "reward").iterdir())
    assert "jump" not in figures


def test_a_version_that_judges_successes_worse_is_refused(
    place: Path, credulous: Path, tmp_path: Path
) -> None:
    whole = command(place, credulous, tmp_path / "run", rollouts=8)
    strict = replace(whole.refresh, tolerance=0.0, share=0.99, learning_rate=0.1)
    replace(whole, refresh=strict).run()
    (line,) = told_of(whole.out, "refresh")
    before, after = line["refresh"]["before"], line["refresh"]["after"]
    assert after["fooled"] < before["fooled"]
    assert after["error"] > before["error"]
    assert state_of(whole.out)[1]["version"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"least": 9}, "8 of 8 rollouts failed, and it takes 9 (--refresh.least)"),
        ({"rehearse": ()}, "no success to compare by"),
        ({"learning_rate": 1e30}, "stays as it is: the loss is nan at step"),
    ],
)
def test_where_nothing_can_be_learnt_it_says_so_and_goes_on(
    place: Path, credulous: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    run = command(place, credulous, tmp_path / "run", rollouts=8)
    replace(run, refresh=replace(run.refresh, **changes)).run()
    (line,) = told_of(run.out, "refresh")
    assert words in line["refresh"]["says"]
    assert line["refresh"]["version"] == 0


def test_a_plan_says_what_is_rehearsed(
    place: Path, credulous: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = command(place, credulous, tmp_path / "run", dry_run=True)
    run.run()
    replace(run, refresh=replace(run.refresh, rehearse=())).run()
    said = capsys.readouterr().out
    assert f"the reward model is refreshed every 2 updates; rehearsed: {place / 'demos'}" in said
    assert "every 2 updates; nothing is rehearsed, so what it knew will suffer" in said


def test_phi_rloo_fits_to_the_new_potential(place: Path, credulous: Path, tmp_path: Path) -> None:
    run = command(place, credulous, tmp_path / "run", algorithm="phi-rloo", rollouts=8)
    run.run()
    assert state_of(run.out)[1]["version"] == 1
    assert "jump" not in told_of(run.out, "refresh")[0]["refresh"]


def test_another_reward_model_does_not_go_on_with_a_run(place: Path, tmp_path: Path) -> None:
    model = with_threshold(place, 0.3, tmp_path / "model")
    run = command(place, model, tmp_path / "run", rollouts=4)
    run.run()
    shutil.rmtree(model)
    with_threshold(place, 0.9, model)
    with pytest.raises(CheckpointError, match="was judged by another reward model"):
        replace(run, rollouts=8).run()


def test_overwriting_does_not_remove_the_model_that_is_given(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--overwrite removes what is in .*: copy it first"):
        command(place, tmp_path / "reward" / "0001", tmp_path, overwrite=True)


def test_monitors_expect_what_the_version_in_force_was_measured_by(
    place: Path, credulous: Path, finished: Path
) -> None:
    with Refinement(command(place, credulous, finished)) as run:
        given = run.limits.false_positive_rate
        begin_or_resume(run)
        counted = read_config(finished / "reward" / "0001")["training"]["validation"]
        expected = (counted["failures_claimed"] + 1.0) / (counted["failures"] + 2.0)
        assert run.limits.false_positive_rate == pytest.approx(expected)
        assert given != run.limits.false_positive_rate


def test_overwriting_removes_the_versions(
    place: Path, credulous: Path, finished: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(finished, tmp_path / "run"))
    command(place, credulous, out, rollouts=4, overwrite=True).run()
    assert not list((out / "reward").iterdir())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"reward": "truth"}, "--refresh-every 2 trains a reward model further, and --reward is"),
        ({"reward": "sparse", "algorithm": "ppo"}, "--reward is sparse: give a reward model's"),
        ({"refresh_every": 0}, "say when by --refresh-every"),
        ({"patience": 3}, "--refresh-every learns from how episodes ended, and --patience"),
        ({"refresh_every": -1}, "--refresh-every must be at least 0"),
    ],
)
def test_settings_that_leave_nothing_to_refresh_are_refused(
    place: Path, tmp_path: Path, how: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        command(place, place / "model", tmp_path, **how)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"steps": 0}, "--refresh.steps must be at least 1"),
        ({"tolerance": -0.1}, "--refresh.tolerance must be at least 0"),
        ({"learning_rate": 0.0}, "--refresh.learning-rate must be above 0"),
        ({"held_back": 1.0}, "--refresh.held-back must lie between 0 and 1"),
        ({"share": float("nan")}, "--refresh.share must lie between 0 and 1"),
    ],
)
def test_impossible_numbers_are_refused(how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        RefreshConfig(**how)


def test_what_is_rehearsed_must_be_there_before_anything_is_played(
    place: Path, tmp_path: Path
) -> None:
    run = command(place, place / "model", tmp_path / "run")
    absent = replace(run.refresh, rehearse=("no/such/data/set",))
    with pytest.raises(RoboRewardError, match="no dataset directory no/such/data/set"):
        replace(run, refresh=absent).run()
    assert not run.out.exists()
