"""The loss of refinement by hand, its gradients at the clips, and what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from policies.config import ObjectiveConfig
from policies.objective import (
    Minibatch,
    clipped_loss,
    explained_variance,
    kl_estimate,
    objective,
    ratio_statistics,
    value_loss,
    weighted_cloning_loss,
)
from robo_reward.errors import InputError

CONFIG = ObjectiveConfig()


def logs(*ratios: float) -> Tensor:
    """Return log-ratios."""
    return torch.tensor(ratios, dtype=torch.float64).log()


def numbers(*given: float) -> Tensor:
    return torch.tensor(given, dtype=torch.float64)


def minibatch(ratio: float = 1.0, advantage: float = 1.0, **more: Tensor) -> Minibatch:
    """Return one decision of 4 numbers; its log-density can be differentiated."""
    old = numbers(-3.0)
    return Minibatch(
        log_prob=(old + math.log(ratio)).requires_grad_(),
        old_log_prob=old,
        advantage=numbers(advantage),
        numbers=4,
        **more,
    )


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.1, 2.0, -2.2),
        (1.5, 2.0, -1.28 * 2.0),
        (0.5, 2.0, -0.5 * 2.0),
        (1.1, -2.0, 2.2),
        (0.5, -2.0, 0.8 * 2.0),
        (1.5, -2.0, 1.5 * 2.0),
        (9.0, -2.0, 3.0 * 2.0),
    ],
)
def test_the_clipped_loss_by_hand(ratio: float, advantage: float, loss: float) -> None:
    assert clipped_loss(logs(ratio), numbers(advantage), CONFIG).item() == pytest.approx(loss)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [
        (1.0, 2.0, -2.0),
        (1.5, 2.0, 0.0),
        (0.5, 2.0, -1.0),
        (0.5, -2.0, 0.0),
        (1.5, -2.0, 3.0),
        (9.0, -2.0, 0.0),
        (1e30, -2.0, 0.0),
        (1e-30, 2.0, 0.0),
    ],
)
def test_its_gradient_is_none_where_it_is_clipped(
    ratio: float, advantage: float, slope: float
) -> None:
    """Against the log-density; far beyond the clips it is 0 and not NaN."""
    batch = minibatch(ratio, advantage)
    loss, _ = objective(batch, CONFIG)
    loss.backward()  # type: ignore[no-untyped-call]
    assert batch.log_prob.grad is not None
    assert batch.log_prob.grad.item() == pytest.approx(slope, abs=1e-8)


def test_a_ratio_over_numbers_is_their_geometric_mean() -> None:
    """A chunk 2.0736 times as likely is 1.2 a number; that is within the clip."""
    config = replace(CONFIG, ratio="mean")
    batch = minibatch(1.2**4, 2.0)
    loss, told = objective(batch, config)
    assert loss.item() == pytest.approx(-1.2 * 2.0)
    assert (told["clip_fraction"], told["ratio_max"]) == (0.0, pytest.approx(1.2))
    loss.backward()  # type: ignore[no-untyped-call]
    assert batch.log_prob.grad is not None
    assert batch.log_prob.grad.item() == pytest.approx(-1.2 * 2.0 / 4)
    assert objective(minibatch(1.2**4, 2.0), CONFIG)[1]["clip_fraction"] == 1.0


def test_errors_of_the_critic_by_hand() -> None:
    value, target = numbers(0.0, 0.0), numbers(0.5, 3.0)
    assert value_loss(value, target, CONFIG).tolist() == [0.125, 2.5]
    squares = value_loss(value, target, replace(CONFIG, value_loss="mse"))
    assert squares.tolist() == [0.25, 9.0]


def test_k3_by_hand_and_never_negative() -> None:
    assert kl_estimate(numbers(0.0)).item() == 0.0
    assert kl_estimate(numbers(0.5)).item() == pytest.approx(math.exp(-0.5) - 1 + 0.5)
    far = torch.linspace(-30.0, 30.0, 101, dtype=torch.float64)
    assert bool((kl_estimate(far) >= 0).all())
    assert bool(kl_estimate(far).isfinite().all())


def test_the_mean_of_k3_is_the_kl_of_two_gaussians() -> None:
    """KL(N(0, 1) ‖ N(m, 1)) = m²/2; within four standard errors."""
    x = np.random.default_rng(0).standard_normal(200_000)
    away = torch.from_numpy(-0.5 * x**2 + 0.5 * (x - 0.3) ** 2)
    told = kl_estimate(away)
    error = told.std().item() / math.sqrt(len(x))
    assert abs(told.mean().item() - 0.045) < 4 * error < 0.002


def test_all_terms_are_weighted_and_told() -> None:
    config = replace(CONFIG, kl_weight=0.1, bc_weight=0.2, entropy_weight=0.01)
    batch = minibatch(
        reference_log_prob=numbers(-3.5),
        value=numbers(0.0),
        target=numbers(0.5),
        entropy=numbers(7.0),
        cloning=numbers(2.0, 4.0),
    )
    loss, told = objective(batch, config)
    kl = math.exp(-0.5) - 0.5
    assert loss.item() == pytest.approx(-1.0 + 0.5 * 0.125 + 0.1 * kl + 0.2 * 3.0 - 0.01 * 7.0)
    assert told["value_loss"] == 0.125
    assert told["kl_reference"] == pytest.approx(kl)
    assert (told["bc_loss"], told["entropy"], told["policy_loss"]) == (3.0, 7.0, -1.0)
    assert told["loss"] == loss.item()
    per_number = objective(batch, replace(config, ratio="mean"))[1]
    assert per_number["kl_reference"] == pytest.approx(kl / 4)


def test_a_constant_normaliser_counts_every_decision_alike() -> None:
    """Two minibatches of 3 and 1, both over 2: the sum of losses is that of one of 4 over 2."""
    advantage = numbers(1.0, -1.0, 3.0, 5.0)
    zero = torch.zeros(4, dtype=torch.float64)
    whole = Minibatch(log_prob=zero, old_log_prob=zero, advantage=advantage, numbers=1)

    def part(rows: slice) -> float:
        batch = Minibatch(
            log_prob=zero[rows], old_log_prob=zero[rows], advantage=advantage[rows], numbers=1
        )
        return float(objective(batch, CONFIG, normaliser=2.0)[0])

    assert part(slice(3)) + part(slice(3, 4)) == pytest.approx(-4.0)
    assert objective(whole, CONFIG)[0].item() == pytest.approx(-2.0)


def test_how_far_the_policy_went_is_told() -> None:
    told = ratio_statistics(logs(0.5, 1.0, 1.25, 2.0), 1, CONFIG)
    assert told["clip_fraction"] == 0.5
    assert told["ratio_max"] == pytest.approx(2.0)
    k3 = np.mean([r - 1 - math.log(r) for r in (0.5, 1.0, 1.25, 2.0)])
    assert told["kl_old"] == pytest.approx(k3)


def test_explained_variance_by_hand() -> None:
    target = numbers(0.0, 1.0, 2.0)
    assert explained_variance(target + 5.0, target) == pytest.approx(1.0)
    assert explained_variance(numbers(0.0, 0.0, 0.0), target) == pytest.approx(0.0)
    assert math.isnan(explained_variance(target, numbers(1.0, 1.0, 1.0)))


def test_cloning_losses_are_weighted() -> None:
    assert weighted_cloning_loss(numbers(1.0, 3.0), numbers(2.0, 0.0), 2).item() == 1.0
    imitation = numbers(1.5).requires_grad_(), numbers(2.0)
    far = replace(minibatch(ratio=9.0, advantage=-2.0), imitation=imitation)
    loss, told = objective(far, CONFIG)
    assert (loss.item(), told["policy_loss"]) == (3.0, 3.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert imitation[0].grad is not None
    assert imitation[0].grad.item() == 2.0
    assert far.log_prob.grad is None, "ratios are told and not learnt from"


@pytest.mark.parametrize("name", ["old_log_prob", "advantage", "target"])
def test_an_input_that_is_not_finite_is_named_before_any_step(name: str) -> None:
    batch = replace(minibatch(value=numbers(0.0), target=numbers(0.0)), **{name: numbers(math.nan)})
    with pytest.raises(InputError, match=f"{name} of decision 0 is nan at update 3: no step"):
        objective(batch, CONFIG, where="update 3")


def test_a_loss_that_is_not_finite_says_which_term() -> None:
    batch = minibatch(value=numbers(math.inf), target=numbers(0.0))
    with pytest.raises(InputError, match=r"the loss is inf \(policy_loss -1, value_loss inf\)"):
        objective(batch, CONFIG)


def test_a_term_without_weight_does_not_reach_the_gradient() -> None:
    """Zero times infinity is no number; what is only told must not be added."""
    batch = minibatch(entropy=numbers(math.inf))
    assert objective(batch, CONFIG)[0].item() == -1.0


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InputError, match=r"clip_low must be in \(0, 1\)"):
        ObjectiveConfig(clip_low=1.0)
    with pytest.raises(InputError, match="clip_high above 0"):
        ObjectiveConfig(clip_high=0.0)
    with pytest.raises(InputError, match="dual_clip must be above"):
        ObjectiveConfig(dual_clip=1.2)
    with pytest.raises(InputError, match="kl_weight must be at least 0, got -1"):
        ObjectiveConfig(kl_weight=-1.0)
