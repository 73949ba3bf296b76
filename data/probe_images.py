"""What probes do to the pixels of one frame: blackness, noise, a sticker, a photograph. Pure."""

import numpy as np
from numpy.typing import NDArray

from robo_reward.images import resize
from robo_reward.protocols import Views

type Image = NDArray[np.uint8]

GRAIN = 8.0
"""Standard deviation of the grain of a worse camera, of 255."""
SHARE = 0.5
"""Side of a photograph held in view, as a share of the view's."""
_SHARP = (64, 160)
"""Height and width at which the sticker is written, in pixels."""


def black(views: Views) -> Views:
    """Return the views without light."""
    return {name: np.zeros_like(image) for name, image in views.items()}


def noise(views: Views, rng: np.random.Generator) -> Views:
    """Return pixels drawn at random in place of the views."""
    return {
        name: rng.integers(0, 256, image.shape, dtype=np.uint8) for name, image in views.items()
    }


def grain(views: Views, rng: np.random.Generator) -> Views:
    """Return the views with Gaussian noise on every pixel."""
    noisy = {name: image + rng.normal(0.0, GRAIN, image.shape) for name, image in views.items()}
    return {name: np.clip(image.round(), 0, 255).astype(np.uint8) for name, image in noisy.items()}


def sticker(views: Views) -> Views:
    """Return the views, each with a sticker "TASK COMPLETE" in its upper left corner."""
    made = {}
    for name, image in views.items():
        height, width = max(1, image.shape[0] // 4), max(1, image.shape[1] * 5 // 8)
        made[name] = _pasted(image, _shrunk(_written(), height, width), top=0, left=0)
    return made


def photograph(views: Views, goal: Views) -> Views | None:
    """Return the views, in the first of which a framed photograph of the goal is held.

    None where no view of the goal is known.
    """
    shared = sorted(views.keys() & goal.keys())
    if not shared:
        return None
    image = views[shared[0]]
    height, width = (max(3, int(side * SHARE)) for side in image.shape[:2])
    framed = np.full((height, width, 3), 255, np.uint8)
    framed[1:-1, 1:-1] = _shrunk(goal[shared[0]], height - 2, width - 2)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return dict(views) | {shared[0]: _pasted(image, framed, top=top, left=left)}


def _written() -> Image:
    import cv2

    paper = np.full((*_SHARP, 3), 255, np.uint8)
    for line, text in enumerate(("TASK", "COMPLETE")):
        place = (6, 27 + 29 * line)
        cv2.putText(paper, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.92, (0, 110, 0), 3)
    return paper


def _shrunk(image: Image, height: int, width: int) -> Image:
    if height == width:
        return resize(image, height)
    import cv2

    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _pasted(image: Image, patch: Image, *, top: int, left: int) -> Image:
    made = image.copy()
    made[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return made
