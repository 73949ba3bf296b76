"""Our tasks in LeRobot's own programs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.envs.configs import EnvConfig
from lerobot.envs.utils import preprocess_observation

from robo_reward.errors import InputError
from sim.lerobot.environment import RoboRewardEnvConfig

SMALL: dict[str, Any] = {"task": "press_button", "image_size": 16}


def test_lerobot_knows_it_by_name() -> None:
    assert EnvConfig.get_choice_class("robo_reward") is RoboRewardEnvConfig
    assert RoboRewardEnvConfig(**SMALL).type == "robo_reward"


@pytest.mark.parametrize("in_processes", [False, True])
def test_observations_come_out_as_lerobots_policies_want_them(in_processes: bool) -> None:
    config = RoboRewardEnvConfig(**SMALL)
    env = config.create_envs(2, use_async_envs=in_processes)["press_button"][0]
    try:
        observation, info = env.reset(seed=[0, 1], options={"lerobot_new_rollout": True})
        assert info["is_success"].tolist() == [False, False]
        assert len(set(env.call("task_description"))) >= 1
        assert env.call("_max_episode_steps") == (200, 200)
        assert env.call("render")[0].shape == (16, 16, 3)
        assert env.unwrapped.metadata["render_fps"] == config.fps == 20
        batch = preprocess_observation(observation)
        for view in ("front", "side", "wrist"):
            assert batch[f"observation.images.{view}"].shape == (2, 3, 16, 16)
            assert config.features[f"pixels/{view}"].shape == (16, 16, 3)
        state = config.features["agent_pos"].shape
        assert batch["observation.state"].shape == (2, *state)
        assert set(config.features) == set(config.features_map)
        assert env.step(np.zeros((2, *config.features["action"].shape)))[1].shape == (2,)
    finally:
        env.close()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"task": "fly"}, "no task 'fly'; there are: pick_to_bin"),
        ({"robot": "r2d2"}, "no robot 'r2d2'; there are: panda, so101"),
        ({"task": "insert_peg", "robot": "so101"}, "'insert_peg' is out of reach of robot 'so101'"),
        ({"variety": ("smell",)}, "no variation 'smell'; there are: colour"),
    ],
)
def test_what_does_not_exist_or_go_together_is_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RoboRewardEnvConfig(**flags)


def test_features_and_environments_are_those_of_the_robot_and_the_variety() -> None:
    seen = []
    for variety in ((), ("height",)):
        config = RoboRewardEnvConfig(**SMALL, robot="so101", variety=variety)
        env = config.create_envs(1)["press_button"][0]
        seen.append(env.reset(seed=[5])[0]["agent_pos"])
        assert seen[-1].shape == (1, *config.features["agent_pos"].shape) == (1, 9)
        assert config.features["action"].shape == env.single_action_space.shape == (5,)
        env.close()
    assert not np.array_equal(*seen), "the arm stands higher or lower"


def tiny_policy(folder: Path, state: int) -> Path:
    """Write an untrained ACT policy for an environment with so many numbers of state."""
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    view = PolicyFeature(FeatureType.VISUAL, (3, 32, 32))
    names = [f"observation.images.{name}" for name in ("front", "side", "wrist")]
    config = ACTConfig(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (state,)),
            **dict.fromkeys(names, view),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (5,))},
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        chunk_size=8,
        n_action_steps=8,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    ACTPolicy(config).save_pretrained(folder)
    sizes = {"observation.state": (state,), "action": (5,), **dict.fromkeys(names, (3, 1, 1))}
    stats = {
        name: {"mean": torch.zeros(shape), "std": torch.ones(shape)}
        for name, shape in sizes.items()
    }
    for pipeline in make_pre_post_processors(config, dataset_stats=stats):
        pipeline.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("in_processes", "robot", "state"),
    [("false", "panda", 11), ("true", "panda", 11), ("false", "so101", 9)],
)
def test_stock_lerobot_eval_runs_a_task(
    tmp_path: Path, in_processes: str, robot: str, state: int
) -> None:
    program = Path(sys.executable).with_name("lerobot-eval")
    flags = {
        "discover_packages_path": "sim.lerobot",
        "env.type": "robo_reward",
        "env.task": "press_button",
        "env.robot": robot,
        "env.variety": "[light,height]",
        "env.image_size": "32",
        "policy.path": str(tiny_policy(tmp_path / "policy", state)),
        "policy.device": "cpu",
        "eval.batch_size": "2",
        "eval.n_episodes": "2",
        "eval.use_async_envs": in_processes,
        "output_dir": str(tmp_path / "out"),
    }
    command = [str(program), *(f"--{name}={value}" for name, value in flags.items())]
    done = subprocess.run(
        command, env=os.environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((tmp_path / "out/eval_info.json").read_text())
    assert told["overall"]["n_episodes"] == 2
    assert 0.0 <= told["overall"]["pc_success"] <= 100.0
