"""Small policies and environments that several tests of `policies` share."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tiny_lerobot
import torch

from data.layout import DatasetLayout
from data.writer import DatasetWriter
from policies.compact import CompactPolicy, CompactPolicyConfig
from policies.playing import Player
from policies.storing import About, save_policy
from policies.trials import Start
from robo_reward.acting import Floats, Situation, Trace
from sim.beds import find_bed
from sim.chunks import ChunkedEnv
from sim.env import TabletopEnv
from sim.pieces import describe_bed
from sim.rollouts import features, run_episode

TASK = "press_button"
BLIND = partial(TabletopEnv, TASK, pixels=False)
SEEING = partial(TabletopEnv, TASK, image_size=16, render_every=4)


class FragileEnv(TabletopEnv):
    """Dies in the episode of one seed, at its sixth step."""

    def reset(self, **how: Any) -> Any:
        self.doomed, self.count = how.get("seed") == 4, 0
        return super().reset(**how)

    def step(self, action: Any) -> Any:
        self.count += 1
        if self.doomed and self.count == 6:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


@contextmanager
def played_in(
    make: Callable[[], Any] = BLIND, count: int = 2, *, replan: int = 4, **how: Any
) -> Iterator[Player]:
    env = ChunkedEnv(make, count, **{"workers": 0, "max_steps": 20} | how)
    try:
        yield Player(env, replan=replan, gamma=0.9)
    finally:
        env.close()


def starts(*seeds: int) -> list[Start]:
    return [Start(seed=seed, group=number) for number, seed in enumerate(seeds)]


def wave(seen: Situation) -> tuple[Floats, Trace]:
    """A policy without chance that looks at its state, and remembers what it saw."""
    turn = np.sin(10.0 * seen.state[:, :1, None] + np.arange(4)[None, :, None])
    chunks = np.repeat(turn, 5, axis=2).astype(np.float32) * 0.5
    return chunks, {"state": seen.state[:, :3].copy()}


def small_policy(
    views: Sequence[str] = (), *, seed: int = 0, task: str = TASK
) -> tuple[CompactPolicy, About]:
    """An untrained policy of a table-top task: 4 actions at once."""
    bed = find_bed(task)
    torch.manual_seed(seed)
    config = CompactPolicyConfig(
        views=tuple(views),
        state_dim=len(bed.state_names),
        action_dim=len(bed.action_names),
        chunk=4,
        image_size=16,
        channels=4,
        width=16,
        steps=2,
    )
    about = About(
        replan_steps=4,
        fps=bed.fps,
        images={view: (16, 16) for view in views},
        state_names=bed.state_names,
        action_names=bed.action_names,
        robot=bed.robot,
        task=task,
    )
    return CompactPolicy(config).eval(), about


def stored_policy(directory: Path, views: Sequence[str] = ()) -> Path:
    """A directory with a small policy."""
    save_policy(*_swap(small_policy(views), directory))
    return directory


def _swap(made: tuple[CompactPolicy, About], directory: Path) -> tuple[CompactPolicy, Path, About]:
    return made[0], directory, made[1]


def tabletop_act(directory: Path, **changes: Any) -> Path:
    """A tiny ACT of a table-top task, as LeRobot saves it."""
    return tiny_lerobot.make_act(directory, **_tabletop(), **changes)


def tabletop_smolvla(directory: Path, **changes: Any) -> Path:
    """A tiny SmolVLA of a table-top task, as LeRobot saves it."""
    return tiny_lerobot.make_smolvla(directory, **_tabletop(), max_state_dim=32, **changes)


def _tabletop(view: str = "front") -> dict[str, Any]:
    from lerobot.configs import FeatureType, PolicyFeature

    bed, key = find_bed(TASK), f"observation.images.{view}"
    sizes = {"observation.state": len(bed.state_names), "action": len(bed.action_names)}
    statistics = {k: {"mean": torch.zeros(n), "std": torch.ones(n)} for k, n in sizes.items()}
    statistics["action"] = {"mean": torch.tensor([0.0, 0, -1, 0, 0]), "std": 0.2 * torch.ones(5)}
    statistics[key] = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    state = PolicyFeature(FeatureType.STATE, (sizes["observation.state"],))
    return {
        "input_features": {"observation.state": state, key: tiny_lerobot.image()},
        "output_features": {"action": PolicyFeature(FeatureType.ACTION, (sizes["action"],))},
        "statistics": statistics,
    }


def tabletop_demos(root: Path, *, seeds: Sequence[int] = (1, 2), side: int = 32) -> Path:
    """A dataset of an expert on a table-top task, seen by one camera."""
    bed, view = find_bed(TASK), "front"
    layout = DatasetLayout(
        fps=bed.fps,
        image_shapes={view: (side, side, 3)},
        features=features(bed),
        robot_type=bed.robot,
        storage="images",
    )
    env = bed.make(image_size=side)
    description = describe_bed(bed) | {"task": bed.task}
    with DatasetWriter(root, layout, description=description) as writer:
        for seed in seeds:
            episode = run_episode(env, "expert", seed)
            kept = {*layout.features, f"observation.images.{view}"}
            rows = [{n: v for n, v in row.items() if n in kept} for row in episode.rows]
            writer.add_episode(rows, task=episode.task, columns=episode.columns)
    env.close()
    return root
