"""Reading what an episode did: actions, states and other numbers by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import FEATURES, LENGTH, TASK, VIEWS, change_info, data_file, image, rewrite

from data.layout import DatasetLayout
from data.lerobot_dataset import open_dataset
from data.writer import DatasetWriter
from robo_reward.errors import DatasetError, InputError


@pytest.fixture
def moving(tmp_path: Path) -> Path:
    """Two episodes whose actions say where they are from: (episode, frame, episode + frame)."""
    layout = DatasetLayout(
        fps=10,
        image_shapes={view: (16, 16, 3) for view in VIEWS},
        features=FEATURES,
        storage="images",
    )
    with DatasetWriter(tmp_path / "moving", layout, description={"goals": {"cube": TASK}}) as out:
        for episode in range(2):
            out.add_episode([row(episode, number) for number in range(LENGTH)], task=TASK)
    return tmp_path / "moving"


def row(episode: int, number: int) -> dict[str, Any]:
    return {
        **{f"observation.images.{v}": image(v, number, episode)[:16, :16] for v in VIEWS},
        "action": np.array([episode, number, episode + number], np.float32),
        "next.reward": 0.5,
        "next.success": number == LENGTH - 1,
        "truth.progress": 0.0,
        "truth.is_final": False,
        "truth.goals": [0.0, 0.0],
    }


def damage(root: Path, name: str, values: list[Any]) -> Path:
    """Write other values into a column."""

    def change(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index(name), name, pa.array(values))

    rewrite(data_file(root), change)
    return root


def test_columns_are_arrays_of_the_rows_of_one_episode(moving: Path) -> None:
    found = open_dataset(moving).columns(1, ["action", "next.success", "next.reward", "index"])
    assert found["action"].tolist() == [[1, n, 1 + n] for n in range(LENGTH)]
    assert found["action"].dtype == found["next.reward"].dtype == np.float32
    assert found["next.success"][:, 0].tolist() == [False] * (LENGTH - 1) + [True]
    assert found["next.reward"].shape == (LENGTH, 1)
    assert found["index"].dtype == np.int64
    assert found["index"][:, 0].tolist() == list(range(LENGTH, 2 * LENGTH))


def test_facts_are_those_of_the_metadata(moving: Path) -> None:
    assert open_dataset(moving).facts.info["features"]["action"]["names"] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("observation.state", "has no column observation.state; it has .*action"),
        ("observation.images.front", r"has no numbers in its column \(image\) observation"),
    ],
)
def test_a_column_that_is_not_there_is_named_with_those_that_are(
    moving: Path, name: str, told: str
) -> None:
    with pytest.raises(DatasetError, match=told) as caught:
        open_dataset(moving).columns(0, ["action", name])
    assert "images.front," not in str(caught.value)


def test_a_number_that_is_not_finite_is_told_with_its_place(moving: Path) -> None:
    values = [[0.0, 0.0, 0.0] for _ in range(2 * LENGTH)]
    values[LENGTH + 3][2] = float("nan")
    dataset = open_dataset(damage(moving, "action", values))
    assert not dataset.columns(0, ["action"])["action"].any()
    told = r"action of episode 1 of .* is nan at frame 3 \(number 2\); delete the episode"
    with pytest.raises(DatasetError, match=told):
        dataset.columns(1, ["action"])


def test_rows_that_differ_in_length_or_hold_no_numbers_are_refused(moving: Path) -> None:
    values: list[Any] = [[0.0] * (1 + n % 2) for n in range(2 * LENGTH)]
    with pytest.raises(DatasetError, match="rows of different length"):
        open_dataset(damage(moving, "action", values)).columns(0, ["action"])
    with pytest.raises(DatasetError, match="is not made of numbers"):
        open_dataset(damage(moving, "action", ["left"] * 2 * LENGTH)).columns(0, ["action"])


def test_a_column_that_the_files_lack_is_told(moving: Path) -> None:
    rewrite(data_file(moving), lambda table: table.drop_columns(["next.reward"]))
    with pytest.raises(DatasetError, match=r"lost its column next\.reward"):
        open_dataset(moving).columns(0, ["action", "next.reward"])


def test_lost_rows_and_unknown_episodes_are_refused(moving: Path) -> None:
    with pytest.raises(InputError, match="has no episode 2"):
        open_dataset(moving).columns(2, ["action"])
    rewrite(data_file(moving), lambda table: table.slice(0, LENGTH + 4))
    with pytest.raises(DatasetError, match="has 4 rows, but meta/episodes claims 12"):
        open_dataset(moving).columns(1, ["action"])


def test_a_dataset_of_others_may_call_its_columns_as_it_likes(moving: Path) -> None:
    change_info(moving, lambda info: info["features"].update(extra={"dtype": "string"}))
    with pytest.raises(DatasetError, match=r"no numbers in its column \(string\) extra"):
        open_dataset(moving).columns(0, ["extra"])
