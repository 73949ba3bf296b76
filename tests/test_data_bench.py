"""The benches: both ways do the same work, the work is counted right, the figures are written."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.bench_label import BenchLabel, ThreePasses, difference
from data.bench_timing import (
    DisagreementError,
    check_agreement,
    in_turn,
    multiply_adds,
    thread_time,
)
from data.bench_train import BenchTrain, made_up_batch, unshared
from robo_reward.checkpoint import build
from robo_reward.config import CompactConfig
from robo_reward.errors import RoboRewardError
from robo_reward.plan import SamplingConfig

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = CompactConfig(image_size=16, width=16, depth=1, heads=2, channels=8, history=1)
SMALL = {"views": 2, "repeats": 1, "backbone": SHAPE}
TRAIN_FIGURES = {
    "shared_pairs_per_s",
    "per_pair_pairs_per_s",
    "ratio",
    "shared_macs",
    "per_pair_macs",
    "macs_ratio",
    "pairs",
    "image_size",
    "threads",
}
LABEL_FIGURES = {
    "one_pass_frames_per_s",
    "three_pass_frames_per_s",
    "ratio",
    "one_pass_macs_per_frame",
    "three_pass_macs_per_frame",
    "macs_ratio",
    "queries",
    "image_size",
    "threads",
}


def bench_train(**changes: Any) -> BenchTrain:
    return BenchTrain(**({"episodes": 2, "frames": 6} | SMALL | changes))


def bench_label(**changes: Any) -> BenchLabel:
    return BenchLabel(**({"queries": 6} | SMALL | changes))


def test_two_ways_are_timed_in_turn() -> None:
    order: list[str] = []
    seconds = in_turn(lambda: order.append("a"), lambda: order.append("b"), repeats=2)
    assert "".join(order) == "abab"
    assert all(taken >= 0 for taken in seconds)


def test_seconds_are_those_of_the_clock_that_is_given() -> None:
    now = 0.0

    def take(seconds: float) -> None:
        nonlocal now
        now += seconds

    lasting = iter((1.0, 9.0, 2.0))
    seconds = in_turn(lambda: take(next(lasting)), lambda: take(4.0), repeats=3, clock=lambda: now)
    assert seconds == (2.0, 4.0)


def test_the_time_of_a_process_is_shared_among_its_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time, "process_time", lambda: 8.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert thread_time() == 2.0


def test_multiply_adds_of_a_product_and_of_attention() -> None:
    three_by_four, four_by_five = torch.ones(3, 4), torch.ones(4, 5)
    assert multiply_adds(lambda: three_by_four @ four_by_five) == 3 * 4 * 5
    heads = torch.ones(2, 1, 7, 4)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert multiply_adds(lambda: attend(heads, heads, heads)) == 2 * (2 * 7 * 7 * 4)


def test_ways_that_differ_are_not_compared() -> None:
    check_agreement("the losses", 9e-5)
    for gap in (2e-4, float("nan")):
        with pytest.raises(DisagreementError, match="the losses of both ways differ by"):
            check_agreement("the losses", gap)


def test_nothing_is_shared_by_the_pairs_of_the_slow_way() -> None:
    command = bench_train()
    shared = made_up_batch(command, SamplingConfig(episodes=2, frames=6, drop_goal=0.5))
    alone = unshared(shared)
    assert (shared.goal == -1).any()
    assert len(alone.instructions) == len(alone) == len(shared) == 32
    shown = alone.frames[alone.frames >= 0]
    assert sorted(shown) == list(range(len(alone.images)))
    used = [alone.start, alone.goal, alone.before, alone.after, alone.history.ravel()]
    frames = np.concatenate(used)
    assert len(set(frames[frames >= 0])) == (frames >= 0).sum()


@pytest.mark.parametrize("role", ["start", "goal", "before", "after"])
def test_the_slow_way_shows_the_same_images(role: str) -> None:
    shared = made_up_batch(bench_train(), SamplingConfig(episodes=2, frames=6, drop_goal=0.5))
    alone = unshared(shared)
    for pair, prefix in enumerate(shared.prefix):
        mine = getattr(shared, role)[prefix if role in ("start", "goal") else pair]
        theirs = getattr(alone, role)[pair]
        assert (mine == -1) == (theirs == -1)
        if mine >= 0:
            images = shared.images[shared.frames[mine]], alone.images[alone.frames[theirs]]
            np.testing.assert_array_equal(*images)


def test_the_bench_of_training_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_train(json=tmp_path / "new/train.json").run()
    figures = json.loads((tmp_path / "new/train.json").read_text())
    assert set(figures) == TRAIN_FIGURES
    assert (figures["pairs"], figures["image_size"]) == (32, 16)
    assert figures["macs_ratio"] == figures["per_pair_macs"] / figures["shared_macs"] > 1
    assert "multiply-adds a step" in capsys.readouterr().out


def test_the_bench_of_labelling_writes_its_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench_label(json=tmp_path / "label.json").run()
    figures = json.loads((tmp_path / "label.json").read_text())
    assert set(figures) == LABEL_FIGURES
    assert (figures["queries"], figures["image_size"]) == (6, 16)
    assert figures["macs_ratio"] > 3
    assert "multiply-adds a frame" in capsys.readouterr().out


def test_three_passes_that_say_something_else_are_noticed() -> None:
    command = bench_label()
    network = build(SHAPE).eval()
    episode = command.episode()
    hops = ThreePasses(network, episode, SHAPE.history).hops()
    assert hops.shape == (6, 3)
    assert difference(command._model(network), episode, hops) < 1e-4
    hops[3, 1] += 0.5
    assert difference(command._model(network), episode, hops) == pytest.approx(0.5, abs=1e-4)


def test_the_work_is_the_same_for_a_seed() -> None:
    one, same = (
        bench_train().measure(made_up_batch(bench_train(), SamplingConfig())) for _ in "ab"
    )
    assert one["shared_macs"] == same["shared_macs"]
    first, other = (bench_label(seed=seed).episode().frames[0]["view_000"] for seed in (0, 1))
    assert (first != other).any()


def test_what_cannot_be_measured_or_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bench in (bench_train(), bench_label()):
        with pytest.raises(RoboRewardError, match="--repeats must be at least 1, got 0"):
            replace(bench, repeats=0).run()
        with pytest.raises(RoboRewardError, match="--views must be at least 1"):
            replace(bench, views=0).run()
        place = re.escape(str(tmp_path / "file"))
        with pytest.raises(RoboRewardError, match=rf"cannot write {place}"):
            replace(bench, json=tmp_path / "file" / "figures.json").run()


def test_a_model_that_believes_has_no_slow_way_to_compare_with() -> None:
    with pytest.raises(RoboRewardError, match="leave --belief out"):
        bench_label(backbone=replace(SHAPE, belief=True)).run()


def test_a_training_step_of_a_model_that_believes_has_the_same_loss_both_ways() -> None:
    command = bench_train(backbone=replace(SHAPE, belief=True))
    figures = command.measure(made_up_batch(command, SamplingConfig(episodes=2, own_belief=0.0)))
    assert figures["pairs"] == 2 * 4 * 4
