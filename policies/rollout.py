"""One finished episode as refinement sees it.

Letters: N decisions of the episode, Φ potential, f residual of the critic V = Φ + f.
"""

from dataclasses import dataclass

import numpy as np

from robo_reward.errors import InputError
from robo_reward.shaping import Decisions, Floats


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """N decisions, what the task paid for them, and what Φ and f said of their states."""

    decisions: Decisions
    """Of this episode alone: the last one, and no other, terminates or truncates it."""
    reward: Floats
    """(N,) task reward R_n = Σ γʲ r_j of each, never with shaping in it."""
    potential: Floats
    """(N,) Φ of the states in which decisions were made, each asked for once."""
    final_potential: float
    """Φ of the final observation, never of a reset's."""
    residual: Floats
    """(N,) f of those states; zeros where no critic is learnt."""
    final_residual: float
    """f of the final observation."""
    group: int
    """Episodes of one number began in the same state under the same instruction."""
    success: bool
    """The truth of the environment or of the operator."""
    lost: bool = False
    """A worker or server died: the episode is truncated, and its success is not known."""
    given_up: bool = False
    """It was truncated because it seemed hopeless; ``success`` is false, and might have come."""

    @property
    def open_ended(self) -> bool:
        """Whether it was cut off by no rule of the task: what would have come always counts."""
        return self.lost or self.given_up

    def __post_init__(self) -> None:
        """Check the shapes against each other, and that every number is finite.

        Raises:
            InputError: If a shape is wrong, a number is not finite, or the end is not at the end.
        """
        count = len(self.decisions)
        for name in ("reward", "potential", "residual"):
            numbers = getattr(self, name)
            if numbers.shape != (count,) or not count:
                raise InputError(
                    f"{name} must be ({count},) with at least 1 decision, got {numbers.shape}"
                )
            _check_finite(name, numbers, self.group)
        for name in ("final_potential", "final_residual"):
            _check_finite(name, np.array([getattr(self, name)]), self.group)
        ends = self.decisions.terminated | self.decisions.truncated
        if ends[:-1].any() or not ends[-1]:
            raise InputError(
                f"the end of a rollout is at its last decision, got ends at "
                f"{np.flatnonzero(ends).tolist()} of {count}; cut the recording at its ends"
            )
        if self.lost and self.decisions.terminated[-1]:
            raise InputError("a lost rollout is truncated; nobody saw it terminate")

    def __len__(self) -> int:
        """Return N."""
        return len(self.decisions)

    @property
    def following(self) -> Floats:
        """(N,) Φ of the state after each decision, the final observation's where it ended."""
        return np.append(self.potential[1:], self.final_potential)

    @property
    def following_residual(self) -> Floats:
        """(N,) f of the state after each decision."""
        return np.append(self.residual[1:], self.final_residual)

    def task_return(self, gamma: float) -> float:
        """Return Σ γ^{t_n} R_n, t_n the steps before decision n."""
        before = np.append(0, np.cumsum(self.decisions.steps)[:-1])
        return float(self.reward @ gamma**before)


def _check_finite(name: str, numbers: Floats, group: int) -> None:
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(
            f"{name} is {numbers[bad[0]]} at decision {bad[0]} of a rollout of group {group}: "
            "nothing is learnt from this batch; look at what computed it"
        )
