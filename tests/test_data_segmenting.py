"""Progress of unannotated successes from their images."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_data_training_run import Recorded, opened
from test_robo_reward_plan import goal

from data.segmenting import SIDE, by_change, is_unannotated, small_grey
from data.train import Train
from data.training_run import TrainingRun

pytestmark = pytest.mark.usefixtures("one_thread")
RAMP = np.linspace(0, 1, 30)


class Clip:
    """One episode of 30 frames and two views, the second of which is missing."""

    def __init__(self, side: int = 20) -> None:
        self.images = np.zeros((30, 2, side, side, 3), np.uint8)
        self.images[10:, 0, :, : side // 2] = 255
        self.asked: list[int] = []

    def read(self, episode: int, frames: np.ndarray) -> np.ndarray:
        self.asked.append(len(frames))
        return self.images[frames]

    def present(self, episode: int) -> np.ndarray:
        return np.array([True, False])


@pytest.mark.parametrize("side", [16, 20, 64])
def test_images_become_small_and_grey_whatever_their_size(side: int) -> None:
    grey = small_grey(Clip(side), 0, 30)
    assert grey.shape == (30, SIDE * SIDE)
    assert grey[:10].max() == 0.0
    assert grey[10:].mean() == pytest.approx(0.5, abs=0.04)


def test_long_episodes_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.segmenting._AT_ONCE", 8)
    clip = Clip()
    small_grey(clip, 0, 30)
    assert clip.asked == [8, 8, 8, 6]


def test_progress_rises_where_the_images_change_and_stays_where_they_do_not() -> None:
    grey = np.zeros((30, 4))
    grey[:10] = np.linspace(0, 1, 10)[:, None]
    grey[10:20] = 1.0
    grey[20:] = np.linspace(1, 3, 10)[:, None]
    found = by_change(goal("bin", RAMP), grey)
    assert found.progress[0] == 0.0
    assert found.progress[-1] == 1.0
    assert np.all(np.diff(found.progress) >= 0)
    still, moving = np.ptp(found.progress[11:20]), np.ptp(found.progress[20:])
    assert still < 0.35 * moving
    assert found.match == 1.0
    np.testing.assert_array_equal(found.success, goal("bin", RAMP).success)


def test_a_still_picture_progresses_by_the_clock() -> None:
    assert by_change(goal("bin", RAMP), np.ones((30, 2))).progress == pytest.approx(RAMP)


def test_only_successes_without_annotation_are_segmented() -> None:
    success, failure = (Recorded([True, False]).episode(number) for number in range(2))
    assert is_unannotated(success)
    assert not is_unannotated(failure)
    assert not is_unannotated(replace(success, truth=np.zeros(12, np.float32)))


@pytest.mark.parametrize(("how", "told"), [("segments", True), ("time", False)])
def test_training_takes_progress_from_images_unless_told_otherwise(
    train_command: Train, monkeypatch: pytest.MonkeyPatch, how: Any, told: bool
) -> None:
    opened(Recorded([True, True, False]), monkeypatch)
    run = TrainingRun(replace(train_command, unannotated=how))
    assert ("2 successes have no annotation" in run.plan()) == told
    clock = [known[0].progress.copy() for known in run.goals]
    run.frames.fill()
    monkeypatch.setattr(run.frames, "read", lambda episode, frames: jumps(frames))
    run.fill_cache()
    for number in (0, 1):
        assert np.array_equal(run.goals[number][0].progress, clock[number]) == (not told)
    assert np.isnan(run.goals[2][0].progress).all()


def jumps(frames: np.ndarray) -> np.ndarray:
    """Return images that turn from black to white at frame 3."""
    images = np.zeros((len(frames), 1, 16, 16, 3), np.uint8)
    images[np.asarray(frames) >= 3] = 255
    return images
