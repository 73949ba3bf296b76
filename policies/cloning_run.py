"""One run of cloning: what it reads, what it writes, and how it goes on."""

import hashlib
import re
from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from data.lerobot_dataset import open_dataset
from data.places import try_out, written
from robo_reward.acting import Bools, Floats, Situation
from robo_reward.allocator import keep_freed_memory
from robo_reward.console import RunLog, progress_bar
from robo_reward.errors import OutputError
from robo_reward.files import TEMPORARY
from robo_reward.training_state import STATE

from .about import About
from .cloning import Cloner, check_identity
from .compact import CompactPolicy, CompactPolicyConfig
from .demonstrations import ACTION, Choice, Demonstrations
from .demonstrations import STATE as FELT
from .showing import Showing
from .storing import CONFIG, FIGURES, read_policy, remove_policy, save_policy
from .weighing import row_weights

if TYPE_CHECKING:
    from .clone import Clone

LOG = "log.jsonl"
_OURS = re.compile(rf"{CONFIG}|{STATE}|{LOG}|{FIGURES}|model-\w+\.safetensors|{TEMPORARY}.*")
"""Files that a directory of a cloned policy may hold."""


class CloningRun:
    """Reads the demonstrations, then clones; nothing is written before `clone`."""

    def __init__(self, command: "Clone") -> None:
        """Read all but the images.

        Raises:
            RoboRewardError: If the datasets, the output or a flag is not usable.
        """
        self.command = command
        choice = Choice(
            episodes=command.episodes,
            behaviours=command.behaviour,
            failures=command.failures,
            seed=command.seed,
        )
        datasets = [open_dataset(name, views=command.views or None) for name in command.dataset]
        self.shown = Demonstrations(datasets, choice, chunk=command.shape.chunk)
        self.showing = Showing(
            self.shown,
            row_weights(command.weights, command.weight_column, self.shown),
            size=command.shape.image_size,
            cache=command.cache,
            cache_gb=command.cache_gb,
        )
        self._check_output()

    def plan(self) -> str:
        """Return what will be done, in a few lines."""
        shown, command = self.shown, self.command
        size, frames = command.shape.image_size, len(shown.rows)
        told = ", ".join(f"{count} {why}" for why, count in shown.left_out.items())
        unknown = sum(shown.episodes[number].outcome is None for number in shown.chosen)
        lines = [
            f"{len(shown.chosen)} of {len(shown.episodes)} episodes are cloned"
            + (f" (left out: {told})" if told else ""),
            f"{frames} frames of {', '.join(shown.views)} at {size} px; {command.cloning.steps} "
            f"steps of {command.cloning.batch}; chunks of {command.shape.chunk}, of which "
            f"{command.executed} are executed",
        ]
        if unknown:
            lines.append(f"{unknown} of them do not say how they ended: taken for successes")
        if command.weights:
            drawn = np.diff(self.showing.chance, prepend=0.0) > 0
            lines.append(f"weights by {command.weight_column}: {drawn.mean():.0%} of frames count")
        return "\n".join(lines)

    def clone(self) -> str:
        """Clone to the end and return where the policy is.

        Raises:
            RoboRewardError: If the frames cannot be read or the output not written.
        """
        command = self.command
        if (command.out / CONFIG).is_file() and not command.overwrite:
            return f"policy: {command.out} (it was there already)"
        keep_freed_memory()
        self.showing.fill()
        with written(command.out):
            if command.overwrite:
                remove_policy(command.out)
                for name in (STATE, LOG, FIGURES):
                    (command.out / name).unlink(missing_ok=True)
            torch.manual_seed(command.seed)
            cloner = Cloner(self._policy(), command.cloning, seed=command.seed)
            if (command.out / STATE).is_file():
                cloner.restore(command.out, self.identity)
            with closing(RunLog(command.out / LOG)) as log:
                loss = self._loop(cloner, log)
            about = self._about(loss)
            told = save_policy(cloner.policy, command.out, about)
            (command.out / STATE).unlink(missing_ok=True)
        return f"policy: {command.out} (fingerprint {told}, loss {loss:.3f})"

    def _loop(self, cloner: Cloner, log: RunLog) -> float:
        command, steps = self.command, self.command.cloning.steps
        recent: list[float] = []
        with progress_bar("clone", steps, "steps") as bar:
            bar(cloner.done)
            while cloner.done < steps:
                loss = cloner.step(*self._draw(cloner.rng(0)))
                recent = [*recent[-99:], loss]
                bar(1, f"loss {loss:.3f}")
                log.write(step=cloner.done, loss=loss)
                if cloner.done % command.save_every == 0 and cloner.done < steps:
                    cloner.save(command.out, self.identity)
        return float(np.mean(recent)) if recent else float("nan")

    def _draw(self, rng: np.random.Generator) -> tuple[Situation, Floats, Bools]:
        """Return what a step learns from."""
        return self.showing.draw(rng, self.command.cloning.batch)

    def _policy(self) -> CompactPolicy:
        shown, shape = self.shown, self.command.shape
        policy = CompactPolicy(
            CompactPolicyConfig(
                views=shown.views,
                state_dim=len(shown.names(FELT)),
                action_dim=len(shown.names(ACTION)),
                chunk=shape.chunk,
                image_size=shape.image_size,
                channels=shape.channels,
                width=shape.width,
            )
        )
        policy.standardise(shown.moments(FELT), shown.moments(ACTION))
        return policy.to("cuda" if torch.cuda.is_available() else "cpu")

    def _about(self, loss: float) -> About:
        shown, command = self.shown, self.command
        first = shown.datasets[0].facts
        tasks = {dataset.facts.own.get("task", "") for dataset in shown.datasets}
        used = [shown.episodes[number] for number in shown.chosen]
        return About(
            replan_steps=command.executed,
            fps=float(first.info["fps"]),
            images=shown.image_sizes(),
            state_names=shown.names(FELT),
            action_names=shown.names(ACTION),
            robot=first.info.get("robot_type") or "",
            task=tasks.pop() if len(tasks) == 1 else "",
            instructions=tuple(sorted({episode.instructions[0] for episode in used})),
            training={**self.identity, "loss": loss, "episode_numbers": shown.chosen},
        )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What a run and the one that goes on with it must share."""
        command = self.command
        return {
            "dataset": self.shown.mixture.fingerprint,
            "views": list(self.shown.views),
            "episodes": command.episodes,
            "behaviour": list(command.behaviour),
            "failures": command.failures,
            "weights": command.weights
            and hashlib.sha256(self.showing.chance.tobytes()).hexdigest()[:16],
            "seed": command.seed,
            "replan_steps": command.executed,
            "shape": asdict(command.shape),
            "cloning": asdict(command.cloning),
        }

    def _check_output(self) -> None:
        """Check that ``--out`` may be written to, or holds this run."""
        out = self.command.out
        if out.exists() and not out.is_dir():
            raise OutputError(f"--out {out} is a file; give a directory")
        there = {path.name for path in out.iterdir()} if out.is_dir() else set()
        strange = sorted(name for name in there if not _OURS.fullmatch(name))
        if strange:
            raise OutputError(
                f"--out {out} holds {strange[0]}, which is no part of a cloned policy; choose "
                "another place"
            )
        if CONFIG in there and not self.command.overwrite:
            check_identity(out, read_policy(out)["about"]["training"], self.identity)
        try_out(out)
