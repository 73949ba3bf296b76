"""Synthetic runs of refinement: clean ones, and ones whose reward model is fooled.

Every episode is a curve of Φ over 24 decisions. In a clean run Φ is true progress with noise; in a
fooled one a growing share of the failures shows a curve that the model takes for progress.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from policies.observing import Observed, cycles, hovers

LENGTH = 24
STEPS = np.ones(LENGTH, np.int64)
CLEAN = ("learns", "stuck", "lags", "noisy", "forgets", "solved", "slips")
FOOLED = ("hovers", "poses", "cycles", "blinds", "trades", "flashes")

type Floats = np.ndarray


def ramp(share: float, begin: float = 0.2, end: float = 0.8) -> float:
    """Return 0 before ``begin`` of a run, 1 after ``end``, and a straight line in between."""
    return float(np.clip((share - begin) / (end - begin), 0.0, 1.0))


@dataclass(frozen=True)
class Kind:
    """What differs from run to run of one kind."""

    name: str
    far: float
    """By how much failures come further in a clean run."""
    noise: float
    """Of Φ."""
    share: float
    """Of the failures, that the model is fooled by in the end."""
    apart: float
    """By how much views disagree more about those."""

    def skill(self, at: float) -> tuple[float, float]:
        """Return (success rate, mean final progress of failures) at a share of a run."""
        rises = ramp(at)
        if self.name in ("learns", "noisy"):
            return 0.1 + 0.6 * rises, 0.25 + self.far * rises
        if self.name == "lags":  # failures come further first, successes follow
            return 0.05 + 0.5 * ramp(at, 0.5, 1.0), 0.2 + self.far * ramp(at, 0.0, 0.6)
        if self.name == "forgets":  # and the model sees it: Φ falls too
            return 0.6 - 0.5 * rises, 0.45 - self.far * rises
        if self.name == "trades":  # successes for what is paid as much
            return 0.55 - 0.5 * rises, 0.4
        return (0.85, 0.35) if self.name == "solved" else (0.15, 0.3)


def drawn(name: str, rng: np.random.Generator) -> Kind:
    """Return a run of a kind."""
    return Kind(
        name=name,
        far=rng.uniform(0.05, 0.3),
        noise=rng.uniform(0.05, 0.1) if name == "noisy" else rng.uniform(0.01, 0.05),
        share=rng.uniform(0.5, 0.9) if name in FOOLED else 0.0,
        apart=rng.uniform(0.15, 0.35) if name == "blinds" else 0.0,
    )


def curve(end: float, rng: np.random.Generator, noise: float) -> Floats:
    """Return Φ (LENGTH + 1,) that rises unevenly from 0 to ``end``."""
    pace = np.cumsum(rng.random(LENGTH + 1) ** 3)
    phi = end * (pace - pace[0]) / (pace[-1] - pace[0])
    return np.clip(phi + noise * rng.standard_normal(LENGTH + 1), 0.0, 1.0)


def spoofed(kind: str, rng: np.random.Generator) -> Floats:
    """Return Φ (LENGTH + 1,) of a failure that the model takes for progress."""
    phi = curve(rng.uniform(0.2, 0.4), rng, 0.03)
    if kind == "hovers":
        phi[4:] = rng.uniform(0.65, 0.9) + 0.03 * rng.standard_normal(LENGTH - 3)
    elif kind == "poses":
        phi[-3:] = rng.uniform(0.82, 1.0)
    elif kind == "flashes":
        phi[8:12] = rng.uniform(0.82, 1.0)
    elif kind == "trades":
        phi[-6:] = rng.uniform(0.6, 0.8)
    elif kind == "cycles":
        phi[2:] = 0.45 + 0.25 * np.sin(np.arange(LENGTH - 1) * rng.uniform(1.5, 2.5))
    return np.clip(phi, 0.0, 1.0)


def update(kind: Kind, at: float, rollouts: int, rng: np.random.Generator) -> Observed:
    """Return what the monitors see of an update at a share of a run."""
    rate, far = kind.skill(at)
    rows = []
    for _ in range(rollouts):
        success = rng.random() < rate
        fooled = not success and rng.random() < kind.share * ramp(at)
        end = rng.uniform(0.85, 1.0) if success else rng.beta(6 * far, 6 * (1 - far))
        phi = spoofed(kind.name, rng) if fooled else curve(end, rng, kind.noise)
        if kind.name == "slips" and not success and rng.random() < 0.2 * ramp(at):
            phi[12:18] = 0.9  # truly nearly done, and lost again
        apart = 0.1 + 0.05 * rng.standard_normal() + kind.apart * fooled
        near = hovers(phi[:-1], STEPS, success=success)
        rows.append((success, phi[-1], phi.max(), near, cycles(phi), apart))
    columns = np.array(rows, np.float64).T
    names = ("success", "final", "peak", "hovering", "cycling", "disagreement")
    return Observed(**dict(zip(names, columns, strict=True)), kl=4.0 * at)


def run(name: str, seed: int) -> list[Observed]:
    """Return the history of a run of 8 to 30 updates with 20 to 60 rollouts each."""
    rng = np.random.default_rng([seed, (CLEAN + FOOLED).index(name)])
    updates, rollouts, kind = int(rng.integers(8, 31)), int(rng.integers(20, 61)), drawn(name, rng)
    return [update(kind, i / (updates - 1), rollouts, rng) for i in range(updates)]


def fired(history: list[Observed], watch: Callable[[list[Observed]], list[str]]) -> set[str]:
    """Return the names of all alarms that were raised at any update of a run."""
    return {name for end in range(1, len(history) + 1) for name in watch(history[:end])}
