"""One worker of a labelling run: claims units, labels them, publishes each exactly once."""

import resource
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.console import RunLog
from robo_reward.errors import DatasetError, OutputError

from .compaction import UnitGoneError, clear, compact, is_finished, ranges
from .label_job import Group, Job, check_unchanged
from .label_plan import FAILED, UNITS, Plan, pack, unit_name
from .label_rows import asked, episode_rows, unread_rows
from .label_store import Store, this_process
from .leases import Leases
from .references import ReferenceEpisodeError

if TYPE_CHECKING:
    import pyarrow as pa

    from robo_reward.model import Asked, Labels

    from .ahead import Decoded
    from .episodes import Episode, Views

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
        order = groups[first:] + groups[:first]
        with closing(RunLog(self.root / LOG)) as self.log, self.leases:
            try:
                self._until_finished(order)
            except OutputError:  # another worker may have ended the run, and cleared up, meanwhile
                if not is_finished(self.root, self.plan):
                    raise
            self._say_spent()
        if is_finished(self.root, self.plan):
            clear(self.root)  # of what workers wrote while the sidecar was made

    def _until_finished(self, order: list[Group]) -> None:
        """Label what is left, wait for what others are at, and make the sidecar of all."""
        left = order
        while not is_finished(self.root, self.plan):
            self._label_all(left)
            settled = {*self.store.names(UNITS), *self.store.names(FAILED)}
            left = [group for group in order if not settled.issuperset(map(unit_name, group))]
            if left:
                self._rest()
            else:
                self._compact()

    def _label_all(self, groups: list[Group]) -> None:
        """Label what can be claimed, each group while the next is decoded."""
        claimed: deque[Group] = deque()

        def reached() -> Iterator[int]:
            for group in self._claimed(groups):
                claimed.append(group)
                yield from group

        with self.job.open_ahead(reached()) as ahead:
            stream = iter(ahead)
            for first in stream:
                group = claimed.popleft()
                waited, begun = ahead.waited_s, time.monotonic()
                self.leases.begin(unit_name(group[0]))
                asked = self._ask([first], stream, group)
                self._label(group, asked)
                self.leases.release(unit_name(group[0]))
                waited = ahead.waited_s - waited
                self.spent.decode += waited
                self.spent.model += time.monotonic() - begun - waited

    def _claimed(self, groups: list[Group]) -> Iterator[Group]:
        """Yield those that can be claimed now."""
        settled = {*self.store.names(UNITS), *self.store.names(FAILED)}
        for group in groups:
            name = unit_name(group[0])
            if settled.issuperset(map(unit_name, group)):
                continue
            lease = self.leases.claim(name)
            if lease is None:
                continue
            unsettled = [n for n in group if not self._settled(unit_name(n))]
            if unsettled and lease.deaths < MOST_DEATHS:
                if lease.deaths:
                    self.log.write(episode=group[0], taken_over=lease.deaths)
                yield group
                continue
            for index in unsettled:
                why = f"{lease.deaths} workers died at work on {ranges(unsettled)}"
                shown = {"references": self.job.finder.source(index)}
                self._fail(self.job.dataset.episode(index), why, shown)
            self.leases.release(name)

    def _settled(self, unit: str) -> bool:
        if self.store.read(f"{UNITS}/{unit}") is not None:
            return True
        return is_finished(self.root, self.plan) or self.store.read(f"{FAILED}/{unit}") is not None

    def _ask(
        self, first: "list[Decoded]", stream: "Iterator[Decoded]", group: Group
    ) -> "dict[int, Asked | DatasetError]":
        """Return what is asked about a group; frames wait in memory unless there is one episode."""
        job = self.job
        found: dict[int, Asked | DatasetError] = {}
        for decoded in chain(first, islice(stream, len(group) - 1)):
            shown: Iterable[Views] = (views for _, views in decoded.frames)
            episode = job.dataset.episode(decoded.index)
            try:
                if len(group) > 1:
                    shown = list(shown)
                found[decoded.index] = asked(episode, job.model, job.finder, shown)
            except ReferenceEpisodeError:
                raise  # it is not this episode's fault, and would fail all that are shown it
            except DatasetError as error:
                found[decoded.index] = error
        return found

    def _label(self, group: Group, questions: "dict[int, Asked | DatasetError]") -> None:
        """Label the episodes of a group together, and publish the units that are not there."""
        job, counted = self.job, self.job.model.counted()
        posed = {n: one for n, one in questions.items() if not isinstance(one, DatasetError)}
        told = job.model.label_together(list(posed.values()))
        labels = dict(zip(posed, told, strict=True))
        for index, question in questions.items():
            further: dict[str, Any] = {"references": job.finder.source(index), "counted": {}}
            if index == group[-1]:  # what was counted is that of the group
                further["counted"] = _since(counted, job.model.counted())
            answer = question if isinstance(question, DatasetError) else labels[index]
            self._publish(job.dataset.episode(index), answer, further)

    def _say_spent(self) -> None:
        """Log what the time of this worker went into, and its memory."""
        told = {f"{name}_s": round(value, 3) for name, value in asdict(self.spent).items()}
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.log.write(worker=this_process(), **told, most_mb=round(most, 1))

    def _publish(
        self, episode: "Episode", labels: "Labels | DatasetError", further: dict[str, Any]
    ) -> None:
        """Publish the unit of an episode, unless it is there; or say why it cannot be."""
        job, start = self.job, time.monotonic()
        if self.store.read(f"{UNITS}/{unit_name(episode.index)}") is not None:
            return
        if isinstance(labels, DatasetError):
            self._fail(episode, str(labels), further)
            return
        rows = episode_rows(episode, labels, job.model.further, job.gamma)
        self._write(episode, rows, further)
        seconds = time.monotonic() - start
        self.spent.write, self.spent.model = self.spent.write + seconds, self.spent.model - seconds

    def _fail(self, episode: "Episode", reason: str, further: dict[str, Any]) -> None:
        """Say why an episode cannot be labelled, or publish rows without a verdict on request."""
        if not self.job.skip_unreadable:
            self.store.replace(f"{FAILED}/{unit_name(episode.index)}", reason.encode())
            return
        rows = unread_rows(episode, self.job.model.further)
        self._write(episode, rows, {"counted": {}} | further | {"unreadable": reason})

    def _write(self, episode: "Episode", rows: "pa.Table", further: dict[str, Any]) -> None:
        """Publish a unit, and log it if nobody was faster."""
        unit = pack(rows, plan=self.plan, further=further)
        mine = self.store.create(f"{UNITS}/{unit_name(episode.index)}", unit)
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

    def _rest(self) -> None:
        time.sleep(POLL_S)
        self.spent.idle += POLL_S

    def _compact(self) -> None:
        """Make the sidecar, unless somebody else is at it.

        Raises:
            DatasetError: If units failed, or the dataset was changed.
            OutputError: If another run has begun there.
        """
        check_failures(self.store)
        if self.leases.claim(COMPACTION) is None:
            self._rest()
            return
        check_unchanged(self.job.dataset)
        if Plan.read(self.store) != self.plan:
            raise OutputError(
                f"another labelling run has begun in {self.root} meanwhile; this one has ended"
            )
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
    others = f" (and {ranges([int(unit) for unit in failed[1:]])})" if failed[1:] else ""
    raise DatasetError(
        f"episode {int(failed[0])}{others} could not be labelled: {reason}; the others are kept: "
        "mend it and repeat the command, or pass --skip-unreadable for rows without a verdict"
    )


def retry_failures(store: Store) -> None:
    """Forget which units failed, so that they are tried again."""
    for unit in store.names(FAILED):
        store.remove(f"{FAILED}/{unit}")
