"""Settings of refinement; free of torch, so that ``--help`` is quick."""

from dataclasses import dataclass, field
from typing import Literal

from robo_reward.config import at_least
from robo_reward.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What is minimised."""

    clip_low: float = 0.2
    """A decision is not made less likely than 1 − this, as a ratio to the rollout's policy."""
    clip_high: float = 0.28
    """… nor more likely than 1 + this; larger than the other, so that the rare may grow."""
    dual_clip: float = 3.0
    """A bad decision that became more likely pulls with at most this ratio (arXiv 1912.09729)."""
    ratio: Literal["chunk", "mean"] = "chunk"
    """Likelihood ratio of a whole chunk, or the geometric mean over its numbers."""
    value_weight: float = 0.5
    """Of the critic's error."""
    value_loss: Literal["smooth_l1", "mse"] = "smooth_l1"
    """Of the critic; never clipped."""
    kl_weight: float = 0.0
    """Of the distance to the reference policy, the one that refinement began with."""
    bc_weight: float = 0.0
    """Of imitating demonstrations along with it."""
    entropy_weight: float = 0.0
    """Of the policy's entropy, which is then kept high."""

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: If a clip is not in its range, or a weight below 0.
        """
        if not 0.0 < self.clip_low < 1.0 or not self.clip_high > 0.0:
            raise InputError(
                f"clip_low must be in (0, 1) and clip_high above 0, got {self.clip_low} and "
                f"{self.clip_high}"
            )
        if not self.dual_clip > 1.0 + self.clip_high:
            raise InputError(f"dual_clip must be above 1 + clip_high, got {self.dual_clip}")
        for name in ("value_weight", "kl_weight", "bc_weight", "entropy_weight"):
            at_least(0.0, name, getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """How the starts of an update are drawn."""

    rollouts: int = 32
    """Episodes an update."""
    group: int = 8
    """Episodes from each start, for algorithms that compare them; others draw each its own."""
    restarts: float = 0.0
    """Share of groups that begin in the middle of an earlier episode: at a state that the policy
    itself has reached, the further the likelier. It is reached by the same actions again, so the
    environment must be deterministic."""
    tries: int = 4
    """How often groups whose episodes all ended alike are played anew, from other starts."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            InputError: If a number is out of range, or groups do not fill an update.
        """
        if self.rollouts < 1 or self.group < 1 or self.rollouts % self.group or self.tries < 1:
            raise InputError(
                f"--starts.rollouts {self.rollouts} must be a multiple of --starts.group "
                f"{self.group}, and all at least 1"
            )
        if not 0.0 <= self.restarts < 1.0:
            raise InputError(
                f"--starts.restarts must be a share in [0, 1), got {self.restarts}: some episodes "
                "must begin at the beginning"
            )


@dataclass(frozen=True, kw_only=True)
class RefreshConfig:
    """How the reward model is trained further on rollouts."""

    rehearse: tuple[str, ...] = ()
    """Datasets that the reward model was trained on; without them it forgets what it knew."""
    steps: int = 100
    """Training steps of a refresh."""
    learning_rate: float = 5e-4
    """Peak rate of AdamW; a pretrained backbone is trained at its own rate if that is lower."""
    share: float = 0.5
    """Share of rollouts in the episodes drawn; the rest is rehearsed."""
    least: int = 8
    """Failed rollouts since the last refresh without which there is none."""
    held_back: float = 0.25
    """Share of the rollouts that are judged by both versions, and not learnt from."""
    tolerance: float = 0.01
    """By how much the mean |Φ − truth| of successes may grow."""

    def __post_init__(self) -> None:
        """Refuse what cannot be learnt with.

        Raises:
            InputError: If a number is out of range.
        """
        for name in ("steps", "least"):
            at_least(1, f"--refresh.{name}", getattr(self, name))
        at_least(0, "--refresh.tolerance", self.tolerance)
        if not self.learning_rate > 0:
            raise InputError(f"--refresh.learning-rate must be above 0, got {self.learning_rate}")
        for name in ("share", "held_back"):
            if not 0.0 < getattr(self, name) < 1.0:
                flag = name.replace("_", "-")
                raise InputError(
                    f"--refresh.{flag} must lie between 0 and 1, got {getattr(self, name)}"
                )


@dataclass(frozen=True, kw_only=True)
class LearnerConfig:
    """How the policy is changed by the decisions of an update."""

    learning_rate: float = 3e-5
    """Of Adam, for the policy."""
    value_learning_rate: float = 1e-3
    """Of Adam, for the critic."""
    epochs: int = 2
    """How often each decision is seen."""
    minibatch: int = 256
    """Decisions a step."""
    clip_gradient: float = 1.0
    """Largest norm of a gradient."""
    warmup: int = 1
    """Updates in which the critic learns alone."""
    stop_kl: float = 0.1
    """Distance from the policy that played at which the epochs of an update end; 0: never."""
    normalise: bool = True
    """Bring the advantages of a batch to mean 0 and deviation 1: a baseline and a step size, so
    it changes no order of policies."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be learnt with.

        Raises:
            InputError: If a number is out of range.
        """
        for name in ("epochs", "minibatch"):
            at_least(1, name, getattr(self, name))
        for name in ("learning_rate", "value_learning_rate", "warmup", "stop_kl"):
            at_least(0, name, getattr(self, name))
        if not self.clip_gradient > 0:
            raise InputError(f"clip_gradient must be above 0, got {self.clip_gradient}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a monitor of `policies.monitors` speaks."""

    alpha: float = 2e-4
    """Level of each test: at most .05 over the seven that are tests, and 40 updates."""
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
    """By how much the share of true failures that end as claimed successes may exceed what is
    expected."""
    retracted: float = 0.25
    """The same of claims that Φ takes back before the end; an honest model makes them where
    something is nearly done and lost."""
    false_positive_rate: float | None = None
    """Expected share of failures with a claim; the smaller of it and that of the first updates
    counts. None: the model's own, of its validation, where that is known (the simulator's truth:
    0)."""

    def __post_init__(self) -> None:
        """Refuse a rate that is none.

        Raises:
            InputError: If it is not in [0, 1].
        """
        if not 0.0 <= (self.false_positive_rate or 0.0) <= 1.0:
            raise InputError(
                "--monitors.false-positive-rate is a share of failures, in [0, 1], got "
                f"{self.false_positive_rate}"
            )
