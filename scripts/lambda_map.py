r"""When does a learned potential help? A map: how good the start is × λ × Φ-PPO or sparse PPO.

The policy sees where the named cube and the bin are, beside what its arm feels, so that small
networks can be cloned at `pick_to_bin`; the reward model sees pixels. Collects, clones two starts,
refines, and writes a table. What is there is not made again:
    python scripts/lambda_map.py --model outputs/model --out outputs/map
"""

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from refine_study import curve

import sim.beds
import sim.pieces
from policies.clone import Clone
from policies.cloning_config import CloneShape, CloningConfig
from policies.config import StartConfig
from policies.refine import Refine
from policies.refining import Refinement
from sim.beds import Bed, find_bed
from sim.collect import Collect
from sim.env import Observation, TabletopEnv

TASK = "pick_to_bin"
SHOWN = tuple(f"{name}.{axis}" for name in ("cube", "bin") for axis in "xyz")


class Told(TabletopEnv):
    """`pick_to_bin` whose state also has the ways from tool to cube and from cube to bin."""

    def _limits(self) -> Any:
        low, high = super()._limits()
        far = np.full(len(SHOWN), 2.0, np.float32)
        return np.concatenate((low, -far)), np.concatenate((high, far))

    def _observe(self, *, draw: bool) -> Observation:
        low, high = self._low, self._high
        self._low, self._high = low[: -len(SHOWN)], high[: -len(SHOWN)]
        seen = super()._observe(draw=draw)
        self._low, self._high = low, high
        cube, tray = (self.world.position(name) for name in (self.goal, "bin"))
        ways = np.concatenate((cube - self.world.tool(), tray - cube)).astype(np.float32)
        return {**seen, "agent_pos": np.concatenate((seen["agent_pos"], ways))}


def told_bed(task: str, *, robot: str = "", variety: Any = None) -> Bed:
    """Return where the task is played by a policy that is told."""
    bed = find_bed(task, robot=robot, variety=variety)
    assert isinstance(bed.make, partial)
    make = partial(Told, *bed.make.args, **bed.make.keywords)
    return replace(bed, make=make, state_names=(*bed.state_names, *SHOWN))


for module in (sim.beds, sim.pieces):  # here, so that the processes of the collector have it too
    vars(module)["find_bed"] = told_bed


@dataclass(frozen=True, kw_only=True)
class Map:
    """Draw the map."""

    model: Path
    """A reward model of `pick_to_bin`."""
    out: Path
    starts: dict[str, int] = field(default_factory=lambda: {"weak": 100, "fair": 115})
    """Starts, and the steps they are cloned for."""
    lams: tuple[float, ...] = (0.5, 0.95)
    seeds: int = 2
    rollouts: int = 320
    episodes: int = 60
    """Demonstrations."""

    def run(self) -> None:
        """Make what is missing and print the table."""
        data = self.out / "demonstrations"
        if not data.exists():
            Collect(
                task=TASK,
                out=data,
                episodes=self.episodes,
                image_size=64,
                mix="expert=1",
                workers=1,
                replay=0,
            ).run()
        for name, steps in self.starts.items():
            self._clone(data, name, steps)
        cells = [
            (start, lam, way, seed)
            for seed in range(self.seeds)
            for start in self.starts
            for way in ("phi-ppo", "ppo", "phi-rloo")
            for lam in (self.lams if way != "phi-rloo" else (0.8,))
        ]
        for cell in cells:
            self._refine(data, *cell)
        print("| start | λ | algorithm | success |\n|---|---|---|---|")
        for start, lam, way in dict.fromkeys(cell[:3] for cell in cells):
            found = [curve(self._place(start, lam, way, seed))[1] for seed in range(self.seeds)]
            told = "; ".join(" ".join(f"{rate:.2f}" for rate in rates) for rates in found)
            print(f"| {start} | {lam} | {way} | {told} |")

    def _clone(self, data: Path, name: str, steps: int) -> None:
        out = self.out / f"start-{name}"
        if out.exists():
            return
        Clone(
            dataset=(str(data),),
            out=out,
            views=("front",),
            replan_steps=8,
            shape=CloneShape(image_size=32, chunk=8),
            cloning=CloningConfig(steps=steps),
            cache=self.out / "cache",
        ).run()

    def _place(self, start: str, lam: float, way: str, seed: int) -> Path:
        return self.out / f"{start}-{way}-{lam}-{seed}"

    def _refine(self, data: Path, start: str, lam: float, way: str, seed: int) -> None:
        shaped = way.startswith("phi-")
        command = Refine(
            policy=self.out / f"start-{start}",
            env=TASK,
            out=self._place(start, lam, way, seed),
            reward=str(self.model) if shaped else "sparse",
            references=str(data) if shaped else "",
            algorithm=way,
            rollouts=self.rollouts,
            workers=0,
            seed=seed,
            evaluate_every=5,
            lam=(lam, lam),
            starts=StartConfig(group=8 if way == "phi-rloo" else 1),
        )
        with Refinement(command) as run:
            print(json.dumps({"start": start, "lam": lam, "way": way, "seed": seed}), flush=True)
            print(run.run(), flush=True)


if __name__ == "__main__":
    tyro.cli(Map).run()
