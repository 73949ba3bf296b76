"""The learner: scores what was played with its own weights, and takes the steps of an update.

Letters: M decisions of an update, N of one episode.
"""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.acting import Bools, Clonable, Floats, Policy, Situation, Trace
from robo_reward.errors import InputError
from robo_reward.meeting import Meeting

from .config import LearnerConfig
from .credit import Credit, normalised
from .objective import Minibatch, explained_variance, objective
from .sharing import Part, Rows, combined, generator
from .table import Table, finals, gathered
from .trials import Trial

VALUE = "value"
"""How the names of a critic's weights begin."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What the learner says of the decisions of one episode."""

    log_prob: NDArray[np.float64]
    """(N,) log-density of the chunks that were sampled."""
    residual: NDArray[np.float64]
    """(N + 1,) f, that of the final observation last."""

    @classmethod
    def none(cls, count: int) -> "Scores":
        """Return what is said before anything was scored."""
        return cls(log_prob=np.zeros(count), residual=np.zeros(count + 1))


class Shown(Protocol):
    """Demonstrations to imitate along with reinforcement."""

    def draw(
        self, rng: np.random.Generator, count: int, some: Sequence[int]
    ) -> tuple[Situation, Floats, Bools]:
        """Return B situations, the chunks (B, C, A) done there, and which of them are known.

        They are some of ``count`` that are drawn; which are drawn does not depend on ``some``.
        """


class Learner:
    """Holds the policy that learns, the one that it began with, and the optimiser."""

    def __init__(
        self,
        policy: nn.Module,
        config: LearnerConfig,
        *,
        seed: int,
        clones: bool = False,
        shown: Shown | None = None,
        meeting: Meeting | None = None,
    ) -> None:
        """Learn from here on.

        Args:
            policy: A `Policy` that is a module; it is changed in place.
            config: How.
            seed: Of the order of decisions.
            clones: Whether credit will be weights of cloning.
            shown: What is imitated along with it; None: nothing.
            meeting: Where the processes that learn together meet; None: it learns alone.

        Raises:
            InputError: If the policy has no critic whose weights begin with ``value``, or is to
                imitate and cannot.
        """
        self.policy, self.config, self.seed = policy.eval(), config, seed
        self.updates, self.shown, self.meeting = 0, shown, meeting or Meeting()
        shared = {id(p): p for p in policy.parameters() if not p.requires_grad}  # nobody moves them
        self.reference = deepcopy(policy, shared).eval().requires_grad_(False)
        trained = [(n, p) for n, p in policy.named_parameters() if p.requires_grad]
        self._actor = [p for name, p in trained if not name.startswith(VALUE)]
        critic = [p for name, p in trained if name.startswith(VALUE)]
        if not self._actor or not critic:
            raise InputError("this policy has nothing to train, or no critic called 'value'")
        if (clones or shown is not None) and not hasattr(policy, "cloning_loss"):
            raise InputError(
                f"a {type(policy).__name__} cannot imitate: it has no cloning_loss; choose an "
                "algorithm that does not clone, and no demonstrations"
            )
        self.optimiser = torch.optim.Adam(
            [
                {"params": self._actor, "lr": config.learning_rate},
                {"params": critic, "lr": config.value_learning_rate},
            ],
            eps=1e-5,
        )

    @property
    def _acts(self) -> Policy:
        return cast(Policy, self.policy)

    def score(self, trials: Sequence[Trial]) -> list[Scores]:
        """Return log-densities and residuals of trials under the present weights.

        Each process scores those that it played.
        """
        mine = self._mine(trials)
        to = f"share the scores of update {self.updates + 1}"
        told = [iter(part) for part in self.meeting.told(self._said(mine) if mine else [], to)]
        return [next(told[trial.by]) for trial in trials]

    def _mine(self, trials: Sequence[Trial]) -> list[Trial]:
        return [trial for trial in trials if trial.by == self.meeting.processes.number]

    def _said(self, trials: Sequence[Trial]) -> list[Scores]:
        table = gathered(trials)
        log_prob, value = self._scored(self._acts, table.seen, table.trace)
        edges = np.cumsum([len(trial) for trial in trials])
        # a value does not depend on what was drawn, so any will do for the last observation
        any_trace = {name: part[edges - 1] for name, part in table.trace.items()}
        _, ends = self._scored(self._acts, finals(trials), any_trace)
        parts = zip(np.split(log_prob, edges[:-1]), np.split(value, edges[:-1]), ends, strict=True)
        return [Scores(log_prob=p, residual=np.append(v, end)) for p, v, end in parts]

    @torch.no_grad()
    def _scored(
        self, policy: Policy, seen: Situation, trace: Trace
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        found: list[list[NDArray[Any]]] = [[], []]
        size = self.config.minibatch
        for begin in range(0, len(seen), size):
            end = min(begin + size, len(seen))
            some = {name: part[begin:end] for name, part in trace.items()}
            told = policy.score(seen.rows(range(begin, end)), some)
            found[0].append(told[0].double().numpy(force=True))
            found[1].append(told[2].double().numpy(force=True))
        log_prob, value = (np.concatenate(part) for part in found)
        return log_prob, value

    def update(
        self, trials: Sequence[Trial], old: Sequence[Scores], given: Credit
    ) -> dict[str, float]:
        """Take the steps of one update; return its statistics, means over the steps.

        All processes take the same steps: each adds the gradients of the decisions that it played.

        Args:
            trials: What was played, by the present weights.
            old: What `score` said of it.
            given: What its decisions were worth.

        Raises:
            InputError: If a loss or a gradient is not finite: no step was taken with it.
        """
        rows, mine = Rows.of(trials, self.meeting.processes.number), self._mine(trials)
        table = gathered(mine) if mine else None
        before = np.zeros(len(rows.mine))
        if table is not None:
            found, _ = self._scored(cast(Policy, self.reference), table.seen, table.trace)
            before[rows.mine] = found
        fixed = _Fixed(
            advantage=normalised(given.advantage) if self.config.normalise else given.advantage,
            target=given.target,
            weight=given.weight,
            old=np.concatenate([one.log_prob for one in old]),
            reference=before,
            numbers=int(np.prod(trials[0].chunks.shape[1:])),
        )
        steps: list[dict[str, float]] = []
        for number, chosen in enumerate(self._minibatches(len(rows.mine))):
            steps.append(self._step(table, fixed, rows.part(chosen), number))
            if self.config.stop_kl and steps[-1]["kl_old"] > self.config.stop_kl:
                break
        self.updates += 1
        told = {name: float(np.mean([step[name] for step in steps])) for name in steps[0]}
        told["steps"] = float(len(steps))
        if given.target is not None:
            value = torch.from_numpy(np.concatenate([one.residual[:-1] for one in old]))
            told["explained_variance"] = explained_variance(value, torch.from_numpy(given.target))
        return told

    def _minibatches(self, count: int) -> Iterator[list[int]]:
        """Yield the decisions of each step: all of them in every epoch, in another order."""
        rng = np.random.default_rng([self.seed, self.updates, 1])
        parts = max(1, round(count / self.config.minibatch))
        for _ in range(self.config.epochs):
            for part in np.array_split(rng.permutation(count), parts):
                yield sorted(part.tolist())

    def _step(
        self, table: Table | None, fixed: "_Fixed", part: Part, number: int
    ) -> dict[str, float]:
        where = f"update {self.updates + 1}, step {number + 1}"
        told: dict[str, float] = {}
        self.optimiser.zero_grad(set_to_none=True)
        if table is not None and part:
            loss, told = self._loss(table.rows(part.rows), fixed, part, number)
            loss.backward()  # type: ignore[no-untyped-call]
        told = combined(self.meeting.told((len(part), told), f"take {where}"))
        self.meeting.add_gradients(self.policy.parameters(), f"take {where}")
        if self.updates < self.config.warmup and fixed.target is not None:
            for parameter in self._actor:
                parameter.grad = None
        held = [p for group in self.optimiser.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(held, self.config.clip_gradient))
        if not math.isfinite(norm):
            raise InputError(
                f"a gradient is {norm} at {where}: no step was taken, and the last checkpoint is "
                "kept; lower --learner.learning-rate"
            )
        self.optimiser.step()
        return told | {"gradient": norm}

    def _loss(
        self, table: Table, fixed: "_Fixed", part: Part, number: int
    ) -> tuple[Tensor, dict[str, float]]:
        """Return what decisions of a step add to its loss, and to its statistics."""
        log_prob, entropy, value = self._acts.score(table.seen, table.trace)
        return objective(
            replace(
                fixed.minibatch(part.chosen, log_prob, entropy, value),
                imitation=self._imitation(table, fixed, part, number),
                cloning=self._cloning(part, number),
            ),
            self.config.objective,
            normaliser=part.count,
            where=f"update {self.updates + 1}, step {number + 1}",
        )

    def _imitation(
        self, table: Table, fixed: "_Fixed", part: Part, number: int
    ) -> tuple[Tensor, Tensor] | None:
        """Return losses (B,) of imitating what was carried out and their weights, if it is to."""
        if fixed.weight is None:
            return None
        _, own = self._draws(2, number)
        policy = cast(Clonable, self.policy)
        losses = policy.cloning_loss(table.seen, table.chunks, table.done, own)
        return losses, torch.from_numpy(fixed.weight[part.chosen]).to(losses)

    def _cloning(self, part: Part, number: int) -> Tensor | None:
        """Return losses (B,) of imitating as many demonstrations as decisions, if there are any.

        Their mean is what this process adds to that of the step.
        """
        if self.shown is None:
            return None
        common, own = self._draws(3, number)
        drawn = self.shown.draw(common, part.count, part.places)
        share = len(part) / part.count
        return cast(Clonable, self.policy).cloning_loss(*drawn, own) * share

    def _draws(self, purpose: int, number: int) -> tuple[np.random.Generator, np.random.Generator]:
        """Return what a step draws alike in all processes, and what this one draws by itself."""
        key = [self.seed, self.updates, purpose, number]
        common = np.random.default_rng(key)
        return common, generator(self.meeting.processes, common, key)


@dataclass(frozen=True, kw_only=True)
class _Fixed:
    """What stays the same over the steps of an update, of M decisions."""

    advantage: NDArray[np.float64]
    target: NDArray[np.float64] | None
    weight: NDArray[np.float64] | None
    old: NDArray[np.float64]
    reference: NDArray[np.float64]
    numbers: int

    def minibatch(
        self, chosen: list[int], log_prob: Tensor, entropy: Tensor, value: Tensor
    ) -> Minibatch:
        """Return some of the decisions beside what the policy says of them now."""

        def of(numbers: NDArray[np.float64]) -> Tensor:
            return torch.from_numpy(numbers[chosen]).to(log_prob)

        learnt = self.target is not None
        return Minibatch(
            log_prob=log_prob,
            old_log_prob=of(self.old),
            advantage=of(self.advantage),
            numbers=self.numbers,
            reference_log_prob=of(self.reference),
            value=value if learnt else None,
            target=of(self.target) if self.target is not None else None,
            entropy=entropy,
        )
