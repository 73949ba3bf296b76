"""Cloning: what is learnt, what a step draws, and how a run goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_policies_compact import SHAPE, policy, situation

from policies.cloning import Cloner, check_identity
from policies.cloning_config import CloningConfig
from policies.compact import CompactPolicy
from policies.flow import flow_loss
from robo_reward.acting import Floats, Situation
from robo_reward.errors import CheckpointError, InputError
from robo_reward.training_state import STATE

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = CloningConfig(steps=6, batch=4, warmup=2)
ALL = np.ones((4, SHAPE.chunk), np.bool_)
MINE = {"seed": 0}


def actions(seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((4, SHAPE.chunk, 2)).astype(np.float32)


def cloner(**changes: Any) -> Cloner:
    return Cloner(policy(), replace(CONFIG, **changes), seed=0)


def steps(made: Cloner, count: int) -> Cloner:
    for _ in range(count):
        seed = made.done
        made.step(situation(seed=seed), actions(seed), ALL)
    return made


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_policy_learns_what_was_done() -> None:
    made = Cloner(
        CompactPolicy(replace(SHAPE, views=(), width=64)),
        CloningConfig(steps=150, learning_rate=3e-3),
        seed=0,
    )
    rng = np.random.default_rng(0)

    def drawn() -> tuple[Situation, Floats]:
        state = rng.standard_normal((32, 3)).astype(np.float32)
        seen = Situation(views={}, state=state, instructions=["go"] * 32)
        return seen, np.repeat(2.0 - state[:, None, :2], SHAPE.chunk, axis=1)

    known = np.ones((32, SHAPE.chunk), np.bool_)
    for _ in range(150):
        made.step(*drawn(), known)
    seen, wanted = drawn()
    made.policy.eval()
    assert np.abs(made.policy.act(seen) - wanted).mean() < 0.2  # chance alone is off by about 2


def test_an_action_that_was_not_done_is_not_learnt() -> None:
    made = policy()
    known = ALL.copy()
    known[:, -1] = False
    other = actions()
    other[:, -1] += 1.0
    flow = torch.zeros(32, made.config.numbers)
    tau = torch.full((32,), 0.999)  # where the input is the action itself: it may look there
    losses = [
        made.loss(situation(), torch.from_numpy(a), flow, tau, torch.from_numpy(known))
        for a in (actions(), other)
    ]
    assert losses[0].shape == (4,)
    wanted = [a.reshape(4, -1) for a in (actions(), other)]
    counted = torch.from_numpy(np.repeat(known, 2, axis=1))
    for target, told in zip(wanted, losses, strict=True):
        velocity = made.velocity(made.features(situation()))
        mine = flow_loss(velocity, torch.from_numpy(target), flow[:4], tau[:4])
        assert not torch.allclose(mine, told)
        u = velocity(tau[:4, None] * torch.from_numpy(target), tau[:4])
        squares = (u - torch.from_numpy(target)).square() * counted
        assert told.detach().numpy() == pytest.approx(
            (squares.sum(-1) / counted.sum(-1)).detach().numpy(), abs=1e-5
        )


def test_draws_share_what_was_seen() -> None:
    made = policy()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(8, made.config.numbers, generator=generator)
    tau = torch.rand(8, generator=generator)
    wanted = torch.from_numpy(actions())
    both = made.loss(situation(), wanted, noise, tau)
    each = [made.loss(situation(), wanted, noise[i : i + 4], tau[i : i + 4]) for i in (0, 4)]
    assert torch.allclose(both, (each[0] + each[1]) / 2, atol=1e-6)


def test_nothing_known_is_no_loss() -> None:
    made = policy()
    rng = np.random.default_rng(0)
    assert not made.cloning_loss(situation(), actions(), ~ALL, rng).any()


def test_what_never_moves_keeps_its_size() -> None:
    made = policy()
    mean, std = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.0, 2.0])
    made.standardise((mean, std), (mean[:2], std[:2]))
    assert made.state_mean.tolist() == [1.0, 2.0, 3.0]
    assert made.state_std.tolist() == [0.5, 1.0, 2.0]
    assert made.action_std.tolist() == [0.5, 1.0]


def test_a_run_that_goes_on_makes_the_policy_of_one_that_never_stopped(tmp_path: Path) -> None:
    whole = steps(cloner(), 6)
    steps(cloner(), 4).save(tmp_path, MINE)
    torch.manual_seed(99)
    again = cloner()
    again.restore(tmp_path, MINE)
    assert again.done == 4
    assert same(steps(again, 2).policy, whole.policy)
    assert not same(whole.policy, policy())


def test_a_state_of_another_run_or_shape_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    steps(cloner(), 1).save(tmp_path, MINE)
    made = cloner()
    with pytest.raises(CheckpointError, match=r"with another seed; repeat its flags"):
        made.restore(tmp_path, {"seed": 1})
    wider = Cloner(policy(width=16), CONFIG, seed=0)
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        wider.restore(tmp_path, MINE)
    (tmp_path / STATE).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        made.restore(tmp_path, MINE)
    assert same(made.policy, policy())


def test_runs_that_differ_say_in_what() -> None:
    check_identity(Path("out"), {"a": [1], "more": 2}, {"a": (1,)})
    with pytest.raises(CheckpointError, match="another a, b;"):
        check_identity(Path("out"), {"a": 1}, {"a": 2, "b": 3})
    with pytest.raises(CheckpointError, match="another a;"):
        check_identity(Path("out"), None, {"a": 2})


def test_a_loss_that_is_not_finite_is_refused_and_the_weights_stay() -> None:
    made = steps(cloner(), 1)
    kept = {name: tensor.clone() for name, tensor in made.policy.state_dict().items()}
    with pytest.raises(InputError, match="the loss is nan at step 1: lower --learning-rate"):
        made.step(situation(), actions() * np.float32("nan"), ALL)
    assert all(torch.equal(kept[name], t) for name, t in made.policy.state_dict().items())


class Seen(torch.nn.Module):
    """Remembers the images that it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.images: list[Any] = []

    def cloning_loss(self, seen: Situation, *_: Any) -> torch.Tensor:
        self.images.append(seen.views["front"])
        return self.weight * torch.ones(len(seen))


@pytest.mark.parametrize("still", [True, False])
def test_images_are_jittered_alike_when_the_run_is_repeated(still: bool) -> None:
    changes = {"shift": 0.0, "brightness": 0.0} if still else {}
    shown = []
    for _ in range(2):
        made = Cloner(Seen(), replace(CONFIG, **changes), seed=0)
        steps(made, 2)
        shown.append(made.policy.images)
    assert np.array_equal(shown[0], shown[1])
    assert np.array_equal(shown[0][0], situation(seed=0).views["front"]) == still


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": 0}, {"learning_rate": float("inf")}, {"shift": 1.0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be"):
        CloningConfig(**wrong)
