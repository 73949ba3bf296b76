"""``robo-reward eval``: how good a model is, against truth, probes and trivial baselines."""

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from robo_reward.config import OpenAIConfig
from robo_reward.console import RunLog, progress_bar
from robo_reward.errors import InputError, OutputError
from robo_reward.files import finite, write_atomically

from .places import try_out, written
from .references import AUTO

if TYPE_CHECKING:
    from robo_reward.model import QueryModel

    from .eval_cases import Asked
    from .evaluate import Case
    from .probes import Probe
    from .probing import Findings

FIGURES_FILE, PAGE_FILE, LOG_FILE = "eval.json", "eval.html", "eval.jsonl"

type Layout = Literal["lerobot", "robo-dopamine-bench", "roboreward-bench", "rbm-eval"]


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Measure a model on episodes that it never saw, beside trivial baselines and under probes.

    Example: robo-reward eval --dataset outputs/held-out --model outputs/model --out outputs/eval
    A policy is played instead with --policy DIR (robo-reward eval --policy DIR --help).
    """

    others: ClassVar[dict[str, str]] = {"--policy": "eval-policy"}
    """Flag → who does the work where it is given; see `robo_reward.cli`."""

    dataset: tuple[str, ...]
    """LeRobotDataset v3.0, one or several: directories or hub ids; or directories of yardsticks."""
    layout: Layout = "lerobot"
    """How ``--dataset`` is laid out: as LeRobot's, or as one of the public yardsticks."""
    model: Path | None = None
    """Checkpoint directory, or the directory of a training run."""
    out: Path
    """Directory for eval.html, eval.json, and a log, eval.jsonl."""
    json: Path | None = None
    """Another place for the figures than eval.json in --out."""
    reference: str = AUTO
    """auto (ends of the first other successful episode of the task), an episode number, a
    directory with start/<view>.png and goal/<view>.png, none, or own-last-frame (privileged)."""
    views: tuple[str, ...] = ()
    """Cameras to look at; none: all that the dataset has."""
    episodes: tuple[int, ...] | None = None
    """Numbers of the episodes to measure on, of each dataset; all if not given."""
    probes: tuple[str, ...] | None = None
    """Which probes, with their partners; all if not given, none if nothing follows."""
    draws: int = 1000
    """How often episodes are drawn anew, for the intervals."""
    seed: int = 0
    """Seed of the draws and of the probes."""
    overwrite: bool = False
    """Replace what is there."""
    dry_run: bool = False
    """Say what would be done, and stop."""
    openai: OpenAIConfig = field(default_factory=OpenAIConfig)
    """A remote model in place of ``--model``: give ``--openai.url``."""

    def __post_init__(self) -> None:
        """Refuse settings that leave nothing to measure."""
        if not self.dataset:
            raise InputError("--dataset names nothing; give a directory or a hub id")
        if self.episodes == ():
            raise InputError("--episodes names no episode; give numbers, or leave it out for all")
        if self.draws < 1 or self.seed < 0:
            raise InputError("--draws must be at least 1 and --seed at least 0")

    def run(self) -> None:
        """Measure, print the table and where everything is.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        path, page = self.json or self.out / FIGURES_FILE, self.out / PAGE_FILE
        self._check(path, page)
        from .eval_cases import gather
        from .eval_page import build_page
        from .eval_table import print_table
        from .judges import open_judge
        from .results import results

        model = open_judge(self.model, self.openai)
        cases, every = gather(self.dataset, self._asked(model))
        probes = chosen_probes(every, self.probes)
        print(f"{len(cases)} episodes, {len(probes)} probes: {', '.join(probes) or 'none'}")
        for source, count in Counter(case.source for case in cases).items():
            print(f"truth of {count} episodes: {source}")
        blind = sum(not case.references.goal for case in cases)
        if blind:
            print(
                f"{blind} episodes have no picture of the goal: distances to it say nothing there"
            )
        if self.dry_run:
            return
        with written(self.out), closing(RunLog(self.out / LOG_FILE)) as log:
            findings = examine(model, cases, probes, log=log, seed=self.seed)
        told = self._about(model) | results(findings, probes, draws=self.draws, seed=self.seed)
        told["truth"] = dict(Counter(case.source for case in cases))
        _write(path, json.dumps(finite(told), indent=1))
        _write(page, build_page(told))
        print_table(told)
        for remark in model.remarks():
            print(remark)
        print(f"figures: {path}\npage: {page}")

    def _check(self, *places: Path) -> None:
        for path in places:
            if path.exists() and not self.overwrite:
                raise OutputError(f"{path} exists: --overwrite replaces it; or choose another")
            try_out(path.parent)

    def _asked(self, model: "QueryModel") -> "Asked":
        from .eval_cases import Asked

        return Asked(
            layout=self.layout,
            views=self.views,
            reference=self.reference,
            chosen=None if self.episodes is None else sorted(set(self.episodes)),
            model=model,
        )

    def _about(self, model: "QueryModel") -> dict[str, Any]:
        count = len(self.dataset)
        return {
            "dataset": f"{count} datasets" if count > 1 else self.dataset[0],
            "datasets": list(self.dataset),
            "model": str(self.model or self.openai.model),
            "model_fingerprint": model.fingerprint,
            **model.about(),
            **{name: json.dumps(counts) for name, counts in model.counted().items()},
            "layout": self.layout,
            "reference": self.reference,
            "seed": self.seed,
        }


def _write(path: Path, content: str) -> None:
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.encode())


def chosen_probes(every: "dict[str, Probe]", names: tuple[str, ...] | None) -> "dict[str, Probe]":
    """Return the probes of these names and their partners; all if None.

    Raises:
        InputError: If there is no such probe; the message lists those there are.
    """
    unknown = [name for name in names or () if name not in every]
    if unknown:
        raise InputError(f"there is no probe {unknown[0]}; there are: {', '.join(every)}")
    if names is None:
        return every
    wanted = {*names, *(every[name].partner for name in names)}
    return {name: probe for name, probe in every.items() if name in wanted}


def examine(
    model: "QueryModel", cases: "list[Case]", probes: dict[str, "Probe"], *, log: RunLog, seed: int
) -> "Findings":
    """Return what the model, the baselines and the truth make of every case.

    Raises:
        RoboRewardError: If frames cannot be read or judged.
    """
    from robo_reward.model import Model

    from .estimators import (
        MODEL,
        TRUTH,
        embedding_distance,
        model_estimator,
        trivial_estimators,
        truth_estimator,
    )
    from .probing import Prober

    period = model.settings.query_period_s
    estimators = {MODEL: model_estimator(model), **trivial_estimators(period)}
    if isinstance(model, Model):  # a remote one has no features that we could compare
        estimators["embedding_distance"] = embedding_distance(model)
    estimators[TRUTH] = truth_estimator(period)
    prober = Prober(estimators=estimators, probes=probes, period_s=period, seed=seed)
    with progress_bar("eval", len(cases), "episodes") as bar:
        for case in cases:
            prober.ask(case)
            log.write(episode=case.name, frames=len(case.truth))
            bar(1)
    return prober.findings()
