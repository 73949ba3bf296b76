"""Refreshing the reward model: it is trained further on the rollouts that fooled it.

A new version is accepted only if it is fooled less often on episodes that were held back, and
judges successes as well as before. It lies in ``OUT/reward/<number>``, a checkpoint like any other;
older ones stay. Everything is drawn by (seed, update), so a run that is killed makes the same
version again.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from data.lerobot_dataset import open_dataset
from data.places import clear_up, put_back, replace_folder
from robo_reward.checkpoint import ModelConfig, load, read_model_config, remove, save
from robo_reward.config import HfConfig, TrainingConfig
from robo_reward.console import progress_bar
from robo_reward.errors import InputError
from robo_reward.model import Model
from robo_reward.packing import pack
from robo_reward.training import Trainer

from .material import Material
from .mining import improves

if TYPE_CHECKING:
    from .refine import Refine
    from .setting import Setting

VERSIONS = "reward"
"""Folder of a run's directory that holds the versions."""
PURPOSE = 5
"""Tells the draws of a refresh from the other draws of an update."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What became of a refresh."""

    says: str
    """One sentence."""
    model: Model | None = None
    """The new version; None: the old one stays."""
    figures: dict[str, Any] = field(default_factory=dict)
    """Of both versions, on what was held back."""


def version_place(out: Path, version: int) -> Path:
    """Return where a version is, counted from 1."""
    return out / VERSIONS / f"{version:04d}"


def kept_place(out: Path, update: int) -> Path:
    """Return where the rollouts of an update are kept, counted from 0."""
    return out / "rollouts" / f"{update:04d}"


def load_version(out: Path, version: int) -> Model:
    """Return a version of the reward model that a run made.

    Raises:
        CheckpointError: If it is absent or damaged.
    """
    put_back(version_place(out, version))
    return load(version_place(out, version))


def forget_versions(out: Path) -> None:
    """Remove the versions in a run's directory.

    Raises:
        OSError: If a file cannot be removed.
    """
    for place in (out / VERSIONS).glob("[0-9][0-9][0-9][0-9]"):
        remove(place)


class Refresher:
    """Trains the reward model of a run further, between its updates."""

    def __init__(self, command: "Refine", setting: "Setting") -> None:
        """Open what is rehearsed.

        Raises:
            RoboRewardError: If it cannot be read.
        """
        self.command, self.setting = command, setting
        self.rehearsed = [open_dataset(source) for source in command.refresh.rehearse]

    def attempt(self, updates: int, version: int) -> Attempt:
        """Try to make a version that is better than the one in force.

        Args:
            updates: How many are over; the rollouts of the last ``refresh_every`` are kept.
            version: Number of the version in force; 0: the model that was given.

        Raises:
            RoboRewardError: If rollouts cannot be read.
            OSError: If the new version cannot be written.
        """
        out, config, began = self.command.out, self.command.refresh, time.perf_counter()
        numbers = range(updates - self.command.refresh_every, updates)
        kept = [open_dataset(kept_place(out, number)) for number in numbers]
        material = Material(kept, self.rehearsed, self.setting.references)
        failed = sum(not outcome.success for outcome in material.outcomes)
        if failed < config.least:
            return _stays(
                f"{failed} of {material.rollouts} rollouts failed, and it takes {config.least} "
                "(--refresh.least)"
            )
        seed = np.random.SeedSequence([self.command.seed, updates, PURPOSE])
        place = version_place(out, version + 1)
        with _working(place) as work:
            attempt = self._try(material, seed, self._source(version), work / place.name)
            if attempt.model is not None:
                replace_folder(place, work / place.name)
        if attempt.model is not None:  # what is on disk is in force, here and in a run that resumes
            attempt = replace(attempt, model=load_version(out, version + 1))
        seconds = {"seconds": time.perf_counter() - began, "update": updates}
        return replace(attempt, figures=attempt.figures | seconds)

    def _source(self, version: int) -> Path:
        given = Path(self.command.reward)
        return version_place(self.command.out, version) if version else given

    def _try(
        self, material: Material, seed: np.random.SeedSequence, source: Path, new: Path
    ) -> Attempt:
        """Return what became of a refresh; an accepted version is in ``new``."""
        command, config, stored = self.command, self.command.refresh, read_model_config(source)
        old = cast(Model, self.setting.model)  # without one, refine refuses to refresh
        material.divide(config.held_back, np.random.default_rng(seed), stored.training)
        size = stored.backbone.image_size
        material.decode(new.with_name("frames"), command.cache, size=size, cap_gb=command.cache_gb)
        before, _ = material.judged(old)
        if not before.fooled or not before.error < np.inf:
            why = "no success to compare by" if before.fooled else "no false positive to mend"
            held = len(material.split.validation)
            return _stays(f"{held} episodes were held back, and there is {why} ({before})")
        try:
            model = self._trained(material, seed, stored, source)
        except InputError as error:  # a loss that is not finite, or a step too large for memory
            return _stays(str(error))
        after, metrics = material.judged(model)
        figures: dict[str, Any] = {"before": asdict(before), "after": asdict(after)}
        told = f"{after} in place of {before}, on {len(material.split.validation)} held back"
        if not improves(before, after, config.tolerance):
            return replace(_stays(f"the new one has {told}"), figures=figures)
        made = {
            "from": old.fingerprint,
            "steps": config.steps,
            "rollouts": material.rollouts,
            **figures,
        }
        save(new, model.network, _described(stored, material, made, metrics))
        return Attempt(says=f"reward model refreshed: {told}", model=model, figures=figures)

    def _trained(
        self,
        material: Material,
        seed: np.random.SeedSequence,
        stored: ModelConfig,
        source: Path,
    ) -> Model:
        """Return the model trained further; its settings, thresholds too, stay as they were."""
        config, number = self.command.refresh, int(seed.generate_state(1)[0])
        rate = config.learning_rate
        if isinstance(stored.backbone, HfConfig):
            rate = min(rate, stored.backbone.learning_rate)
        schedule = TrainingConfig(
            steps=config.steps, learning_rate=rate, warmup=min(20, config.steps)
        )
        model = load(source)
        sampler = material.sampler(model, config.share, Path(self.command.references))
        trainer = Trainer(model.network, schedule, seed=number)
        with torch.random.fork_rng(), progress_bar("refresh", config.steps, "steps") as bar:
            torch.manual_seed(number)
            for _ in range(config.steps):
                plan = sampler.plan(trainer.rng(0))
                terms = trainer.step(pack(plan, material.frames, material.mixture.views))
                bar(1, f"loss {terms['loss']:.3f}")
        return Model(model.network, stored.settings, fingerprint="")


def _stays(why: str) -> Attempt:
    return Attempt(says=f"the reward model stays as it is: {why}")


def _described(
    stored: ModelConfig, material: Material, made: dict[str, Any], metrics: dict[str, float]
) -> ModelConfig:
    """Return the configuration of a version: that of the one before, and what is new."""
    told = stored.training
    instructions = {episode.instructions[0] for episode in material.episodes}
    limits = ["Refreshed with rollouts of a policy; thresholds and confidence are older than that."]
    training = {
        **told,
        "views": sorted({*told.get("views", []), *material.mixture.views}),
        "instructions": sorted({*told.get("instructions", []), *instructions}),
        "validation": metrics,
        "refreshed": made,
        "limits": [*(text for text in told.get("limits", []) if text not in limits), *limits],
    }
    return replace(stored, training=training)


@contextmanager
def _working(place: Path) -> Iterator[Path]:
    """Give a folder beside ``place`` to work in, and remove it, and what killed runs left there."""
    clear_up(place)
    work = place.with_name(f"{place.name}.partial-{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
