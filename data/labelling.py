"""One worker of a labelling run: claims units, labels them, publishes each exactly once."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.console import RunLog
from robo_reward.errors import DatasetError

from .compaction import UnitGoneError, compact, is_finished, ranges
from .label_job import Group, Job, check_unchanged
from .label_plan import FAILED, UNITS, pack, unit_name
from .label_rows import asked, episode_rows, unread_rows
from .label_store import Store
from .leases import Leases

if TYPE_CHECKING:
    from robo_reward.model import Asked, Labels

    from .episodes import Episode

type Counts = dict[str, dict[str, int]]

LOG = "progress.jsonl"
MOST_DEATHS = 3
"""How many workers may die over a unit before it counts as the cause."""
POLL_S = 0.5
"""Seconds between two looks at what other workers have finished."""
COMPACTION = "compaction"


@dataclass
class Spent:
    """Seconds that a worker spent on what."""

    decode: float = 0.0
    """Waiting for frames."""
    model: float = 0.0
    write: float = 0.0
    idle: float = 0.0
    """Waiting for other workers."""


@dataclass
class Worker:
    """Labels units of a place until none is left, together with any number of others."""

    job: Job
    root: Path
    store: Store
    leases: Leases
    on_unit: Callable[[int], None] = lambda frames: None
    """Called with the frames of each unit that this worker has published."""
    spent: Spent = field(default_factory=Spent)

    def run(self, rank: int = 0, world: int = 1) -> None:
        """Label until every unit is there, and make the sidecar of them.

        Args:
            rank: Number of this worker, of ``world``: where it begins, so that workers meet late.
            world: How many begin apart.

        Raises:
            OutputError: If the place holds other labels, or cannot be written.
            DatasetError: If episodes cannot be read; the others are labelled and kept.
            RoboRewardError: Whatever the model raises.
        """
        self.plan = self.job.plan()
        self.plan.adopt(self.store)
        groups = self.job.groups(self.plan)
        first = rank * len(groups) // world
        left = groups[first:] + groups[:first]
        with closing(RunLog(self.root / LOG)) as self.log, self.leases:
            while left and not is_finished(self.root, self.plan):
                late: list[Group] = []
                for group in self._claimed(left, late):
                    self._label(group)
                    self.leases.release(unit_name(group[0]))
                left = late
                if left:
                    self._rest()
            self._compact()

    def _claimed(self, groups: list[Group], late: list[Group]) -> Iterator[Group]:
        """Yield those that are claimed now; put those that others are at into ``late``."""
        settled = {*self.store.names(UNITS), *self.store.names(FAILED)}
        for group in groups:
            if settled.issuperset(map(unit_name, group)):
                continue
            lease = self.leases.claim(unit_name(group[0]))
            if lease is None:
                late.append(group)
            elif not (unsettled := [n for n in group if not self._settled(unit_name(n))]):
                self.leases.release(unit_name(group[0]))
            elif lease.deaths >= MOST_DEATHS:
                for index in unsettled:
                    self._give_up(index, f"{lease.deaths} workers died over {ranges(unsettled)}")
                self.leases.release(unit_name(group[0]))
            else:
                if lease.deaths:
                    self.log.write(episode=group[0], taken_over=lease.deaths)
                yield group

    def _settled(self, unit: str) -> bool:
        if self.store.read(f"{UNITS}/{unit}") is not None:
            return True
        return is_finished(self.root, self.plan) or self.store.read(f"{FAILED}/{unit}") is not None

    def _label(self, group: Group) -> None:
        """Label the episodes of a group together, and publish the units that are not there."""
        job, counted, start = self.job, self.job.model.counted(), time.monotonic()
        questions: dict[int, Asked] = {}
        labels: dict[int, Labels | DatasetError] = {}
        episodes = {index: job.dataset.episode(index) for index in group}
        for index, episode in episodes.items():
            try:
                questions[index] = self._asked(episode, alone=len(group) == 1)
            except DatasetError as error:
                labels[index] = error
        told = job.model.label_together(list(questions.values()))
        labels |= zip(questions, told, strict=True)
        self.spent.model += time.monotonic() - start
        for index, episode in episodes.items():
            further: dict[str, Any] = {"references": job.finder.source(index), "counted": {}}
            if index == group[-1]:  # what was counted is that of the group
                further["counted"] = _since(counted, job.model.counted())
            self._publish(episode, labels[index], further)

    def _asked(self, episode: "Episode", *, alone: bool) -> "Asked":
        """Return what is asked about an episode; its frames wait in memory unless it is alone."""
        job = self.job
        stream = (
            views
            for _, views in job.dataset.frames(
                episode.index,
                views=episode.views,
                size=job.model.settings.image_size,
                stride=job.model.stride(episode.fps),
            )
        )
        return asked(episode, job.model, job.finder, stream if alone else list(stream))

    def _publish(
        self, episode: "Episode", labels: "Labels | DatasetError", further: dict[str, Any]
    ) -> None:
        """Publish the unit of an episode, unless it is there; or say why it cannot be."""
        job, start = self.job, time.monotonic()
        if isinstance(labels, DatasetError):
            if not job.skip_unreadable:
                self._give_up(episode.index, str(labels))
                return
            further["unreadable"] = str(labels)
            rows = unread_rows(episode, job.model.further)
        else:
            rows = episode_rows(episode, labels, job.model.further, job.gamma)
        unit = pack(rows, plan=self.plan, further=further)
        mine = self.store.create(f"{UNITS}/{unit_name(episode.index)}", unit)
        self.spent.write += time.monotonic() - start
        if mine:
            valid, phi = rows["valid"].to_numpy(), rows["progress_sparse"].to_numpy()
            self.log.write(
                episode=episode.index,
                frames=rows.num_rows,
                references=further["references"],
                valid_share=float(valid.mean()),
                last_progress=float(phi[-1]),
            )
            self.on_unit(rows.num_rows)

    def _give_up(self, index: int, reason: str) -> None:
        self.store.replace(f"{FAILED}/{unit_name(index)}", reason.encode())

    def _rest(self) -> None:
        time.sleep(POLL_S)
        self.spent.idle += POLL_S

    def _compact(self) -> None:
        """Make the sidecar, or wait for whoever does.

        Raises:
            DatasetError: If units failed.
        """
        check_failures(self.store)
        while not is_finished(self.root, self.plan):
            if self.leases.claim(COMPACTION) is None:
                self._rest()
                continue
            check_unchanged(self.job.dataset)
            try:
                compact(self.root, self.store, self.plan)
            except UnitGoneError:
                if not is_finished(self.root, self.plan):  # else another one was faster
                    raise
            self.leases.release(COMPACTION)


def _since(before: Counts, now: Counts) -> Counts:
    return {
        name: {end: count - before[name][end] for end, count in counts.items()}
        for name, counts in now.items()
    }


def check_failures(store: Store) -> None:
    """Check that no unit failed.

    Raises:
        DatasetError: If some did: the first, and which others.
    """
    failed = store.names(FAILED)
    if not failed:
        return
    reason = (store.read(f"{FAILED}/{failed[0]}") or b"").decode()
    others = f" (and episodes {', '.join(str(int(n)) for n in failed[1:])})" if failed[1:] else ""
    raise DatasetError(
        f"episode {int(failed[0])}{others} could not be labelled: {reason}; the others are kept: "
        "mend it and repeat the command, or pass --skip-unreadable for rows without a verdict"
    )


def retry_failures(store: Store) -> None:
    """Forget which units failed, so that they are tried again."""
    for unit in store.names(FAILED):
        store.remove(f"{FAILED}/{unit}")
