"""What went wrong so far in an episode, from the truth at each step."""

from collections.abc import Mapping
from typing import Literal

from . import Verdict

type FailureMode = Literal["none", "missed_grasp", "dropped", "wrong_object"]
"""Values of ``info["failure_mode"]``."""


class FailureMonitor:
    """Remembers what has gone wrong and since when; a success clears it."""

    def __init__(self, goal: str) -> None:
        """Watch for failures to reach ``goal``."""
        self._goal, self._carried = goal, False
        self.mode: FailureMode = "none"
        """The failure there is now."""
        self.onset = -1
        """Step at which it began, counted from the reset; -1 while there is none."""

    def update(self, step: int, verdicts: Mapping[str, Verdict], jaw: float) -> FailureMode:
        """Take in the truth after a step, with the jaw's width in metres; return the mode."""
        own = verdicts[self._goal]
        others = [verdict for goal, verdict in verdicts.items() if goal != self._goal]
        self._carried |= own.held and own.lifted
        if own.success or own.held:
            self._set("none", -1)
        elif any(other.held and other.lifted for other in others):
            self._set("wrong_object", step)
        elif self._carried and own.stage < 4 and self.mode == "none":
            self._set("dropped", step)
        elif jaw < 0.01 and self.mode == "none":
            self._set("missed_grasp", step)
        return self.mode

    def _set(self, mode: FailureMode, step: int) -> None:
        if mode != self.mode:
            self.mode, self.onset = mode, step
