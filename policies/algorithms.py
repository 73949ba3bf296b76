"""The names of the algorithms that give credit, and what each needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from robo_reward.errors import InputError

from . import credit, unsound_credit
from .credit import Credit, Rules
from .rollout import Rollout
from .unsound import UNSOUND


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """One way to say what decisions were worth."""

    credit: Callable[[Sequence[Rollout], Rules], Credit]
    """Batch of rollouts → credit of its decisions."""
    says: str
    """What it is, in a few words."""
    invariant: bool = True
    """Whether the best policy is that of the task's reward, whatever Φ says."""
    needs_groups: bool = False
    """Whether it compares rollouts that began alike."""
    needs_critic: bool = False
    """Whether a residual f is learnt."""
    anchored: bool = False
    """Whether its critic is Φ + f, so that f must follow where Φ is replaced."""
    needs_fit: bool = False
    """Whether Φ is fitted to the returns of the previous batch (`policies.potential_fit`)."""
    clones: bool = False
    """Whether actions are imitated by weight, in place of policy gradients."""

    @property
    def counts_on_the_rest(self) -> bool:
        """Whether a value stands for what would have followed where an episode was cut off."""
        return self.invariant and not self.needs_groups


def _compared(
    give: Callable[[Sequence[Rollout], Rules], Credit], says: str, *, clones: bool = False
) -> Algorithm:
    return Algorithm(
        credit=give, says=says, invariant=False, needs_groups=not clones, clones=clones
    )


ALGORITHMS: dict[str, Algorithm] = {
    "phi-ppo": Algorithm(
        credit=credit.phi_ppo, says="PPO, critic anchored at Φ", needs_critic=True, anchored=True
    ),
    "ppo": Algorithm(credit=credit.sparse_ppo, says="PPO without Φ", needs_critic=True),
    "grpo": Algorithm(credit=credit.grpo, says="success against the group's", needs_groups=True),
    "rloo": Algorithm(credit=credit.rloo, says="return against the group's", needs_groups=True),
    "phi-rloo": Algorithm(
        credit=credit.phi_rloo, says="no critic: Φ fitted to returns", needs_fit=True
    ),
    "awr": Algorithm(
        credit=credit.weighted_cloning,
        says="cloning, weighted by advantages",
        needs_critic=True,
        anchored=True,
        clones=True,
    ),
    "unsound-rabc": _compared(
        unsound_credit.rise_weighted_cloning, "cloning, weighted by rises of Φ", clones=True
    ),
    "unsound-srpo": _compared(unsound_credit.srpo_like, "failures paid by their final Φ"),
    "unsound-step-centred": _compared(
        unsound_credit.step_centred, "GRPO on steps, centred by the group"
    ),
    "unsound-min-form": _compared(unsound_credit.min_form, "the smallest rise of Φ to come"),
    "unsound-gated": _compared(unsound_credit.gated, "rises of Φ in successes alone"),
    "unsound-bounded": _compared(unsound_credit.bounded, "a sigmoid of the final Φ"),
} | {
    "unsound-" + name.replace(" ", "-"): Algorithm(
        credit=partial(unsound_credit.paid_by, name),
        says=f"PPO, pays {name}",
        invariant=False,
        needs_critic=True,
    )
    for name in UNSOUND
}
"""Every one by its name; those that are not invariant say so in theirs."""


def find_algorithm(name: str) -> Algorithm:
    """Return an algorithm.

    Raises:
        InputError: If there is none of that name; the message lists those that exist.
    """
    if name not in ALGORITHMS:
        raise InputError(f"no algorithm is called {name!r}; there are {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]
