"""What monitors see of an update: a few numbers of each of its episodes.

Pure functions of finished episodes; `policies.run_state` stores what they return.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robo_reward.decisions import DONE
from robo_reward.errors import InputError
from robo_reward.shaping import Floats, Ints

from .rollout import Rollout

NEAR, HIGH = 0.6, DONE
"""Φ that counts as near the goal, and above which it claims success."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the monitors see of one update: arrays (R,) over its episodes of known outcome."""

    success: Floats
    """1 or 0, the truth."""
    final: Floats
    """Φ of the final observation."""
    peak: Floats
    """Largest Φ of all observations."""
    hovering: Floats
    """1 where Φ was near the goal for half of the time and the task was not done, else 0."""
    cycling: Floats
    """Variation of Φ that led nowhere."""
    disagreement: Floats
    """Mean disagreement of the model's views or anchors; NaN where nobody measured it."""
    kl: float = math.nan
    """KL to the policy that refinement began with; NaN where nobody measured it."""

    def state(self) -> dict[str, Any]:
        """Return what must be stored to go on, as numbers and lists."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Observed":
        """Return what was stored.

        Raises:
            InputError: If it is not what `state` gave.
        """
        try:
            arrays = {n: np.array(v, np.float64) for n, v in state.items() if n != "kl"}
            return cls(**arrays, kl=float(state["kl"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a record of an update: {error}") from error


def hovers(potential: Floats, steps: Ints, *, success: bool) -> bool:
    """Return whether Φ (N,) was near the goal for half of the steps (N,) of a failed episode."""
    near = steps[potential >= NEAR].sum()
    return bool(not success and 2 * near >= steps.sum())


def cycles(potential: Floats) -> float:
    """Return Σ|ΔΦ| − |Φ_N − Φ_0| of Φ (N + 1,), the final one included; 0 for a steady rise.

    The ratio of the two would also grow where episodes merely get less far.
    """
    return float(np.abs(np.diff(potential)).sum() - abs(potential[-1] - potential[0]))


def observed(
    rollouts: Sequence[Rollout], disagreement: Floats | None = None, kl: float = math.nan
) -> Observed:
    """Return what the monitors see of an update; lost episodes are left out.

    Args:
        rollouts: The R episodes of the update.
        disagreement: (R,) mean disagreement of views in each; None: not measured.
        kl: KL to the start policy.

    Raises:
        InputError: If there is not a disagreement for every rollout.
    """
    told = np.full(len(rollouts), np.nan) if disagreement is None else disagreement
    if told.shape != (len(rollouts),):
        raise InputError(f"need a disagreement for each of {len(rollouts)}, got {told.shape}")
    known = [(one, told[place]) for place, one in enumerate(rollouts) if not one.lost]
    rows = [
        (
            float(one.success),
            one.final_potential,
            max(one.potential.max(), one.final_potential),
            float(hovers(one.potential, one.decisions.steps, success=one.success)),
            cycles(np.append(one.potential, one.final_potential)),
            apart,
        )
        for one, apart in known
    ]
    columns = np.array(rows, np.float64).reshape(len(rows), 6).T
    names = ("success", "final", "peak", "hovering", "cycling", "disagreement")
    return Observed(**dict(zip(names, columns, strict=True)), kl=kl)
