"""What a reviewer decided about episodes, and the same as JSON. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from robo_reward.errors import InputError

MOST_KEYFRAMES = 200
"""Keyframes of an episode at most."""
MOST_NOTE = 4000
"""Characters of a note at most."""
OUTCOMES = {"success": True, "failure": False}
"""How an outcome is written in JSON."""


class ConflictError(InputError):
    """A change was made to something else than what is decided by now."""

    def __init__(self, number: int) -> None:
        """Say so of an episode."""
        super().__init__(
            f"episode {number} was decided otherwise meanwhile, in another tab, or the change "
            "before this one failed; this one is not saved: look at what is shown now, or reload "
            "the page, and decide again"
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a reviewer says of one episode; what is not said is left as it is."""

    accepted: bool = False
    """Whether its labels are right as they are then."""
    outcome: bool | None = None
    """Whether it ended in success."""
    keyframes: tuple[int, ...] = ()
    """Rising frame numbers that bound its subtasks; Φ follows from two or more."""
    subtasks: int | None = None
    """Of a failure: how many subtasks a success has, of which the keyframes bound the first."""
    note: str = ""
    """Words."""

    @property
    def reviewed(self) -> bool:
        """Whether it says anything of the labels; a note alone does not."""
        return self.accepted or self.outcome is not None or bool(self.keyframes)


def decision_of(value: Any, length: int) -> Decision:
    """Return the decision that is written as JSON, about an episode of ``length`` frames.

    Raises:
        InputError: If it has another key, type or range; the message says which.
    """
    if not isinstance(value, Mapping):
        raise InputError("a decision must be a JSON object")
    unknown = sorted(set(value) - {"accepted", "outcome", "keyframes", "subtasks", "note"})
    if unknown:
        raise InputError(f"a decision has no {unknown[0]!r}")
    accepted, note = value.get("accepted", False), value.get("note", "")
    outcome, subtasks = value.get("outcome"), value.get("subtasks")
    if not isinstance(accepted, bool):
        raise InputError(f"accepted must be true or false, not {accepted!r}")
    if not (outcome is None or (isinstance(outcome, str) and outcome in OUTCOMES)):
        raise InputError(f"outcome must be success, failure or null, not {outcome!r}")
    if not isinstance(note, str) or len(note) > MOST_NOTE:
        raise InputError(f"a note must be text of at most {MOST_NOTE} characters")
    keyframes = _keyframes(value.get("keyframes", []), length)
    if not (subtasks is None or (_whole(subtasks) and 1 <= subtasks <= 1000)):
        raise InputError(f"subtasks must be a number from 1 to 1000, not {subtasks!r}")
    return Decision(
        accepted=accepted,
        outcome=None if outcome is None else OUTCOMES[outcome],
        keyframes=keyframes,
        subtasks=subtasks,
        note=note,
    )


def _keyframes(value: Any, length: int) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(_whole(frame) for frame in value):
        raise InputError("keyframes must be a list of frame numbers")
    if len(value) > MOST_KEYFRAMES:
        raise InputError(f"there are {len(value)} keyframes; at most {MOST_KEYFRAMES} are kept")
    if any(after <= before for before, after in pairwise(value)):
        raise InputError(f"keyframes must rise, got {value}")
    if value and not 0 <= value[0] <= value[-1] < length:
        raise InputError(f"keyframes must lie in the frames 0 to {length - 1}, got {value}")
    return tuple(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def as_json(decision: Decision) -> dict[str, Any]:
    """Return a decision for JSON; `decision_of` reads it back."""
    words = {told: name for name, told in OUTCOMES.items()}
    return {
        "accepted": decision.accepted,
        "outcome": None if decision.outcome is None else words[decision.outcome],
        "keyframes": list(decision.keyframes),
        "subtasks": decision.subtasks,
        "note": decision.note,
    }


def problem(decision: Decision, outcome: bool | None) -> str | None:
    """Return why a decision cannot become labels yet, in words; None if it can.

    Args:
        decision: The decision.
        outcome: How the episode ended, as far as is known, the reviewer included.
    """
    if len(decision.keyframes) == 1:
        return "has one keyframe, and Φ needs two: set another (m) or delete it (x)"
    done = len(decision.keyframes) - 1
    if outcome is False and decision.subtasks is not None and done >= decision.subtasks:
        return (
            f"is a failure whose keyframes bound {done} of {decision.subtasks} subtasks, so it did "
            "them all: raise the number, or mark a success (s)"
        )
    return None
