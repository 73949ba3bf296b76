"""What an evaluation asks: the episodes of one dataset or several, and the probes for them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path

from robo_reward.errors import InputError
from robo_reward.model import QueryModel

from .episodes import EpisodeDataset
from .evaluate import Case
from .heldout import HeldOut
from .lerobot_dataset import open_dataset
from .probe_changes import Change
from .probes import Probe, probes_for
from .yardsticks import graded, open_yardstick

EVALS = "robo_reward.evals"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How datasets are turned into cases; see the flags of `data.evaluating.Eval`."""

    layout: str
    views: tuple[str, ...]
    reference: str
    chosen: Sequence[int] | None
    """Numbers of the episodes of each dataset; all if None."""
    model: QueryModel
    """Who will be asked, which decides the size of images and what views it needs."""


def gather(sources: Sequence[str], asked: Asked) -> tuple[list[Case], dict[str, Probe]]:
    """Return the episodes of all datasets, one dataset after another, and the probes for them.

    Raises:
        RoboRewardError: If a dataset is named twice, or it, an episode, a view or a reference is
            not there.
    """
    if len(set(sources)) < len(sources):
        raise InputError(f"--dataset names one dataset twice: {' '.join(sources)}; name each once")
    names = told_apart(sources)
    found = [_of_one(source, asked) for source in sources]
    cases = [
        replace(case, dataset=name, name=f"{name} {case.name}" if len(names) > 1 else case.name)
        for name, (some, _) in zip(names, found, strict=True)
        for case in some
    ]
    return cases, joined({name: probes for name, (_, probes) in zip(names, found, strict=True)})


def told_apart(sources: Sequence[str]) -> list[str]:
    """Return a short name for each source: its last part, or all of it where that is not unique."""
    short = [Path(source).name for source in sources]
    times = Counter(short)
    return [
        name if times[name] == 1 else source for name, source in zip(short, sources, strict=True)
    ]


def joined(found: Mapping[str, Mapping[str, Probe]]) -> dict[str, Probe]:
    """Return the probes of all datasets; each changes the cases of the datasets that have it.

    Args:
        found: Name of a dataset → its probes by name.
    """
    every = {name: probe for probes in found.values() for name, probe in probes.items()}
    return {
        name: replace(
            probe, change=_dispatched({d: p[name].change for d, p in found.items() if name in p})
        )
        for name, probe in every.items()
    }


def _dispatched(changes: Mapping[str, Change]) -> Change:
    return lambda case, rng: changes[case.dataset](case, rng) if case.dataset in changes else None


def _of_one(source: str, asked: Asked) -> tuple[list[Case], dict[str, Probe]]:
    views = asked.views or None
    if asked.layout == "lerobot":
        dataset = open_dataset(source, views=views)
        return _cases(dataset, asked), probes_for(dataset.views) | further_probes(dataset.root)
    yardstick = open_yardstick(asked.layout, source, views=views)
    cases = [graded(case, yardstick.samples[case.number]) for case in _cases(yardstick, asked)]
    return cases, probes_for(yardstick.views)


def _cases(dataset: EpisodeDataset, asked: Asked) -> list[Case]:
    asked.model.check_views(dataset.views)
    size, reference = asked.model.settings.image_size, asked.reference
    return HeldOut(dataset, size=size, reference=reference, chosen=asked.chosen).cases()


def further_probes(root: Path) -> dict[str, Probe]:
    """Return the probes that other packages offer for a dataset (group ``robo_reward.evals``).

    An entry point is called with the dataset's directory and returns probes by name.

    Raises:
        RoboRewardError: If the dataset cannot be read.
    """
    found: dict[str, Probe] = {}
    for point in entry_points(group=EVALS):
        found |= point.load()(root)
    return found
