"""LeRobot's MultiTaskDiT, trained by flow matching, as a policy with a likelihood."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_lerobot import make_dit, situation

from policies.flow import carry, flow_loss
from policies.lerobot_dit import DitAdapter
from policies.lerobot_loading import load_lerobot_policy
from robo_reward.errors import InputError

pytest.importorskip("diffusers", reason="MultiTaskDiT is an extra: robo-reward[dit]")


def adapted(directory: Path, **changes: Any) -> DitAdapter:
    made = load_lerobot_policy(make_dit(directory / "dit", **changes), device="cpu")
    assert isinstance(made, DitAdapter)
    return made


@pytest.mark.parametrize("separate", [False, True])
def test_its_flow_is_lerobots(tmp_path: Path, separate: bool) -> None:
    made = adapted(tmp_path, use_separate_rgb_encoder_per_camera=separate)
    batch = made.batch(situation())
    velocity, features = made.look(batch)
    torch.manual_seed(7)
    told = made.policy.objective.conditional_sample(made.policy.noise_predictor, 4, features)
    torch.manual_seed(7)
    noise = torch.randn(4, 4, 2)
    own = carry(velocity, noise.flatten(1), steps=4).view(4, 4, 2)
    assert own.detach().numpy() == pytest.approx(told.detach().numpy(), abs=1e-5)


@pytest.mark.parametrize("strategy", ["beta", "uniform"])
def test_its_loss_and_times_are_lerobots(tmp_path: Path, strategy: str) -> None:
    made = adapted(tmp_path, n_action_steps=4, timestep_sampling_strategy=strategy)
    actions = torch.tensor([10.0, -20.0]) + torch.randn(4, 4, 2)
    batch = made.batch(situation(), actions.numpy())
    velocity, features = made.look(batch)
    objective, network = made.policy.objective, made.policy.noise_predictor
    torch.manual_seed(7)
    told = objective.compute_loss(network, batch, features)
    torch.manual_seed(7)
    noise = torch.randn(4, 4, 2)
    tau = objective._sample_timesteps(4, noise.device)
    own = flow_loss(velocity, batch["action"].flatten(1), noise.flatten(1), tau)
    assert own.mean().item() == pytest.approx(told.item(), rel=1e-5)
    times = made.times(np.random.default_rng(0), 4000)
    theirs = objective._sample_timesteps(4000, noise.device).numpy()
    assert np.quantile(times, [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(theirs, [0.1, 0.5, 0.9]), abs=0.04
    )


def test_each_camera_may_have_an_encoder_of_its_own(tmp_path: Path) -> None:
    made = adapted(tmp_path, use_separate_rgb_encoder_per_camera=True)
    made.save(tmp_path / "saved")
    again = load_lerobot_policy(tmp_path / "saved", device="cpu")
    assert np.array_equal(again.act(situation()), made.act(situation()))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"objective": "diffusion"}, "trained by diffusion, whose chain of steps is not scored"),
        ({"n_obs_steps": 2}, "looks at the last 2 observations, and a situation holds one"),
        ({"sigma_min": 0.1}, "leaves noise 0.1 in its actions"),
    ],
)
def test_what_has_no_likelihood_here_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        adapted(tmp_path, **changes)
