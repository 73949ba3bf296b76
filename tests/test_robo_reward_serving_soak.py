"""Many clients at once: every answer is the one to the frame that was shown, however long."""

import os
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import tiny
import torch
from asking import said, together
from torch import nn

from data.bench_serve import Load, ask_together
from robo_reward.bins import centres
from robo_reward.checkpoint import ModelConfig, build, load, save
from robo_reward.config import CompactConfig
from robo_reward.model import ModelSettings
from robo_reward.serving.child import started

SOAK_S = float(os.environ.get("SOAK_SECONDS", "600"))
CLIENTS, ROUNDS = 16, 5
CLOSE = 1e-5


def store(place: Path, shape: CompactConfig) -> Path:
    """A network whose verdicts on random frames differ by far more than `CLOSE`."""
    torch.manual_seed(3)
    network = build(shape)
    with torch.no_grad():
        for head, tilt in zip(network.hop_heads, (0.0, 2.0, -2.0), strict=True):
            linear = cast(nn.Linear, head)
            linear.weight.copy_(0.2 * torch.randn_like(linear.weight))
            linear.bias.copy_(tilt * centres(linear.bias))
    settings = ModelSettings(image_size=shape.image_size, query_period_s=0.1)
    save(place, network, ModelConfig(backbone=shape, settings=settings))
    return place


def nearest(verdicts: np.ndarray) -> float:
    """How far apart two verdicts are at least."""
    gaps = np.abs(verdicts[:, None] - verdicts[None]).max(-1)
    return float(gaps[~np.eye(len(gaps), dtype=bool)].min())


def resident(pid: int) -> float:
    """MB that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def checked(model: Path, count: int, size: int, seconds: float) -> None:
    local = load(model, device="cpu")
    expected = [said(local, number, size) for number in range(count)]
    apart = nearest(np.concatenate(expected))
    assert apart > 10 * CLOSE, "an answer to another frame would be seen"
    with started(model, environment={"OMP_NUM_THREADS": "1"}) as child:
        together(child.address, expected, size, seconds / 10)
        before = resident(child.process.pid)
        found = together(child.address, expected, size, seconds)
        grown = resident(child.process.pid) - before
        print(f"{sum(n for n, _ in found)} answers, off by {max(w for _, w in found):.1e} at most")
        print(f"memory grew by {grown:.0f} MB to {before + grown:.0f} MB")
        assert len(found) == count
        assert max(worst for _, worst in found) < CLOSE
        assert grown < 100.0


def test_every_answer_is_the_one_to_the_frame_that_was_shown(tmp_path: Path) -> None:
    checked(store(tmp_path, tiny.SHAPE), 3, tiny.SIZE, 1.0)


@pytest.mark.soak
def test_sixteen_clients_for_ten_minutes_get_their_own_answers(tmp_path: Path) -> None:
    shape = CompactConfig()
    checked(store(tmp_path, shape), CLIENTS, shape.image_size, SOAK_S)


@pytest.mark.soak
def test_sixteen_clients_and_one_in_turn_are_all_answered_in_memory_that_does_not_grow(
    tmp_path: Path,
) -> None:
    shape = CompactConfig()
    held, ratios = [], []
    with started(store(tmp_path, shape), environment={"OMP_NUM_THREADS": "1"}) as child:
        for _ in range(ROUNDS):  # in turn, since what else the machine does changes
            told = {}
            for count, seconds in ((1, SOAK_S / ROUNDS / 4), (CLIENTS, SOAK_S / ROUNDS)):
                asked = Load(size=shape.image_size, views=3, seed=0, seconds=seconds)
                told[count] = ask_together(child.address, asked, count)
            assert min(one["answers"] for one in told.values()) > 0
            held.append(resident(child.process.pid))
            ratios.append(told[CLIENTS]["per_s"] / told[1]["per_s"])
            print(
                f"{told[1]}, {CLIENTS} clients {told[CLIENTS]}: {ratios[-1]:.2f} times", flush=True
            )
    print(f"{np.median(ratios):.2f} times in the median; memory {held} MB")
    assert held[-1] - held[0] < 100.0
