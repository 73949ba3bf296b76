"""The compact policy: the promises of a policy, and what it sees."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from policies.compact import CompactPolicy, CompactPolicyConfig
from robo_reward.acting import Bools, Floats, Situation, Trace
from robo_reward.errors import InputError
from robo_reward.testing import FakePolicy, check_policy

SHAPE = CompactPolicyConfig(
    views=("front", "wrist"),
    state_dim=3,
    action_dim=2,
    chunk=3,
    image_size=16,
    channels=8,
    width=32,
)


def policy(seed: int = 0, **changes: Any) -> CompactPolicy:
    torch.manual_seed(seed)
    return CompactPolicy(replace(SHAPE, **changes)).eval()


def situation(count: int = 4, seed: int = 0, size: int = 20) -> Situation:
    rng = np.random.default_rng(seed)
    return Situation(
        views={
            name: rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
            for name in SHAPE.views
        },
        state=rng.standard_normal((count, 3)).astype(np.float32),
        instructions=[("push", "open the drawer", "")[i % 3] for i in range(count)],
    )


@pytest.mark.parametrize("steps", [1, 4])
def test_the_compact_policy_keeps_its_promises(steps: int) -> None:
    check_policy(policy(steps=steps), situation())


def test_the_fake_policy_keeps_them_too() -> None:
    check_policy(FakePolicy(3, 2), situation())
    unborn = FakePolicy(3, 2)
    torch.nn.init.zeros_(unborn.line)
    check_policy(unborn, situation())


class Restless(FakePolicy):
    """Acts by chance."""

    def act(self, seen: Situation) -> Floats:
        return super().act(seen) + np.random.default_rng().random()


class Crowded(FakePolicy):
    """Looks at the others in its batch."""

    def act(self, seen: Situation) -> Floats:
        return super().act(seen) - super().act(seen).mean(axis=0)


class Blind(FakePolicy):
    """Scores without its weights."""

    def score(self, seen: Situation, trace: Trace) -> Any:
        said, entropy, value = super().score(seen, trace)
        return said * 0.0, entropy, value


class NoDensity(FakePolicy):
    """Scores by the mean over numbers, as if that were a density."""

    def score(self, seen: Situation, trace: Trace) -> Any:
        said, entropy, value = super().score(seen, trace)
        return said / trace["drawn"].shape[1], entropy, value


class NoSpread(FakePolicy):
    """Forgets that a wide density is a low one."""

    def score(self, seen: Situation, trace: Trace) -> Any:
        said, entropy, value = super().score(seen, trace)
        return said + self.log_spread.sum(), entropy, value


class Deaf(FakePolicy):
    """Scores where no gradient reaches its weights."""

    def score(self, seen: Situation, trace: Trace) -> Any:
        with torch.no_grad():
            said, entropy, value = super().score(seen, trace)
        return said.requires_grad_(), entropy, value


class Louder(CompactPolicy):
    """Scores with another noise than it samples with."""

    def __init__(self, *_: int) -> None:
        super().__init__(SHAPE)

    def score(self, seen: Situation, trace: Trace) -> Any:
        self.levels.mul_(1.5)
        said = super().score(seen, trace)
        self.levels.div_(1.5)
        return said


class Unseeded(FakePolicy):
    """Draws from a generator of its own."""

    def sample(self, seen: Situation, rng: np.random.Generator) -> tuple[Floats, Trace]:
        return super().sample(seen, np.random.default_rng())


class Flat(FakePolicy):
    """Returns its chunks flattened."""

    def act(self, seen: Situation) -> Floats:
        return super().act(seen).reshape(len(seen), -1)


class Greedy(FakePolicy):
    """Learns from what nobody knows."""

    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> torch.Tensor:
        return super().cloning_loss(seen, actions, np.ones_like(known), rng)


class Fixed(FakePolicy):
    """Has a cloning loss that no weight can lower."""

    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> torch.Tensor:
        return super().cloning_loss(seen, actions, known, rng).detach()


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Greedy, "where no action is known there is no cloning loss"),
        (Fixed, "cloning losses must be differentiable by the weights"),
        (Restless, "without chance the same is done again"),
        (Crowded, "what is done does not depend on the batch"),
        (Blind, "other weights must have other likelihoods"),
        (NoDensity, "likelihoods must be densities"),
        (NoSpread, "likelihoods must be densities"),
        (Louder, "likelihoods must be densities"),
        (Deaf, "must be differentiable by the weights"),
        (Unseeded, "one generator draws one sample"),
        (Flat, r"chunks must be \(B, C, A\)"),
    ],
)
def test_a_broken_policy_is_told_which_promise_it_breaks(broken: Any, promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_policy(broken(3, 2), situation())


def test_the_check_leaves_the_weights_as_they_were() -> None:
    made = policy()
    before = [parameter.clone() for parameter in made.parameters()]
    check_policy(made, situation(), draws=64)
    assert all(torch.equal(a, b) for a, b in zip(before, made.parameters(), strict=True))


def test_views_are_known_by_name_and_a_missing_one_is_not_made_up() -> None:
    made, seen = policy(), situation()
    turned = replace(seen, views=dict(reversed(seen.views.items())))
    assert np.array_equal(made.act(turned), made.act(seen))
    other = replace(seen, views=seen.views | {"side": seen.views["front"]})
    assert np.array_equal(made.act(other), made.act(seen)), "a view that it does not know"
    less = replace(seen, views={"front": seen.views["front"]})
    black = replace(seen, views=seen.views | {"wrist": np.zeros_like(seen.views["wrist"])})
    assert not np.allclose(made.act(less), made.act(black))


def test_the_instruction_and_every_view_matter() -> None:
    made, seen = policy(), situation()
    assert not np.allclose(made.act(replace(seen, instructions=["lift"] * 4)), made.act(seen))
    for name in SHAPE.views:
        changed = replace(seen, views=seen.views | {name: 255 - seen.views[name]})
        assert not np.allclose(made.act(changed), made.act(seen))


def test_actions_are_in_the_robots_units() -> None:
    made, seen = policy(), situation()
    plain = made.act(seen)
    made.action_mean += torch.tensor([1.0, -2.0])
    made.action_std *= torch.tensor([2.0, 3.0])
    assert made.act(seen) == pytest.approx(plain * [2.0, 3.0] + [1.0, -2.0], abs=1e-5)


def test_the_value_begins_at_nothing_and_moves_no_feature() -> None:
    made, seen = policy(), situation()
    _, trace = made.sample(seen, np.random.default_rng(0))
    value = made.score(seen, trace)[2]
    assert value.tolist() == [0.0] * 4
    (value.sum() + 0.0).backward()
    assert made.stem.convs[0].weight.grad is None


def test_it_learns_where_to_go_from_pictures_and_words() -> None:
    """A bright bar tells the place; the word says whether to go there or away from it."""
    torch.manual_seed(0)
    made = CompactPolicy(replace(SHAPE, views=("front",), action_dim=1, chunk=1))
    optimiser = torch.optim.AdamW(made.parameters(), lr=3e-3)
    rng = np.random.default_rng(0)

    def drawn(count: int) -> tuple[Situation, np.ndarray]:
        images = np.zeros((count, 16, 16, 3), np.uint8)
        place, flip = rng.integers(2, 14, count), rng.integers(0, 2, count)
        images[np.arange(count), :, place] = 255
        words = [("to it", "away from it")[f] for f in flip]
        wanted = (place - 7.5) / 6.0 * np.where(flip == 1, -1.0, 1.0)
        state = np.zeros((count, 3), np.float32)
        return Situation(views={"front": images}, state=state, instructions=words), wanted

    for _ in range(250):
        seen, wanted = drawn(64)
        target = torch.as_tensor(wanted, dtype=torch.float32).view(-1, 1, 1)
        loss = made.loss(seen, target, torch.randn(64, 1), torch.rand(64)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    seen, wanted = drawn(200)
    error = np.abs(made.eval().act(seen)[:, 0, 0] - wanted).mean()
    assert error < 0.2, "chance alone is off by about .6"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"chunk": 0}, "chunk must be at least 1"),
        ({"noise": 0.0}, "noise must be above 0"),
        ({"views": (), "state_dim": 0}, "a view or a state"),
        ({"image_size": 8}, "image_size must be at least 16"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        replace(SHAPE, **changes)


def test_situations_that_cannot_be_are_refused() -> None:
    seen = situation()
    with pytest.raises(InputError, match="it is of another robot"):
        policy().act(replace(seen, state=seen.state[:, :2]))
    with pytest.raises(InputError, match=r"state must be \(4, n\)"):
        replace(seen, state=seen.state[:3])
    with pytest.raises(InputError, match="state is not finite"):
        replace(seen, state=seen.state * np.nan)
    with pytest.raises(InputError, match=r"view front must be uint8 \(B, H, W, 3\)"):
        replace(seen, views={"front": seen.views["front"][..., 0]})
    with pytest.raises(InputError, match="shows 3 situations of 4"):
        replace(seen, views={"front": seen.views["front"][:3]})
