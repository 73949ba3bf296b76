"""Whether a stored policy and a simulated task go together."""

from robo_reward.errors import InputError
from sim.beds import Bed

from .about import About
from .storing import StoredPolicy

EXACT = ("act", "multi_task_dit")
"""Kinds that see images of the shape that they learnt from, and no other."""


def check_fit(stored: StoredPolicy, bed: Bed) -> None:
    """Check that a policy can play a task; of what it does not name, only how much there is.

    Raises:
        InputError: If it is of a robot with other numbers, another speed, or sees other cameras.
    """
    about = stored.about
    told: list[tuple[str, object, object]] = [
        ("state", _said(about, about.state_names), _said(about, bed.state_names)),
        ("actions", _said(about, about.action_names), _said(about, bed.action_names)),
    ]
    if about.fps is not None:
        told.append(("frames per second", about.fps, bed.fps))
    for what, mine, theirs in told:
        if mine != theirs:
            raise InputError(
                f"the policy knows other {what} ({mine}) than {bed.task} on {bed.robot} has "
                f"({theirs}); play it on {about.robot or 'its own robot'}"
            )
    absent = [view for view in about.images if view not in bed.views]
    if absent:
        raise InputError(
            f"the policy looks through {', '.join(absent)}, and {bed.task} has the cameras "
            f"{', '.join(bed.views)}"
        )
    for view, (height, width) in about.images.items():
        if height != width and stored.kind in EXACT:
            raise InputError(
                f"the policy sees {view} as {height}x{width} pixels, and simulated images are "
                "square; train one on square images"
            )


def _said(about: About, names: tuple[str, ...]) -> object:
    """Return names, or how many there are to a policy that knows none."""
    return names if about.named else f"{len(names)} numbers"


def remarks(about: About) -> list[str]:
    """Return what could not be checked, a line each."""
    if about.named:
        return []
    return [
        "the policy names neither its state nor its actions: only how many there are was compared "
        "with the task"
    ]
