"""The training loop over `PairBatch`es: the same for every backbone and every source of data.

A step's randomness is a function of (seed, step), so a resumed run draws what an undisturbed
one would have drawn.
"""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import PairBatch
from .config import LossWeights, TrainingConfig
from .errors import CheckpointError, InputError
from .images import jitter
from .losses import known_targets, loss_terms, total
from .network import ProgressNetwork
from .processes import ALONE, Processes
from .training_state import (
    STATE,
    adamw,
    put_moments,
    read_state,
    state_tensors,
    stored_weights,
    write_state,
)


class Schedule(Protocol):
    """How long is trained, and how fast."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""

    @property
    def warmup(self) -> int:
        """Steps of linear warm-up."""

    @property
    def learning_rate(self) -> float:
        """Peak rate."""


def rate(config: Schedule, step: int) -> float:
    """Return the learning rate of a step: linear warm-up, then a cosine to 0."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    share = (step - config.warmup) / max(config.steps - config.warmup, 1)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def augment(
    batch: PairBatch, config: TrainingConfig, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the batch's images shifted and brightened, alike for those of one jitter number.

    Images of one camera in one episode move together: the jitter stands for how the camera is
    mounted and the room is lit, not for what changes between two frames.
    """
    return jitter(
        batch.images, batch.jitter, shift=config.shift, brightness=config.brightness, rng=rng
    )


class Trainer:
    """A network with its optimiser and its step count."""

    def __init__(
        self,
        network: ProgressNetwork,
        config: TrainingConfig,
        *,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        self.network, self.config, self.seed = network, config, seed
        self.processes = processes
        self.done = 0
        self.optimiser = adamw(network, config.learning_rate, config.weight_decay)

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the generator of the next step for one purpose (0 draws, 1 augments)."""
        return np.random.default_rng([self.seed, self.done, purpose])

    def step(self, batch: PairBatch) -> dict[str, float]:
        """Take one optimiser step and return the loss and its terms.

        Raises:
            InputError: If the loss is not finite; weights and statistics are left as they were.
                If the step does not fit the device's memory; the message says which would.
        """
        self.network.train()
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        device = next(self.network.parameters()).device
        batch = replace(batch, images=augment(batch, self.config, self.rng(1)))
        if self.processes.count > 1:
            batch = batch.share(self.processes.number, self.processes.count)
        images = torch.from_numpy(batch.images).to(device)
        self.optimiser.zero_grad(set_to_none=True)
        try:
            terms = self._shares(batch, loss_terms(self.network(batch, images), batch))
            loss = total(terms, self.config.loss)
            names = ("loss", *terms)
            told = self.processes.total([loss.item(), *(term.item() for term in terms.values())])
            if math.isfinite(told[0]):
                (loss * self.processes.loss_scale).backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError as error:
            raise InputError(self._too_large(batch)) from error
        if not math.isfinite(told[0]):
            for buffer, kept in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(kept)  # the statistics that the refused batch has moved
            raise InputError(
                f"the loss is {told[0]} at step {self.done}: lower --learning-rate; the last "
                "checkpoint is kept"
            )
        self.processes.add_gradients(self.network.parameters())
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.config, self.done)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        self.optimiser.step()
        self.done += 1
        return dict(zip(names, told, strict=True))

    def _shares(self, batch: PairBatch, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms such that their sums over all processes are those of the whole step."""
        if self.processes.count == 1:
            return terms
        mine = known_targets(batch, terms)
        shares = zip(mine, self.processes.total(mine), terms.items(), strict=True)
        return {name: term * (own / max(every, 1.0)) for own, every, (name, term) in shares}

    def _too_large(self, batch: PairBatch) -> str:
        """Return what to do about a batch that does not fit; a backbone may know what would."""
        counts = len(batch.images), len(batch.instructions), len(batch)
        told = "a step of {} images, {} prefixes and {} pairs does not fit the device's memory"
        advise = getattr(self.network.backbone, "what_would_fit", lambda *_: "")
        more: str = advise(*counts, len(batch.views))
        return told.format(*counts) + f"{more}; lower --sampling.episodes"

    def save(self, directory: Path) -> None:
        """Write what a resumed run needs: weights, moments, step, seed and configuration.

        Every process takes part, the first one writes.
        """
        tensors = state_tensors(self.network, self.network.learnt(), self.optimiser)
        if self.processes.first:
            told = {"done": self.done, "seed": self.seed, "config": asdict(self.config)}
            write_state(directory, tensors, told)

    def restore(self, directory: Path) -> None:
        """Go on where `save` left off.

        Raises:
            CheckpointError: If the state is absent, damaged, or of a run configured otherwise.
        """
        path = directory / STATE
        tensors, told = read_state(directory)
        try:
            done, found = int(told["done"]), {name: told[name] for name in ("seed", "config")}
            weights = found["config"]["loss"]  # a state may be older than one of them
            found["config"]["loss"] = asdict(LossWeights()) | weights
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} cannot be resumed ({error}); start afresh") from error
        mine = {"seed": self.seed, "config": asdict(self.config)}
        if found != json.loads(json.dumps(mine)):
            raise CheckpointError(
                f"{path} is of a run with other settings ({found['config']}, seed "
                f"{found['seed']}); repeat its flags to resume it, or start afresh with --overwrite"
            )
        try:
            self.network.load_learnt(stored_weights(tensors))
        except RuntimeError as error:
            raise CheckpointError(
                f"{path} is of a network of another shape; repeat its flags to resume it, or "
                "start afresh with --overwrite"
            ) from error
        put_moments(self.network, self.optimiser, tensors)
        self.done = done
