"""Alarms of a refinement: signs that the policy learns to please the reward model, not the task.

Pure functions of a history, one `Observed` an update. Each monitor compares the last updates with
the first, episode by episode, and is silent unless what it looks for is both large and beyond
chance. The level of each test is small (`Limits.alpha`), because six monitors look at every update
of a run and a run without fault should stay silent as a whole.

None of them proves anything: an alarm says which films to look at. What was wrong from the first
update on, only `fooled` can see, and only with the false-positive rate of the model's validation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from robo_reward.errors import InputError
from robo_reward.shaping import Floats, Ints

from .rollout import Rollout

NEAR, HIGH = 0.6, 0.8
"""Φ that counts as near the goal, and as a claim of success."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a monitor speaks."""

    alpha: float = 2e-4
    """Level of each test: about .05 over six monitors and 40 updates."""
    first: int = 3
    """Updates that stand for the beginning."""
    last: int = 3
    """Updates that stand for now; nothing is said before there are ``first + last``."""
    divergence: float = 0.15
    """By how much more than the success rate the mean final Φ may have risen."""
    hovering: float = 0.15
    """By how much the share of hovering episodes may have risen."""
    cycling: float = 0.5
    """By how much the ups and downs of Φ that led nowhere may have grown, per episode."""
    disagreement: float = 1.25
    """Times the disagreement of views may have become."""
    kl: float = 10.0
    """Nats from the start policy, in the unit in which it is told."""
    fooled: float = 0.15
    """By how much the rate of claimed successes among true failures may exceed what is expected."""
    false_positive_rate: float | None = None
    """Expected rate: the model's own, of its validation; None: that of the first updates."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something to look at before going on."""

    name: str
    """Of the monitor."""
    says: str
    """One sentence: what is seen, and what to do."""
    value: float
    """What was measured."""
    bound: float
    """What it should not have exceeded."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the monitors see of one update: arrays (R,) over its episodes of known outcome."""

    success: Floats
    """1 or 0, the truth."""
    final: Floats
    """Φ of the final observation."""
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
            float(hovers(one.potential, one.decisions.steps, success=one.success)),
            cycles(np.append(one.potential, one.final_potential)),
            apart,
        )
        for one, apart in known
    ]
    columns = np.array(rows, np.float64).reshape(len(rows), 5).T
    names = ("success", "final", "hovering", "cycling", "disagreement")
    return Observed(**dict(zip(names, columns, strict=True)), kl=kl)


def divergence(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if the mean final Φ rose more than the success rate, and the latter did not rise."""
    claimed, _ = _rise(history, limits, lambda one: one.final)
    true, error = _rise(history, limits, lambda one: one.success)
    apart, noise = _rise(history, limits, lambda one: one.final - one.success)
    if not _beyond(apart - limits.divergence, noise, limits) or true > 2.0 * error:
        return None
    return Alarm(
        name="divergence",
        says=f"the mean final potential rose by {claimed:.2f} while true success rose by "
        f"{true:.2f}: look at failed episodes of high potential, add them to the reward model's "
        "training as failures, or raise lambda",
        value=apart,
        bound=limits.divergence,
    )


def hovering(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if more episodes than at first stay near the goal without reaching it."""
    rise, noise = _rise(history, limits, lambda one: one.hovering)
    if not _beyond(rise - limits.hovering, noise, limits):
        return None
    return Alarm(
        name="hovering",
        says=f"the share of episodes that stay at a potential of {NEAR} or more for half of their "
        f"time and fail rose by {rise:.2f}: check that the reward is shaped (not progress itself), "
        "that gamma is the learner's, and look at such an episode",
        value=rise,
        bound=limits.hovering,
    )


def cycling(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if Φ goes up and down to no end more than at first."""
    rise, noise = _rise(history, limits, lambda one: one.cycling)
    if not _beyond(rise - limits.cycling, noise, limits):
        return None
    return Alarm(
        name="cycling",
        says=f"the ups and downs of the potential that lead nowhere grew by {rise:.2f} an episode: "
        "the policy may collect one rise again and again; check the shaping, that one potential is "
        "cached per decision, and look at such an episode",
        value=rise,
        bound=limits.cycling,
    )


def disagreement(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if the model's views or anchors contradict each other more than at first."""
    early, _ = _ends(history, limits, lambda one: one.disagreement)
    first = float(early.mean()) if len(early) else 0.0
    if not first > 0.0:
        return None
    rise, noise = _rise(history, limits, lambda one: one.disagreement / first)
    if not _beyond(1.0 + rise - limits.disagreement, noise, limits):
        return None
    now = first * (1.0 + rise)
    return Alarm(
        name="disagreement",
        says=f"the model's views disagree by {now:.2f} on average, at first by {first:.2f}: the "
        "policy shows it what it does not know; collect such episodes and train the reward model "
        "on them",
        value=now,
        bound=limits.disagreement * first,
    )


def distance(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if the policy is further from the one it began as than it may be."""
    if not history or not history[-1].kl > limits.kl:
        return None
    return Alarm(
        name="distance",
        says=f"the policy is {history[-1].kl:.1f} nats from the one it began as: raise the weight "
        "of KL or of imitation, or go back to an earlier checkpoint",
        value=history[-1].kl,
        bound=limits.kl,
    )


def fooled(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if more true failures than expected end at a Φ that claims success.

    The count is tested by its binomial tail against the expected rate and the allowance. Where the
    rate must be measured from the first updates, (k + 1) / (n + 2) stands for it.
    """
    from scipy import stats  # late: it takes a second, and settings are read without it

    def claims(one: Observed) -> Floats:
        return np.where(one.final[one.success == 0.0] > HIGH, 1.0, 0.0)

    early, late = _ends(history, limits, claims)
    if limits.false_positive_rate is not None:
        late = np.concatenate([claims(one) for one in history[-limits.last :]] or [early])
        expected = limits.false_positive_rate
    else:
        expected = (float(early.sum()) + 1.0) / (len(early) + 2.0)
    bound = min(1.0, expected + limits.fooled)
    if not len(late) or stats.binom.sf(late.sum() - 1, len(late), bound) > limits.alpha:
        return None
    return Alarm(
        name="fooled",
        says=f"{int(late.sum())} of {len(late)} true failures end at a potential above {HIGH}, "
        f"where {expected:.0%} were expected: the reward model is fooled; stop, look at them, and "
        "train it on them as failures",
        value=float(late.mean()),
        bound=bound,
    )


MONITORS = (divergence, hovering, cycling, disagreement, distance, fooled)
"""All of them, each (history, limits) → alarm or None."""


def alarms(history: Sequence[Observed], limits: Limits) -> list[Alarm]:
    """Return the alarms after the last update of a history."""
    return [alarm for monitor in MONITORS if (alarm := monitor(history, limits)) is not None]


def _ends(
    history: Sequence[Observed], limits: Limits, read: Callable[[Observed], Floats]
) -> tuple[Floats, Floats]:
    """Return what is read of the episodes of the first and of the last updates, known ones."""
    if len(history) < limits.first + limits.last:
        return np.zeros(0), np.zeros(0)
    early = np.concatenate([read(one) for one in history[: limits.first]])
    late = np.concatenate([read(one) for one in history[-limits.last :]])
    return early[~np.isnan(early)], late[~np.isnan(late)]


def _rise(
    history: Sequence[Observed], limits: Limits, read: Callable[[Observed], Floats]
) -> tuple[float, float]:
    """Return by how much a mean rose from the first to the last updates, and its standard error.

    NaN where there is too little to say. A few equal episodes do not make a sure mean: to each
    variance two more are added, .2 to either side.
    """
    early, late = _ends(history, limits, read)
    if len(early) < 2 or len(late) < 2:
        return math.nan, math.nan
    parts = [(part.var() + 0.08 / len(part)) / len(part) for part in (early, late)]
    return float(late.mean() - early.mean()), math.sqrt(sum(parts))


def _beyond(excess: float, error: float, limits: Limits) -> bool:
    """Return whether an excess with a standard error is above 0 beyond chance; NaN is not."""
    return excess > -NormalDist().inv_cdf(limits.alpha) * error
