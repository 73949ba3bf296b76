"""LeRobot's ACT as a policy with a likelihood."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_lerobot import make_act, situation

from policies.lerobot_act import ActAdapter
from policies.lerobot_loading import load_lerobot_policy
from robo_reward.errors import InputError


def adapted(directory: Path, **changes: object) -> ActAdapter:
    made = load_lerobot_policy(make_act(directory / "act", **changes), device="cpu")
    assert isinstance(made, ActAdapter)
    return made


def test_it_acts_as_lerobot_does_also_from_what_was_saved(tmp_path: Path) -> None:
    from lerobot.policies import make_pre_post_processors
    from lerobot.policies.act.modeling_act import ACTPolicy

    made, seen = adapted(tmp_path, n_action_steps=3), situation()
    made.save(tmp_path / "saved")
    policy = ACTPolicy.from_pretrained(tmp_path / "saved", strict=True)
    before, after = make_pre_post_processors(policy.config, pretrained_path=tmp_path / "saved")
    told = {"observation.state": torch.from_numpy(seen.state), "task": seen.instructions}
    for name, images in seen.views.items():
        shown = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
        told[f"observation.images.{name}"] = shown
    for position in range(3):
        action = after(policy.select_action(before(told))).numpy()
        assert action == pytest.approx(made.act(seen)[:, position], abs=1e-5)


def test_a_sample_is_a_gaussian_around_what_it_does(tmp_path: Path) -> None:
    made, seen = adapted(tmp_path), situation().rows([0] * 400)
    with torch.no_grad():
        made.log_spread[0, 0] = np.log(0.5)
    drawn, trace = made.sample(seen, np.random.default_rng(0))
    off = (drawn - made.act(seen)) / [2.0, 0.5]
    spread = np.full((4, 2), 0.1)
    spread[0, 0] = 0.5
    assert off.mean(0) == pytest.approx(np.zeros((4, 2)), abs=0.1)
    assert off.std(0) == pytest.approx(spread, rel=0.15)
    said, entropy, _ = (part.detach() for part in made.score(seen, trace))
    normal = torch.distributions.Normal(torch.zeros(4, 2), torch.from_numpy(spread))
    expected = normal.log_prob(torch.from_numpy(off)).sum((1, 2))
    assert said.numpy() == pytest.approx(expected.numpy(), abs=1e-2)
    assert entropy[0].item() == pytest.approx(normal.entropy().sum().item(), abs=1e-4)


def test_its_loss_is_lerobots_without_the_vae(tmp_path: Path) -> None:
    made, seen = adapted(tmp_path), situation()
    actions = made.act(seen) + torch.randn(4, 4, 2).numpy()
    batch = made.batch(seen, actions)
    batch["action_is_pad"] = torch.zeros(4, 4, dtype=torch.bool)
    told, _ = made.policy.forward(batch)
    known, rng = np.ones((4, 4), np.bool_), np.random.default_rng(0)
    own = made.cloning_loss(seen, actions, known, rng)
    assert own.mean().item() == pytest.approx(told.item(), rel=1e-5)
    known[:, 3] = False
    actions[:, 3] = 1e3
    cut = made.cloning_loss(seen, actions, known, rng)
    off = torch.from_numpy((actions - made.act(seen)) / [2.0, 0.5]).abs().mean(2)[:, :3].mean(1)
    assert cut.detach().numpy() == pytest.approx(off.numpy(), rel=1e-4)


def test_its_spread_can_be_chosen(tmp_path: Path) -> None:
    made = adapted(tmp_path)
    assert made.log_spread.exp().mean().item() == pytest.approx(0.1)
    with torch.no_grad():
        made.log_spread.fill_(-1.0)
    made.save(tmp_path / "saved")
    kept = load_lerobot_policy(tmp_path / "saved", device="cpu")
    assert kept.log_spread.mean().item() == -1.0
    wide = load_lerobot_policy(tmp_path / "saved", device="cpu", noise=0.5)
    assert wide.log_spread.exp().mean().item() == pytest.approx(0.5)


def test_temporal_ensembling_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="averages its actions over successive chunks"):
        adapted(tmp_path, temporal_ensemble_coeff=0.01, n_action_steps=1)
