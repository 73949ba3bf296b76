"""One training run: what it reads, how it validates, what it writes and how it resumes."""

import math
import os
from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from robo_reward.allocator import keep_freed_memory
from robo_reward.checkpoint import ModelConfig, save
from robo_reward.console import RunLog, progress_bar
from robo_reward.errors import DatasetError, OutputError
from robo_reward.goals import episode_goals
from robo_reward.model import Model, ModelSettings, query_stride
from robo_reward.network import ProgressNetwork
from robo_reward.packing import pack
from robo_reward.plan import Known, PairSampler
from robo_reward.processes import ALONE, Processes
from robo_reward.targets import time_to_go
from robo_reward.tracker import TrackerSettings
from robo_reward.training import Trainer

from .evaluate import Judged, calibrate, judge, seconds_error, success_auroc, summary
from .lerobot_dataset import open_dataset
from .mixture import MixedFrames, Mixture
from .planning import size_lines
from .resuming import (
    LOG,
    best_so_far,
    check_output,
    check_same_run,
    check_shareable,
    first_network,
    forget,
    identity,
    keep_base,
    restore,
)
from .segmenting import by_change, is_unannotated, small_grey
from .split import usable_frames
from .validating import Split, Validation

if TYPE_CHECKING:
    from .train import Train


class TrainingRun:
    """Reads a dataset's facts, then trains; nothing is written before `train`."""

    def __init__(self, command: "Train", processes: Processes = ALONE) -> None:
        """Open the dataset and draw the split.

        Raises:
            RoboRewardError: If the dataset, the output or a flag is not usable.
        """
        self.command, self.processes = command, processes
        check_shareable(command, processes)
        if processes.first:
            check_output(command.out, resume=command.resume, overwrite=command.overwrite)
        processes.wait()
        views = command.views or None
        self.dataset = Mixture([open_dataset(source, views=views) for source in command.dataset])
        self.chances = self.dataset.chances(command.weights)
        self.episodes = [self.dataset.episode(i) for i in range(len(self.dataset))]
        self.goals = [episode_goals(episode, budget=command.budget) for episode in self.episodes]
        halves = self.dataset.split(command.validation, command.seed)
        self.split = Split.draw(self.episodes, halves, command.withhold)
        self.settings = ModelSettings(
            image_size=command.shape.image_size,
            history=command.shape.history,
            belief=command.shape.belief,
            query_period_s=command.query_period,
            view_disagreement=command.view_disagreement,
            tracker=TrackerSettings(fusion=command.fusion),
        )
        self._filled = False
        self._check_learnable()
        if command.resume:
            check_same_run(command.out, identity(command, self.dataset))

    def plan(self) -> str:
        """Return what will be done, in a few lines."""
        frames = sum(episode.length for episode in self.episodes)
        size = self.command.shape.image_size
        bytes_needed = frames * len(self.dataset.views) * size * size * 3
        batch = self.command.sampling
        pairs = batch.episodes * batch.prefixes * batch.pairs
        size_told, *memory_told = size_lines(self.command, len(self.dataset.views))
        lines = [
            f"{len(self.split.training)} episodes to train on, {len(self.split.validation)} to "
            f"validate; "
            f"{frames} frames of {', '.join(self.dataset.views)}",
            f"{size_told}, {self.command.training.steps} steps of {pairs} pairs; frame cache "
            f"{bytes_needed / 1e9:.2f} GB in {self.command.cache}",
            *memory_told,
        ]
        return "\n".join(lines + self._reservations())

    def _unannotated(self) -> list[int]:
        """Return the episodes whose progress is found in their images."""
        if self.command.unannotated == "time":
            return []
        return [n for n, episode in enumerate(self.episodes) if is_unannotated(episode)]

    def _reservations(self) -> list[str]:
        """Return what the figures and labels of this run cannot tell, a line each."""
        lines = []
        if not self.split.judged():
            lines.append("no validation: confidence stays uncalibrated (NaN), best = last")
        found = len(self._unannotated())
        if found:
            lines.append(
                f"{found} successes have no annotation: their progress is taken from what changes "
                "in the images (--unannotated time: from the clock)"
            )
        own = self.validation.flattered()
        if own:
            lines.append(
                f"validation: {own} episodes see their own last frame as the goal, since no "
                "other training episode of their task succeeds: their figures flatter"
            )
        goals = [goal for number in self.split.training for goal in self.goals[number]]
        if len({goal.instructions[0] for goal in goals}) == 1:
            lines.append("match: only one goal in this data, so match_prob says nothing")
        return lines

    def train(self) -> str:
        """Train to the end and return where the model is and what it reached.

        Raises:
            RoboRewardError: If the frames cannot be read or the output not written.
        """
        command, first = self.command, self.processes.first
        keep_freed_memory()
        torch.manual_seed(command.seed)
        network = first_network(command)
        self.fill_cache()
        try:
            if command.overwrite and first:
                forget(command.out)
            if self.processes.sharded:
                keep_base(network, command.out / "last", write=first)
            trainer = self._trainer(network)
            with closing(RunLog(command.out / LOG if first else Path(os.devnull))) as log:
                best = self._loop(trainer, log)
        except OSError as error:
            raise OutputError(
                f"cannot write to {command.out} ({error.strerror}); free some space, then repeat "
                "the command with --resume"
            ) from error
        told = ", ".join(f"{name} {value:.3f}" for name, value in best.items())
        return f"model: {command.out / 'best'}" + (f"\nvalidation: {told}" if best else "")

    def _trainer(self, network: ProgressNetwork) -> Trainer:
        """Return the trainer of a network where this process computes, a resumed run's restored."""
        self.processes.place(network)
        command = self.command
        trainer = Trainer(network, command.schedule, seed=command.seed, processes=self.processes)
        if command.resume:
            restore(trainer, command.out)
        return trainer

    def _loop(self, trainer: Trainer, log: RunLog) -> dict[str, float]:
        command, steps = self.command, self.command.training.steps
        sampler, views = self.sampler, self.dataset.views
        best = best_so_far(command.out) if command.resume else {}
        with progress_bar("train", steps, "steps") as bar:
            bar(trainer.done)
            while trainer.done < steps:
                batch = pack(sampler.plan(trainer.rng(0)), self.frames, views)
                terms = trainer.step(batch)
                bar(1, f"loss {terms['loss']:.3f}, {len(batch)} pairs a step")
                log.write(step=trainer.done, pairs=trainer.done * len(batch), **terms)
                if trainer.done % command.evaluate_every == 0 or trainer.done == steps:
                    best = self._checkpoint(trainer, log, best)
        return best

    def _checkpoint(
        self, trainer: Trainer, log: RunLog, best: dict[str, float]
    ) -> dict[str, float]:
        """Validate, write last/ and the run's state, and best/ if it is the best so far.

        Every process validates, since judging needs the parts that each holds; the first decides.
        """
        with self.processes.judging(trainer.network):
            model = Model(trainer.network, self.settings, fingerprint="")
            judged = judge(model, self.validation.cases())
        metrics, tracker = self._validated(judged)
        log.write(step=trainer.done, validation=metrics)
        out, first = self.command.out, self.processes.first
        config = self._config(trainer.done, metrics, tracker)
        save(out / "last", trainer.network, config, write=first)
        better = not metrics or metrics["mae"] <= best.get("mae", math.inf)
        better = self.processes.total([float(better and first)])[0] > 0
        if better:
            save(out / "best", trainer.network, config, write=first)
        trainer.save(out)
        return metrics if better else best

    def _validated(self, judged: list[Judged]) -> tuple[dict[str, float], TrackerSettings]:
        if not any((~np.isnan(item.case.truth)).any() for item in judged):
            return {}, self.settings.tracker
        cases = [item.case for item in judged]
        metrics = summary([item.labels.progress for item in judged], cases)
        scores = [float(item.labels.success_prob.max()) for item in judged]
        if len(judged) > 1:
            metrics["success_auroc"] = success_auroc(scores, cases)
        if self.command.shape.time_to_go:
            metrics["time_to_go_error"] = seconds_error(judged)
        return metrics, calibrate(self.settings.tracker, judged)

    def _config(
        self, step: int, metrics: dict[str, float], tracker: TrackerSettings
    ) -> ModelConfig:
        settings = asdict(self.settings) | {"tracker": tracker}
        return ModelConfig(
            backbone=self.command.shape,
            settings=ModelSettings(**settings),
            training={
                **identity(self.command, self.dataset),
                "step": step,
                "datasets": [Path(source).name for source in self.command.dataset],
                "episodes": {
                    "training": len(self.split.training),
                    "validation": len(self.split.validation),
                },
                "limits": self._reservations(),
                "validation": metrics,
                "instructions": sorted({episode.instructions[0] for episode in self.episodes}),
            },
        )

    @cached_property
    def sampler(self) -> PairSampler:
        """Draws the pairs of the training episodes."""
        known = {number: self._known(number) for number in self.split.training}
        history, belief = self.settings.history, self.settings.belief
        return PairSampler(known, self.command.sampling, history=history, belief=belief)

    def _known(self, number: int) -> Known:
        episode, source = self.episodes[number], self.dataset.source(number)
        return Known(
            goals=self.goals[number],
            usable=usable_frames(episode.length, self.split.blocks(number)),
            period=query_stride(self.command.query_period, episode.fps),
            present=self.frames.present(number),
            source=source,
            chance=self.chances[source],
            fps=episode.fps,
        )

    @cached_property
    def frames(self) -> MixedFrames:
        """The decoded frames, at the size of the model."""
        size, cap = self.command.shape.image_size, self.command.cache_gb
        return MixedFrames(self.dataset, self.command.cache, size=size, cap_gb=cap)

    @cached_property
    def validation(self) -> Validation:
        """What validation judges."""
        return Validation(self.dataset, self.episodes, self.goals, self.split, self.frames)

    def fill_cache(self) -> None:
        """Decode what is not cached yet, and find the progress that only images can tell; once."""
        if self._filled:
            return
        self._filled = True
        for first in (True, False):  # what the first process has decoded the others only find
            if first == self.processes.first:
                with progress_bar("decode", len(self.episodes), "episodes") as bar:
                    self.frames.fill(bar)
            self.processes.wait()
        for number in self._unannotated():
            grey = small_grey(self.frames, number, self.episodes[number].length)
            self.goals[number] = (by_change(self.goals[number][0], grey),)

    def _check_learnable(self) -> None:
        known = [n for n in self.split.training if not np.isnan(self.goals[n][0].progress).all()]
        if not known:
            told = " ".join(self.command.dataset)
            raise DatasetError(
                f"{told} says of no training episode how it progressed: it needs "
                "successes (next.success), annotated subtasks, or a simulator's truth.progress"
            )
        if self.command.shape.time_to_go and not any(self._timed(n) for n in self.split.training):
            raise DatasetError(
                f"--time-to-go: {' '.join(self.command.dataset)} says of no training episode when "
                "it succeeded: it needs next.success in some frame before the last, annotated "
                "subtasks, or a simulator's truth.progress; or leave the flag out"
            )

    def _timed(self, number: int) -> bool:
        """Return whether it is known when an episode succeeds."""
        fps = self.episodes[number].fps
        return any(not np.isnan(time_to_go(g.success, fps)).all() for g in self.goals[number])
