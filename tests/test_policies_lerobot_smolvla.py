"""LeRobot's SmolVLA as a policy with the likelihood of one random step."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_lerobot import image, make_smolvla, situation

from policies.flow import carry
from policies.lerobot_loading import load_lerobot_policy
from policies.lerobot_smolvla import SmolVlaAdapter
from robo_reward.errors import InputError


def adapted(directory: Path, **changes: Any) -> SmolVlaAdapter:
    made = load_lerobot_policy(make_smolvla(directory / "vla", **changes), device="cpu")
    assert isinstance(made, SmolVlaAdapter)
    return made


@pytest.mark.parametrize("attention", ["cross_attn", "self_attn"])
def test_its_flow_is_lerobots_with_time_turned_round(tmp_path: Path, attention: str) -> None:
    made = adapted(tmp_path, attention_mode=attention)
    batch = made.batch(situation())
    noise = torch.randn(4, 4, 5)
    told = made.policy.predict_action_chunk(dict(batch), noise=noise)
    with torch.no_grad():
        velocity, _ = made.look(batch)
        own = carry(velocity, noise.flatten(1), steps=made.steps).view(4, 4, 5)
    assert own[..., :2].numpy() == pytest.approx(told.numpy(), abs=1e-4)
    assert made.steps == 4


def test_its_loss_is_lerobots(tmp_path: Path) -> None:
    made, seen = adapted(tmp_path, n_action_steps=4), situation()
    actions = (torch.tensor([10.0, -20.0]) + torch.randn(4, 4, 2)).numpy()
    own = made.cloning_loss(seen, actions, np.ones((4, 4), np.bool_), np.random.default_rng(3))
    rng = np.random.default_rng(3)
    noise = torch.from_numpy(rng.standard_normal((4, 20), dtype=np.float32)).view(4, 4, 5)
    time = torch.from_numpy(1.0 - made.times(rng, 4).astype(np.float32))
    batch = made.batch(seen, actions)
    told, _ = made.policy.forward(batch, noise=noise, time=time, reduction="none")
    assert own.tolist() == pytest.approx(told.tolist(), rel=1e-4)
    known = np.array([[True, True, True, False]] * 4)
    cut = made.cloning_loss(seen, actions, known, np.random.default_rng(3))
    batch["action_is_pad"] = torch.from_numpy(~known)
    told, _ = made.policy.forward(batch, noise=noise, time=time, reduction="none")
    assert cut.tolist() == pytest.approx(told.tolist(), rel=1e-4)


def test_actions_beyond_the_chunk_and_padding_do_not_count(tmp_path: Path) -> None:
    made, seen = adapted(tmp_path), situation()
    assert made.executed.tolist() == [0, 1, 5, 6, 10, 11], "3 rows and 2 columns of 4 x 5"
    drawn, trace = made.sample(seen, np.random.default_rng(0))
    assert drawn.shape == (4, 3, 2)
    said = made.score(seen, trace)[0].tolist()
    beyond = [i for i in range(20) if i not in made.executed.tolist()]
    other = np.array(trace["after"])
    other[:, beyond] += 1.0
    assert made.score(seen, {**trace, "after": other})[0].tolist() == said
    other[:, 0] += 1.0
    assert made.score(seen, {**trace, "after": other})[0].tolist() != said


def test_the_random_step_is_drawn_for_each_sample(tmp_path: Path) -> None:
    made = adapted(tmp_path)
    _, trace = made.sample(situation().rows([0] * 200), np.random.default_rng(0))
    assert np.bincount(trace["step"], minlength=4).min() > 30
    assert trace["before"].dtype == trace["after"].dtype == np.float32
    loud = load_lerobot_policy(tmp_path / "vla", device="cpu", noise=1.0)
    quiet = load_lerobot_policy(tmp_path / "vla", device="cpu", noise=0.01)
    spreads = [p.score(situation().rows([0] * 200), trace)[1].mean() for p in (loud, quiet)]
    assert spreads[0] > spreads[1] + 6.0


def test_the_noise_level_is_stored(tmp_path: Path) -> None:
    made = load_lerobot_policy(make_smolvla(tmp_path / "vla"), device="cpu", noise=0.8)
    made.save(tmp_path / "saved")
    assert float(load_lerobot_policy(tmp_path / "saved", device="cpu").noise) == pytest.approx(0.8)


def test_only_what_lerobot_would_train_is_trained(tmp_path: Path) -> None:
    made = adapted(tmp_path)
    trained = {name for name, weight in made.named_parameters() if weight.requires_grad}
    assert not [name for name in trained if ".vlm." in name]
    assert [name for name in trained if ".lm_expert." in name]
    assert {"policy.model.state_proj.weight", "policy.model.action_out_proj.weight"} <= trained


def test_a_camera_that_lerobot_leaves_empty_is_none_of_its_views(tmp_path: Path) -> None:
    made = adapted(tmp_path, empty_cameras=1)
    assert list(made.cameras) == ["front", "wrist"]
    assert np.isfinite(made.act(situation())).all()


def test_images_of_any_size_are_made_to_fit(tmp_path: Path) -> None:
    assert np.isfinite(adapted(tmp_path).act(situation(side=48))).all()


def test_under_autocast_densities_stay_in_float32(tmp_path: Path) -> None:
    made, seen = adapted(tmp_path), situation()
    with torch.autocast("cpu", torch.bfloat16):
        _, trace = made.sample(seen, np.random.default_rng(0))
        one, two = (made.score(seen, trace)[0] for _ in range(2))
    assert one.dtype == torch.float32
    assert torch.equal(one, two)
    assert not torch.equal(one, made.score(seen, trace)[0]), "the network ran in bfloat16"


def test_aloha_joints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="converts Aloha's joints inside the policy"):
        adapted(tmp_path, adapt_to_pi_aloha=True)


def test_a_few_updates_make_rewarded_samples_likelier(tmp_path: Path) -> None:
    """Half of the samples are rewarded; the clipped objective of PPO must raise just those."""
    made = adapted(tmp_path)
    seen = situation().rows([0, 1, 2, 3] * 8)
    drawn, trace = made.sample(seen, np.random.default_rng(0))
    paid = torch.from_numpy(drawn[:, 0, 0] > np.median(drawn[:, 0, 0]))
    advantage = torch.where(paid, 1.0, -1.0)
    before = made.score(seen, trace)[0].detach()
    optimiser = torch.optim.Adam((p for p in made.parameters() if p.requires_grad), lr=3e-4)
    for _ in range(10):
        ratio = (made.score(seen, trace)[0] - before).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.28) * advantage)
        optimiser.zero_grad()
        (-gain.mean()).backward()
        optimiser.step()
    change = (made.score(seen, trace)[0] - before).detach()
    assert change[paid].mean() > 0.02
    assert change[~paid].mean() < -0.02


@pytest.mark.slow
def test_policy_gradients_by_its_likelihood_lead_to_the_reward(tmp_path: Path) -> None:
    """The first number of an action is the reward: ten updates on fresh samples must raise it."""
    made = adapted(tmp_path)
    seen = situation().rows([0, 1, 2, 3] * 32)
    optimiser = torch.optim.Adam((p for p in made.parameters() if p.requires_grad), lr=1e-3)
    means = []
    for seed in range(11):
        drawn, trace = made.sample(seen, np.random.default_rng(seed))
        reward = torch.from_numpy(drawn[:, 0, 0])
        means.append(float(reward.mean()))
        advantage = (reward - reward.mean()) / reward.std()
        optimiser.zero_grad()
        (-(made.score(seen, trace)[0] * advantage).mean()).backward()
        optimiser.step()
    error = float(reward.std()) / len(seen) ** 0.5
    assert means[-1] > means[0] + 4.0 * error, means


@pytest.mark.slow
def test_stock_lerobot_eval_plays_what_was_saved(tmp_path: Path) -> None:
    from lerobot.configs import FeatureType, PolicyFeature

    views = [f"observation.images.{name}" for name in ("front", "side", "wrist")]
    sizes = {"observation.state": (11,), "action": (5,)}
    made = adapted(
        tmp_path,
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (11,)),
            **dict.fromkeys(views, image()),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (5,))},
        statistics={k: {"mean": torch.zeros(v), "std": torch.ones(v)} for k, v in sizes.items()},
        max_state_dim=16,
    )
    made.save(tmp_path / "saved")
    flags = {
        "discover_packages_path": "sim.lerobot",
        "env.type": "robo_reward",
        "env.task": "press_button",
        "env.image_size": "32",
        "policy.path": str(tmp_path / "saved"),
        "policy.device": "cpu",
        "eval.batch_size": "1",
        "eval.n_episodes": "1",
        "eval.use_async_envs": "false",
        "output_dir": str(tmp_path / "out"),
    }
    program = Path(sys.executable).with_name("lerobot-eval")
    command = [str(program), *(f"--{name}={value}" for name, value in flags.items())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((tmp_path / "out/eval_info.json").read_text())
    assert told["overall"]["n_episodes"] == 1
