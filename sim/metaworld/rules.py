"""What each of the 50 tasks is called, asks for, and is measured by."""

from dataclasses import dataclass
from typing import Literal

from robo_reward.errors import InputError

from .wordings import WORDINGS

PREFIX = "metaworld/"
"""What tells these tasks from our own where both may be named."""
TASKS = tuple(WORDINGS)
"""Names of the 50 tasks: Meta-World's without the version."""
STAGES = ("reach", "engage", "move", "done")
"""The hand goes there; it is there and nothing has moved; the object is on its way; success."""

type Source = Literal["in_place", "obj_to_target", "goal", "height", "hand"]
"""What says how far the object is on its way; see `sim.metaworld.truth`."""

_SOURCES: dict[str, Source] = {
    "door-close": "obj_to_target",
    "soccer": "obj_to_target",
    "assembly": "goal",
    "box-close": "goal",
    "door-open": "goal",
    "disassemble": "height",
    "reach": "hand",
    "reach-wall": "hand",
}
_CARRIED = frozenset(
    {
        "assembly",
        "basketball",
        "bin-picking",
        "box-close",
        "disassemble",
        "hammer",
        "hand-insert",
        "peg-insert-side",
        "peg-unplug-side",
        "pick-out-of-hole",
        "pick-place",
        "pick-place-wall",
        "push",
        "push-wall",
        "shelf-place",
        "stick-pull",
        "sweep",
        "sweep-into",
    }
)


@dataclass(frozen=True, kw_only=True)
class MetaWorldRules:
    """A Meta-World task, described as `sim.tasks.Task` describes ours."""

    name: str
    """One of `TASKS`."""
    source: Source
    """What says how far the object is on its way."""
    carries: int
    """1 where the object stays behind if the expert opens the hand on the way, else 0."""
    stages: tuple[str, ...] = STAGES
    """Names of the stages of the goal, the last one being done."""

    @property
    def goals(self) -> tuple[str, ...]:
        """What may be asked for: one thing, named as the task is."""
        return (self.name,)

    def wordings(self, goal: str) -> tuple[str, ...]:
        """Return the instruction for a goal, the canonical wording first.

        Raises:
            InputError: If it is not the goal of this task.
        """
        if goal != self.name:
            raise InputError(f"{self.name} has no goal {goal!r}; its only one is {self.name}")
        return WORDINGS[self.name]


def make_rules(name: str) -> MetaWorldRules:
    """Return the rules of a task, given as ``drawer-open`` or ``metaworld/drawer-open``.

    Raises:
        InputError: If there is no such task; the message lists those there are.
    """
    short = name.removeprefix(PREFIX)
    if short not in WORDINGS:
        raise InputError(
            f"there is no Meta-World task {name!r}; there are: {', '.join(sorted(TASKS))}"
        )
    source = _SOURCES.get(short, "in_place")
    return MetaWorldRules(name=short, source=source, carries=int(short in _CARRIED))
