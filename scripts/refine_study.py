r"""Does a learned potential help? Every run behind the tables of refinement in docs/results.md.

Collects demonstrations, trains a reward model, clones a weak start, refines it by every way that is
compared, plays what came out on held-out seeds, and writes a table and a picture. What is there is
not made again, so an interrupted study goes on:
    python scripts/refine_study.py --out outputs/study --task open_drawer --jobs 2
"""

import json
import math
import os
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import tyro

GAIN = 0.3
"""Points of success that rollouts are counted to."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is particular to a task."""

    collect: tuple[str, ...]
    train: tuple[str, ...]
    clone: tuple[str, ...]
    refine: tuple[str, ...]


TASKS = {
    "open_drawer": Task(
        collect=("--episodes", "60", "--image-size", "96"),
        train=("--steps", "600", "--query-period", "0.2"),
        clone=("--episodes", "10", "--steps", "160", "--learning-rate", "1e-3"),
        refine=("--replan-steps", "8", "--max-steps", "120"),
    ),
    "metaworld/door-open": Task(
        collect=(
            *("--episodes", "120", "--image-size", "96"),
            *("--mix", "expert=.3 stop=.2 miss=.25 noise=.15 recovery=.05 detour=.05"),
        ),
        train=("--steps", "600", "--query-period", "0.2"),
        clone=(
            *("--behaviour", "expert", "--episodes", "10", "--steps", "120"),
            *("--learning-rate", "1e-3", "--chunk", "16", "--replan-steps", "16"),
        ),
        # 80 steps a second: .9975 looks as far ahead as .99 does at 20
        refine=("--replan-steps", "16", "--max-steps", "240", "--gamma", "0.9975"),
    ),
}

WAYS: dict[str, tuple[tuple[str, ...], int]] = {
    "phi-ppo": (("--reward", "{model}"), 3),
    "sparse-ppo": (("--algorithm", "ppo"), 3),
    "truth-ppo": (("--reward", "truth"), 2),
    "phi-rloo": (("--reward", "{model}", "--algorithm", "phi-rloo"), 2),
    "grpo": (("--algorithm", "grpo"), 2),
    "unsound-progress-as-reward": (
        ("--reward", "{model}", "--algorithm", "unsound-progress-as-reward"),
        2,
    ),
    "unsound-srpo": (("--reward", "{model}", "--algorithm", "unsound-srpo"), 2),
}
"""Name of a way → its flags, and how many seeds it gets."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Run a study of one task."""

    out: Path
    task: str = "open_drawer"
    ways: tuple[str, ...] = tuple(WAYS)
    rollouts: int = 1280
    jobs: int = 2
    """Runs at once, each on one thread."""
    data: Path | None = None
    """Demonstrations that are there already."""
    model: Path | None = None
    """A reward model that is there already."""
    start: Path | None = None
    """A policy to begin with that is there already."""
    extra: str = ""
    """More flags for every refinement, in one string."""
    env: dict[str, str] = field(default_factory=lambda: {"OMP_NUM_THREADS": "1"})

    def run(self) -> None:
        """Make what is missing, then the table and the picture."""
        place, task = self.out / self.task.replace("/", "-"), TASKS[self.task]
        place.mkdir(parents=True, exist_ok=True)
        data, model = self.data or place / "demonstrations", self.model or place / "model"
        start, held = self.start or place / "start", ("--episodes", "100")
        if not data.exists():
            self._call("collect", "--task", self.task, "--out", data, *task.collect)
        cache = ("--cache", place / "cache")
        judged = any("{model}" in WAYS[way][0] for way in self.ways)
        if judged and not model.exists():
            self._call("train", "--dataset", data, "--out", model, *cache, *task.train)
        if not start.exists():
            self._call("clone", "--dataset", data, "--out", start, *cache, *task.clone)
        runs = [(way, seed) for way in self.ways for seed in range(WAYS[way][1])]
        runs.sort(key=lambda run: run[1])  # the first seed of all, then the second

        def refine(run: tuple[str, int]) -> None:
            way, seed = run
            out = place / f"{way}-{seed}"
            flags = [flag.format(model=model) for flag in WAYS[way][0]]
            if str(model) in flags:
                flags += ["--references", str(data)]
            common = ("--policy", start, "--env", self.task, "--out", out, "--seed", str(seed))
            budget = ("--rollouts", str(self.rollouts), "--workers", "0")
            log = place / f"{way}-{seed}.log"
            more = self.extra.split()
            if self._call("refine", *common, *budget, *task.refine, *flags, *more, log=log):
                asked = ("--policy", out / "policy", "--env", self.task, *held)
                self._call("eval", *asked, "--out", out, "--overwrite", log=log)

        with ThreadPoolExecutor(self.jobs) as pool:
            list(pool.map(refine, runs))
        print(table(place, runs))

    def _call(self, *args: Any, log: Path | None = None) -> bool:
        command = [str(Path(sys.executable).with_name("robo-reward")), *map(str, args)]
        print(" ".join(["robo-reward", *map(str, args)]), flush=True)
        env = os.environ | self.env
        if log is None:
            subprocess.run(command, env=env, check=True)
            return True
        with log.open("a") as file:
            ended = subprocess.run(command, env=env, stdout=file, stderr=file, check=False)
        if ended.returncode:
            print(f"ended with {ended.returncode}, see {log}", flush=True)
        return ended.returncode == 0


def curve(out: Path) -> tuple[list[int], list[float], float, list[str]]:
    """Return (rollouts, success) of a run's evaluations, its seconds, and its alarms."""
    at, rates, names, seconds = [], [], [], 0.0
    for text in (out / "refine.jsonl").read_text().splitlines():
        line = json.loads(text)
        if "evaluation" in line:
            at.append(line["rollouts"])
            rates.append(line["evaluation"]["successes"] / line["evaluation"]["count"])
        if "alarm" in line and line["alarm"]["name"] not in names:
            names.append(line["alarm"]["name"])
        seconds = max(seconds, line["seconds"])
    return at, rates, seconds, names


def reached(at: list[int], rates: list[float]) -> float:
    """Return the rollouts after which success is `GAIN` above the start; infinity if never."""
    goal = rates[0] + GAIN
    found = [rollouts for rollouts, rate in zip(at, rates, strict=True) if rate >= goal - 1e-9]
    return found[0] if found else math.inf


def table(place: Path, runs: list[tuple[str, int]]) -> str:
    """Return the table of a study in Markdown, and draw its picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes: Any = figure.subplots()
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    colours = {way: f"C{number}" for number, way in enumerate(WAYS)}
    for way, seed in runs:
        out = place / f"{way}-{seed}"
        if not (out / "refine.jsonl").is_file():
            continue
        at, rates, seconds, names = curve(out)
        told = out / "eval.json"
        held = json.loads(told.read_text())["success_rate"] if told.is_file() else math.nan
        to_gain = reached(at, rates)
        rows[way].append(
            {"at": to_gain, "mean": mean(rates[1:]), "end": rates[-1], "best": max(rates)}
            | {"held": held, "seconds": seconds, "alarms": names}
        )
        label = way if seed == 0 else None
        axes.plot(at, rates, color=colours[way], label=label, alpha=0.8)
    axes.set(xlabel="rollouts", ylabel="success (validation seeds)", ylim=(-0.02, 1.02))
    axes.legend(fontsize="small", frameon=False)
    figure.savefig(place / "curves.png", dpi=110)
    gain = f"rollouts to +{100 * GAIN:.0f} points"
    head = f"| way | seeds | {gain} | mean | last | best | held out | alarms |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for way, found in rows.items():
        each = ", ".join("–" if math.isinf(r["at"]) else str(r["at"]) for r in found)
        middle = median(r["at"] for r in found)
        shown = "never" if math.isinf(middle) else f"{middle:.0f}"
        shares = (
            " ".join(f"{r[name]:.2f}" for r in found) for name in ("mean", "end", "best", "held")
        )
        alarms = "; ".join(",".join(r["alarms"]) or "none" for r in found)
        lines.append(
            f"| {way} | {len(found)} | {shown} ({each}) | {' | '.join(shares)} | {alarms} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(Study).run()
