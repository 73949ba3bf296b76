"""What a run says of itself before it begins."""

import math
from typing import TYPE_CHECKING

from .fitting import remarks
from .refine import SPARSE, TRUTH

if TYPE_CHECKING:
    from .refining import Refinement
    from .setting import Setting


def planned(run: "Refinement") -> list[str]:
    """Return what will be done, a line each."""
    command, setting = run.command, run.setting
    weights = sum(p.numel() for p in run.learner.policy.parameters())
    return [
        f"{command.algorithm} ({run.algorithm.says}) on {command.env}: "
        f"{command.rollouts} rollouts in {run.rounds} updates of "
        f"{command.starts.rollouts}, {command.envs} environments",
        f"policy {command.policy}: {weights / 1e6:.2f} M weights, {setting.replan} of "
        f"{setting.stored.policy.chunk} actions carried out, up to {setting.horizon} steps",
        looks_ahead(command.gamma, fps=setting.player.fps, horizon=setting.horizon),
        *_judged(setting),
        *_shared(setting),
        *remarks(setting.stored.about),
    ]


def looks_ahead(gamma: float, *, fps: float, horizon: int) -> str:
    """Return how far a discount per step looks in seconds: what few see from the number itself."""
    lasts = f"an episode lasts up to {horizon / fps:.1f} s"
    if gamma == 1.0:
        return f"γ 1: however late success comes it counts the same; {lasts}"
    half = math.log(0.5) / math.log(gamma) / fps
    return f"γ {gamma} a step: what comes {half:.1f} s later counts half; {lasts}"


def _judged(setting: "Setting") -> list[str]:
    """Return who judges, and how it is kept honest."""
    command = setting.command
    known = {TRUTH: "the simulator's progress", SPARSE: "none: success alone is paid"}
    told = [f"potential: {known.get(command.reward, command.reward)}"]
    if setting.model is not None and setting.false_positive_rate is not None:
        told.append(
            f"its validation expects {setting.false_positive_rate:.0%} of failures to fool it"
        )
    if command.refresh_every:
        names = ", ".join(command.refresh.rehearse)
        told.append(
            f"the reward model is refreshed every {command.refresh_every} updates; "
            + (
                f"rehearsed: {names}"
                if names
                else "nothing is rehearsed, so what it knew will suffer: name it by "
                "--refresh.rehearse"
            )
        )
    return told


def _shared(setting: "Setting") -> list[str]:
    """Return who plays and learns beside this process, and what is imitated."""
    command, told = setting.command, list[str]()
    if setting.cluster is not None:
        count = min(setting.cluster.workers, command.envs)
        told.append(f"{count} Ray actors, cluster {setting.cluster.address}")
    if setting.processes.count > 1:
        told.append(
            f"{setting.processes.count} processes: each plays its share of the rollouts, in "
            f"{command.envs} environments of its own, and all take the same steps"
        )
    if setting.showing is not None:
        shown, weight = setting.showing.shown, command.learner.objective.bc_weight
        told.append(f"{len(shown.chosen)} demonstrations are imitated, weight {weight}")
    return told
