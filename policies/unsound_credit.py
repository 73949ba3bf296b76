"""Credit that *does* change which policy is best: in use elsewhere, kept for comparison.

Every name in `policies.algorithms` that stands for one of these begins with "unsound". Some pay for
Φ itself, others for a rise of Φ that nothing takes back. Each says what it pays for.
"""

from collections.abc import Sequence

import numpy as np

from robo_reward.shaping import Floats, counted

from .credit import KAPPA, SPREAD, Credit, Rules, estimated, residuals, spread, unanchored
from .groups import leave_one_out, members
from .rollout import Rollout
from .unsound import UNSOUND, kept_at_the_end

FAILED = 0.6
"""Most that SRPO pays a failure."""
STEEPNESS = 10.0
"""Of the sigmoids."""
TEMPERATURE = 0.1
"""Of the softened minimum."""


def paid_by(name: str, rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """PPO on task rewards plus what `policies.unsound.UNSOUND` pays, with an ordinary critic f."""
    following = [
        counted(one.following, False, one.decisions.truncated, bootstraps=rules.bootstraps)
        for one in rollouts
    ]
    extra = UNSOUND[name](
        np.concatenate([rollout.potential for rollout in rollouts]),
        np.concatenate(following),
        np.concatenate([rollout.decisions.steps for rollout in rollouts]),
        np.concatenate([rollout.decisions.terminated for rollout in rollouts]),
        rules.gamma,
    )
    parts = np.split(extra, np.cumsum([len(rollout) for rollout in rollouts])[:-1])
    rewards = [one.reward + more for one, more in zip(rollouts, parts, strict=True)]
    advantage = estimated(rollouts, rewards, unanchored, rules)
    return Credit(advantage=advantage, target=advantage + residuals(rollouts))


def srpo_like(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """SRPO-like: a failure is paid .6 σ(10 (.5 − d)), d its final Φ's distance from successes.

    d is scaled to [0, 1] by the batch's failures (arXiv 2511.15605, with Φ in place of distances
    between video embeddings). Pays for failing near the goal, by a scale that every batch changes.
    Without a success in the batch there is no reference, and failures are paid 0.
    """
    final = np.array([rollout.final_potential for rollout in rollouts])
    won = np.array([rollout.success for rollout in rollouts])
    failed = ~won & ~np.array([rollout.lost for rollout in rollouts])
    scores = won.astype(np.float64)
    if won.any() and failed.any():
        away = np.abs(final - final[won].mean())
        nearest, farthest = away[failed].min(), away[failed].max()
        share = (away - nearest) / max(farthest - nearest, SPREAD)
        scores[failed] = FAILED * _sigmoid(STEEPNESS * (0.5 - share[failed]))
    return Credit(advantage=spread(leave_one_out(scores, rollouts), rollouts))


def step_centred(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """GRPO on steps: r + F with Φ_T kept, centred and scaled by the group's steps, then summed.

    The process reward of DeepSeekMath (arXiv 2402.03300, §4.1.3). Adds −(N_i − n) μ/σ to a
    decision's advantage: pays for short episodes where steps are paid less than their mean, and
    for long ones where they are paid more.
    """
    steps = [
        one.reward
        + kept_at_the_end(
            one.potential,
            one.following,
            one.decisions.steps,
            one.decisions.terminated,
            rules.gamma,
        )
        for one in rollouts
    ]
    for places in members(rollouts).values():
        together = np.concatenate([steps[place] for place in places])
        scale = max(float(together.std()), SPREAD)
        for place in places:
            steps[place] = _to_go((steps[place] - together.mean()) / scale)
    return Credit(advantage=np.concatenate(steps))


def min_form(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """Success plus the smallest rise of Φ still to come (PURE, arXiv 2504.15275), softened.

    Each rise r counts by its softmin weight exp(−r/T) / Σ exp(−r/T) in the episode. Hard to
    collect by hovering; but an episode that must step back once is paid less than one that waits.
    """
    rises = []
    for one in rollouts:
        rise = one.following - one.potential
        weight = np.exp((rise.min() - rise) / TEMPERATURE)
        rises.append(weight / weight.sum() * rise)
    return _against_group(rises, rollouts)


def gated(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """Success plus rises of Φ, which count only where the episode succeeded (arXiv 2508.10548).

    Failures cannot collect, and cannot teach either; among successes it pays for ending at high Φ.
    """
    rises = [float(one.success) * (one.following - one.potential) for one in rollouts]
    return _against_group(rises, rollouts)


def bounded(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """Success plus σ(10 (Φ_T − the group's mean Φ_T)): bounded and centred (arXiv 2502.18770).

    The more Φ there is the less a further bit of it is worth; still pays for failing at high Φ.
    """
    scores = np.array([float(rollout.success) for rollout in rollouts])
    for places in members(rollouts).values():
        final = np.array([rollouts[place].final_potential for place in places])
        scores[places] += _sigmoid(STEEPNESS * (final - final.mean()))
    return Credit(advantage=spread(leave_one_out(scores, rollouts), rollouts))


def rise_weighted_cloning(rollouts: Sequence[Rollout], rules: Rules) -> Credit:
    """RA-BC: cloning weighted by the rise d of Φ over a decision (SARM, arXiv 2509.25358, eq. 8–9).

    1 above κ, 0 below 0, in between how far d is from μ − 2σ to μ + 2σ of the batch; of mean 1. A
    step back that the task needs is never learnt.
    """
    rise = np.concatenate([rollout.following - rollout.potential for rollout in rollouts])
    mean, deviation = max(float(rise.mean()), 0.0), max(float(rise.std()), SPREAD)
    soft = np.clip((rise - (mean - 2.0 * deviation)) / (4.0 * deviation), 0.0, 1.0)
    weight = np.where(rise > KAPPA, 1.0, np.where(rise < 0.0, 0.0, soft))
    return Credit(advantage=rise, weight=weight / max(float(weight.mean()), SPREAD))


def _against_group(rises: Sequence[Floats], rollouts: Sequence[Rollout]) -> Credit:
    """Return success plus rises still to come, less what the others of the group got in all."""
    totals = np.array([one.success + rise.sum() for one, rise in zip(rollouts, rises, strict=True)])
    others = totals - leave_one_out(totals, rollouts)
    parts = [
        np.zeros(len(one)) if one.lost else one.success + _to_go(rise) - other
        for one, rise, other in zip(rollouts, rises, others, strict=True)
    ]
    return Credit(advantage=np.concatenate(parts))


def _to_go(rewards: Floats) -> Floats:
    """Return Σ_{m ≥ n} r_m (N,)."""
    return np.cumsum(rewards[::-1])[::-1]


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
