"""Demonstrations with their frames, and what they are worth beside reinforcement."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demos import LENGTH, VIEWS, write_demos
from policy_fixtures import stored_policy, tabletop_act, tabletop_demos, tabletop_smolvla
from test_policies_refine import command, lines
from test_policies_refine_lerobot import states, stopped_and_gone_on
from test_policies_storing import ABOUT

from data.lerobot_dataset import open_dataset
from policies.about import About
from policies.config import LearnerConfig, ObjectiveConfig
from policies.demonstrations import Choice, Demonstrations
from policies.fitting import check_shown
from policies.refine import Refine
from policies.showing import Showing, image_size, show_to
from policies.storing import load_policy
from robo_reward.errors import CheckpointError, InputError

LEARNER = LearnerConfig(minibatch=32, epochs=1, warmup=0, objective=ObjectiveConfig(bc_weight=0.5))


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tabletop_demos(tmp_path_factory.mktemp("demos") / "press")


@pytest.fixture
def turning(tmp_path: Path) -> Demonstrations:
    made = open_dataset(write_demos(tmp_path / "turning"))
    return Demonstrations([made], Choice(), chunk=3)


def showing(turning: Demonstrations, tmp_path: Path, weights: Any, size: int = 16) -> Showing:
    return Showing(turning, weights, size=size, cache=tmp_path / "cache", cache_gb=1.0)


def test_a_draw_is_what_was_seen_and_done_at_rows_by_their_weight(
    turning: Demonstrations, tmp_path: Path
) -> None:
    weights = np.zeros(len(turning.rows))
    weights[[2, 10]] = 1.0, 3.0  # episode 0, frame 2; episode 1, frame 2
    made = showing(turning, tmp_path, weights)
    made.fill()
    seen, actions, known = made.draw(np.random.default_rng(0), 400)
    episodes = np.round(10 * seen.state[:, 0]).astype(int)
    assert episodes.mean() == pytest.approx(0.75, abs=0.07)
    assert seen.state[:, 1] == pytest.approx(0.2)
    assert set(seen.views) == set(VIEWS)
    assert (seen.views["front"] == 40).all()
    assert (seen.views["wrist"] == 41).all()
    assert actions[:, :, 0] == pytest.approx(np.repeat(-episodes[:, None] / 10, 3, axis=1))
    assert actions[0, :, 1] == pytest.approx([-0.2, -0.3, -0.4])
    assert known.all()
    again, *_ = made.draw(np.random.default_rng(0), 400)
    assert np.array_equal(again.state, seen.state)


def test_who_looks_at_nothing_needs_no_frames(turning: Demonstrations, tmp_path: Path) -> None:
    made = showing(turning, tmp_path, np.ones(len(turning.rows)), size=0)
    made.fill()
    seen, _, known = made.draw(np.random.default_rng(0), 50)
    assert not seen.views
    assert known.shape == (50, 3)
    assert not (tmp_path / "cache").exists()
    assert LENGTH > 3


def test_images_are_as_large_as_a_policy_takes_them(tmp_path: Path) -> None:
    blind = load_policy(stored_policy(tmp_path / "blind"))
    assert image_size(blind) == 0
    made = load_policy(stored_policy(tmp_path / "seeing", views=("front",)))
    wide = replace(made, about=replace(made.about, images={"front": (48, 64)}))
    assert image_size(wide) == 16
    assert image_size(replace(wide, policy=blind.policy)) == 16
    act = load_policy(tabletop_act(tmp_path / "act"), device="cpu")
    assert image_size(act) == 32


def test_demonstrations_of_another_robot_are_refused(turning: Demonstrations) -> None:
    mine = replace(ABOUT, state_names=("x", "y"), action_names=("dx", "dy"), fps=10.0)
    check_shown(mine, turning)
    for changes, told in (
        ({"fps": 20.0}, r"knows other frames per second \(20.0\) than .*turning has \(10.0\)"),
        ({"action_names": ("dx", "grip")}, "knows other actions .* demonstrations of its robot"),
        ({"named": False, "state_names": ("0",)}, r"other state \(1 numbers\)"),
    ):
        with pytest.raises(InputError, match=told):
            check_shown(replace(mine, **changes), turning)  # type: ignore[arg-type]
    check_shown(
        About(
            replan_steps=1,
            fps=None,
            images={},
            state_names=("0", "1"),
            action_names=("0", "1"),
            named=False,
        ),
        turning,
    )


def taught(policy: Path, demos: Path, out: Path, **how: Any) -> Refine:
    return command(
        policy,
        out,
        demonstrations=(str(demos),),
        cache=out.parent / "cache",
        rollouts=8,
        learner=LEARNER,
        **how,
    )


def test_refinement_imitates_along_with_it_and_goes_on_bit_for_bit(
    demos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    policy = stored_policy(tmp_path / "policy", views=("front",))

    def run(_: Path, out: Path) -> Refine:
        return taught(policy, demos, out)

    one, two = stopped_and_gone_on(policy, tmp_path, monkeypatch, make=run)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert "2 demonstrations are imitated, weight 0.5" in capsys.readouterr().out
    updates = [line for line in lines(tmp_path / "whole") if "bc_loss" in line]
    assert len(updates) == 2
    command(policy, tmp_path / "plain", rollouts=8).run()
    (plain,) = states(tmp_path / "plain")
    assert any(not torch.equal(value, one[name]) for name, value in plain.items())
    other = tabletop_demos(tmp_path / "other", seeds=(3,))
    with pytest.raises(CheckpointError, match="another demonstrations"):
        taught(policy, other, tmp_path / "whole").run()


def test_lerobots_policies_imitate_too(demos: Path, tmp_path: Path) -> None:
    policy = tabletop_smolvla(tmp_path / "made")
    made = show_to(
        load_policy(policy, device="cpu"), [str(demos)], cache=tmp_path / "cache", cache_gb=1.0
    )
    assert len(made.shown.chosen) == 2
    taught(policy, demos, tmp_path / "run", replan_steps=3).run()
    assert all(
        np.isfinite(line["bc_loss"]) for line in lines(tmp_path / "run") if "bc_loss" in line
    )


def test_a_weight_without_demonstrations_and_the_reverse_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bc-weight .* needs something to imitate: give"):
        command(tmp_path, tmp_path / "out", learner=LEARNER)
    with pytest.raises(InputError, match="--demonstrations are given and count nothing: give"):
        command(tmp_path, tmp_path / "out", demonstrations=("d",))
