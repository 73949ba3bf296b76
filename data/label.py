"""``robo-reward label``: the progress of every frame of a dataset, as a parquet sidecar."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robo_reward.config import OpenAIConfig
from robo_reward.console import progress_bar
from robo_reward.errors import InputError
from robo_reward.shaping import check_discount

from .decoding import DecodeConfig
from .label_job import TOGETHER
from .label_places import begin_anew, check_place, check_room, place_in_world
from .label_share import GAMMA, Share, label_share, open_share
from .leases import TIMEOUT_S
from .references import AUTO

if TYPE_CHECKING:
    from .lerobot_dataset import LeRobotEpisodes


@dataclass(frozen=True, kw_only=True)
class Label:
    """Label every frame of a dataset with its progress, beside the dataset, never in it.

    Example: robo-reward label --dataset outputs/sim --model outputs/model --out outputs/labels

    Every finished episode is safe on disk. Whatever ends the program, the same command goes on;
    'robo-reward status' tells how far it is, 'robo-reward verify' checks what was made.
    """

    goes_on = True

    dataset: str
    """LeRobotDataset v3.0: a directory or a hub id."""
    model: Path | None = None
    """Checkpoint directory, or the directory of a training run."""
    out: Path
    """Directory for progress.parquet and its log, progress.jsonl."""
    reference: str = AUTO
    """auto (ends of the first other successful episode of the task), an episode number, a
    directory with start/<view>.png and goal/<view>.png, none, or own-last-frame (non-causal)."""
    views: tuple[str, ...] = ()
    """Cameras to look at; none: all that the dataset has."""
    gamma: float = GAMMA
    """Discount per row of the column reward: the learner's own."""
    workers: int = 1
    """Processes on this machine, each with the model; those of a machine with GPUs take them in
    turn."""
    launcher: Literal["processes", "ray"] = "processes"
    """What the workers are: processes here, or Ray actors on any machines that see --dataset and
    --out (extra: ray)."""
    ray_address: str = ""
    """host:port of a Ray cluster that this machine has joined; empty: one is started here."""
    together: int = TOGETHER
    """Neighbouring episodes that share passes of the model at most: more on a GPU."""
    rank: int | None = None
    """Number of this process of --world that share --out, on any machines; as torchrun or Slurm
    say if not given."""
    world: int | None = None
    """How many such processes there are; as torchrun or Slurm say if not given."""
    lease_timeout: float = TIMEOUT_S
    """Seconds of silence after which the episode of a worker on another machine is taken over."""
    skip_unreadable: bool = False
    """Give episodes that cannot be read rows without a verdict, in place of ending with an error
    once the others are labelled."""
    device: str = ""
    """Where the model computes, as torch calls it; empty: a GPU if there is one, else the CPU."""
    overwrite: bool = False
    """Begin labels that are there anew; they stay until the new ones are whole."""
    dry_run: bool = False
    """Say what would be done, and stop."""
    write_columns: Path | None = None
    """Directory for a new LeRobotDataset besides: the one that is labelled, with the labels as
    columns and their statistics."""
    rabc_name: Path | None = None
    """Directory for a copy of the labels besides, under the name at which LeRobot's RA-BC looks for
    them by itself: give the dataset's own to have them found without a path."""
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    openai: OpenAIConfig = field(default_factory=OpenAIConfig)
    """A remote model in place of ``--model``: give ``--openai.url``."""

    def run(self) -> None:
        """Label, and print where the labels are.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        from .compaction import FILE, references_used, unread

        rank, world = self.check()
        check_place(self.out, overwrite=self.overwrite, world=world)
        dataset, frames = self._told()
        if self.dry_run:
            return
        if self.write_columns is not None:
            from .columns import check_columns

            check_columns(dataset, self.write_columns, overwrite=self.overwrite)
        check_room(self.out, frames)
        if self.overwrite:
            open_share(self.share(rank, world))  # what cannot begin must not end what is there
            begin_anew(self.out)
        with progress_bar("label", len(dataset), "episodes") as bar:
            remarks = self._work(self.share(rank, world), bar)
        for source, shown in references_used(self.out).items():
            print(f"references of {len(shown)} episodes: {source}")
        for remark in (*remarks, *unread(self.out)):
            print(remark)
        print(f"labels: {self.out / FILE}")
        self._write_besides(dataset.root)
        print(
            "to weigh LeRobot training with them: --sample_weighting.type=rabc "
            f"--sample_weighting.progress_path={self.out / FILE}"
        )

    def check(self) -> tuple[int, int]:
        """Check the flags; return which process of how many this is.

        Raises:
            InputError: If one of them cannot be.
        """
        check_discount("--gamma", self.gamma)
        for name, value in (("--workers", self.workers), ("--together", self.together)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        if self.ray_address and self.launcher != "ray":
            raise InputError("--ray-address is for --launcher ray; give both or neither")
        self.decode.count()
        rank, world = place_in_world(self.rank, self.world)
        if world > 1 and (self.write_columns or self.rabc_name):
            raise InputError(
                "--write-columns and --rabc-name are not for one of several processes; repeat the "
                "command alone with them once all have ended"
            )
        return rank, world

    def share(self, rank: int, world: int) -> Share:
        """Return what each worker is told."""
        decode = self.decode
        if decode.processes is None:
            decode = replace(decode, processes=max(1, decode.count() // self.workers))
        return Share(
            dataset=self.dataset,
            model=self.model,
            out=self.out,
            reference=self.reference,
            views=self.views,
            gamma=self.gamma,
            workers=self.workers,
            rank=rank,
            world=world,
            lease_timeout=self.lease_timeout,
            together=self.together,
            skip_unreadable=self.skip_unreadable,
            device=self.device,
            decode=decode,
            openai=self.openai,
        )

    def _write_besides(self, dataset: Path) -> None:
        """Write what was asked for beside the sidecar."""
        if self.write_columns is not None:
            from .columns import write_columns

            names = write_columns(dataset, self.out, self.write_columns, overwrite=self.overwrite)
            print(f"dataset with columns {', '.join(names)}: {self.write_columns}")
        if self.rabc_name is not None:
            from .rabc import place_for_rabc

            place = place_for_rabc(
                self.out, self.rabc_name, into_dataset=True, overwrite=self.overwrite
            )
            print(f"labels for RA-BC: {place}")

    def _told(self) -> "tuple[LeRobotEpisodes, int]":
        """Open the dataset, and print what will be labelled; return it and its frames."""
        from .lerobot_dataset import open_dataset

        dataset = open_dataset(self.dataset, views=self.views or None)
        frames = sum(dataset.episode(index).length for index in range(len(dataset)))
        print(f"{len(dataset)} episodes, {frames} frames of {', '.join(dataset.views)}")
        return dataset, frames

    def _work(self, share: Share, bar: Callable[..., None]) -> list[str]:
        """Label by this process or by several; return what the user should know."""
        from .label_plan import UNITS
        from .label_store import DirectoryStore
        from .labelling import retry_failures

        store = DirectoryStore(self.out)
        retry_failures(store)
        there = len(store.names(UNITS))
        bar(there)
        if self.workers == 1 and self.launcher == "processes":
            return label_share(share, 0, lambda _: bar(1))
        seen = there

        def look() -> None:
            nonlocal seen
            now = max(len(store.names(UNITS)), seen)
            bar(now - seen)
            seen = now

        how: dict[str, Any] = {
            "count": self.workers,
            "done": lambda: len(store.names(UNITS)),
            "on_look": look,
        }
        if self.launcher == "ray":
            from .label_ray import run_in_ray

            return run_in_ray(label_share, share.anywhere(), address=self.ray_address, **how)
        from .label_workers import run_workers

        return run_workers(label_share, share, **how)
