"""One worker of a labelling run: claims units, labels them, publishes each exactly once."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.console import RunLog
from robo_reward.errors import DatasetError

from .compaction import UnitGoneError, compact, is_finished
from .label_plan import FAILED, UNITS, Plan, pack, unit_name
from .label_rows import episode_rows, label_episode, unread_rows
from .label_store import Store
from .leases import Leases

if TYPE_CHECKING:
    import pyarrow as pa

    from robo_reward.model import QueryModel

    from .episodes import EpisodeDataset
    from .references import ReferenceFinder

LOG = "progress.jsonl"
MOST_DEATHS = 3
"""How many workers may die over a unit before it counts as the cause."""
POLL_S = 0.5
"""Seconds between two looks at what other workers have finished."""
COMPACTION = "compaction"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all workers of a run do alike."""

    dataset: "EpisodeDataset"
    model: "QueryModel"
    finder: "ReferenceFinder"
    gamma: float
    """Discount per row of the column ``reward``."""
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
            "decoder": "pyav",
            "code_version": version("robo-reward"),
            **model.about(),
        }
        return Plan(
            about=about,
            lengths=tuple(dataset.episode(index).length for index in range(len(dataset))),
        )


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
        count = len(self.plan.lengths)
        first = rank * count // world
        left = [*range(first, count), *range(first)]
        with closing(RunLog(self.root / LOG)) as self.log, self.leases:
            while left and not is_finished(self.root, self.plan):
                late: list[int] = []
                for episode in self._claimed(left, late):
                    self._label(episode)
                    self.leases.release(unit_name(episode))
                left = late
                if left:
                    self._rest()
            self._compact()

    def _claimed(self, episodes: list[int], late: list[int]) -> Iterator[int]:
        """Yield those that are claimed now; put those that others are at into ``late``."""
        settled = {*self.store.names(UNITS), *self.store.names(FAILED)}
        for episode in episodes:
            unit = unit_name(episode)
            if unit in settled:
                continue
            lease = self.leases.claim(unit)
            if lease is None:
                late.append(episode)
            elif self._settled(unit):
                self.leases.release(unit)
            elif lease.deaths >= MOST_DEATHS:
                self._give_up(episode, f"{lease.deaths} workers died while they were at it")
                self.leases.release(unit)
            else:
                if lease.deaths:
                    self.log.write(episode=episode, taken_over=lease.deaths)
                yield episode

    def _settled(self, unit: str) -> bool:
        if self.store.read(f"{UNITS}/{unit}") is not None:
            return True
        return is_finished(self.root, self.plan) or self.store.read(f"{FAILED}/{unit}") is not None

    def _label(self, index: int) -> None:
        """Label an episode and publish its unit."""
        job, counted, start = self.job, self.job.model.counted(), time.monotonic()
        episode = job.dataset.episode(index)
        further: dict[str, Any] = {"references": job.finder.source(index)}
        try:
            labels = label_episode(job.dataset, job.model, job.finder, episode)
            rows = episode_rows(episode, labels, job.model.further, job.gamma)
        except DatasetError as error:
            if not job.skip_unreadable:
                self._give_up(index, str(error))
                return
            rows = unread_rows(episode, job.model.further)
            further["unreadable"] = str(error)
        further["counted"] = {
            name: {end: count - counted[name][end] for end, count in counts.items()}
            for name, counts in job.model.counted().items()
        }
        self.spent.model += time.monotonic() - start
        self._publish(index, rows, further)

    def _publish(self, index: int, rows: "pa.Table", further: dict[str, Any]) -> None:
        start = time.monotonic()
        unit = pack(rows, plan=self.plan, further=further)
        mine = self.store.create(f"{UNITS}/{unit_name(index)}", unit)
        self.spent.write += time.monotonic() - start
        if mine:
            valid, phi = rows["valid"].to_numpy(), rows["progress_sparse"].to_numpy()
            self.log.write(
                episode=index,
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


def retry_failures(store: Store) -> None:
    """Forget which units failed, so that they are tried again."""
    for unit in store.names(FAILED):
        store.remove(f"{FAILED}/{unit}")
