"""Writing LeRobot datasets: stock LeRobot opens them, and nothing half-written is in place."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import FEATURES, LENGTH, SHAPE, TASK, VIEWS, grey, image, rows, write_dataset

from data.layout import DatasetLayout
from data.places import replace_folder
from data.writer import DatasetWriter
from robo_reward.errors import InputError, OutputError


def writer(root: Path, *, overwrite: bool = False, **options: Any) -> DatasetWriter:
    """A writer of datasets with images and nothing else."""
    plain: dict[str, Any] = {"fps": 10, "image_shapes": {"front": SHAPE}, "storage": "images"}
    return DatasetWriter(root, DatasetLayout(**(plain | options)), overwrite=overwrite)


def plain_rows(count: int = 3) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"observation.images.front": image("front", number)}


def stock(root: Path) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset(f"local/{root.name}", root=root, video_backend="pyav")


@pytest.mark.parametrize("storage", ["h264", "av1", "images"])
def test_stock_lerobot_reads_24_rows_with_their_pixels(tmp_path: Path, storage: str) -> None:
    dataset = stock(write_dataset(tmp_path / "d", storage, episodes=2))
    assert (len(dataset), dataset.num_episodes, dataset.fps) == (2 * LENGTH, 2, 10)
    for index in (0, 7, LENGTH + 3):
        item = dataset[index]
        assert item["task"] == TASK
        for view in VIEWS:
            picture = item[f"observation.images.{view}"]
            wanted = grey(view, index % LENGTH, index // LENGTH) / 255
            assert tuple(picture.shape) == (3, *SHAPE[:2])
            assert abs(float(picture.mean()) - wanted) < 0.02
    assert float(dataset[3]["truth.progress"]) == pytest.approx(3 / 9)
    assert bool(dataset[LENGTH - 1]["next.success"])


@pytest.mark.parametrize("storage", ["h264", "av1"])
def test_the_same_frames_become_the_same_bytes(tmp_path: Path, storage: str) -> None:
    rng = np.random.default_rng(0)
    still = rng.integers(0, 255, (64, 64, 3), np.uint8)
    pictures = [np.roll(still, (step, 2 * step), (0, 1)) for step in range(40)]
    shapes = dict.fromkeys(("front", "side"), (64, 64, 3))
    held = []
    for number in range(3):
        root = tmp_path / str(number) / "d"
        with writer(root, image_shapes=shapes, storage=storage) as made:
            for _ in range(2):
                made.add_episode(
                    ({f"observation.images.{view}": p for view in shapes} for p in pictures),
                    task=TASK,
                )
        files = sorted(path for path in root.rglob("*") if path.is_file())
        held.append([(path.relative_to(root), path.read_bytes()) for path in files])
    assert held[0] == held[1] == held[2]


def test_200_frames_fed_faster_than_the_encoder_are_all_kept(tmp_path: Path) -> None:
    shape = (96, 128, 3)
    noise = np.random.default_rng(0).integers(0, 255, (20, *shape), dtype=np.uint8)
    fast = ({"observation.images.front": noise[number % 20]} for number in range(200))
    with writer(tmp_path / "d", fps=30, image_shapes={"front": shape}, storage="av1") as made:
        made.add_episode(fast, task=TASK)
    from data import video

    (path,) = (tmp_path / "d/videos").rglob("*.mp4")
    assert video.header(path).frames == 200


def test_episode_columns_and_description_are_kept(tiny_dataset: Path) -> None:
    (path,) = (tiny_dataset / "meta/episodes").glob("*/*.parquet")
    table = pq.read_table(path)
    assert table["behaviour"].to_pylist() == ["expert", "early_release", "expert"]
    own = json.loads((tiny_dataset / "meta/robo_reward.json").read_text())
    assert own["paraphrases"][TASK] == ["drop the red cube into the bin"]


def test_list_columns_may_be_missing_in_some_episodes(tmp_path: Path) -> None:
    with writer(tmp_path / "d") as made:
        assert made.add_episode(plain_rows(), task=TASK) == 0
        columns = {"sparse_subtask_names": ["a", "b"], "onset_frame": 2}
        assert made.add_episode(plain_rows(), task=TASK, columns=columns) == 1
    assert stock(tmp_path / "d").meta.episodes["sparse_subtask_names"] == [None, ["a", "b"]]
    assert stock(tmp_path / "d").meta.episodes["onset_frame"] == [None, 2]


def test_nothing_stands_at_the_root_until_the_end(tmp_path: Path) -> None:
    root = tmp_path / "d"
    with writer(root) as made:
        made.add_episode(plain_rows(), task=TASK)
        assert not root.exists()
        assert [path.name for path in tmp_path.iterdir()] == [f"d.partial-{os.getpid()}"]
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@pytest.mark.parametrize("storage", ["h264", "images"])
def test_an_exception_leaves_nothing_behind(tmp_path: Path, storage: str) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from plain_rows()
        raise KeyError("the robot fell over")

    with pytest.raises(KeyError, match="fell over"), writer(tmp_path / "d", storage=storage) as m:
        m.add_episode(broken(), task=TASK)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_dataset_is_replaced_only_when_told(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d", "images", episodes=1)
    with pytest.raises(OutputError, match=r"d exists; choose another --out, or pass --overwrite"):
        writer(root)
    with writer(root, overwrite=True) as made:
        made.add_episode(plain_rows(5), task=TASK)
    assert len(stock(root)) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_failed_overwrite_keeps_the_old_dataset(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d", "images", episodes=1)
    with pytest.raises(KeyError), writer(root, overwrite=True):
        raise KeyError
    assert len(stock(root)) == LENGTH


def test_a_directory_that_is_no_dataset_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/to_mother.txt").write_text("dear mother")
    with pytest.raises(OutputError, match="letters is not a dataset, so it is not replaced"):
        writer(tmp_path / "letters", overwrite=True)


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with writer(tmp_path / "d") as made:
        made.add_episode(plain_rows(), task=TASK)
    assert len(stock(tmp_path / "d")) == 3


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write to .*file; choose another --out"):
        writer(tmp_path / "file/d")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match=r"cannot write to .* mend its permissions"):
        writer(tmp_path / "d")


def test_a_disk_that_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DatasetWriter, "_create", refuse)
    with pytest.raises(OutputError, match=r"\(No space left on device\)"), writer(tmp_path / "d"):
        raise AssertionError("never begun")


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("add_frame", OSError(28, "No space left on device")),
        ("add_frame", RuntimeError("Encoder thread for front\nfailed: No space left on device")),
        ("save_episode", OSError(28, "No space left on device")),
        ("finalize", OSError("No space left on device")),
    ],
)
def test_a_disk_that_fills_up_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    def write() -> None:
        with writer(tmp_path / "d") as made:
            monkeypatch.setattr(made._dataset, where, refuse)
            made.add_episode(plain_rows(), task=TASK)

    with pytest.raises(OutputError, match=r"cannot write .*d \(.*No space") as told:
        write()
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_cleared_up(tmp_path: Path, gone: int) -> None:
    for name in (f"d.partial-{gone}", f"d.partial-{os.getppid()}", f"other.partial-{gone}"):
        (tmp_path / name / "meta").mkdir(parents=True)
    with writer(tmp_path / "d") as made:
        made.add_episode(plain_rows(), task=TASK)
    left = {"d", f"d.partial-{os.getppid()}", f"other.partial-{gone}"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_kill_while_a_dataset_is_replaced_does_not_lose_the_old_one(
    tmp_path: Path, gone: int
) -> None:
    old = write_dataset(tmp_path / "d", "images", episodes=1)
    old.rename(tmp_path / f"d.old-{gone}")
    with pytest.raises(OutputError, match="d exists; choose another --out, or pass --overwrite"):
        writer(tmp_path / "d")
    assert len(stock(tmp_path / "d")) == LENGTH
    (tmp_path / f"d.old-{gone}/meta").mkdir(parents=True)
    with writer(tmp_path / "d", overwrite=True) as made:
        made.add_episode(plain_rows(), task=TASK)
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_kill_while_the_old_dataset_is_removed_does_not_bring_half_of_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, new = tmp_path / "d", tmp_path / f"d.partial-{os.getpid()}"
    for folder in (root, new):
        (folder / folder.name).mkdir(parents=True)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    replace_folder(root, new)
    assert [path.name for path in root.iterdir()] == [new.name]
    assert {path.name for path in tmp_path.iterdir()} == {root.name, new.name}


def test_a_dataset_that_cannot_take_its_place_leaves_the_old_one_there(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    (root / "old").touch()
    with pytest.raises(FileNotFoundError):
        replace_folder(root, tmp_path / "absent")
    assert [path.name for path in root.iterdir()] == ["old"]


def test_a_dataset_without_episodes_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no episode was written"), writer(tmp_path / "d"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_without_views_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would have no view"):
        writer(tmp_path / "d", image_shapes={})


def test_one_frame_is_no_episode(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="needs at least 2 frames, and this one has 1"),
        writer(tmp_path / "d") as made,
    ):
        made.add_episode(plain_rows(1), task=TASK)


def test_a_blank_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="blank task"), writer(tmp_path / "d") as made:
        made.add_episode(plain_rows(), task=" ")


def test_a_row_that_lacks_a_feature_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match=r"row 0 of episode 0 does not fit .*action"),
        writer(tmp_path / "d", features=FEATURES) as made,
    ):
        made.add_episode(plain_rows(), task=TASK)


def test_scalars_and_lists_become_the_declared_types(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "d", "images", episodes=1)
    table = pq.read_table(next((root / "data").rglob("*.parquet")))
    assert str(table["next.success"].type) == "bool"
    assert str(table["truth.progress"].type) == "float"
    assert table["truth.goals"].to_pylist()[9] == [1.0, 0.25]
    assert len(list(rows(0))) == table.num_rows


def test_nothing_is_printed_while_writing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for storage in ("h264", "av1", "images"):
        write_dataset(tmp_path / storage, storage, episodes=1)
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
