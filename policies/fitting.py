"""Whether a stored policy goes with a simulated task, or with demonstrations."""

from robo_reward.errors import InputError
from sim.beds import Bed

from .about import About
from .demonstrations import ACTION, STATE, Demonstrations
from .storing import StoredPolicy

EXACT = ("act", "multi_task_dit")
"""Kinds that see images of the shape that they learnt from, and no other."""


def check_fit(stored: StoredPolicy, bed: Bed) -> None:
    """Check that a policy can play a task; of what it does not name, only how much there is.

    Raises:
        InputError: If it is of a robot with other numbers, another speed, or sees other cameras.
    """
    about = stored.about
    numbers = bed.state_names, bed.action_names, bed.fps
    own = about.robot or "its own robot"
    _check_numbers(about, numbers, f"{bed.task} on {bed.robot}", f"play it on {own}")
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


def check_shown(about: About, shown: Demonstrations) -> None:
    """Check that a policy can imitate demonstrations.

    Raises:
        InputError: If they are of a robot with other numbers or another speed.
    """
    first = shown.datasets[0]
    numbers = shown.names(STATE), shown.names(ACTION), float(first.facts.info["fps"])
    _check_numbers(about, numbers, str(first.root), "give demonstrations of its robot")


def _check_numbers(
    about: About, theirs: tuple[tuple[str, ...], tuple[str, ...], float], whose: str, mend: str
) -> None:
    """Compare names of state and actions, and frames per second."""
    state, actions, fps = theirs
    told: list[tuple[str, object, object]] = [
        ("state", _said(about, about.state_names), _said(about, state)),
        ("actions", _said(about, about.action_names), _said(about, actions)),
    ]
    if about.fps is not None:
        told.append(("frames per second", about.fps, fps))
    for what, mine, other in told:
        if mine != other:
            raise InputError(
                f"the policy knows other {what} ({mine}) than {whose} has ({other}); {mend}"
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
