"""Small demonstrations that tests of cloning share: what is done is the state, turned round."""

from pathlib import Path
from typing import Any

import numpy as np

LENGTH = 10
DONE = 7
"""Frame from which a success stays done."""
TASK = "turn it round"
FEATURES: dict[str, dict[str, Any]] = {
    "observation.state": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
    "action": {"dtype": "float32", "shape": (2,), "names": ["dx", "dy"]},
    "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    "truth.progress": {"dtype": "float32", "shape": (1,), "names": None},
    "truth.is_final": {"dtype": "bool", "shape": (1,), "names": None},
}
VIEWS = ("front", "wrist")


def rows(episode: int, *, success: bool) -> list[dict[str, Any]]:
    """Return rows whose state is (episode, frame) / 10 and whose action is its negative."""
    found = []
    for frame in range(LENGTH):
        state = np.array([episode, frame], np.float32) / 10
        moved = min(frame, LENGTH - 2) / 10  # the last row repeats an action
        images = {
            f"observation.images.{view}": np.full((16, 16, 3), 20 * frame + place, np.uint8)
            for place, view in enumerate(VIEWS)
        }
        found.append(
            {
                **images,
                "observation.state": state,
                "action": np.array([-episode / 10, -moved], np.float32),
                "next.success": success and frame + 1 >= DONE,
                "truth.progress": 1.0 if success and frame >= DONE else frame / LENGTH,
                "truth.is_final": frame == LENGTH - 1,
            }
        )
    return found


def write_demos(
    root: Path,
    outcomes: tuple[bool, ...] = (True, True, False, True),
    *,
    features: dict[str, dict[str, Any]] | None = None,
    views: tuple[str, ...] = VIEWS,
    robot: str = "panda",
) -> Path:
    """Write episodes, failures made by the behaviour ``miss``; leave out what is no feature."""
    from data.layout import DatasetLayout
    from data.writer import DatasetWriter

    features = FEATURES if features is None else features
    layout = DatasetLayout(
        fps=10,
        image_shapes=dict.fromkeys(views, (16, 16, 3)),
        features=features,
        robot_type=robot,
        storage="images",
    )
    kept = {*features, *(f"observation.images.{view}" for view in views)}
    with DatasetWriter(root, layout, description={"task": "turning"}) as writer:
        for episode, success in enumerate(outcomes):
            made = [
                {name: value for name, value in row.items() if name in kept}
                for row in rows(episode, success=success)
            ]
            behaviour = {"behaviour": "expert" if success else "miss"}
            writer.add_episode(made, task=TASK, columns=behaviour)
    return root
