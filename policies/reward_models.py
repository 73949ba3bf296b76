"""The reward model of a run: a checkpoint on disk, or one that a server serves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.errors import InputError
from robo_reward.serving.address import is_address

if TYPE_CHECKING:
    from robo_reward.model import Model
    from robo_reward.serving.client import ServedModel
    from sim.beds import Bed

    type RewardModel = Model | ServedModel

type Training = Mapping[str, Any]
"""What a model says of its training, see `robo_reward.checkpoint.ModelConfig`."""


def open_reward(
    reward: str, *, device: str | None, deadline_s: float
) -> "tuple[RewardModel, Training]":
    """Return the model that ``--reward`` names, and what it says of its training.

    Args:
        reward: A directory, or the address of a server.
        device: Where to put one from a directory.
        deadline_s: Seconds that a server has for an answer.

    Raises:
        RoboRewardError: If it cannot be loaded, or asked.
    """
    if is_address(reward):
        from robo_reward.serving import connect

        served = connect(reward, deadline_s=deadline_s, begin_s=deadline_s)
        return served, served.training
    from robo_reward.checkpoint import load

    return load(Path(reward), device=device), training_of(Path(reward))


def training_of(place: Path) -> Training:
    """Return what the model in a directory says of its training."""
    from robo_reward.checkpoint import read_config, resolve

    told: Training = read_config(resolve(place)).get("training", {})
    return told


def image_size(model: "RewardModel") -> int | None:
    """Return the side of the images that a model looks at; None: as they are."""
    from robo_reward.serving.client import ServedModel

    return model.image_size if isinstance(model, ServedModel) else model.settings.image_size


def forget(model: "RewardModel") -> None:
    """Drop what a model of this process keeps; a server's is not ours."""
    from robo_reward.serving.client import ServedModel

    if not isinstance(model, ServedModel):
        model.reader.forget()


def claims_of(training: Training) -> float | None:
    """Return how often a model takes a failure for a success; None where nobody counted.

    It is (k + 1) / (n + 2) if it claimed success in k of the n failures of its validation: the
    rate that monitors make of the first updates, too.
    """
    counted = training.get("validation") or {}
    if not counted.get("failures"):
        return None
    return float((counted["failures_claimed"] + 1.0) / (counted["failures"] + 2.0))


def instructions(bed: "Bed") -> list[str]:
    """Return what may be asked for, in the words in which it is."""
    return [bed.rules.wordings(goal)[0] for goal in bed.rules.goals]


def check_trained_on(training: Training, bed: "Bed", reward: str) -> None:
    """Check that a reward model was trained on these cameras and one of these instructions.

    Raises:
        InputError: If it was not.
    """
    known, views = training.get("instructions"), training.get("views")
    if views and not set(views) & set(bed.views):
        raise InputError(
            f"--reward {reward} was trained on {', '.join(views)}; {bed.task} shows "
            f"{', '.join(bed.views)}: train one on its episodes (robo-reward train or adapt)"
        )
    told: Sequence[str] = instructions(bed)
    if known is not None and not set(told) & set(known):
        raise InputError(
            f"--reward {reward} was trained on {len(known)} instructions, and {told[0]!r} is none "
            "of them: its Φ would be a guess; teach it by robo-reward adapt"
        )
