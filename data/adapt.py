"""``robo-reward adapt``: a model learns a further task or robot from one demonstration or a few."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.config import HfConfig, TrainingConfig
from robo_reward.errors import InputError

if TYPE_CHECKING:
    from robo_reward.model import Model

    from .train import Train
    from .training_run import TrainingRun

RESULT = "adapt.json"
"""File in ``--out`` that tells what was gained and what was lost."""
_BLOCKS = ((0.20, 0.25), (0.50, 0.55), (0.80, 0.85))


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Teach a trained model a further task, robot or table from one demonstration or a few.

    Example: robo-reward adapt --model outputs/model --dataset outputs/one-demonstration
    --rehearse outputs/sim --out outputs/adapted

    What the model knew is rehearsed along with it. Both are measured before and after: on
    episodes kept back, and, where a dataset has a single episode, on three blocks of its frames.
    """

    model: Path
    """Model to begin with."""
    dataset: tuple[str, ...]
    """What is new: LeRobotDatasets v3.0, directories or hub ids."""
    out: Path
    """Directory for the adapted model; the model that it began with is not touched."""
    rehearse: tuple[str, ...] = ()
    """Datasets that the model was trained on; without them it forgets what it knew."""
    share: float = 0.5
    """Share of what is new in the episodes drawn."""
    steps: int = 250
    """Training steps."""
    learning_rate: float = 1e-3
    """Peak rate of AdamW; a pretrained backbone is trained at its own rate if that is lower."""
    validation: float = 0.1
    """Share of the episodes of each dataset that are kept back to measure on."""
    seed: int = 0
    """Seed of the split and every draw."""
    cache: Path = Path("outputs/cache")
    """Where decoded frames are kept between runs."""
    cache_gb: float = 8.0
    """Most disk that ``--cache`` may take, in GB."""
    resume: bool = False
    """Go on with the run that is in ``--out``."""
    overwrite: bool = False
    """Replace what is in ``--out``."""
    dry_run: bool = False
    """Say what would be done, and stop."""

    def __post_init__(self) -> None:
        """Refuse shares that leave one side out."""
        if not self.dataset:
            raise InputError("--dataset names nothing new; give a directory or a hub id")
        if not 0.0 < self.share < 1.0:
            raise InputError(f"--share must lie between 0 and 1, got {self.share}")

    def run(self) -> None:
        """Adapt, and print |error| on the new and on the rehearsed datasets, before and after.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        from robo_reward.checkpoint import load

        from .training_run import TrainingRun

        run = TrainingRun(self.command())
        print(run.plan())
        if not self.rehearse:
            print("nothing is rehearsed: what the model knew will suffer; name it by --rehearse")
        if self.dry_run:
            return
        run.fill_cache()
        before = errors(run, load(self.model))
        print(run.train())
        after = errors(run, load(self.out / "best"))
        self._tell(run, before, after)

    def command(self) -> "Train":
        """Return the training that this is."""
        from robo_reward.checkpoint import read_model_config

        from .train import Train

        config = read_model_config(self.model)
        shapes: dict[str, Any] = {"backbone": config.backbone}
        if isinstance(config.backbone, HfConfig):
            rate = min(self.learning_rate, config.backbone.learning_rate)
            shapes = {"hf": replace(config.backbone, learning_rate=rate)}
        return Train(
            dataset=(*self.dataset, *self.rehearse),
            weights=self._weights(),
            withhold=self._blocks(),
            start=self.model,
            out=self.out,
            seed=self.seed,
            validation=self.validation,
            query_period=config.settings.query_period_s,
            view_disagreement=config.settings.view_disagreement,
            fusion=config.settings.tracker.fusion,
            evaluate_every=self.steps,
            cache=self.cache,
            cache_gb=self.cache_gb,
            resume=self.resume,
            overwrite=self.overwrite,
            **shapes,
            training=TrainingConfig(
                steps=self.steps, learning_rate=self.learning_rate, warmup=min(20, self.steps)
            ),
        )

    def _weights(self) -> tuple[float, ...]:
        if not self.rehearse:
            return (1.0,) * len(self.dataset)
        new = self.share / len(self.dataset)
        old = (1.0 - self.share) / len(self.rehearse)
        return (new,) * len(self.dataset) + (old,) * len(self.rehearse)

    def _blocks(self) -> tuple[str, ...]:
        """Return three blocks of each new dataset that has but one episode: nothing else is left.

        Raises:
            DatasetError: If a dataset cannot be read.
        """
        from .lerobot_dataset import open_dataset

        blocks, number = [], 0
        for source in self.dataset:
            dataset = open_dataset(source)
            if len(dataset) == 1:
                blocks += [f"{number}:{a}:{b}" for a, b in blocks_of(dataset.episode(0).length)]
            number += len(dataset)
        return tuple(blocks)

    def _tell(self, run: "TrainingRun", before: list[float], after: list[float]) -> None:
        from rich.console import Console
        from rich.table import Table

        from robo_reward.files import finite, write_atomically

        table = Table("dataset", "", "|error| before", "after")
        figures = []
        for number, source in enumerate((*self.dataset, *self.rehearse)):
            new = number < len(self.dataset)
            told = [f"{value:.3f}" for value in (before[number], after[number])]
            table.add_row(source, "new" if new else "rehearsed", *told)
            figures.append(
                {"dataset": source, "new": new, "before": before[number], "after": after[number]}
            )
        Console(width=100).print(table)
        if run.split.judged_in_part():
            print(
                "what is new was judged between frames that were learned; other episodes are harder"
            )
        text = json.dumps(finite({"datasets": figures}), indent=1)
        write_atomically(self.out / RESULT, text.encode())


def blocks_of(length: int) -> list[tuple[int, int]]:
    """Return (start, stop) of the blocks of an episode to measure on, each at least one frame."""
    found = [(round(a * length), round(b * length)) for a, b in _BLOCKS]
    return [(start, stop) for start, stop in found if start < stop]


def errors(run: "TrainingRun", model: "Model") -> list[float]:
    """Return the mean |Φ − truth| of the judged episodes of each dataset; NaN where none is."""
    from robo_reward.metrics import mean_error

    from .evaluate import judge

    found: list[list[float]] = [[] for _ in run.dataset.datasets]
    judged = judge(model, run.validation.cases())
    for number, item in zip(run.split.judged(), judged, strict=True):
        known = ~np.isnan(item.case.truth) & ~np.isnan(item.labels.progress)
        if known.any():
            error = mean_error(item.labels.progress[known], item.case.truth[known])
            found[run.dataset.source(number)].append(error)
    return [float(np.mean(values)) if values else math.nan for values in found]
