# /// script
# requires-python = ">=3.12"
# dependencies = ["robo-reward"]
# [tool.uv.sources]
# robo-reward = { path = "..", editable = true }
# ///
r"""Pay a simulated robot the shaped reward r + F, and see that F adds up to nothing it could steal.

A scripted expert plays one episode; any Gymnasium learner takes the wrapped environment as it is:
    python examples/03_shape_the_reward.py outputs/demo/model-0 --references outputs/demo/held-out
"""

from itertools import islice
from pathlib import Path

import gymnasium as gym
import numpy as np
import tyro

import sim  # noqa: F401 (registers the environments)
from data import open_dataset
from data.references import ReferenceFinder
from robo_reward import RoboRewardError, load
from robo_reward.shaped_env import Judging, ShapedReward
from sim.experts import Expert


def main(
    model: tyro.conf.Positional[Path],
    references: Path,
    task: str = "PickToBin",
    gamma: float = 0.99,
    steps: int = 120,
    seed: int = 1_000_000,
) -> None:
    """Play one episode.

    Args:
        model: Directory of a trained model.
        references: Dataset of this task; its first episode's start and first success are shown.
        task: Which of the simulated tasks.
        gamma: The learner's discount.
        steps: Steps at most.
        seed: Of the episode.
    """
    judge = load(model)
    size = judge.settings.image_size
    found = ReferenceFinder(open_dataset(references), "auto", size=size).find(0)
    env = gym.make(f"robo_reward/{task}-v0", image_size=96)
    shaped = ShapedReward(env, Judging(model=judge, gamma=gamma, references=found.references))
    _, info = shaped.reset(seed=seed)
    first, total, discount = info["potential"], 0.0, 1.0
    rng = np.random.default_rng(seed)
    player = Expert(env.unwrapped, "expert", rng=rng, noise_rng=rng)
    for step, action in enumerate(islice(player.actions(), steps)):
        _, _, terminated, truncated, info = shaped.step(action)
        total += discount * info["shaping"]
        discount *= gamma
        if step % 10 == 0 or terminated:
            paid = f"r {info['task_reward']:.0f}  F {info['shaping']:+.3f}"
            print(f"{step:4d}  Φ {info['potential']:.2f}  {paid}")
        if terminated or truncated:
            break
    left = 0.0 if terminated else discount * info["potential"]
    print(f"sum of γᵗF: {total:+.4f}; γᵀΦ(end) − Φ(start): {left - first:+.4f}")
    shaped.close()


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except RoboRewardError as error:
        raise SystemExit(str(error)) from None
