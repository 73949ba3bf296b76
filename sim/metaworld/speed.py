"""How much faster our images of Meta-World are than its own, measured in one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .env import MetaWorldEnv
from .render import VIEWS
from .stock import make_stock

_STILL = np.zeros(4, np.float32)


@dataclass(frozen=True, kw_only=True)
class SpeedGain:
    """Processor time of one step with an image of each view, in seconds."""

    stock: float
    """With the benchmark's own rendering, as it comes."""
    ours: float
    """With `sim.metaworld.env.MetaWorldEnv`."""

    @property
    def ratio(self) -> float:
        """How many of our steps fit into one of the benchmark's."""
        return self.stock / self.ours


def speed_gain(
    task: str = "drawer-open", *, image_size: int = 128, steps: int = 12, rounds: int = 3
) -> SpeedGain:
    """Measure both ways of stepping and drawing the same three cameras; takes about 15 s.

    Args:
        task: Name of the task.
        image_size: Width and height of the images in pixels.
        steps: Steps of the benchmark in one round; ours makes ten times as many.
        rounds: Rounds of each; the quickest counts.

    Raises:
        InputError: If there is no such task, or the benchmark is not installed.
    """
    ours = MetaWorldEnv(task, image_size=image_size, terminate_on_success=False)
    stock = make_stock(ours.task, render_mode="rgb_array", width=image_size, height=image_size)
    stock.seed(0)
    stock.reset()
    slow = min(_seconds(lambda: _step_stock(stock), steps) for _ in range(rounds))
    _close(stock)
    ours.reset(seed=0)
    fast = min(_seconds(lambda: ours.step(_STILL), 10 * steps) for _ in range(rounds))
    ours.close()
    return SpeedGain(stock=slow, ours=fast)


def _step_stock(env: Any) -> None:
    env.step(_STILL)
    for camera in VIEWS.values():
        env.mujoco_renderer.camera_id = env.model.camera(camera).id
        env.render()


def _close(env: Any) -> None:
    """Free what the benchmark's renderer holds while its own context is the current one.

    Left to the garbage collector, it would free objects of the same number in ours.
    """
    viewer = env.mujoco_renderer.viewer
    viewer.make_context_current()
    viewer.con.free()
    env.close()


def _seconds(step: Callable[[], object], steps: int) -> float:
    """Return the processor time of a step, the first ones left out."""
    for _ in range(2):
        step()
    began = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - began) / steps
