"""What all workers of a labelling run do alike: of which episodes, by which model, how."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from robo_reward.errors import DatasetError

from .decoding import DecodeConfig
from .label_plan import Plan

if TYPE_CHECKING:
    from robo_reward.model import QueryModel

    from .ahead import Ahead
    from .episodes import EpisodeDataset
    from .references import ReferenceFinder

type Group = tuple[int, ...]
"""Episodes that are judged together."""

TOGETHER = 4
TOGETHER_BYTES = 256 * 2**20
"""Frames that wait to be judged together take at most this; a longer episode is judged alone."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all workers of a run do alike."""

    dataset: "EpisodeDataset"
    model: "QueryModel"
    finder: "ReferenceFinder"
    gamma: float
    """Discount per row of the column ``reward``."""
    together: int = TOGETHER
    """Episodes that share passes at most."""
    decode: DecodeConfig
    """How episodes are decoded ahead."""
    skip_unreadable: bool = False
    """Publish an episode that cannot be read as rows without a valid verdict."""

    def plan(self) -> Plan:
        """Return what is made here, down to who makes it."""
        dataset, model = self.dataset, self.model
        about = {
            "model_fingerprint": model.fingerprint,
            "reward_model_path": f"robo-reward:{model.fingerprint}",
            "dataset_fingerprint": dataset.fingerprint,
            "views": ", ".join(dataset.views),
            "references": self.finder.choice,
            "references_sha256": self.finder.digest,
            "causal": "no" if self.finder.looks_ahead else "yes",
            "reward": "gamma * potential after the row - potential; add what the task pays",
            "gamma": repr(self.gamma),
            "further": ", ".join(model.further),
            "together": str(self.together),
            "decoder": "pyav",
            "code_version": version("robo-reward"),
            **model.about(),
        }
        return Plan(
            about=about,
            lengths=tuple(dataset.episode(index).length for index in range(len(dataset))),
        )

    def open_ahead(self, episodes: Iterable[int]) -> "Ahead":
        """Return the frames to ask about of episodes, decoded while others are judged."""
        from .ahead import Ahead

        return Ahead(
            self.dataset,
            episodes,
            size=self.model.settings.image_size,
            stride=self.model.stride(self.dataset.episode(0).fps),
            config=self.decode,
        )

    def groups(self, plan: Plan) -> list[Group]:
        """Return the episodes that are judged together: the same for every worker of a plan.

        A model without a size of its own is on a server, and asked about one at a time.
        """
        size, views = self.model.settings.image_size, len(self.dataset.views)
        if size is None:
            return [(index,) for index in range(len(plan.lengths))]
        stride = self.model.stride(self.dataset.episode(0).fps)
        weights = [views * size**2 * 3 * -(-length // stride) for length in plan.lengths]
        return grouped(weights, most=self.together, most_weight=TOGETHER_BYTES)


def grouped(weights: list[int], *, most: int, most_weight: int) -> list[Group]:
    """Return 0, 1, 2, … in groups of neighbours of at most so many, and of at most that weight.

    One that is heavier by itself is a group of its own.
    """
    groups: list[list[int]] = []
    heavy = 0
    for number, weight in enumerate(weights):
        heavy += weight
        if not groups or len(groups[-1]) == most or heavy > most_weight:
            groups.append([])
            heavy = weight
        groups[-1].append(number)
    return [tuple(group) for group in groups]


def check_unchanged(dataset: "EpisodeDataset") -> None:
    """Check that a dataset is still what it was when it was opened.

    Raises:
        DatasetError: If it was changed meanwhile.
    """
    from .lerobot_dataset import LeRobotEpisodes

    if isinstance(dataset, LeRobotEpisodes) and not dataset.is_unchanged():
        raise DatasetError(
            f"{dataset.root} was changed while it was labelled, so that labels and episodes may "
            "not belong together; repeat the command with --overwrite once it stays as it is"
        )
