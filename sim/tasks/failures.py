"""What went wrong so far in an episode, and how far it got, from the truth at each step."""

from collections.abc import Mapping
from typing import Literal

from . import Verdict

type FailureMode = Literal["none", "missed_grasp", "dropped", "wrong_object"]
"""Values of ``info["failure_mode"]``."""


class FailureMonitor:
    """Remembers what has gone wrong and since when; a success clears it."""

    def __init__(self, goal: str, start: Mapping[str, Verdict], *, grasps: bool = True) -> None:
        """Watch for failures to reach ``goal``.

        Args:
            goal: What is asked for.
            start: The truth at the first observation.
            grasps: Whether the task takes a grasp, so that closed fingers are a missed one.
        """
        self._goal, self._grasps, self._carried = goal, grasps, False
        self._there = {name for name, verdict in start.items() if verdict.arrived}
        self.highest = start[goal].progress
        """The highest progress so far: raw progress falls when work is undone, this does not."""
        self.mode: FailureMode = "none"
        """The failure there is now."""
        self.onset = -1
        """Step at which it began, counted from the reset; -1 while there is none."""

    def update(self, step: int, verdicts: Mapping[str, Verdict], jaw: float) -> FailureMode:
        """Take in the truth after a step, with the jaw's width in metres; return the mode."""
        own = verdicts[self._goal]
        self.highest = max(self.highest, own.progress)
        self._carried |= own.held and own.lifted
        settled = own.arrived and (self._carried or self._goal not in self._there)
        if own.success or (own.held and own.lifted):
            self._set("none", -1)
        elif any(self._worked_on(name, verdict) for name, verdict in verdicts.items()):
            self._set("wrong_object", step)
        elif own.held or settled or self.mode != "none":
            return self.mode
        elif self._carried and not own.arrived:
            self._set("dropped", step)
        elif self._grasps and jaw < 0.01:
            self._set("missed_grasp", step)
        return self.mode

    def _worked_on(self, name: str, verdict: Verdict) -> bool:
        """Return whether something else than the goal is being done or was done."""
        if name == self._goal:
            return False
        newly = verdict.arrived and name not in self._there
        return (verdict.held and verdict.lifted) or verdict.success or newly

    def _set(self, mode: FailureMode, step: int) -> None:
        if mode != self.mode:
            self.mode, self.onset = mode, step
