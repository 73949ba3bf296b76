"""The learner: scores what was played with its own weights, and takes the steps of an update.

Letters: M decisions of an update, N of one episode.
"""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from robo_reward.acting import Policy, Situation, Trace
from robo_reward.errors import InputError

from .config import LearnerConfig
from .credit import Credit, normalised
from .objective import Minibatch, explained_variance, objective
from .playing import Trial

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


@dataclass(frozen=True, kw_only=True)
class Batch:
    """M decisions, as one table."""

    seen: Situation
    trace: Trace
    chunks: NDArray[np.float32]
    """(M, C, A)."""

    def __len__(self) -> int:
        """Return M."""
        return len(self.seen)

    def rows(self, chosen: Sequence[int]) -> tuple[Situation, Trace]:
        """Return what was seen and drawn at some decisions."""
        index = list(chosen)
        return self.seen.rows(index), {name: part[index] for name, part in self.trace.items()}


def gathered(trials: Sequence[Trial]) -> Batch:
    """Return the decisions of trials, one after another."""
    seen = [trial.situation() for trial in trials]
    views = seen[0].views
    return Batch(
        seen=Situation(
            views={name: np.concatenate([one.views[name] for one in seen]) for name in views},
            state=np.concatenate([one.state for one in seen]),
            instructions=[text for one in seen for text in one.instructions],
        ),
        trace={
            name: np.concatenate([trial.trace[name] for trial in trials])
            for name in trials[0].trace
        },
        chunks=np.concatenate([trial.chunks for trial in trials]),
    )


class Learner:
    """Holds the policy that learns, the one that it began with, and the optimiser."""

    def __init__(self, policy: nn.Module, config: LearnerConfig, *, seed: int) -> None:
        """Learn from here on.

        Args:
            policy: A `Policy` that is a module; it is changed in place.
            config: How.
            seed: Of the order of decisions.

        Raises:
            InputError: If the policy has no critic whose weights begin with ``value``.
        """
        self.policy, self.config, self.seed = policy.eval(), config, seed
        self.updates = 0
        shared = {id(p): p for p in policy.parameters() if not p.requires_grad}  # nobody moves them
        self.reference = deepcopy(policy, shared).eval().requires_grad_(False)
        trained = [(n, p) for n, p in policy.named_parameters() if p.requires_grad]
        self._actor = [p for name, p in trained if not name.startswith(VALUE)]
        critic = [p for name, p in trained if name.startswith(VALUE)]
        if not self._actor or not critic:
            raise InputError("this policy has nothing to train, or no critic called 'value'")
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
        """Return log-densities and residuals of trials under the present weights."""
        batch = gathered(trials)
        log_prob, value = self._scored(self._acts, batch)
        # a value does not depend on what was drawn, so any trace will do for the last observation
        final = [trial.final() for trial in trials]
        last = Batch(
            seen=Situation(
                views={n: np.concatenate([f.views[n] for f in final]) for n in final[0].views},
                state=np.concatenate([one.state for one in final]),
                instructions=[one.instructions[0] for one in final],
            ),
            trace={n: np.stack([t.trace[n][-1] for t in trials]) for n in trials[0].trace},
            chunks=np.stack([trial.chunks[-1] for trial in trials]),
        )
        _, ends = self._scored(self._acts, last)
        edges = np.cumsum([len(trial) for trial in trials])[:-1]
        parts = zip(np.split(log_prob, edges), np.split(value, edges), ends, strict=True)
        return [Scores(log_prob=p, residual=np.append(v, end)) for p, v, end in parts]

    @torch.no_grad()
    def _scored(
        self, policy: Policy, batch: Batch
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        found: list[list[NDArray[Any]]] = [[], []]
        size = self.config.minibatch
        for begin in range(0, len(batch), size):
            told = policy.score(*batch.rows(range(begin, min(begin + size, len(batch)))))
            found[0].append(told[0].double().numpy(force=True))
            found[1].append(told[2].double().numpy(force=True))
        log_prob, value = (np.concatenate(part) for part in found)
        return log_prob, value

    def update(
        self, trials: Sequence[Trial], old: Sequence[Scores], given: Credit
    ) -> dict[str, float]:
        """Take the steps of one update; return its statistics, means over the steps.

        Args:
            trials: What was played, by the present weights.
            old: What `score` said of it.
            given: What its decisions were worth.

        Raises:
            InputError: If a loss or a gradient is not finite: no step was taken with it.
        """
        batch = gathered(trials)
        previous = np.concatenate([one.log_prob for one in old])
        before, _ = self._scored(cast(Policy, self.reference), batch)
        fixed = _Fixed(
            advantage=normalised(given.advantage) if self.config.normalise else given.advantage,
            target=given.target,
            old=previous,
            reference=before,
            numbers=int(np.prod(batch.chunks.shape[1:])),
        )
        steps: list[dict[str, float]] = []
        for number, chosen in enumerate(self._minibatches(len(batch))):
            where = f"update {self.updates + 1}, step {number + 1}"
            steps.append(self._step(batch, fixed, chosen, where))
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
        self, batch: Batch, fixed: "_Fixed", chosen: list[int], where: str
    ) -> dict[str, float]:
        log_prob, entropy, value = self._acts.score(*batch.rows(chosen))
        loss, told = objective(
            fixed.minibatch(chosen, log_prob, entropy, value),
            self.config.objective,
            where=where,
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
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


@dataclass(frozen=True, kw_only=True)
class _Fixed:
    """What stays the same over the steps of an update, of M decisions."""

    advantage: NDArray[np.float64]
    target: NDArray[np.float64] | None
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
