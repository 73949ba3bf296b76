"""Flow policies: the loss by hand, marginals that chance keeps, likelihoods that are densities."""

import math

import pytest
import torch
from torch import Tensor

from policies.flow import (
    carry,
    coloured,
    entropy,
    flow_loss,
    grid,
    log_density,
    rotated,
    sample,
    score,
    transition,
)

STEPS, LEVEL = 4, 0.5
CENTRE, WIDTH = 0.7, 0.3


def gaussian(x: Tensor, tau: Tensor) -> Tensor:
    """The exact velocity that carries N(0, 1) to N(.7, .3²): E[x_1 − x_0 | x_τ = x]."""
    share = tau.unsqueeze(-1)
    variance = (1 - share) ** 2 + (share * WIDTH) ** 2
    gain = (share * WIDTH**2 - (1 - share)) / variance
    return CENTRE + gain * (x - share * CENTRE)


def drawn(count: int, numbers: int, steps: int = STEPS, seed: int = 0) -> tuple[Tensor, ...]:
    made = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, numbers, generator=made, dtype=torch.float64)
    kick = torch.randn(count, numbers, generator=made, dtype=torch.float64)
    step = torch.randint(steps, (count,), generator=made)
    return noise, kick, step


def test_the_loss_by_hand() -> None:
    actions, noise = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    seen: list[Tensor] = []

    def zero(x: Tensor, tau: Tensor) -> Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    loss = flow_loss(zero, actions, noise, torch.tensor([0.25]))
    assert seen[0].tolist() == [[0.25, 3.5]]
    assert loss.tolist() == [(1.0 + 4.0) / 2]


def test_the_exact_velocity_has_the_least_loss() -> None:
    noise, kick, _ = drawn(20_000, 1)
    actions = CENTRE + WIDTH * kick
    tau = torch.full((len(noise),), 0.4, dtype=torch.float64)
    best = flow_loss(gaussian, actions, noise, tau).mean()
    for shift in (-0.2, 0.2):
        other = flow_loss(lambda x, t, s=shift: gaussian(x, t) + s, actions, noise, tau).mean()
        assert float(other) == pytest.approx(float(best) + shift**2, abs=0.02)


@pytest.mark.parametrize("random_step", [0, 20, 63])
def test_chance_in_one_step_leaves_the_distribution_of_actions_as_it_was(random_step: int) -> None:
    steps = 64
    noise, kick, _ = drawn(40_000, 1, steps)
    step = torch.full((len(noise),), random_step)
    actions, _ = sample(gaussian, noise, step, kick, steps=steps, level=LEVEL)
    assert float(actions.mean()) == pytest.approx(CENTRE, abs=0.02)
    assert float(actions.std()) == pytest.approx(WIDTH, abs=0.02)
    assert not torch.allclose(actions, carry(gaussian, noise, steps=steps), atol=1e-3)


def test_chance_in_every_step_leaves_it_too_and_without_the_pull_it_would_not() -> None:
    steps, made = 64, torch.Generator().manual_seed(1)
    x = plain = drawn(40_000, 1)[0]
    for tau in grid(steps, x):
        times = tau.expand(len(x))
        kick = torch.randn(x.shape, generator=made, dtype=x.dtype)
        mean, spread = transition(x, gaussian(x, times), times, steps, LEVEL)
        _, same = transition(plain, gaussian(plain, times), times, steps, LEVEL)
        x, plain = mean + spread * kick, plain + gaussian(plain, times) / steps + same * kick
    assert float(x.mean()) == pytest.approx(CENTRE, abs=0.02)
    assert float(x.std()) == pytest.approx(WIDTH, abs=0.02)
    assert float(plain.std()) > WIDTH + 0.05


def test_the_score_in_the_step_is_that_of_the_flow() -> None:
    """σ²/2 · (τ u − x)/(1 − τ)/K, written out for one x."""
    x, tau = torch.tensor([[0.2]], dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    u = gaussian(x, tau)
    variance = LEVEL**2 * (1 - 0.5) / 0.5
    true_score = -(x - 0.5 * CENTRE) / (0.25 + 0.25 * WIDTH**2)
    mean, spread = transition(x, u, tau, STEPS, LEVEL)
    assert mean.item() == pytest.approx((x + (u + variance / 2 * true_score) / STEPS).item())
    assert spread.item() == pytest.approx(math.sqrt(variance / STEPS))


def test_sampler_and_scorer_say_the_same() -> None:
    noise, kick, step = drawn(50, 6)
    _, trace = sample(gaussian, noise.float(), step, kick.float(), steps=STEPS, level=LEVEL)
    said, _ = score(gaussian, trace, steps=STEPS, level=LEVEL)
    tau = grid(STEPS, noise.float())[step]
    mean, spread = transition(trace.before, gaussian(trace.before, tau), tau, STEPS, LEVEL)
    expected = torch.distributions.Normal(mean, spread.expand_as(mean)).log_prob(trace.after)
    assert said.tolist() == pytest.approx(expected.sum(-1).tolist(), abs=1e-4)
    assert torch.allclose((trace.after - mean) / spread, kick.float(), atol=1e-3)


def test_ratios_of_likelihoods_have_the_mean_one() -> None:
    """E[p'/p] = 1 under p: the scores are densities of what was sampled."""
    noise, kick, step = drawn(40_000, 2)
    _, trace = sample(gaussian, noise, step, kick, steps=STEPS, level=LEVEL)
    old, _ = score(gaussian, trace, steps=STEPS, level=LEVEL)
    new, _ = score(lambda x, t: gaussian(x, t) + 0.2 * x, trace, steps=STEPS, level=LEVEL)
    ratio = (new - old).exp()
    assert ratio.std() > 0.01
    error = ratio.std() / math.sqrt(len(ratio))
    assert abs(ratio.mean() - 1.0) < 3 * error


def test_every_step_is_random_for_some_samples_and_times_are_those_of_the_grid() -> None:
    assert grid(4, torch.zeros(1)).tolist() == [0.0, 0.25, 0.5, 0.75]
    noise, kick, step = drawn(400, 1)
    asked: list[float] = []

    def recorded(x: Tensor, tau: Tensor) -> Tensor:
        asked.extend(tau.unique().tolist())
        return gaussian(x, tau)

    _, trace = sample(recorded, noise, step, kick, steps=STEPS, level=LEVEL)
    sampled = set(asked)
    asked.clear()
    score(recorded, trace, steps=STEPS, level=LEVEL)
    assert set(asked) == sampled == {0.0, 0.25, 0.5, 0.75}


def test_density_and_entropy_by_hand() -> None:
    zero, one = torch.zeros(1, 3), torch.ones(1, 1)
    assert log_density(zero, zero, one).item() == pytest.approx(-1.5 * math.log(2 * math.pi))
    assert log_density(zero + 2, zero, 2 * one).item() == pytest.approx(
        3 * (-0.5 - math.log(2) - 0.5 * math.log(2 * math.pi))
    )
    assert entropy(2 * one, 3).item() == pytest.approx(
        3 * (math.log(2) + 0.5 * math.log(2 * math.pi * math.e))
    )


def test_a_policy_without_noise_is_carried_straight() -> None:
    noise, kick, step = drawn(10, 2)
    quiet, _ = sample(gaussian, noise, step, kick, steps=STEPS, level=1e-9)
    assert torch.allclose(quiet, carry(gaussian, noise, steps=STEPS), atol=1e-6)


def test_only_numbers_that_count_are_scored_and_taught() -> None:
    """Velocities are mixed, so that the others matter for where the counted ones go."""

    def mixed(x: Tensor, tau: Tensor) -> Tensor:
        return x.flip(-1) - tau.unsqueeze(-1)

    noise, kick, step = drawn(6, 3)
    _, trace = sample(mixed, noise, step, kick, steps=STEPS, level=LEVEL)
    counted = torch.tensor([2, 0])
    said, wide = score(mixed, trace, steps=STEPS, level=LEVEL, counted=counted)
    times = grid(STEPS, trace.before)[trace.step]
    mean, spread = transition(trace.before, mixed(trace.before, times), times, STEPS, LEVEL)
    expected = sum(log_density(trace.after[:, [i]], mean[:, [i]], spread) for i in (0, 2))
    assert torch.allclose(said, expected)
    assert torch.allclose(wide, entropy(spread, 2))
    whole = score(mixed, trace, steps=STEPS, level=LEVEL)[0]
    assert not torch.allclose(said, whole)
    tau = torch.zeros(6, dtype=torch.float64)
    taught = flow_loss(mixed, kick, noise, tau, torch.tensor([1.0, 0.0, 1.0]))
    off = (noise.flip(-1) - (kick - noise)).square()
    assert torch.allclose(taught, (off[:, 0] + off[:, 2]) / 2)


def test_coloured_noise_has_the_power_of_white_noise_and_lasts() -> None:
    levels, basis = coloured(0.5, 0.0, 4, 2)
    assert torch.allclose(levels, torch.full((8,), 0.5))
    assert torch.allclose(basis @ basis.T, torch.eye(8), atol=1e-6)
    levels, basis = coloured(0.5, 1.0, 4, 2)
    assert float(levels.square().mean()) == pytest.approx(0.25)
    assert levels[::2].tolist() == pytest.approx(
        [0.5 * math.sqrt(4 / (25 / 12) / (1 + f)) for f in range(4)]
    )
    covariance = basis @ torch.diag(levels.square()) @ basis.T
    assert covariance[0, 2] > 0.3 * covariance[0, 0]  # the next action moves along
    assert abs(float(covariance[0, 1])) < 1e-6  # another joint does not
    mean = basis.T @ torch.ones(8)  # a push that lasts is the lowest frequency alone
    assert mean[:2].tolist() == pytest.approx([2.0, 2.0])
    assert torch.allclose(mean[2:], torch.zeros(6), atol=1e-6)


def test_a_flow_in_another_basis_leads_to_the_same_place() -> None:
    _, basis = coloured(0.5, 1.0, 3, 1)
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

    def mixed(x: Tensor, tau: Tensor) -> Tensor:
        return x.flip(-1) - tau.unsqueeze(-1)

    straight = carry(mixed, noise, steps=STEPS)
    turned = carry(rotated(mixed, basis), noise @ basis, steps=STEPS) @ basis.T
    assert torch.allclose(straight, turned, atol=1e-6)
