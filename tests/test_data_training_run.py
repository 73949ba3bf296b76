"""Training on recordings that tell only how they ended: what is learned, what is said."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_data_train import lines, weights

from data import training_run
from data.episodes import Episode, Views
from data.split import split_episodes
from data.train import Train
from robo_reward.errors import RoboRewardError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def command(train_command: Train) -> Train:
    return train_command


@dataclass
class Recorded:
    """Episodes with nothing but an outcome; every frame is its number in grey."""

    outcomes: list[bool]
    root: Path = Path("outputs/recorded")
    views: tuple[str, ...] = ("front",)
    fingerprint: str = "recorded"

    def __len__(self) -> int:
        return len(self.outcomes)

    def episode(self, index: int) -> Episode:
        ended = self.outcomes[index]
        text = ("push the button",)
        return Episode(
            index=index, length=12, fps=10.0, views=self.views, instructions=text, outcome=ended
        )

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        side = size or 16
        for number in range(0, 12, stride):
            yield number, {"front": np.full((side, side, 3), 20 * number, np.uint8)}


def opened(dataset: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_run, "open_dataset", lambda path, views=None: dataset)


def test_validation_by_a_failure_of_unknown_progress_does_not_stop_the_run(
    command: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(Recorded([True, False, True]), monkeypatch)
    for seed in range(20):
        if split_episodes(3, 0.1, seed)[1] == [1]:
            replace(command, seed=seed).run()
            break
    assert [line["validation"] for line in lines(command.out) if "validation" in line] == [{}, {}]
    assert weights(command.out, "best") == weights(command.out)


@pytest.mark.parametrize(
    ("outcomes", "changes", "told"),
    [
        ([True], {"withhold": ("0:4:8",)}, "validation: 1 episodes see their own last frame"),
        ([True, True], {}, None),
        ([True, False], {"withhold": ("0:4:8",), "validation": 0.0}, "1 episodes see their own"),
    ],
)
def test_the_screen_says_which_figures_flatter_and_that_one_goal_teaches_no_match(
    command: Train,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcomes: list[bool],
    changes: dict[str, Any],
    told: str | None,
) -> None:
    opened(Recorded(outcomes), monkeypatch)
    replace(command, dry_run=True, **changes).run()
    printed = capsys.readouterr().out
    assert "match: only one goal in this data, so match_prob says nothing" in printed
    assert ("their own last frame" in printed) == (told is not None)
    assert (told or "") in printed


def test_two_goals_teach_match(command: Train, capsys: pytest.CaptureFixture[str]) -> None:
    replace(command, dry_run=True).run()
    assert "only one goal" not in capsys.readouterr().out


def test_failures_alone_teach_no_progress(command: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(Recorded([False, False]), monkeypatch)
    with pytest.raises(RoboRewardError, match="of no training episode how it progressed"):
        command.run()
