"""LeRobot datasets that are damaged, outdated or something else: one sentence for each."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import LENGTH, VIEWS, change_info, data_file, episodes_file, rewrite

from data.lerobot_dataset import open_dataset
from data.lerobot_meta import CONVERTER
from robo_reward.errors import DatasetError, InputError


def test_an_unknown_view_lists_those_that_exist(tiny_dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"no view top; tiny has front, wrist: .* --views"):
        open_dataset(tiny_dataset, views=("top",))
    dataset = open_dataset(tiny_dataset)
    for views, message in ((("top",), "no view top"), ((), "no view was asked for")):
        with pytest.raises(DatasetError, match=message):
            next(dataset.frames(0, views=views))


def test_images_of_other_names_are_listed_where_no_camera_is_found(copy: Path) -> None:
    def rename(info: dict[str, Any]) -> None:
        for view in VIEWS:
            info["features"][f"{view}_image"] = info["features"].pop(f"observation.images.{view}")

    change_info(copy, rename)
    with pytest.raises(DatasetError, match=r"no camera called .* --views front_image wrist_image"):
        open_dataset(copy)


def test_depth_maps_are_no_views(copy: Path) -> None:
    info = {"is_depth_map": True}
    key = "observation.images.front"
    change_info(copy, lambda whole: whole["features"][key].update(info=info))
    assert open_dataset(copy).views == ("wrist",)


def test_an_episode_that_does_not_exist_is_named(tiny_dataset: Path) -> None:
    for index in (3, -1):
        with pytest.raises(InputError, match=rf"has no episode {index}; it has 0 to 2"):
            open_dataset(tiny_dataset).episode(index)


def test_version_2_1_names_the_converter(copy: Path) -> None:
    change_info(copy, lambda info: info.update(codebase_version="v2.1"))
    with pytest.raises(DatasetError, match=rf"is a LeRobotDataset v2\.1.*{CONVERTER}.*{copy}"):
        open_dataset(copy)


def test_the_converter_we_name_exists() -> None:
    assert find_spec(CONVERTER.split()[-1]) is not None


def test_an_unknown_version_is_named(copy: Path) -> None:
    change_info(copy, lambda info: info.update(codebase_version="v4.0"))
    with pytest.raises(DatasetError, match=r"info\.json is v4\.0; write it with LeRobot"):
        open_dataset(copy)


def test_raw_recordings_name_the_import_command(recordings: Path) -> None:
    with pytest.raises(DatasetError, match=r"raw recordings; .* robo-reward import .*recordings"):
        open_dataset(recordings)


def test_a_directory_that_is_no_dataset_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"not a LeRobotDataset: it has no meta/info\.json"):
        open_dataset(tmp_path)


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no dataset directory .*/nowhere"):
        open_dataset(tmp_path / "nowhere")


def test_a_hub_id_that_cannot_be_fetched_is_named() -> None:
    with pytest.raises(DatasetError, match=r"no directory nobody/nothing, and the hub did not"):
        open_dataset("nobody/nothing")


def test_corrupt_metadata_is_named(copy: Path) -> None:
    (copy / "meta/info.json").write_text('{"fps": ')
    with pytest.raises(DatasetError, match=r"info\.json cannot be read as JSON"):
        open_dataset(copy)
    (copy / "meta/info.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"info\.json must hold a JSON object"):
        open_dataset(copy)


@pytest.mark.parametrize("name", ["meta/tasks.parquet", "data/chunk-000/file-000.parquet"])
def test_a_missing_parquet_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(DatasetError, match=rf"(no|lacks).*{name}; copy the dataset again"):
        open_dataset(copy)


@pytest.mark.parametrize("name", ["meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"])
def test_a_damaged_parquet_file_is_named(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"PAR1 but no more")
    with pytest.raises(DatasetError, match=rf"{name} cannot be read"):
        open_dataset(copy)


def test_a_data_file_cut_in_half_is_named(copy: Path) -> None:
    whole = data_file(copy).read_bytes()
    data_file(copy).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"file-000\.parquet cannot be read"):
        open_dataset(copy).episode(0)


def test_fewer_rows_than_claimed_are_named(copy: Path) -> None:
    rewrite(data_file(copy), lambda table: table.slice(0, 3 * LENGTH - 2))
    dataset = open_dataset(copy)
    assert dataset.episode(1).length == LENGTH
    with pytest.raises(DatasetError, match="has 10 rows, but meta/episodes claims 12"):
        dataset.episode(2)


def test_a_dataset_without_episodes_is_named(copy: Path) -> None:
    shutil.rmtree(copy / "meta/episodes")
    with pytest.raises(DatasetError, match=r"holds no episodes; record some, or finalize"):
        open_dataset(copy)


def test_a_missing_episode_row_is_named(copy: Path) -> None:
    rewrite(episodes_file(copy), lambda table: table.slice(0, 2))
    with pytest.raises(DatasetError, match=r"lists 2 episodes, but info\.json claims 3"):
        open_dataset(copy)


def test_a_blank_task_is_named(copy: Path) -> None:
    rewrite(copy / "meta/tasks.parquet", lambda t: t.set_column(1, t.column_names[1], [[" "]]))
    with pytest.raises(DatasetError, match=r"episode 0 of .* has no task text; .*modify_tasks"):
        open_dataset(copy).episode(0)


def test_a_missing_video_is_named(tiny_video_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny_video_dataset, tmp_path / "copy"))
    name = "videos/observation.images.wrist/chunk-000/file-000.mp4"
    (root / name).unlink()
    with pytest.raises(DatasetError, match=rf"lacks its file {name}; copy the dataset again"):
        open_dataset(root)


def test_a_truncated_video_is_named(tiny_video_dataset: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny_video_dataset, tmp_path / "copy"))
    path = root / "videos/observation.images.wrist/chunk-000/file-000.mp4"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    dataset = open_dataset(root)
    with pytest.raises(DatasetError, match=r"file-000\.mp4 (ends after|cannot be decoded)"):
        list(dataset.frames(2, views=("wrist",)))
