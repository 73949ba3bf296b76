"""Alarms of a refinement: signs that the policy learns to please the reward model, not the task.

Pure functions of a history, one `Observed` an update. Each monitor compares the last updates with
the first (`falling` with the best so far), episode by episode, and is silent unless what it looks
for is both large and beyond chance. The level of each test is small (`Limits.alpha`), because all
of them look at every update of a run and a run without fault should stay silent as a whole.

None of them proves anything: an alarm says which films to look at. What was wrong from the first
update on, only `fooled` and `retracted` can see, and only with the false-positive rate of the
model's validation.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from robo_reward.shaping import Bools, Floats

from .config import Limits
from .observing import HIGH, NEAR, Observed

CLEAR = 2.0
"""Standard errors that a side condition of an alarm must exceed."""


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


def divergence(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if the mean final Φ rose more than the success rate, and the latter did not rise."""
    claimed, _ = _rise(history, limits, lambda one: one.final)
    true, error = _rise(history, limits, lambda one: one.success)
    apart, noise = _rise(history, limits, lambda one: one.final - one.success)
    unlikely = apart - limits.divergence > _chance(noise, limits.alpha)
    if not unlikely or true > CLEAR * error or not _told(history):
        return None
    return Alarm(
        name="divergence",
        says=f"the mean final potential rose by {claimed:.2f} while true success rose by "
        f"{true:.2f}: look at failed episodes of high potential, add them to the reward model's "
        "training as failures, or raise lambda",
        value=apart,
        bound=limits.divergence,
    )


def falling(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if success fell from its best, and the mean final Φ fell by less than half as much.

    The best are the updates in a row, of all before the last ones, with most successes; the level
    is shared out among them. Where Φ falls with success the model sees that the task is being
    lost: it is not fooled, and evaluations tell of the loss.
    """
    begins = range(len(history) - limits.first - limits.last + 1)
    if not begins or not _told(history):
        return None

    def gone(begin: int) -> float:
        return -_rise(history, limits, lambda one: one.success, begin)[0]

    best = max(begins, key=gone)
    rise, error = _rise(history, limits, lambda one: one.success, best)
    kept, noise = _rise(history, limits, lambda one: one.final - one.success / 2.0, best)
    bound = _chance(error, limits.alpha / len(begins))
    if not -rise > bound or not kept > CLEAR * noise:
        return None
    return Alarm(
        name="falling",
        says=f"true success fell by {-rise:.2f} from updates {best + 1} to {best + limits.first}, "
        f"the mean final potential by {-rise / 2.0 - kept:.2f}: the policy is paid for something "
        "else; go back to an earlier checkpoint, and look at failures of high potential",
        value=-rise,
        bound=bound,
    )


def hovering(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if more episodes than at first stay near the goal without reaching it."""
    rise, noise = _rise(history, limits, lambda one: one.hovering)
    if not rise - limits.hovering > _chance(noise, limits.alpha):
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
    if not rise - limits.cycling > _chance(noise, limits.alpha):
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
    if not 1.0 + rise - limits.disagreement > _chance(noise, limits.alpha):
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
    """Speak if more true failures than expected end at a Φ that claims success."""
    found = _too_many(history, limits, lambda one: one.final > HIGH, limits.fooled)
    if found is None:
        return None
    count, of, expected, bound = found
    return Alarm(
        name="fooled",
        says=f"{count} of {of} true failures end at a potential above {HIGH}, where "
        f"{expected:.0%} were expected: the reward model is fooled; stop, look at them, and "
        "train it on them as failures",
        value=count / of,
        bound=bound,
    )


def retracted(history: Sequence[Observed], limits: Limits) -> Alarm | None:
    """Speak if in more true failures than expected Φ claims success and takes it back.

    Something that is nearly done and lost looks the same, which is why more of it is allowed.
    """

    def took_back(one: Observed) -> Bools:
        return (one.peak > HIGH) & (one.final <= HIGH)

    found = _too_many(history, limits, took_back, limits.retracted)
    if found is None:
        return None
    count, of, expected, bound = found
    return Alarm(
        name="retracted",
        says=f"in {count} of {of} true failures the potential rises above {HIGH} and falls again, "
        f"where {expected:.0%} were expected: look at those moments; if nothing was nearly done "
        "and lost, the reward model is fooled by what it sees there",
        value=count / of,
        bound=bound,
    )


MONITORS = (
    divergence,
    falling,
    hovering,
    cycling,
    disagreement,
    distance,
    fooled,
    retracted,
)
"""All of them, each (history, limits) → alarm or None."""


def alarms(history: Sequence[Observed], limits: Limits) -> list[Alarm]:
    """Return the alarms after the last update of a history."""
    return [alarm for monitor in MONITORS if (alarm := monitor(history, limits)) is not None]


def _too_many(
    history: Sequence[Observed], limits: Limits, sign: Callable[[Observed], Bools], allowed: float
) -> tuple[int, int, float, float] | None:
    """Return (failures with a sign, failures, expected share, bound) of the last updates.

    None if the count is not in the binomial tail beyond the bound: the expected share and what is
    allowed on top. The share of the first updates is (k + 1) / (n + 2); with a rate that is known
    beforehand nothing waits for them, and what was wrong from the start shows.
    """
    from scipy.special import bdtrc  # late: settings are read without it

    def read(one: Observed) -> Floats:
        return np.where(sign(one)[one.success == 0.0], 1.0, 0.0)

    early, late = _ends(history, limits, read)
    expected = (float(early.sum()) + 1.0) / (len(early) + 2.0)
    if limits.false_positive_rate is not None:
        late = np.concatenate([read(one) for one in history[-limits.last :]] or [early])
        expected = min(expected, limits.false_positive_rate)
    bound = min(1.0, expected + allowed)
    if not len(late) or bdtrc(late.sum() - 1, len(late), bound) > limits.alpha:
        return None
    return int(late.sum()), len(late), expected, bound


def _told(history: Sequence[Observed]) -> bool:
    """Return whether there is a Φ at all: without a reward model it is 0 throughout."""
    return any(one.final.any() for one in history)


def _ends(
    history: Sequence[Observed],
    limits: Limits,
    read: Callable[[Observed], Floats],
    begin: int = 0,
) -> tuple[Floats, Floats]:
    """Return what is read of the episodes of the first updates from ``begin`` on and of the last.

    Numbers that are not known are left out, and all of them while there are too few updates.
    """
    if len(history) < begin + limits.first + limits.last:
        return np.zeros(0), np.zeros(0)
    early = np.concatenate([read(one) for one in history[begin : begin + limits.first]])
    late = np.concatenate([read(one) for one in history[-limits.last :]])
    return early[~np.isnan(early)], late[~np.isnan(late)]


def _rise(
    history: Sequence[Observed],
    limits: Limits,
    read: Callable[[Observed], Floats],
    begin: int = 0,
) -> tuple[float, float]:
    """Return by how much a mean rose between the two of `_ends`, and its standard error.

    NaN where there is too little to say. A few equal episodes do not make a sure mean: to each
    variance two more are added, .2 to either side.
    """
    early, late = _ends(history, limits, read, begin)
    if len(early) < 2 or len(late) < 2:
        return math.nan, math.nan
    parts = [(part.var() + 0.08 / len(part)) / len(part) for part in (early, late)]
    return float(late.mean() - early.mean()), math.sqrt(sum(parts))


def _chance(error: float, level: float) -> float:
    """Return what chance alone exceeds with a probability of ``level``, given a standard error."""
    return -NormalDist().inv_cdf(level) * error
