"""One real two-arm recording, learned and probed: shortcuts that a clock would take must fail."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.importing import Import
from data.label import Label
from data.lerobot_dataset import open_dataset
from data.train import Train
from robo_reward.checkpoint import load
from robo_reward.config import CompactConfig, TrainingConfig
from robo_reward.metrics import mean_error, spearman
from robo_reward.model import Labels, Model
from robo_reward.protocols import References
from robo_reward.targets import keyframe_progress

pytestmark = pytest.mark.slow
BLOCKS = (200, 500, 800, 1100)
FRAMES = 1277


@dataclass(frozen=True)
class Learned:
    folder: Path
    model: Model
    frames: list[dict[str, np.ndarray]]
    truth: np.ndarray

    def label(self, numbers: Iterator[int] | range | list[int]) -> Labels:
        ends = References(start=self.frames[0], goal=self.frames[-1])
        chosen = (self.frames[number] for number in numbers)
        return self.model.label(chosen, "clean the table", ends, fps=30)


@pytest.fixture(scope="module")
def learned(real_table: Path, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    folder = tmp_path_factory.mktemp("real")
    Import(real_table, out=folder / "dataset").run()
    Train(
        dataset=(str(folder / "dataset"),),
        out=folder / "model",
        withhold=tuple(f"0:{start}:{start + 40}" for start in BLOCKS),
        cache=folder / "cache",
        backbone=CompactConfig(image_size=80),
        training=TrainingConfig(steps=350),
    ).run()
    model = load(folder / "model")
    dataset = open_dataset(folder / "dataset")
    episode = dataset.episode(0)
    frames = [views for _, views in dataset.frames(0, views=dataset.views, size=80)]
    bounds = [episode.subtasks[0].start, *(subtask.end for subtask in episode.subtasks)]
    return Learned(folder, model, frames, keyframe_progress(bounds, FRAMES))


def test_every_frame_is_labelled(learned: Learned) -> None:
    dataset, out = str(learned.folder / "dataset"), learned.folder / "labels"
    Label(
        dataset=dataset, model=learned.folder / "model", out=out, reference="own-last-frame"
    ).run()
    table = pq.read_table(out / "progress.parquet")
    assert table.num_rows == FRAMES
    assert table.schema.metadata[b"causal"] == b"no"


def test_single_frames_in_random_order_are_ranked(learned: Learned) -> None:
    ends = References(start=learned.frames[0], goal=learned.frames[-1])
    numbers = np.random.default_rng(0).permutation(FRAMES)[:300]
    forward = []
    for number in numbers:
        session = learned.model.begin("clean the table", ends)
        forward.append(learned.model.score(session, learned.frames[number], 0.0).forward)
    assert spearman(forward, learned.truth[numbers]) >= 0.95


def test_frames_withheld_from_training_are_judged_within_08(learned: Learned) -> None:
    labels = learned.label(range(FRAMES))
    for start in BLOCKS:
        block = slice(start, start + 40)
        assert mean_error(labels.progress[block], learned.truth[block]) <= 0.08


def test_the_reversed_video_falls(learned: Learned) -> None:
    labels = learned.label(range(FRAMES - 1, -1, -1))
    assert labels.progress[0] > 0.85
    assert labels.progress[-1] < 0.15
    assert spearman(labels.progress, learned.truth[::-1]) >= 0.95


@pytest.mark.parametrize("number", [0, 300, 640, 1000, 1270])
def test_a_frozen_video_moves_by_less_than_02(learned: Learned, number: int) -> None:
    labels = learned.label([number] * 300)
    assert np.ptp(labels.progress) < 0.02
