"""Behaviour cloning: one policy, one optimiser, one step after another.

A step's randomness is a function of (seed, step), so a resumed run draws what an undisturbed one
would have drawn.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from robo_reward.acting import Bools, Clonable, Floats, Situation
from robo_reward.errors import CheckpointError, InputError
from robo_reward.images import jitter
from robo_reward.training import rate
from robo_reward.training_state import (
    STATE,
    adamw,
    put_moments,
    read_state,
    state_tensors,
    stored_weights,
    write_state,
)

from .cloning_config import CloningConfig


class Cloner:
    """A policy with its optimiser and its step count."""

    def __init__(self, policy: nn.Module, config: CloningConfig, *, seed: int) -> None:
        self.policy, self.config, self.seed, self.done = policy, config, seed, 0
        self.optimiser = adamw(policy, config.learning_rate, config.weight_decay)

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the generator of the next step for one purpose (0 draws, 1 jitters, 2 noise)."""
        return np.random.default_rng([self.seed, self.done, purpose])

    def step(self, seen: Situation, actions: Floats, known: Bools) -> float:
        """Take one optimiser step and return the loss.

        Raises:
            InputError: If the loss is not finite; the weights are left as they were.
        """
        self.policy.train()
        self.optimiser.zero_grad(set_to_none=True)
        policy = cast(Clonable, self.policy)
        loss = policy.cloning_loss(self._jittered(seen), actions, known, self.rng(2)).mean()
        told = loss.item()
        if not math.isfinite(told):
            raise InputError(
                f"the loss is {told} at step {self.done}: lower --learning-rate; the last state "
                "is kept"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.config, self.done)
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.config.clip)
        self.optimiser.step()
        self.done += 1
        return told

    def _jittered(self, seen: Situation) -> Situation:
        rng, config = self.rng(1), self.config
        groups = np.arange(len(seen))
        views = {
            name: jitter(images, groups, shift=config.shift, brightness=config.brightness, rng=rng)
            for name, images in seen.views.items()
        }
        return Situation(views=views, state=seen.state, instructions=seen.instructions)

    def save(self, directory: Path, identity: Mapping[str, Any]) -> None:
        """Write what a resumed run needs, and what tells this run from others.

        Raises:
            OSError: If it cannot be written.
        """
        tensors = state_tensors(self.policy, self.policy.state_dict(), self.optimiser)
        write_state(directory, tensors, {"done": self.done, "identity": identity})

    def restore(self, directory: Path, identity: Mapping[str, Any]) -> None:
        """Go on where `save` left off.

        Raises:
            CheckpointError: If the state is damaged, or of another run.
        """
        tensors, told = read_state(directory)
        check_identity(directory, told.get("identity"), identity)
        try:
            self.policy.load_state_dict(stored_weights(tensors))
            self.done = int(told["done"])
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{directory / STATE} cannot be resumed ({error}); start afresh with --overwrite"
            ) from error
        put_moments(self.policy, self.optimiser, tensors)


def check_identity(place: Path, theirs: Any, mine: Mapping[str, Any]) -> None:
    """Check that a run in a directory is the one that is asked for.

    Raises:
        CheckpointError: If not; the message says in what they differ.
    """
    told = json.loads(json.dumps(mine))
    found = theirs if isinstance(theirs, dict) else {}
    other = [name for name, value in told.items() if found.get(name) != value]
    if other:
        raise CheckpointError(
            f"{place} holds a policy, or a run, with another {', '.join(other)}; repeat its flags "
            "to go on with it, or start afresh with --overwrite"
        )
