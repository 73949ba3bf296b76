"""How far a labelling run is, read from the place that it writes to."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from robo_reward.errors import DatasetError

from .compaction import is_finished
from .label_plan import FAILED, PLAN, UNITS, Plan
from .label_store import DirectoryStore, is_dead
from .labelling import COMPACTION
from .leases import holders

RECENT = 50
"""Units that the rate is taken from."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is."""

    state: str
    """finished, running (somebody holds a unit) or stopped."""
    units: int
    """Episodes that are labelled."""
    of: int
    frames: int
    """Frames of those."""
    of_frames: int
    failed: dict[int, str]
    """Episode → why it could not be labelled."""
    workers: dict[str, list[int]]
    """Process → episodes that it holds; those that are known to be dead are left out."""
    dead: int
    """How many units are held by the dead, and wait to be taken over."""
    frames_per_s: float
    """Of the last units; NaN where fewer than two are known."""
    left_s: float
    """Until the end at that rate; NaN where it is not known or nobody is at work."""
    age_s: float
    """Since the last unit was published; NaN where none was."""

    def content(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


def read_progress(root: Path) -> "tuple[Plan, Progress]":
    """Return the plan of a run and how far it is.

    Raises:
        DatasetError: If nothing is labelled there, or the plan is damaged.
    """
    if not (root / PLAN).is_file():
        raise DatasetError(
            f"{root} holds no {PLAN}, so no labels were begun there; give the --out of a label run"
        )
    store = DirectoryStore(root)
    plan = Plan.read(store)
    assert plan is not None
    finished = is_finished(root, plan)
    count = len(plan.lengths)
    there = [int(name) for name in store.names(UNITS) if name.isdecimal()]
    labelled = list(range(count)) if finished else [n for n in there if n < count]
    leases = holders(store)
    held = {unit: lease for unit, lease in leases.items() if unit.isdecimal()}
    last = leases.get(COMPACTION)
    ending = last is not None and not is_dead(last.process)
    workers: dict[str, list[int]] = {}
    for unit, lease in held.items():
        if not is_dead(lease.process):
            workers.setdefault(lease.process, []).append(int(unit))
    rate, age = _rate(root, [] if finished else labelled, plan)
    frames = sum(plan.lengths[episode] for episode in labelled)
    left = (sum(plan.lengths) - frames) / rate if workers and rate else float("nan")
    return plan, Progress(
        state="finished" if finished else "running" if workers or ending else "stopped",
        units=len(labelled),
        of=count,
        frames=frames,
        of_frames=sum(plan.lengths),
        failed={
            int(unit): (store.read(f"{FAILED}/{unit}") or b"").decode()
            for unit in store.names(FAILED)
            if unit.isdecimal()
        },
        workers=workers,
        dead=len(held) - sum(map(len, workers.values())),
        frames_per_s=rate,
        left_s=left,
        age_s=age,
    )


def _rate(root: Path, labelled: list[int], plan: Plan) -> tuple[float, float]:
    """Return the frames per second of the last units, and how old the last one is."""
    times = {}
    for episode in labelled:
        try:
            times[episode] = (root / UNITS / f"{episode:06d}").stat().st_mtime
        except FileNotFoundError:  # made into the sidecar meanwhile
            continue
    last = sorted(times, key=times.__getitem__)[-RECENT:]
    if not last:
        return float("nan"), float("nan")
    age = max(0.0, time.time() - times[last[-1]])
    span = times[last[-1]] - times[last[0]]
    frames = sum(plan.lengths[episode] for episode in last[1:])
    return (frames / span if span > 0.0 else float("nan")), age
