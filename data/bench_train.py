"""``robo-reward bench train``: what encoding each frame once per step is worth."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from robo_reward.config import CompactConfig

from .bench_timing import Row, check_agreement, check_flags, in_turn, multiply_adds, report

if TYPE_CHECKING:
    from robo_reward.batch import PairBatch
    from robo_reward.plan import SamplingConfig
    from robo_reward.training import Trainer

LENGTH, PERIOD = 200, 8
"""Frames of a made-up episode, and between two queries."""


@dataclass(frozen=True, kw_only=True)
class BenchTrain:
    """Measure training: encoding each frame once per step against encoding it for every pair.

    Example: robo-reward bench train --json outputs/bench-train.json

    Both ways take full optimiser steps on the same pairs of made-up pixels with the same
    network, in turn, on the CPU; before that they are checked to give the same loss.
    """

    json: Path | None = None
    """File that receives the figures."""
    seed: int = 0
    """Seed of weights, pixels and pairs."""
    episodes: int = 9
    """Episodes a step."""
    frames: int = 10
    """Frames of each."""
    views: int = 3
    """Cameras."""
    repeats: int = 3
    """Timed steps of each way; the median counts."""
    backbone: Annotated[CompactConfig, tyro.conf.arg(name="")] = field(
        default_factory=CompactConfig
    )

    def run(self) -> None:
        """Measure, print a table, and write the figures where asked.

        Raises:
            RoboRewardError: If a flag is unusable, or the two ways disagree.
        """
        check_flags(self.repeats, self.json, episodes=self.episodes, views=self.views)
        from robo_reward.plan import SamplingConfig

        from .bench_timing import write_figures

        sampling = SamplingConfig(episodes=self.episodes, frames=self.frames, own_belief=0.0)
        figures = self.measure(made_up_batch(self, sampling))
        pairs = (figures["shared_pairs_per_s"], figures["per_pair_pairs_per_s"])
        work = (figures["shared_macs"] / 1e9, figures["per_pair_macs"] / 1e9)
        report(
            f"a training step of {figures['pairs']:.0f} pairs on {figures['threads']:.0f} threads",
            ("each frame once", "each pair anew"),
            [
                Row("pairs/s", *pairs, figures["ratio"]),
                Row("10⁹ multiply-adds a step", *work, figures["macs_ratio"]),
            ],
        )
        write_figures(self.json, figures)

    def measure(self, shared: "PairBatch") -> dict[str, float]:
        """Return the figures of both ways of training on the pairs of a batch.

        Raises:
            DisagreementError: If they do not give the same loss.
        """
        import torch

        per_pair = unshared(shared)
        mine, theirs = self._trainer(), self._trainer()
        told = loss(mine, shared)
        theirs.network.load_state_dict(mine.network.state_dict())
        check_agreement("the losses", abs(told - loss(theirs, per_pair)))
        macs = multiply_adds(lambda: mine.step(shared))
        per_pair_macs = multiply_adds(lambda: theirs.step(per_pair))
        seconds, per_pair_seconds = in_turn(
            lambda: mine.step(shared),
            lambda: theirs.step(per_pair),
            repeats=self.repeats,
        )
        return {
            "shared_pairs_per_s": len(shared) / seconds,
            "per_pair_pairs_per_s": len(shared) / per_pair_seconds,
            "ratio": per_pair_seconds / seconds,
            "shared_macs": macs,
            "per_pair_macs": per_pair_macs,
            "macs_ratio": per_pair_macs / macs,
            "pairs": len(shared),
            "image_size": self.backbone.image_size,
            "threads": torch.get_num_threads(),
        }

    def _trainer(self) -> "Trainer":
        """Return a trainer that augments nothing, the same at every call."""
        import torch

        from robo_reward.checkpoint import build
        from robo_reward.config import TrainingConfig
        from robo_reward.training import Trainer

        torch.manual_seed(self.seed)
        config = TrainingConfig(shift=0.0, brightness=0.0)
        return Trainer(build(self.backbone), config, seed=self.seed)


@dataclass(frozen=True)
class Noise:
    """A `FrameReader` of random pixels."""

    views: int
    size: int
    seed: int

    def read(self, episode: int, frames: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return (n, V, S, S, 3) uint8."""
        shape = (len(frames), self.views, self.size, self.size, 3)
        return np.random.default_rng([self.seed, episode]).integers(0, 256, shape, np.uint8)

    def present(self, episode: int) -> NDArray[np.bool_]:
        """Return (V,) true."""
        return np.ones(self.views, np.bool_)


def made_up_batch(command: BenchTrain, sampling: "SamplingConfig") -> "PairBatch":
    """Return a step of random pixels, its pairs drawn as in training from random truth."""
    from robo_reward.goals import Goal
    from robo_reward.packing import pack
    from robo_reward.plan import Known, PairSampler

    rng = np.random.default_rng(command.seed)
    known: dict[int, Known] = {}
    everything, every = np.arange(LENGTH), np.ones(command.views, np.bool_)
    for episode in range(2 * command.episodes):
        progress = np.minimum(np.sort(rng.uniform(0.0, 1.1, LENGTH)), 1.0)
        text = ("put the red cube in the bin", "push the blue button")[episode % 2]
        done = (progress >= 1.0).astype(np.float64)
        goal = Goal(instructions=(text,), progress=progress, success=done, match=1.0)
        known[episode] = Known(goals=(goal,), usable=everything, period=PERIOD, present=every)
    sampler = PairSampler(
        known, sampling, history=command.backbone.history, belief=command.backbone.belief
    )
    noise = Noise(command.views, command.backbone.image_size, command.seed)
    views = tuple(f"view_{number:03d}" for number in range(command.views))
    return pack(sampler.plan(rng), noise, views)


def unshared(batch: "PairBatch") -> "PairBatch":
    """Return the same pairs with nothing shared: a prefix and images of its own for each.

    The frames of pair b are [start, goal, before, after, history …], each with its own images.
    """
    prefix = batch.prefix
    roles = np.column_stack(
        [batch.start[prefix], batch.goal[prefix], batch.before, batch.after, batch.history]
    )
    there = roles.ravel() >= 0
    shown = np.where(there[:, None], batch.frames[roles.ravel()], -1)
    chosen = shown[shown >= 0]
    frames = np.full(shown.shape, -1)
    frames[shown >= 0] = np.arange(len(chosen))
    numbers = np.where(there, np.arange(roles.size), -1).reshape(roles.shape)
    return replace(
        batch,
        images=batch.images[chosen],
        jitter=batch.jitter[chosen],
        frames=frames,
        instructions=tuple(batch.instructions[number] for number in prefix),
        start=numbers[:, 0],
        goal=numbers[:, 1],
        visible=batch.visible[prefix],
        prefix=np.arange(len(prefix)),
        before=numbers[:, 2],
        after=numbers[:, 3],
        history=numbers[:, 4:],
        replay=batch.replay[prefix],
        replay_belief=batch.replay_belief[prefix],
    )


def loss(trainer: "Trainer", batch: "PairBatch") -> float:
    """Return the training loss of a batch, as it is; no step is taken."""
    import torch

    from robo_reward.losses import loss_terms, total

    trainer.network.eval()  # batch statistics would differ: one way repeats its images
    with torch.no_grad():
        readout = trainer.network(batch, torch.from_numpy(batch.images))
        return float(total(loss_terms(readout, batch), trainer.config.loss))
