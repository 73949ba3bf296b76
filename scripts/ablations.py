"""What each part of the recipe is worth: the same training without it, measured in the same way.

Usage: python scripts/ablations.py TRAINING HELD-OUT OUT [STEPS]

TRAINING and HELD-OUT are datasets of `robo-reward collect`, OUT a directory for the models. A row
per variant, printed as soon as it is known; all but the last two are told nothing of earlier
verdicts, as the first.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from data.evaluating import examine
from data.heldout import HeldOut
from data.lerobot_dataset import open_dataset
from data.probes import probes_for
from data.results import results
from data.train import Train
from robo_reward.checkpoint import load
from robo_reward.config import CompactConfig, TrainingConfig
from robo_reward.console import RunLog
from robo_reward.model import Labels, Model
from robo_reward.progress import mean_fusion
from robo_reward.protocols import References, Views
from robo_reward.tracker import TrackerSettings

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]
type Change = Callable[[Train], Train]

PERIOD_S = 0.2
FIGURES = ("voc_harmonic", "order_others", "mae", "concordance", "success_auroc")
PROBES = ("frozen", "shuffled", "reversed", "counterfactual", "goal_photo", "black_frames")


def sampled(**changes: Any) -> Change:
    """Return the change of some probabilities of the draws."""
    return lambda command: replace(command, sampling=replace(command.sampling, **changes))


def believing(own_belief: float) -> Change:
    """Return the change to the default, a model that is told its own earlier verdicts."""

    def change(command: Train) -> Train:
        sampling = replace(command.sampling, own_belief=own_belief)
        return replace(command, backbone=replace(command.backbone, belief=True), sampling=sampling)

    return change


def in_order(
    progress: Floats, times: Floats, count: int, period: float, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return pairs of neighbours in time, forward only: what progress by order in time learns."""
    first = rng.integers(0, len(progress) - 1, size=count)
    return first, first + 1


VARIANTS: dict[str, Change] = {
    "told nothing of earlier verdicts": lambda command: command,
    "references never of another episode": sampled(swap=0.0),
    "no negatives": sampled(other_goal=0.0, foreign=0.0, other_picture=0.0),
    "pairs in order of time": lambda command: command,
    "one view": lambda command: replace(command, views=("front",)),
    "no frames that show nothing": sampled(unseen=0.0),
    "told earlier verdicts": believing(own_belief=0.5),
    "told, of the truth with noise alone": believing(own_belief=0.0),
}


class MeanFused(Model):
    """A model whose Φ is the plain mean of the three anchors."""

    def label_queries(
        self, queried: Iterable[Views], instruction: str, references: References, *, query: Ints
    ) -> Labels:
        """Return the labels with another Φ."""
        labels = super().label_queries(queried, instruction, references, query=query)
        mean = mean_fusion(labels.incremental, labels.forward, labels.backward)
        return replace(labels, progress=mean.astype(np.float32))


def refused(model: Model) -> dict[str, Model]:
    """Return a model with other ways to fuse its anchors."""
    weighted = replace(model.settings.tracker, fusion="weighted")
    published = replace(weighted, disagreement="published")

    def fused(tracker: TrackerSettings) -> Model:
        settings = replace(model.settings, tracker=tracker)
        return Model(model.network, settings, fingerprint="")

    return {
        "mean of the three anchors": MeanFused(model.network, model.settings, fingerprint=""),
        "consistency weights": fused(weighted),
        "published disagreement": fused(published),
    }


def measured(model: Model, held_out: str, views: tuple[str, ...], log: Path) -> list[float]:
    """Return `FIGURES`, the shares of `PROBES` passed, and the AUROC of match."""
    dataset = open_dataset(held_out, views=views or None)
    episodes = HeldOut(dataset, size=model.settings.image_size)
    probes = {n: p for n, p in probes_for(dataset.views).items() if n in PROBES}
    with closing(RunLog(log)) as lines:
        findings = examine(model, episodes.cases(), probes, log=lines, seed=0)
    told = results(findings, probes, draws=1, seed=0)
    figures = [told["figures"][name]["values"]["model"]["value"] for name in FIGURES]
    passed = [told["probes"][name]["results"]["model"]["value"] for name in PROBES]
    return [*figures, *passed, episodes.metrics(model)["match_auroc"]]


def show(name: str, figures: list[float]) -> None:
    """Print a row of the table."""
    print(f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |", flush=True)


def main(training: str, held_out: str, out: str, steps: str = "550") -> None:
    """Train and measure every variant."""
    titles = ["", *FIGURES, *PROBES, "match_auroc"]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}", flush=True)
    for number, (name, change) in enumerate(VARIANTS.items()):
        place = Path(out) / f"variant-{number}"
        plain: dict[str, Any] = {"dataset": (training,), "out": place, "overwrite": True}
        command = change(
            Train(
                **plain,
                backbone=CompactConfig(),
                query_period=PERIOD_S,
                cache=Path(out) / "cache",
                training=TrainingConfig(steps=int(steps)),
            )
        )
        drawn: AbstractContextManager[Any] = nullcontext()
        if name == "pairs in order of time":
            drawn = patch("robo_reward.plan.sample_pairs", in_order)
        with drawn:
            command.run()
        model, log = load(place), place / "measured.jsonl"
        show(name, measured(model, held_out, command.views, log))
        for other, fused in refused(model).items() if number == 0 else ():
            show(other, measured(fused, held_out, command.views, log))


if __name__ == "__main__":
    main(*sys.argv[1:])
