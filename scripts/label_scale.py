r"""What labelling many episodes costs: memory by units done, and where the time goes.

Makes a dataset of moving squares (video, three cameras), unless it is there, labels it by the
command, and looks at the memory of all its processes twice a second:
    python scripts/label_scale.py --model outputs/model --out outputs/scale --units 1000 --workers 2
"""

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from data.compaction import FILE
from data.label_plan import UNITS
from data.labelling import LOG
from data.layout import DatasetLayout
from data.writer import DatasetWriter

VIEWS = ("front", "side", "wrist")
PAGE_MB = 4096 / 2**20


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Label many episodes under observation."""

    model: Path
    out: Path
    units: int = 1000
    workers: int = 1
    frames: int = 40
    side: int = 96
    """Pixels of the recorded images."""

    def run(self) -> None:
        """Print the slope of memory, the split of time, and the rate."""
        dataset, labels = self.out / "data", self.out / f"labels-{self.workers}"
        if not dataset.exists():
            make(dataset, self)
        flags = ["--dataset", str(dataset), "--model", str(self.model), "--out", str(labels)]
        program = ["robo-reward", "label", *flags, "--workers", str(self.workers), "--overwrite"]
        begun = time.monotonic()
        with subprocess.Popen(program) as run:
            seen = list(watch(run, labels))
        if run.returncode:
            raise SystemExit(run.returncode)
        self.tell(labels, seen, time.monotonic() - begun)

    def tell(self, labels: Path, seen: list[tuple[int, float]], seconds: float) -> None:
        """Print what was seen."""
        size = (labels / FILE).stat().st_size / 1e6
        print(f"{self.units} units in {seconds:.0f} s, {size:.1f} MB of labels")
        # the last 4096 views that were encoded are kept: at first memory grows until they are there
        settled = [(done, mb) for done, mb in seen if self.units * 0.4 < done < self.units]
        if len(settled) > 2:
            done, used = np.array(settled).T
            slope = np.polyfit(done, used, 1)[0] * 100
            print(f"memory of all processes: {used.mean():.0f} MB, {slope:+.2f} MB per 100 units")
        for line in last_lines(labels):
            whole = sum(line[f"{name}_s"] for name in ("decode", "model", "write", "idle"))
            told = ", ".join(
                f"{name} {line[f'{name}_s'] / whole:.1%}"
                for name in ("decode", "model", "write", "idle")
            )
            print(f"{line['worker']}: {whole:.0f} s: {told}; most {line['most_mb']:.0f} MB")


def make(root: Path, scale: Scale) -> None:
    """Write the dataset."""
    shape = (scale.side, scale.side, 3)
    layout = DatasetLayout(
        fps=10,
        image_shapes=dict.fromkeys(VIEWS, shape),
        features={"next.success": {"dtype": "bool", "shape": (1,), "names": None}},
        storage="h264",
    )
    with DatasetWriter(root, layout, description={}) as writer:
        for episode in range(scale.units):
            writer.add_episode(rows(episode, scale), task="push the square", columns={})


def rows(episode: int, scale: Scale) -> Iterator[dict[str, Any]]:
    """Yield the frames of an episode: a square moves over a ground of its own colour."""
    rng = np.random.default_rng(episode)
    ground = rng.integers(0, 200, 3, np.uint8)
    for number in range(scale.frames):
        image = np.full((scale.side, scale.side, 3), ground, np.uint8)
        left = number * (scale.side - 16) // scale.frames
        image[32:48, left : left + 16] = 255 - ground
        shown = {f"observation.images.{view}": image for view in VIEWS}
        yield shown | {"next.success": number > 0.9 * scale.frames}


def watch(run: "subprocess.Popen[bytes]", labels: Path) -> Iterator[tuple[int, float]]:
    """Yield (units that are there, MB of all processes of the run) until it ends."""
    while run.poll() is None:
        done = len(list((labels / UNITS).glob("*"))) if (labels / UNITS).is_dir() else 0
        yield done, sum(map(resident_mb, family(run.pid)))
        time.sleep(0.5)


def family(pid: int) -> list[int]:
    """Return a process and all that it has started, and those in turn."""
    try:
        told = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [pid, *(one for child in told for one in family(int(child)))]


def resident_mb(pid: int) -> float:
    """Return the memory that a process has to itself: what it shares counts once, elsewhere."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except FileNotFoundError:
        return 0.0
    return (int(resident) - int(shared)) * PAGE_MB


def last_lines(labels: Path) -> list[dict[str, Any]]:
    """Return what the workers of the last run said of their time."""
    lines = [json.loads(line) for line in (labels / LOG).read_text().splitlines()]
    return list({line["worker"]: line for line in lines if "worker" in line}.values())


if __name__ == "__main__":
    tyro.cli(Scale).run()
