"""Cases whose brightness is their progress, and estimators that read it, for tests of `eval`."""

from typing import Any

import numpy as np

from data.estimators import Estimator, Track
from data.evaluate import Case
from robo_reward.fake_model import brightness
from robo_reward.protocols import References, Views

NAN = float("nan")


def views(value: float, names: tuple[str, ...] = ("front", "side")) -> Views:
    return {name: np.full((16, 16, 3), round(255 * value), np.uint8) for name in names}


def case(truth: list[float], **changes: Any) -> Case:
    """Return a case of a row a query, each frame as bright as the truth, NaN counting as 0."""
    shown = [views(0.0 if np.isnan(value) else value) for value in truth]
    plain: dict[str, Any] = {
        "name": "episode",
        "instruction": "light the lamp",
        "references": References(start=views(0.0), goal=views(1.0)),
        "frames": lambda every: iter(shown[::every]),
        "fps": 2.5,
        "truth": np.array(truth, np.float64),
        "done": np.array([float(value >= 1.0) for value in truth]),
        "match": 1.0,
    }
    return Case(**(plain | changes))


def track(progress: Any, **changes: Any) -> Track:
    phi = np.asarray(progress, np.float64)
    plain: dict[str, Any] = {
        "progress": phi,
        "confidence": np.full(len(phi), NAN),
        "declared": phi >= 0.95,
        "valid": np.ones(len(phi), np.bool_),
        "success_score": float(phi[-1]),
        "every": 1,
    }
    return Track(**(plain | changes))


def seeing(words: str = "light the lamp") -> Estimator:
    """Return the estimator that sees brightness, and is sure of other words that nothing is done.

    It cannot see in the dark, nor in pure noise: there Φ stays where it was.
    """

    def estimate(case: Case) -> Track:
        phi: list[float] = []
        for shown in case.frames(1):
            noisy = max(float(image.std()) for image in shown.values()) > 60
            held = phi and (noisy or brightness(shown) == 0.0)
            phi.append(phi[-1] if held else brightness(shown))
        right = case.instruction.startswith(words)
        return track(np.array(phi) * (1.0 if right else 0.0))

    return estimate
