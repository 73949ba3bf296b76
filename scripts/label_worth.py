r"""What labels are worth: a policy cloned of a mixed dataset, with and without them.

Collects episodes of which most are no good, takes away all that says so, labels them by a model
that never saw them, and clones them in five ways, a few seeds each: all alike; those that
`robo-reward filter` does not drop; these, each until Φ says for good that it is done; all, weighed
by how progress rises (RA-BC); and those that truly succeed, each until it does, which nobody with a
real robot knows. What is there is not made again:
    python scripts/label_worth.py --model outputs/drawer-model --out outputs/worth
"""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from data.compaction import FILE
from data.lerobot_dataset import open_dataset

WAYS = ("uniform", "filtered", "cut", "weighed", "truth")
DONE = 0.95
"""Progress from which on an episode counts as done."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """Clone in all ways."""

    model: Path
    """Reward model of the task."""
    out: Path
    task: str = "open_drawer"
    mix: str = "expert=.3 noise=.2 stop=.2 wrong_object=.15 miss=.15"
    data: int = 80
    """Episodes of the dataset."""
    data_seed: int = 5000
    steps: int = 300
    seeds: int = 3
    episodes: int = 100
    """On which each policy is judged."""
    cache: Path = Path("outputs/cache")

    def run(self) -> None:
        """Make what is missing and print the table."""
        source, dataset = self.out / "data", self.out / "blind"
        labels, kept = self.out / "labels", self.out / "filter.json"
        if not source.exists():
            told = ("--episodes", self.data, "--seed", self.data_seed, "--image-size", 96)
            _call("collect", "--task", self.task, "--out", source, *told, "--mix", self.mix)
        if not dataset.exists():
            make_blind(source, dataset)
        _call("label", "--dataset", dataset, "--model", self.model, "--out", labels)
        if not kept.exists():
            _call("filter", "--dataset", dataset, "--labels", labels, "--out", kept)
        weights = keep_weights(labels, kept, self.out / "kept.parquet")
        named = ("--failures", "--weights", weights, "--weight-column")
        tell_agreement(source, kept)
        how: dict[str, tuple[Any, ...]] = {
            "uniform": ("--failures",),
            "filtered": (*named, "kept"),
            "cut": (*named, "cut"),
            "weighed": ("--failures", "--weights", labels),
            "truth": (),
        }
        print("| cloned | seed | success |\n|---|---|---|")
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for seed in range(self.seeds):
            for way in WAYS:
                shown = source if way == "truth" else dataset
                rate = self._clone(shown, f"{way}-{seed}", seed, how[way])
                found[way].append(rate)
                print(f"| {way} | {seed} | {rate:.2f} |", flush=True)
        for way, rates in found.items():
            print(f"{way}: mean {mean(rates):.3f} of {' '.join(f'{rate:.2f}' for rate in rates)}")

    def _clone(self, dataset: Path, name: str, seed: int, flags: tuple[Any, ...]) -> float:
        """Return the success of a policy, which is made unless it is there."""
        out = self.out / name
        if not (out / "eval.json").exists():
            shape = ("--chunk", 8, "--replan-steps", 8, "--batch", 64)
            much = ("--steps", self.steps, "--learning-rate", 1e-3, "--seed", seed)
            told = ("--dataset", dataset, "--out", out, "--cache", self.cache)
            _call("clone", *told, *shape, *much, *flags)
            _call("eval", "--policy", out, "--env", self.task, "--episodes", self.episodes)
        return float(json.loads((out / "eval.json").read_text())["success_rate"])


def make_blind(source: Path, out: Path) -> None:
    """Write the dataset without success, reward and the simulator's truth."""
    from lerobot.datasets.dataset_tools import remove_feature
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    whole = LeRobotDataset("local/source", root=source, video_backend="pyav")
    tells = [name for name in whole.meta.features if name.startswith(("next.", "truth."))]
    remove_feature(whole, tells, output_dir=out, repo_id="local/blind")
    known = [open_dataset(out).episode(index).outcome for index in range(whole.num_episodes)]
    if any(outcome is not None for outcome in known):
        raise SystemExit(f"{out} still tells how its episodes ended")


def tell_agreement(source: Path, kept: Path) -> None:
    """Print what the filter makes of successes and failures, which it was not told."""
    told, dataset = json.loads(kept.read_text()), open_dataset(source)
    for verdict in ("keep", "look", "drop"):
        good = sum(bool(dataset.episode(index).outcome) for index in told[verdict])
        print(f"{verdict}: {len(told[verdict])} episodes, of which {good} succeed")


def keep_weights(labels: Path, kept: Path, out: Path) -> Path:
    """Write weights of rows, 0 or 1, and return where.

    ``kept``: 0 in episodes that the filter drops. ``cut``: 0 there, and in the rows of an episode
    that stays done.
    """
    dropped = set(json.loads(kept.read_text())["drop"])
    names = ["index", "episode_index", "frame_index", "progress_sparse"]
    table = pq.read_table(labels / FILE, columns=names)
    episodes, done = table["episode_index"].to_numpy(), table["progress_sparse"].to_numpy() >= DONE
    weights = np.array([float(n not in dropped) for n in episodes.tolist()], np.float32)
    cut = weights.copy()
    for episode in np.unique(episodes):
        rows = np.flatnonzero(episodes == episode)
        open_rows = np.flatnonzero(~done[rows])
        begin = int(open_rows[-1]) + 2 if len(open_rows) else 1  # the row that gets there counts
        cut[rows[begin:]] = 0.0
    metadata = pq.read_schema(labels / FILE).metadata
    table = table.append_column("kept", pa.array(weights)).append_column("cut", pa.array(cut))
    pq.write_table(table.replace_schema_metadata(metadata), out)
    return out


def _call(*args: Any) -> None:
    subprocess.run(["robo-reward", *map(str, args)], check=True)


if __name__ == "__main__":
    tyro.cli(Worth).run()
