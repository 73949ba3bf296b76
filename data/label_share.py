"""What a worker of a labelling run is told, and how it begins: in this process or in any other."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from robo_reward.config import OpenAIConfig

from .decoding import DecodeConfig
from .label_job import TOGETHER
from .leases import TIMEOUT_S
from .references import AUTO

if TYPE_CHECKING:
    from robo_reward.model import QueryModel

    from .episodes import EpisodeDataset
    from .labelling import Worker
    from .lerobot_dataset import LeRobotEpisodes
    from .references import ReferenceFinder

GAMMA = 0.99
"""Discount per row of the column ``reward``, unless told."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a worker is told; the fields mean what the flags of `data.label.Label` mean."""

    dataset: str
    model: Path | None = None
    out: Path
    reference: str = AUTO
    views: tuple[str, ...] = ()
    gamma: float = GAMMA
    workers: int = 1
    rank: int = 0
    world: int = 1
    lease_timeout: float = TIMEOUT_S
    together: int = TOGETHER
    skip_unreadable: bool = False
    device: str = ""
    decode: DecodeConfig = field(default_factory=lambda: DecodeConfig(processes=0))
    openai: OpenAIConfig = field(default_factory=OpenAIConfig)

    def anywhere(self) -> "Share":
        """Return the same for a process that was started in another directory."""
        dataset, reference = (
            str(Path(name).absolute()) if Path(name).exists() else name
            for name in (self.dataset, self.reference)
        )
        prompt = self.openai.prompt and self.openai.prompt.absolute()
        return replace(
            self,
            dataset=dataset,
            reference=reference,
            out=self.out.absolute(),
            model=self.model and self.model.absolute(),
            openai=replace(self.openai, prompt=prompt),
        )


def label_share(
    share: Share, number: int, on_unit: Callable[[int], None] = lambda frames: None
) -> list[str]:
    """Label units with others until none is left; return what the user should know.

    Args:
        share: What was asked for.
        number: Which worker of this process's machine.
        on_unit: Called with the frames of each unit that is published here.

    Raises:
        RoboRewardError: With one sentence for whatever the user can mend.
    """
    from .ahead import LimitedEpisodes
    from .references import ReferenceFinder

    dataset, model = open_share(share, number)
    with LimitedEpisodes(dataset, share.decode) as limited:
        finder = ReferenceFinder(limited, share.reference, size=model.settings.image_size)
        worker = make_worker(dataset, model, finder, share, on_unit)
        worker.run(share.rank * share.workers + number, share.world * share.workers)
    return model.remarks()


def open_share(share: Share, number: int = 0) -> "tuple[LeRobotEpisodes, QueryModel]":
    """Return the dataset and the model of a worker, after checking that they go together.

    Raises:
        RoboRewardError: If one cannot be opened, or the references cannot be found.
    """
    from .judges import open_judge
    from .lerobot_dataset import open_dataset
    from .references import ReferenceFinder

    dataset = open_dataset(share.dataset, views=share.views or None)
    device = share.device or _gpu(share, number)
    model = open_judge(share.model, share.openai, device=device)
    model.check_views(dataset.views)
    ReferenceFinder(dataset, share.reference, size=model.settings.image_size)
    return dataset, model


def _gpu(share: Share, number: int) -> str | None:
    """Return the GPU of a worker; None where there is but one worker, or no GPU."""
    if share.workers == 1:
        return None
    import torch

    count = torch.cuda.device_count()
    if count:
        return f"cuda:{number % count}"
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // share.workers))
    return None


def make_worker(
    dataset: "EpisodeDataset",
    model: "QueryModel",
    finder: "ReferenceFinder",
    share: Share,
    on_unit: Callable[[int], None] = lambda frames: None,
) -> "Worker":
    """Return a worker that judges these episodes by this model, as a share says."""
    from .label_job import Job
    from .label_store import DirectoryStore
    from .labelling import Worker
    from .leases import Leases

    store = DirectoryStore(share.out)
    store.sweep()
    job = Job(
        dataset=dataset,
        model=model,
        finder=finder,
        gamma=share.gamma,
        together=share.together,
        decode=share.decode,
        skip_unreadable=share.skip_unreadable,
    )
    leases = Leases(store, timeout_s=share.lease_timeout)
    return Worker(job=job, root=share.out, store=store, leases=leases, on_unit=on_unit)


def write_labels(
    dataset: "EpisodeDataset", model: "QueryModel", finder: "ReferenceFinder", out: Path
) -> Path:
    """Write the labels of a dataset into a directory as the command does; return the sidecar.

    What was labelled there before is kept. Memory does not grow with the dataset, but for the
    references of each further instruction.

    Args:
        dataset: The episodes.
        model: Who judges them.
        finder: Who says what start and goal look like.
        out: The directory.

    Raises:
        RoboRewardError: If an episode cannot be read, the labels there are others, or the place
            cannot be written.
    """
    from .compaction import FILE

    share = Share(dataset=str(dataset.root), out=out)
    make_worker(dataset, model, finder, share).run()
    return out / FILE
