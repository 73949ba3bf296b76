"""Datasets joined to one: the same frames and truth, in order, whole or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.joining import join_datasets
from data.layout import DatasetLayout
from data.lerobot_dataset import open_dataset
from data.writer import DatasetWriter
from robo_reward.errors import OutputError


def write_piece(root: Path, first: int, storage: Any = "h264") -> Path:
    """Two episodes of six frames, each of a shade of its own."""
    layout = DatasetLayout(
        fps=10,
        image_shapes={"front": (32, 32, 3)},
        features={"truth.progress": {"dtype": "float32", "shape": (1,), "names": None}},
        storage=storage,
    )
    with DatasetWriter(root, layout) as writer:
        for number in (first, first + 1):
            image = np.full((32, 32, 3), 20 * number, np.uint8)
            rows = [
                {"observation.images.front": image, "truth.progress": step / 5} for step in range(6)
            ]
            writer.add_episode(rows, task=f"do {number}", columns={"behaviour": f"b{number}"})
    return root


@pytest.mark.parametrize("storage", ["h264", "images"])
def test_frames_tasks_and_columns_come_in_order(tmp_path: Path, storage: str) -> None:
    pieces = [write_piece(tmp_path / f"p{n}", 2 * n, storage) for n in range(3)]
    root = tmp_path / "whole"
    join_datasets(pieces, root, description={"task": "shades"})
    dataset = open_dataset(root)
    assert len(dataset) == 6
    for number in range(6):
        episode = dataset.episode(number)
        assert (episode.length, episode.instructions[0]) == (6, f"do {number}")
        assert episode.behaviour == f"b{number}"
        for _, views in dataset.frames(number, views=["front"], size=32):
            assert abs(float(views["front"].mean()) - 20 * number) < 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p0", "p1", "p2", "whole"]
    assert '"task": "shades"' in (root / "meta/robo_reward.json").read_text()


def test_joining_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    join_datasets([write_piece(tmp_path / "p", 0)], tmp_path / "whole", description={})
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_what_is_there_is_kept_unless_it_may_be_replaced(tmp_path: Path) -> None:
    pieces = [write_piece(tmp_path / "p", 0)]
    root = write_piece(tmp_path / "whole", 4)
    with pytest.raises(OutputError, match="--overwrite"):
        join_datasets(pieces, root, description={})
    assert open_dataset(root).episode(0).instructions[0] == "do 4"
    join_datasets(pieces, root, description={}, overwrite=True)
    assert open_dataset(root).episode(0).instructions[0] == "do 0"


def test_a_full_disk_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, aggr_root: Path, **__: Any) -> None:
        aggr_root.mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lerobot.datasets.aggregate.aggregate_datasets", full)
    pieces = [write_piece(tmp_path / "p", 0)]
    with pytest.raises(OutputError, match=r"whole .No space left on device"):
        join_datasets(pieces, tmp_path / "whole", description={})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p"]
