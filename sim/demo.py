"""``robo-reward demo``: from nothing to a trained, measured model and a report, in minutes."""

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.errors import InputError, OutputError
from robo_reward.files import finite, write_atomically

from .seeds import first_seed

QUERY_PERIOD_S = 0.2
"""Between queries; the episodes last five seconds."""
MIX = "expert=.45 noise=.1 early_release=.15 wrong_object=.15 pause=.05 miss=.1"
"""Shares of the behaviours, in training and held-out episodes."""
DRAWERS, DEMONSTRATIONS, EVALUATED = 48, 10, 40
"""Episodes for the policy's part: to learn from, to clone, and to judge it by."""
REWARD_STEPS, CLONE_STEPS = 250, 160
"""Steps of that part's reward model and of cloning."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Collect simulated episodes, train on them, measure on unseen ones, label, report.

    Example: robo-reward demo --out outputs/demo
    """

    out: Path = Path("outputs/demo")
    """Directory for everything that is made; what an earlier demo left there is replaced."""
    episodes: int = 120
    """Simulated episodes to train on."""
    held_out: int = 60
    """Simulated episodes to measure on."""
    steps: int = 550
    """Training steps."""
    seeds: int = 1
    """Models to train, with seeds 0, 1, …; figures are means, the spread is told beside."""
    rollouts: int = 320
    """Episodes by which a policy gets better at the end; 0 leaves that part out."""
    image_size: int = 96
    """Side of the rendered views, in pixels; the model sees 64."""

    def __post_init__(self) -> None:
        """Refuse sizes that leave nothing to do."""
        if min(self.episodes, self.held_out, self.steps, self.seeds) < 1 or self.rollouts < 0:
            raise InputError(
                "--episodes, --held-out, --steps and --seeds must be at least 1, --rollouts 0"
            )

    def run(self) -> None:
        """Run all of it; print a table and the report's path.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        start = time.monotonic()
        models = [self.out / f"model-{seed}" for seed in range(self.seeds)]
        self._collect()
        for seed, place in enumerate(models):
            self._train(seed, place)
        figures, baselines = self._measure(models)
        report = self._show(models[0])
        policy = self._refine() if self.rollouts else {}
        wall = time.monotonic() - start
        write_metrics(
            self.out / "metrics.json", figures, baselines, {"wall_s": wall, "policy": policy}
        )
        print_table(figures, baselines)
        if policy:
            print(
                "\na policy of {demonstrations} demonstrations opens the drawer in "
                "{success_start:.0%} of {evaluated} new episodes, and after {rollouts} rollouts of "
                "its own in {success_end:.0%}\ncurve: ".format(**policy),
                self.out / "policy" / "refined" / "curve.png",
                sep="",
            )
        print(f"\nreport: {report}\nmetrics: {self.out / 'metrics.json'} ({wall:.0f} s)")

    def _collect(self) -> None:
        from .collect import Collect

        print(
            "1/5 collect simulated episodes: a Panda, four cubes, 'put the red cube into the bin'"
        )
        for name, episodes, seed in self._parts():
            Collect(
                out=self.out / name,
                episodes=episodes,
                seed=seed,
                image_size=self.image_size,
                mix=MIX,
                overwrite=True,
            ).run()

    def _parts(self) -> list[tuple[str, int, int]]:
        counts = {"train": self.episodes, "held-out": self.held_out}
        return [(name, count, first_seed(name)) for name, count in counts.items()]

    def _train(self, seed: int, place: Path) -> None:
        from data.train import Train
        from robo_reward.config import TrainingConfig

        print(f"2/5 train a progress reward model (seed {seed})")
        Train(
            dataset=(str(self.out / "train"),),
            out=place,
            seed=seed,
            query_period=QUERY_PERIOD_S,
            training=TrainingConfig(steps=self.steps),
            cache=self.out / "cache",
            overwrite=True,
        ).run()

    def _measure(
        self, models: list[Path]
    ) -> tuple[list[dict[str, float]], dict[str, dict[str, float]]]:
        from data.heldout import HeldOut
        from data.lerobot_dataset import open_dataset
        from robo_reward.checkpoint import load

        print(f"3/5 measure on {self.held_out} episodes of unseen seeds")
        loaded = [load(place) for place in models]
        settings = loaded[0].settings
        held_out = HeldOut(open_dataset(self.out / "held-out"), size=settings.image_size)
        return (
            [held_out.metrics(model) for model in loaded],
            held_out.baselines(settings.query_period_s),
        )

    def _show(self, model: Path) -> Path:
        from data.label import Label
        from data.report import Report

        print("4/5 label the unseen episodes and write the report")
        held_out, report = self.out / "held-out", self.out / "report.html"
        Label(dataset=str(held_out), model=model, out=self.out / "labels", overwrite=True).run()
        Report(dataset=held_out, labels=self.out / "labels", out=report, overwrite=True).run()
        return report

    def _refine(self) -> dict[str, float]:
        from .demo_policy import PolicyDemo

        print("5/5 clone a policy that opens a drawer, and refine it by a learned reward")
        few = min(self.episodes, DRAWERS)
        demo = PolicyDemo(
            out=self.out / "policy",
            episodes=few,
            steps=min(self.steps, REWARD_STEPS),
            demonstrations=min(max(1, few // 4), DEMONSTRATIONS),
            clone_steps=min(self.steps, CLONE_STEPS),
            rollouts=self.rollouts,
            evaluate=min(self.held_out, EVALUATED),
        )
        return demo.run() | {"demonstrations": demo.demonstrations}


def mean_and_spread(figures: list[dict[str, float]]) -> dict[str, tuple[float, float]]:
    """Return (mean, standard deviation over seeds) of every figure; NaN where one is NaN."""
    told = {}
    for name in figures[0]:
        values = [figure[name] for figure in figures]
        mean = sum(values) / len(values)
        told[name] = (mean, math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)))
    return told


def write_metrics(
    path: Path,
    figures: list[dict[str, float]],
    baselines: dict[str, dict[str, float]],
    further: dict[str, Any],
) -> None:
    """Write the figures as JSON: means and ``further`` at the top, per-seed values and spread.

    Raises:
        OutputError: If the file cannot be written.
    """
    told = mean_and_spread(figures)
    content: dict[str, Any] = {name: mean for name, (mean, _) in told.items()}
    content |= further
    content["baselines"] = baselines
    content["spread"] = {name: spread for name, (_, spread) in told.items()}
    content["seeds"] = figures
    try:
        write_atomically(path, json.dumps(finite(content), indent=1).encode())
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}); free some space") from error


COLUMNS = {
    "spearman_success": "order, successes",
    "spearman_failure": "order, failed/noisy",
    "mae": "mean |error|",
    "constant_max": "largest Φ, nothing done",
    "success_auroc": "success AUROC",
    "match_auroc": "match AUROC",
}


def print_table(figures: list[dict[str, float]], baselines: dict[str, dict[str, float]]) -> None:
    """Print the model's figures above those of the baselines."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="held-out episodes, against true progress")
    table.add_column("")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    told = mean_and_spread(figures)
    cells = [_cell(*told[name], seeds=len(figures)) for name in COLUMNS]
    table.add_row("this model", *cells)
    for name, row in baselines.items():
        values = [row.get(column, math.nan) for column in COLUMNS]
        table.add_row(name.replace("_", " "), *[_cell(value, 0.0, seeds=1) for value in values])
    Console(width=118).print(table)


def _cell(value: float, spread: float, *, seeds: int) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f} ± {spread:.3f}" if seeds > 1 else f"{value:.3f}"
