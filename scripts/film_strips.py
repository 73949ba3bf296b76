"""Draw docs/tasks.png: six moments of an expert's episode of every task, front and side views.

Run from the root of the repository: .venv/bin/python scripts/film_strips.py
"""

from pathlib import Path

import cv2
import numpy as np

from sim.env import TabletopEnv
from sim.experts import Expert
from sim.seeding import generators
from sim.tasks import TASKS

MOMENTS, SIZE, SEED = 6, 112, 3


def strip(task: str) -> np.ndarray:
    """Return the moments side by side, (2 SIZE + 18, MOMENTS SIZE, 3) uint8 RGB."""
    env = TabletopEnv(task, image_size=SIZE, render_every=10**6, terminate_on_success=False)
    env.reset(seed=SEED)
    streams = generators(SEED)
    expert = Expert(env, "expert", rng=streams["expert"], noise_rng=streams["noise"])
    seen = [env.draw()]
    for action in expert.actions():
        env.step(action)
        seen.append(env.draw())
    chosen = np.linspace(0, len(seen) - 1, MOMENTS).astype(int)
    rows = [np.hstack([seen[n][view] for n in chosen]) for view in ("front", "side")]
    title = np.full((18, MOMENTS * SIZE, 3), 255, np.uint8)
    text = f"{task}: {env.task_description}"
    cv2.putText(title, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([title, *rows])


def main() -> None:
    """Write the picture, two columns of strips."""
    strips = [strip(task) for task in TASKS]
    if len(strips) % 2:
        strips.append(np.full_like(strips[0], 255))
    columns = [np.vstack(strips[side::2]) for side in (0, 1)]
    gap = np.full((len(columns[0]), 8, 3), 255, np.uint8)
    picture = np.hstack([columns[0], gap, columns[1]])
    path = Path(__file__).parents[1] / "docs/tasks.png"
    cv2.imwrite(str(path), picture[..., ::-1])
    print(path)


if __name__ == "__main__":
    main()
