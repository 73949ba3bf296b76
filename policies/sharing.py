"""What several processes make of an update: who plays what, and whose decisions a step holds.

Each plays a share of the starts and keeps what was seen; everything else of an episode is small,
and known to all. So all give the same credit and make the same plan of every step, and each works
on those decisions of it that it played.

Letters: M decisions of an update.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError
from robo_reward.meeting import Meeting
from robo_reward.processes import Processes

from .scoring import Potentials
from .trials import Trial

CHANCE = 4
"""Purpose of what actions are drawn from, beside those of the learner: see `generator`."""
MEANS = ("clip_fraction", "kl_old")
LARGEST = ("ratio_max",)
"""Statistics of a step that are means, or the largest, over decisions; the others are sums."""


def check_shareable(
    processes: Processes, *, groups: int, ray: bool, refreshes: bool = False
) -> None:
    """Refuse what several processes cannot do.

    Raises:
        InputError: If that is asked for.
    """
    if processes.count == 1:
        return
    if processes.sharded:
        raise InputError(
            "refine runs as copies, not by FSDP: each process plays with its own whole policy; "
            "start it with 'accelerate launch' without --use_fsdp"
        )
    if groups < processes.count:
        raise InputError(
            f"{groups} groups of rollouts cannot be shared by {processes.count} processes; raise "
            "--starts.rollouts or start fewer"
        )
    if ray:
        raise InputError(
            "--launcher ray is for one process: several each play in processes of their own "
            "machine; leave it out, or start one"
        )
    if refreshes:
        raise InputError(
            "--refresh-every is for one process, which trains the reward model; leave it out, or "
            "start one"
        )


def share[T](items: Sequence[T], processes: Processes, *, size: int = 1) -> Sequence[T]:
    """Return the part of items that this process takes; ``size`` neighbours stay together."""
    groups = len(items) // size
    begin, end = (groups * (processes.number + more) // processes.count for more in (0, 1))
    return items[begin * size : end * size]


def generator(
    processes: Processes, common: np.random.Generator, key: Sequence[int]
) -> np.random.Generator:
    """Return what a process draws from by itself.

    That is ``common``, from which all draw alike, if it is alone; else it follows from a key (seed,
    update, purpose, …) and the number of the process.
    """
    if processes.count == 1:
        return common
    return np.random.default_rng([*key, processes.number])


def all_trials(meeting: Meeting, played: Sequence[Trial], to: str) -> list[Trial]:
    """Return the trials of all processes; those of others without what was seen."""
    return [trial for trial, _ in all_played(meeting, played, [None] * len(played), to)]


def all_played[T: Potentials | None](
    meeting: Meeting, played: Sequence[Trial], judged: Sequence[T], to: str
) -> list[tuple[Trial, T]]:
    """Return the trials of all processes with what was judged of them, in the order of processes.

    Those that this one played are whole. Of the others views and traces are left out: they are
    large, and only who played an episode scores it.
    """
    number = meeting.processes.number
    mine = [replace(trial, by=number) for trial in played]
    light = [replace(trial, views={}, trace={}) for trial in mine]
    told = meeting.told(list(zip(light, judged, strict=True)), to)
    return [
        (mine[place] if who == number else trial, found)
        for who, part in enumerate(told)
        for place, (trial, found) in enumerate(part)
    ]


@dataclass(frozen=True)
class Rows:
    """Which of the M decisions of an update are those of this process."""

    mine: NDArray[np.bool_]
    """(M,)."""

    @classmethod
    def of(cls, trials: Sequence[Trial], number: int) -> "Rows":
        """Return which of the decisions of trials process ``number`` played."""
        counts = [len(trial) for trial in trials]
        return cls(np.repeat([trial.by == number for trial in trials], counts))

    def part(self, chosen: Sequence[int]) -> "Part":
        """Return what of a step that holds the decisions ``chosen`` is this process's."""
        numbers = np.array(chosen, np.int64)
        places = np.flatnonzero(self.mine[numbers])
        return Part(
            chosen=numbers[places].tolist(),
            rows=(np.cumsum(self.mine) - 1)[numbers[places]].tolist(),
            places=places.tolist(),
            count=len(numbers),
        )


@dataclass(frozen=True, kw_only=True)
class Part:
    """The decisions of a step that one process works on."""

    chosen: list[int]
    """Their numbers among the M."""
    rows: list[int]
    """Their numbers among those that this process played."""
    places: list[int]
    """Their places in the step."""
    count: int
    """Decisions of the step, those of all processes."""

    def __len__(self) -> int:
        """Return how many are this process's."""
        return len(self.chosen)


def combined(parts: Sequence[tuple[int, Mapping[str, float]]]) -> dict[str, float]:
    """Return the statistics of a step from those of the processes and their numbers of decisions.

    One without decisions has none.
    """
    there = [(count, told) for count, told in parts if count]
    if len(there) == 1:
        return dict(there[0][1])
    every = sum(count for count, _ in there)
    found = {}
    for name in there[0][1]:
        if name in LARGEST:
            found[name] = max(told[name] for _, told in there)
        elif name in MEANS:
            found[name] = sum(count * told[name] for count, told in there) / every
        else:
            found[name] = sum(told[name] for _, told in there)
    return found
