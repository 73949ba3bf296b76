"""What a run takes over when its potential Φ is replaced: critic, fit, starts and monitors.

The residual f was learnt for the old Φ. With V = Φ + f, V would jump by Φ′ − Φ wherever the two
versions differ; so f is taught V − Φ′ on the last batch before anything else is learnt, and the
policy is not touched: what V knew of returns stays, and no rollout is spent on it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from robo_reward.shaping import Floats

from .learner import VALUE, Learner
from .objective import value_loss
from .potential_fit import fitted
from .refreshing import version_place
from .reward_models import training_of
from .rollout import Rollout
from .scoring import Potentials, judge
from .table import gathered
from .trials import Trial

if TYPE_CHECKING:
    from .refine_log import RefineLog
    from .refining import Refinement

STEPS = 60
"""Steps of the critic towards its new targets."""


def refresh(
    run: "Refinement",
    log: "RefineLog",
    trials: Sequence[Trial],
    judged: Sequence[Potentials],
    rollouts: Sequence[Rollout],
) -> None:
    """Train the reward model further; if it got better, let the run go on under it.

    Args:
        run: Between two updates, one that has a refresher.
        log: Is told what came of it.
        trials: The last batch.
        judged: What the potential said of it.
        rollouts: The same batch.
    """
    assert run.refresher is not None
    state = run.state
    attempt = run.refresher.attempt(state.updates, state.version)
    figures = attempt.figures
    if attempt.model is not None:
        place = version_place(run.command.out, state.version + 1)
        run.setting.judge_by(attempt.model, training_of(place))
        state.version, state.reward = state.version + 1, attempt.model.fingerprint
        figures = figures | take_over(run, trials, judged, rollouts)
    log.refresh(state, attempt.says, figures)


def take_over(
    run: "Refinement",
    trials: Sequence[Trial],
    old: Sequence[Potentials],
    rollouts: Sequence[Rollout],
) -> dict[str, float]:
    """Let a run go on under the potential that its setting judges by now; tell what that took.

    ``jump`` is the mean |V′ − V| of the last batch if f stayed, ``jump_left`` what is left of it,
    where f is a part of V. Starts to go on from are those of the last batch, judged anew, since
    the images of earlier ones are gone. Monitors compare updates, so their history begins again.

    Args:
        run: Between two updates.
        trials: The last batch.
        old: What the old potential said of it.
        rollouts: The same batch, under the old potential.
    """
    new = judge(run.setting.scorer, trials)
    run.starts.reached.clear()
    run.starts.remember(trials, new)
    run.state.observed.clear()
    if run.algorithm.needs_fit:
        judged = [under(rollout, found) for rollout, found in zip(rollouts, new, strict=True)]
        run.state.fit = fitted(judged, run.state.fit, gamma=run.command.gamma)
    if not run.algorithm.anchored:
        return {}
    moved = _at_decisions(new) - _at_decisions(old)
    left = carry(run.learner, trials, moved)
    return {"jump": float(np.abs(moved).mean()), "jump_left": left}


def under(rollout: Rollout, found: Potentials) -> Rollout:
    """Return a rollout under another potential."""
    progress = found.progress
    return replace(rollout, potential=progress[:-1], final_potential=float(progress[-1]))


def carry(learner: Learner, trials: Sequence[Trial], moved: Floats) -> float:
    """Teach the residual f what Φ has moved by; return the mean |Φ′ + f′ − Φ − f| that is left.

    Args:
        learner: Its critic is changed, nothing else.
        trials: Where it is taught.
        moved: (M,) Φ′ − Φ at their decisions.
    """
    policy, table = learner.policy, gathered(trials)
    aim = _residuals(learner, trials) - moved
    target = torch.from_numpy(aim)
    rng = np.random.default_rng([learner.seed, learner.updates, 6])
    size = min(learner.config.minibatch, len(table))
    trained = [p for group in learner.optimiser.param_groups for p in group["params"]]
    for _ in range(STEPS):
        chosen = sorted(rng.choice(len(table), size, replace=False).tolist())
        some = table.rows(chosen)
        value = policy.score(some.seen, some.trace)[2]  # type: ignore[operator]
        loss = value_loss(value, target[chosen].to(value), learner.config.objective).mean()
        learner.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in policy.named_parameters():
            if not name.startswith(VALUE):
                parameter.grad = None
        nn.utils.clip_grad_norm_(trained, learner.config.clip_gradient)
        learner.optimiser.step()
    return float(np.abs(_residuals(learner, trials) - aim).mean())


def _residuals(learner: Learner, trials: Sequence[Trial]) -> Floats:
    """Return f (M,) at the decisions of trials."""
    return np.concatenate([one.residual[:-1] for one in learner.score(trials)])


def _at_decisions(found: Sequence[Potentials]) -> Floats:
    return np.concatenate([one.progress[:-1] for one in found])
