"""``robo-reward status``: how far a labelling run is, also while it runs."""

import json as json_format
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from .label_progress import Progress


@dataclass(frozen=True, kw_only=True)
class Status:
    """Say how far a labelling run is: what is done, who is at work, what failed, how long yet.

    Example: robo-reward status outputs/labels

    It only reads, so it can be called at any time, from any machine that sees the directory.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """The --out of 'robo-reward label'."""
    json: Path | None = None
    """File that receives the figures."""

    def run(self) -> None:
        """Print how far it is.

        Raises:
            RoboRewardError: If nothing is labelled there.
        """
        from robo_reward.files import finite, write_atomically

        from .label_progress import read_progress
        from .places import written

        plan, progress = read_progress(self.out)
        print("\n".join(lines(progress)))
        print(f"model {plan.about['model_fingerprint'][:16]}, ", end="")
        print(f"dataset {plan.about['dataset_fingerprint'][:16]}")
        if self.json is not None:
            with written(self.json):
                told = json_format.dumps(finite(progress.content()), indent=1, allow_nan=False)
                write_atomically(self.json, told.encode())


def lines(progress: "Progress") -> list[str]:
    """Return how far a run is, in lines for a person."""
    told = [
        f"{progress.state}: {progress.units} of {progress.of} episodes, "
        f"{progress.frames} of {progress.of_frames} frames"
    ]
    if progress.frames_per_s == progress.frames_per_s:
        told[0] += f"; lately {progress.frames_per_s:.1f} frames/s"
    if progress.left_s == progress.left_s:
        told[0] += f", {_duration(progress.left_s)} left"
    for process, episodes in sorted(progress.workers.items()):
        told.append(f"  {process} is at episode {', '.join(map(str, episodes))}")
    if progress.dead:
        told.append(f"  {progress.dead} episodes of dead workers wait to be taken over")
    if progress.age_s == progress.age_s:
        told.append(f"  the last episode was published {_duration(progress.age_s)} ago")
    for episode, reason in progress.failed.items():
        told.append(f"  episode {episode} failed: {reason}")
    if progress.state == "stopped":
        told.append("  nobody is at work: repeat the label command to go on")
    return told


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
