"""Labels are made frame by frame: blind to what comes later, in memory that does not grow."""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from test_data_label import COLUMNS, checkpoint

from data.compaction import FILE
from data.episodes import Episode, EpisodeDataset, Views
from data.label_share import write_labels
from data.lerobot_dataset import LeRobotEpisodes, open_dataset
from data.references import ReferenceFinder
from robo_reward.checkpoint import load
from robo_reward.together import QUERIES_A_PASS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "model")


def labelled(dataset: EpisodeDataset, model: Path, out: Path) -> pa.Table:
    """Label without a goal, and return the sidecar."""
    finder = ReferenceFinder(dataset, "none", size=16)
    write_labels(dataset, load(model), finder, out)
    return pq.read_table(out / FILE)


@dataclass
class Cut:
    """A dataset whose episodes end early."""

    whole: LeRobotEpisodes
    length: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.whole, name)

    def __len__(self) -> int:
        return len(self.whole)

    def episode(self, index: int) -> Episode:
        shown = self.whole.episode(index)
        short = {"length": self.length, "success": None, "truth": None, "other_goals": {}}
        return replace(shown, **short)

    def frames(self, index: int, **options: Any) -> Iterator[tuple[int, Views]]:
        for number, views in self.whole.frames(index, **options):
            if number < self.length:
                yield number, views


@pytest.mark.parametrize("length", [1, 6, 9])
def test_labels_do_not_depend_on_later_frames(
    tiny_dataset: Path, model: Path, tmp_path: Path, length: int
) -> None:
    """Passes of another size may round otherwise: equal to 1e-5. A reward is known a row later."""
    whole = open_dataset(tiny_dataset)
    long, short = (
        labelled(dataset, model, tmp_path / str(number))
        for number, dataset in enumerate((whole, Cut(whole, length)))
    )
    for episode in range(3):
        for column in set(COLUMNS) - {"index"}:
            expected, got = (
                table.filter(pc.field("episode_index") == episode)[column].to_numpy()
                for table in (long, short)
            )
            known = length - (column == "reward")
            np.testing.assert_allclose(got[:known], expected[:known], rtol=0, atol=1e-5)


@dataclass
class Endless:
    """One long episode that counts how many of its frames are alive at once."""

    length: int = 400
    root: Path = Path("outputs/endless")
    views: tuple[str, ...] = ("front",)
    fingerprint: str = "endless"
    alive: set[int] = field(default_factory=set)
    most: int = 0

    def __len__(self) -> int:
        return 1

    def episode(self, index: int) -> Episode:
        text = ("turn the crank",)
        return Episode(index=0, length=self.length, fps=2.5, views=self.views, instructions=text)

    def frames(self, index: int, *, size: int, **options: Any) -> Iterator[tuple[int, Views]]:
        for number in range(self.length):
            image = np.full((size, size, 3), number % 251, np.uint8)
            self.alive.add(number)
            weakref.finalize(image, self.alive.discard, number)
            self.most = max(self.most, len(self.alive))
            yield number, {"front": image}


def test_labels_of_whole_passes_are_identical_when_later_frames_are_cut_off(
    model: Path, tmp_path: Path
) -> None:
    length = 2 * QUERIES_A_PASS
    long = labelled(Endless(), model, tmp_path / "long")
    short = labelled(Endless(length), model, tmp_path / "short")
    for column in COLUMNS:
        known = length - (column == "reward")
        expected = long[column].to_numpy()[:known]
        np.testing.assert_array_equal(short[column].to_numpy()[:known], expected)


def test_memory_does_not_grow_with_the_episode(model: Path, tmp_path: Path) -> None:
    """The pass that was judged last is let go when the next one is complete."""
    dataset = Endless()
    assert labelled(dataset, model, tmp_path).num_rows == 400
    assert dataset.most <= 2 * QUERIES_A_PASS + 2
