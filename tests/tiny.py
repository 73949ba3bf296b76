"""Tiny networks, episodes and batches that the tests of the core share."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from robo_reward.batch import TARGETS, PairBatch
from robo_reward.bins import centres
from robo_reward.checkpoint import build
from robo_reward.config import CompactConfig
from robo_reward.model import Labels, Model, ModelSettings
from robo_reward.network import ProgressNetwork, Readout
from robo_reward.protocols import References

torch.set_num_threads(1)  # the networks are too small to share
SIZE = 16
SHAPE = CompactConfig(image_size=SIZE, width=20, depth=2, heads=2, channels=8)
NOTHING = np.full((3, 2), np.nan, np.float32)
VIEWS = ("front", "side", "wrist")
type Episode = list[dict[str, np.ndarray]]


def network(seed: int = 0, history: int = 0) -> ProgressNetwork:
    """Return an untrained network whose heads say something other than nearly zero."""
    torch.manual_seed(seed)
    made = build(replace(SHAPE, history=history))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "head" in name and "backbone" not in name:
                parameter.copy_(torch.randn_like(parameter))
        for head, tilt in zip(made.hop_heads, (0.0, 2.0, -2.0), strict=True):  # Φ within (0, 1)
            cast(nn.Linear, head).weight.mul_(0.2)
            cast(nn.Linear, head).bias.copy_(tilt * centres(cast(nn.Linear, head).bias))
    return made


def model(seed: int = 0, history: int = 0, **settings: Any) -> Model:
    chosen = ModelSettings(image_size=SIZE, history=history, **settings)
    return Model(network(seed, history), chosen, fingerprint="tiny")


def episode(length: int, seed: int = 0, views: tuple[str, ...] = VIEWS) -> Episode:
    """Return frames of random pixels, larger than the model takes."""
    rng = np.random.default_rng(seed)
    shape = (length, len(views), 20, 24, 3)
    pixels = rng.integers(0, 256, size=shape, dtype=np.uint8)
    return [dict(zip(views, frame, strict=True)) for frame in pixels]


def references(seed: int = 9, views: tuple[str, ...] = VIEWS) -> References:
    start, goal = episode(2, seed, views)
    return References(start=start, goal=goal)


def batch(seed: int = 0, history: int = 0, pairs: int = 10, replay: bool = False) -> PairBatch:
    """Return 6 frames of 3 views (some missing), 3 prefixes and pairs with random targets."""
    rng = np.random.default_rng(seed)
    frames = np.arange(18).reshape(6, 3)
    frames[1, 2] = frames[4, 0] = -1

    def targets(low: float) -> np.ndarray:
        values = rng.uniform(low, 1.0, size=pairs).astype(np.float32)
        values[rng.random(pairs) < 0.2] = np.nan
        return values

    progress = np.clip(targets(0.0), 0.0, 1.0)
    made = PairBatch(
        views=VIEWS,
        images=rng.integers(0, 256, size=(18, SIZE, SIZE, 3), dtype=np.uint8),
        jitter=np.arange(18) % 3,
        frames=frames,
        instructions=("open the drawer", "close the drawer", "push the button"),
        start=np.array([0, 1, -1]),
        goal=np.array([5, -1, 4]),
        visible=np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1]], dtype=bool),
        prefix=rng.integers(0, 3, size=pairs),
        before=rng.integers(0, 6, size=pairs),
        after=rng.integers(0, 6, size=pairs),
        history=rng.integers(-1, 6, size=(pairs, history)),
        belief=rng.uniform(size=(pairs, 2)).astype(np.float32),
        **_replay(rng, pairs if replay else 0, pairs),
        hop_previous=targets(-1.0),
        hop_start=progress,
        hop_goal=progress - 1.0,
        success=np.round(targets(0.0)),
        match=np.round(targets(0.0)),
        time_to_go=np.abs(targets(-1.0)),
        untold=np.zeros((pairs, 3), np.bool_),
    )
    made.own[made.prefix == 2] = -1  # whose frames are not replayed
    return made


def _replay(rng: np.random.Generator, told: int, pairs: int) -> dict[str, Any]:
    """Return replays of 4 frames under the first two prefixes, of which ``told`` pairs are told."""
    steps = 4 if told else 0
    frames = np.sort(rng.integers(0, 6, size=(3, steps)), axis=1) if told else np.full((3, 0), -1)
    frames[2:] = -1
    return {
        "replay": frames,
        "replay_belief": rng.uniform(size=(3, 2)).astype(np.float32) if told else NOTHING,
        "own": rng.integers(-1, 4, size=pairs) if told else np.full(pairs, -1),
    }


def part(whole: PairBatch, pairs: list[int]) -> PairBatch:
    """Return a batch of some pairs of another."""
    columns = ("prefix", "before", "after", "history", "belief", "own", "untold")
    return replace(whole, **{name: getattr(whole, name)[pairs] for name in (*columns, *TARGETS)})


def forward(made: ProgressNetwork, given: PairBatch) -> Readout:
    with torch.inference_mode():
        return made(given, torch.from_numpy(given.images))


def gap(one: Readout, two: Readout) -> float:
    """Return the largest difference of two readouts, as expectations and probabilities."""
    pairs = (
        (one.hops.double().softmax(-1), two.hops.double().softmax(-1)),
        (one.success.double().sigmoid(), two.success.double().sigmoid()),
        (one.match.double().sigmoid(), two.match.double().sigmoid()),
    )
    return max(float((a - b).abs().max()) for a, b in pairs)


COLUMNS = ("progress", "forward", "backward", "incremental", "success_prob", "match_prob")


def furthest(one: Labels, two: Labels, rows: int | None = None) -> float:
    """Return the largest difference of two labels in the first rows; NaN must meet NaN."""
    gaps = []
    for name in COLUMNS:
        a, b = getattr(one, name)[:rows], getattr(two, name)[:rows]
        assert np.array_equal(np.isnan(a), np.isnan(b)), name
        gaps.append(float(np.nan_to_num(np.abs(a.astype(float) - b)).max()))
    for name in ("success", "valid"):
        assert np.array_equal(getattr(one, name)[:rows], getattr(two, name)[:rows]), name
    return max(gaps)
