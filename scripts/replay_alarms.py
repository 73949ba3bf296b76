r"""Which alarms sound in runs of `refine` that are over? By the monitors as they are now.

Prints, for each run, the alarms and the update at which each sounded first:
    python scripts/replay_alarms.py outputs/study/open_drawer/* --false-positive-rate 0
A run of a version that did not store the largest Φ of episodes is judged without it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from policies.config import Limits
from policies.monitors import alarms
from policies.observing import Observed
from policies.run_state import STATE


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Judge stored runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Directories of `refine --out`; those without a run are left out."""
    false_positive_rate: float | None = None
    """As of ``--monitors``."""

    def run(self) -> None:
        """Print a line a run."""
        limits = Limits(false_positive_rate=self.false_positive_rate)
        runs = [place for place in self.runs if (place / STATE).is_file()]
        if not runs:
            raise SystemExit(f"no run of refine is among these: none holds {STATE}")
        for place in runs:
            history = stored(place)
            first: dict[str, int] = {}
            for end in range(1, len(history) + 1):
                for alarm in alarms(history[:end], limits):
                    first.setdefault(alarm.name, end)
            print(f"{place.name}: {len(history)} updates, {first or 'no alarm'}", flush=True)


def stored(place: Path) -> list[Observed]:
    """Return what monitors saw of each update of a run."""
    from safetensors import safe_open

    with safe_open(place / STATE, framework="np") as file:
        told = json.loads(file.metadata()["state"])["observed"]
    unknown = [[float("nan")] * len(one["final"]) for one in told]
    return [Observed.from_state({"peak": u} | one) for u, one in zip(unknown, told, strict=True)]


if __name__ == "__main__":
    tyro.cli(Replay).run()
