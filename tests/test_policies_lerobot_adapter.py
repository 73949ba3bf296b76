"""What every adapter of a LeRobot policy promises, asked of tiny random ones."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_lerobot
import torch
from tiny_lerobot import situation, stats

from policies.lerobot_adapter import HEADS, LeRobotAdapter
from policies.lerobot_loading import load_lerobot_policy
from robo_reward.errors import InputError, OutputError
from robo_reward.testing import check_policy

NO_DIFFUSERS = pytest.mark.skipif(
    find_spec("diffusers") is None, reason="MultiTaskDiT is an extra: robo-reward[dit]"
)
KINDS = ["act", "smolvla", pytest.param("multi_task_dit", marks=NO_DIFFUSERS)]
MAKE: dict[str, Callable[..., Path]] = {
    "act": tiny_lerobot.make_act,
    "smolvla": tiny_lerobot.make_smolvla,
    "multi_task_dit": tiny_lerobot.make_dit,
}
BASES = ("smolvlm", "clip")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def source(kind: str, tmp_path: Path) -> Path:
    return MAKE[kind](tmp_path / "made")


@pytest.fixture
def adapter(source: Path) -> LeRobotAdapter:
    return load_lerobot_policy(source, device="cpu")


def scored(adapter: LeRobotAdapter, trace: Any) -> list[np.ndarray]:
    return [part.numpy(force=True) for part in adapter.score(situation(), trace)]


def hold_resnet(adapter: LeRobotAdapter) -> None:
    """Leave eleven millions of weights out of what is moved about again and again."""
    for name, weight in adapter.named_parameters():
        if "backbone" in name:
            weight.requires_grad_(False)


def test_it_keeps_the_promises_of_a_policy(adapter: LeRobotAdapter) -> None:
    hold_resnet(adapter)
    check_policy(adapter, situation(), draws=48)


def test_saved_without_its_base_models_it_says_the_same(
    adapter: LeRobotAdapter, source: Path, tmp_path: Path
) -> None:
    with torch.no_grad():
        for weight in adapter.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    actions, trace = adapter.sample(situation(), np.random.default_rng(0))
    before = scored(adapter, trace)
    adapter.save(tmp_path / "saved")
    for base in BASES:
        shutil.rmtree(tmp_path / base, ignore_errors=True)
    (tmp_path / "saved").rename(tmp_path / "moved")
    again = load_lerobot_policy(tmp_path / "moved", device="cpu")
    assert np.array_equal(again.act(situation()), adapter.act(situation()))
    assert np.array_equal(again.sample(situation(), np.random.default_rng(0))[0], actions)
    for one, two in zip(scored(again, trace), before, strict=True):
        assert np.array_equal(one, two)
    assert before[2].any(), "the value's weights are stored too"
    again.save(tmp_path / "moved")
    for name in ("config.json", "policy_preprocessor.json", "policy_postprocessor.json"):
        stored = json.loads((tmp_path / "moved" / name).read_text())
        assert stored == json.loads((source / name).read_text()), "names are those it came with"


def test_samples_score_alike_after_a_step_that_changes_nothing(adapter: LeRobotAdapter) -> None:
    _, trace = adapter.sample(situation(), np.random.default_rng(0))
    before = adapter.score(situation(), trace)[0].detach()
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=0.0)
    adapter.train()
    (-adapter.score(situation(), trace)[0].mean()).backward()
    optimiser.step()
    change = (adapter.score(situation(), trace)[0] - before).detach()
    assert change.exp().numpy() == pytest.approx(1.0, abs=1e-5)


def test_the_log_density_reaches_all_that_is_trained(adapter: LeRobotAdapter) -> None:
    _, trace = adapter.sample(situation(), np.random.default_rng(0))
    adapter.score(situation(), trace)[0].sum().backward()
    weights = [item for item in adapter.named_parameters() if item[1].requires_grad]
    untouched = {name for name, weight in weights if weight.grad is None}
    unused = ("value.", "policy.model.vae_encoder", "policy.observation_encoder.vision_encoder")
    assert all(name.startswith(unused) for name in untouched), sorted(untouched)
    assert len(untouched) < len(weights) / 2


def test_the_value_begins_at_nothing_and_moves_no_feature(adapter: LeRobotAdapter) -> None:
    _, trace = adapter.sample(situation(), np.random.default_rng(0))
    value = adapter.score(situation(), trace)[2]
    assert value.tolist() == [0.0] * 4
    torch.nn.init.ones_(adapter.value[2].weight)
    value = adapter.score(situation(), trace)[2]
    assert value.std() > 0, "the features tell situations apart"
    value.sum().backward()
    moved = {name for name, weight in adapter.named_parameters() if weight.grad is not None}
    assert moved == {name for name, _ in adapter.named_parameters() if name.startswith("value.")}


def test_statistics_are_applied_to_actions_and_state(kind: str, tmp_path: Path) -> None:
    plain = load_lerobot_policy(MAKE[kind](tmp_path / "plain"), device="cpu")
    other = stats(mean=(1.0, 2.0), std=(3.0, 4.0))
    other["observation.state"] = {k: 10.0 * v for k, v in other["observation.state"].items()}
    moved = load_lerobot_policy(MAKE[kind](tmp_path / "moved", statistics=other), device="cpu")
    seen = situation()
    raised = replace(seen, state=10.0 * seen.state)
    for one, two in (
        (plain.act(seen), moved.act(raised)),
        tuple(
            p.sample(s, np.random.default_rng(0))[0] for p, s in ((plain, seen), (moved, raised))
        ),
    ):
        standard = (one - [10.0, -20.0]) / [2.0, 0.5]
        assert two == pytest.approx(standard * [3.0, 4.0] + [1.0, 2.0], abs=1e-3)


def test_views_and_state_matter_and_strange_views_do_not(adapter: LeRobotAdapter) -> None:
    seen = situation()
    sure = adapter.act(seen)
    for name in seen.views:
        changed = replace(seen, views=seen.views | {name: 255 - seen.views[name]})
        assert not np.array_equal(adapter.act(changed), sure)
    assert not np.array_equal(adapter.act(replace(seen, state=seen.state + 1.0)), sure)
    turned = replace(seen, views=dict(reversed(seen.views.items())))
    assert np.array_equal(adapter.act(turned), sure)
    more = replace(seen, views=seen.views | {"side": seen.views["front"]})
    assert np.array_equal(adapter.act(more), sure)


def test_any_instruction_is_fine(kind: str, adapter: LeRobotAdapter) -> None:
    words = ["<image> <fake_token_around_image>", "x" * 10_000, "", "größer 🤖"]
    seen = replace(situation(), instructions=words)
    made = adapter.act(seen)
    assert np.isfinite(made).all()
    same = np.array_equal(made, adapter.act(replace(seen, instructions=["push"] * 4)))
    assert same == (kind == "act"), "ACT alone reads no words"


def test_cloning_brings_it_to_what_is_shown(adapter: LeRobotAdapter) -> None:
    seen, rng = situation(), np.random.default_rng(0)
    shown = torch.tensor([10.0, -20.0]) + torch.tensor([2.0, 0.5]) * torch.randn(4, 3, 2)
    shown = shown[:, [0, 1, 2, 2]][:, : adapter.chunk].numpy()
    known = np.ones(shown.shape[:2], np.bool_)
    hold_resnet(adapter)
    many = seen.rows(list(range(4)) * 8)

    def told() -> torch.Tensor:
        chunks = np.tile(shown, (8, 1, 1))
        return adapter.cloning_loss(many, chunks, np.tile(known, (8, 1)), np.random.default_rng(1))

    first = told()
    assert first.shape == (32,)
    optimiser = torch.optim.Adam(adapter.parameters(), lr=1e-3)
    for _ in range(8):
        optimiser.zero_grad()
        adapter.cloning_loss(seen, shown, known, rng).mean().backward()
        optimiser.step()
    assert told().mean() < first.mean()


def test_a_state_of_another_robot_is_refused(adapter: LeRobotAdapter) -> None:
    with pytest.raises(InputError, match="knows a state of 3 numbers, got 2; it is of another"):
        adapter.act(replace(situation(), state=situation().state[:, :2]))


def test_what_it_cannot_see_is_refused(kind: str, adapter: LeRobotAdapter) -> None:
    seen = situation()
    less = replace(seen, views={"front": seen.views["front"]})
    if kind == "smolvla":
        assert not np.array_equal(adapter.act(less), adapter.act(seen))
        with pytest.raises(InputError, match="at least one of its views front, wrist, got none"):
            adapter.act(replace(seen, views={}))
        return
    with pytest.raises(InputError, match="cannot do without a view: wrist is missing"):
        adapter.act(less)
    with pytest.raises(InputError, match="images of 32x32 in view front, got 16x16"):
        adapter.act(situation(side=16))


def test_it_replaces_only_a_policy(adapter: LeRobotAdapter, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    adapter.save(mine)
    adapter.save(mine)
    assert (mine / HEADS).is_file()
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
    (mine / "config.json").unlink()
    with pytest.raises(OutputError, match="is no LeRobot policy, so it is not replaced"):
        adapter.save(mine)
    assert (mine / HEADS).is_file()


def test_a_save_that_fails_leaves_what_was_there(
    adapter: LeRobotAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    adapter.save(tmp_path / "mine")
    before = (tmp_path / "mine" / HEADS).read_bytes()
    with torch.no_grad():
        adapter.value[0].weight.add_(1.0)
    monkeypatch.setattr(adapter.after, "save_pretrained", full)
    with pytest.raises(OutputError, match="No space left on device"):
        adapter.save(tmp_path / "mine")
    assert (tmp_path / "mine" / HEADS).read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]
