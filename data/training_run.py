"""One training run: what it reads, how it validates, what it writes and how it resumes."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from robo_reward.checkpoint import ModelConfig, build, save
from robo_reward.console import RunLog, progress_bar
from robo_reward.errors import DatasetError, InputError, OutputError
from robo_reward.model import Model, ModelSettings, query_stride
from robo_reward.protocols import References, Views
from robo_reward.tracker import TrackerSettings
from robo_reward.training import STATE, Trainer

from .batches import Known, PairSampler, pack
from .evaluate import Case, Judged, calibrate, judge, success_auroc, summary
from .goals import Goal, episode_goals
from .lerobot_dataset import open_dataset
from .mixture import MixedFrames, Mixture
from .resuming import LOG, check_output, check_same_run, forget, identity
from .split import parse_withheld, usable_frames

if TYPE_CHECKING:
    from .train import Train


class TrainingRun:
    """Reads a dataset's facts, then trains; nothing is written before `train`."""

    def __init__(self, command: "Train") -> None:
        """Open the dataset and draw the split.

        Raises:
            RoboRewardError: If the dataset, the output or a flag is not usable.
        """
        self.command = command
        check_output(command.out, resume=command.resume, overwrite=command.overwrite)
        views = command.views or None
        self.dataset = Mixture([open_dataset(source, views=views) for source in command.dataset])
        self.chances = self.dataset.chances(command.weights)
        self.episodes = [self.dataset.episode(i) for i in range(len(self.dataset))]
        self.goals = [episode_goals(episode, budget=command.budget) for episode in self.episodes]
        count = len(self.episodes)
        self.training, self.validation = self.dataset.split(command.validation, command.seed)
        self.withheld = [parse_withheld(text) for text in command.withhold]
        for block in self.withheld:
            if block.episode >= count:
                raise InputError(f"--withhold names episode {block.episode}; there are {count}")
            usable_frames(self.episodes[block.episode].length, [block])
        self.settings = ModelSettings(
            image_size=command.backbone.image_size,
            history=command.backbone.history,
            query_period_s=command.query_period,
        )
        self._check_learnable()
        if command.resume:
            check_same_run(command.out, identity(command, self.dataset))

    def plan(self) -> str:
        """Return what will be done, in a few lines."""
        frames = sum(episode.length for episode in self.episodes)
        size = self.settings.image_size
        bytes_needed = frames * len(self.dataset.views) * size * size * 3
        batch = self.command.sampling
        pairs = batch.episodes * batch.prefixes * batch.pairs
        parameters = sum(p.numel() for p in build(self.command.backbone).parameters())
        lines = [
            f"{len(self.training)} episodes to train on, {len(self.validation)} to validate; "
            f"{frames} frames of {', '.join(self.dataset.views)}",
            f"{parameters / 1e6:.1f} M parameters, {self.command.training.steps} steps of {pairs} "
            f"pairs; frame cache {bytes_needed / 1e9:.2f} GB in {self.command.cache}",
        ]
        return "\n".join(lines + self._reservations())

    def _reservations(self) -> list[str]:
        """Return what the figures and labels of this run cannot tell, a line each."""
        lines = []
        if not self.validation and not self.withheld:
            lines.append("no validation: confidence stays uncalibrated (NaN), best = last")
        own = [n for n in self._validating() if self._shown(n) == n]
        if own:
            lines.append(
                f"validation: {len(own)} episodes see their own last frame as the goal, since no "
                "other training episode of their task succeeds: their figures flatter"
            )
        goals = [goal for number in self.training for goal in self.goals[number]]
        if len({goal.instructions[0] for goal in goals}) == 1:
            lines.append("match: only one goal in this data, so match_prob says nothing")
        return lines

    def _validating(self) -> list[int]:
        """Return the episodes that validation judges, whole or in part."""
        parts = {block.episode for block in self.withheld} & set(self.training)
        return self.validation + sorted(parts)

    def train(self) -> str:
        """Train to the end and return where the model is and what it reached.

        Raises:
            RoboRewardError: If the frames cannot be read or the output not written.
        """
        command = self.command
        torch.manual_seed(command.seed)
        trainer = Trainer(build(command.backbone), command.training, seed=command.seed)
        if torch.cuda.is_available():
            trainer.network.cuda()
        if command.resume and (command.out / STATE).is_file():
            trainer.restore(command.out)
        self._fill_cache()
        try:
            if command.overwrite:
                forget(command.out)
            with closing(RunLog(command.out / LOG)) as log:
                best = self._loop(trainer, log)
        except OSError as error:
            raise OutputError(
                f"cannot write to {command.out} ({error.strerror}); free some space, then repeat "
                "the command with --resume"
            ) from error
        told = ", ".join(f"{name} {value:.3f}" for name, value in best.items())
        return f"model: {command.out / 'best'}" + (f"\nvalidation: {told}" if best else "")

    def _loop(self, trainer: Trainer, log: RunLog) -> dict[str, float]:
        command, steps = self.command, self.command.training.steps
        sampler, views = self.sampler, self.dataset.views
        best = self._best_so_far()
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
        """Validate, write last/ and the run's state, and best/ if it is the best so far."""
        model = Model(trainer.network, self.settings, fingerprint="")
        judged = judge(model, self.cases)
        metrics, tracker = self._validated(judged)
        log.write(step=trainer.done, validation=metrics)
        out = self.command.out
        config = self._config(trainer.done, metrics, tracker)
        save(out / "last", trainer.network, config)
        better = not metrics or metrics["mae"] <= best.get("mae", math.inf)
        if better:
            save(out / "best", trainer.network, config)
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
        return metrics, calibrate(self.settings.tracker, judged)

    def _config(
        self, step: int, metrics: dict[str, float], tracker: TrackerSettings
    ) -> ModelConfig:
        settings = asdict(self.settings) | {"tracker": tracker}
        return ModelConfig(
            backbone=self.command.backbone,
            settings=ModelSettings(**settings),
            training={
                **identity(self.command, self.dataset),
                "step": step,
                "validation": metrics,
                "instructions": sorted({episode.instructions[0] for episode in self.episodes}),
            },
        )

    @cached_property
    def sampler(self) -> PairSampler:
        """Draws the pairs of the training episodes."""
        known = {number: self._known(number) for number in self.training}
        return PairSampler(known, self.command.sampling, history=self.settings.history)

    def _known(self, number: int) -> Known:
        episode, source = self.episodes[number], self.dataset.source(number)
        blocks = [block for block in self.withheld if block.episode == number]
        return Known(
            goals=self.goals[number],
            usable=usable_frames(episode.length, blocks),
            period=query_stride(self.command.query_period, episode.fps),
            present=self.frames.present(number),
            source=source,
            chance=self.chances[source],
        )

    @cached_property
    def frames(self) -> MixedFrames:
        """The decoded frames, at the size of the model."""
        size, cap = self.settings.image_size, self.command.cache_gb
        return MixedFrames(self.dataset, self.command.cache, size=size, cap_gb=cap)

    @cached_property
    def cases(self) -> list[Case]:
        """What validation judges: episodes kept back, and frames withheld from training."""
        blocks: dict[int, Any] = {}
        for block in self.withheld:
            blocks.setdefault(block.episode, []).append(block)
        whole = [self._case(n, self.goals[n][0], slice(None)) for n in self.validation]
        parts = [
            self._case(
                n, self.goals[n][0], np.concatenate([np.arange(b.start, b.stop) for b in bs])
            )
            for n, bs in blocks.items()
            if n in self.training
        ]
        return whole + parts

    def _case(self, number: int, goal: Goal, compared: Any) -> Case:
        """Return the case of an episode; only the ``compared`` frames have their truth told."""
        episode = self.episodes[number]
        truth = np.full(episode.length, np.nan)
        truth[compared] = goal.progress[compared]
        done = np.full(episode.length, np.nan)
        done[compared] = goal.success[compared]
        return Case(
            name=f"episode {number}",
            instruction=episode.instructions[0],
            references=self._references(number),
            frames=self._reader(number),
            fps=episode.fps,
            truth=truth,
            done=done,
            match=goal.match,
            clean=bool(episode.outcome),
        )

    def _references(self, number: int) -> References:
        """Return the ends of the episode that is shown; without one the own start alone."""
        shown = self._shown(number)
        if shown is None:
            return References(start=self._view(number, 0))
        return References(start=self._view(shown, 0), goal=self._view(shown, -1))

    def _shown(self, number: int) -> int | None:
        """Return the first training success of the same task, else the episode itself if it is."""
        for other in (*(n for n in self.training if n != number), number):
            if self.episodes[other].outcome and self._task(other) == self._task(number):
                return other
        return None

    def _task(self, number: int) -> tuple[int, str]:
        """Return what tells whether two episodes do the same before the same cameras."""
        return self.dataset.source(number), self.episodes[number].instructions[0]

    def _view(self, number: int, frame: int) -> Views:
        frame = frame % self.episodes[number].length
        return next(iter(self._views(number, [frame])))

    def _reader(self, number: int) -> Callable[[int], Iterator[Views]]:
        length = self.episodes[number].length
        return lambda every: self._views(number, list(range(0, length, every)))

    def _views(self, number: int, frames: list[int]) -> Iterator[Views]:
        there = self.frames.present(number)
        for frame in frames:
            pixels = self.frames.read(number, [frame])[0]
            shown = zip(self.dataset.views, pixels, there, strict=True)
            yield {name: image for name, image, present in shown if present}

    def _fill_cache(self) -> None:
        with progress_bar("decode", len(self.episodes), "episodes") as bar:
            self.frames.fill(bar)

    def _best_so_far(self) -> dict[str, float]:
        path = self.command.out / "best" / "config.json"
        if not (self.command.resume and path.is_file()):
            return {}
        stored = json.loads(path.read_text())["training"]["validation"]
        return {name: math.nan if value is None else value for name, value in stored.items()}

    def _check_learnable(self) -> None:
        known = [n for n in self.training if not np.isnan(self.goals[n][0].progress).all()]
        if not known:
            told = " ".join(self.command.dataset)
            raise DatasetError(
                f"{told} says of no training episode how it progressed: it needs "
                "successes (next.success), annotated subtasks, or a simulator's truth.progress"
            )
