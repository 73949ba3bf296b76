"""Reading LeRobot datasets: the facts of an episode and its pixels."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from conftest import (
    LENGTH,
    OTHER_TASK,
    SHAPE,
    TASK,
    VIEWS,
    change_info,
    data_file,
    episodes_file,
    grey,
    rewrite,
)

from data.episodes import EpisodeDataset, Subtask
from data.lerobot_dataset import open_dataset
from robo_reward import lerobot_rows as facts
from robo_reward.errors import DatasetError
from robo_reward.goals import episode_goals


def drop(root: Path, *names: str) -> Path:
    """Take columns out of the rows of a dataset."""
    rewrite(data_file(root), lambda table: table.drop_columns(list(names)))
    return change_info(root, lambda info: [info["features"].pop(name) for name in names])


def test_an_episode_says_what_the_simulator_recorded(tiny_dataset: Path) -> None:
    dataset: EpisodeDataset = open_dataset(tiny_dataset)
    assert (len(dataset), dataset.views, dataset.root) == (3, VIEWS, tiny_dataset)
    episode = dataset.episode(2)
    assert (episode.index, episode.length, episode.fps) == (2, LENGTH, 10.0)
    assert episode.first_row == 2 * LENGTH
    assert episode.views == VIEWS
    assert episode.instructions == (TASK, "drop the red cube into the bin")
    assert episode.behaviour == "expert"
    assert episode.outcome is True
    assert episode.truth is not None
    assert episode.truth.dtype == np.float32
    assert np.allclose(episode.truth, np.minimum(np.arange(LENGTH) / 9, 1))
    assert episode.success is not None
    assert episode.success.tolist() == [False] * 9 + [True] * 3
    assert list(episode.other_goals) == [(OTHER_TASK, "press the blue button")]
    assert np.all(next(iter(episode.other_goals.values())) == 0.25)


def test_a_failure_stays_at_half_and_is_never_done(tiny_dataset: Path) -> None:
    episode = open_dataset(tiny_dataset).episode(1)
    assert episode.outcome is False
    assert episode.truth is not None
    assert float(episode.truth[-1]) == 0.5
    assert episode.success is not None
    assert not episode.success.any()
    assert episode.behaviour == "early_release"


@pytest.mark.parametrize("storage", ["tiny_dataset", "tiny_video_dataset"])
def test_frames_of_each_episode_are_its_own(storage: str, request: pytest.FixtureRequest) -> None:
    dataset = open_dataset(request.getfixturevalue(storage))
    for index in range(3):
        seen = list(dataset.frames(index, views=("wrist", "front")))
        assert [number for number, _ in seen] == list(range(LENGTH))
        for number, views in seen:
            for view in VIEWS:
                assert views[view].shape == SHAPE
                assert abs(float(views[view].mean()) - grey(view, number, index)) < 3


@pytest.mark.parametrize("storage", ["tiny_dataset", "tiny_video_dataset"])
def test_size_and_stride_hold_for_both_storages(
    storage: str, request: pytest.FixtureRequest
) -> None:
    dataset = open_dataset(request.getfixturevalue(storage))
    seen = list(dataset.frames(1, views=("front",), size=16, stride=5))
    assert [number for number, _ in seen] == [0, 5, 10]
    assert all(list(views) == ["front"] for _, views in seen)
    assert all(views["front"].shape == (16, 16, 3) for _, views in seen)


def test_a_local_dataset_is_read_without_torch_or_lerobot(tiny_dataset: Path) -> None:
    code = (
        "import sys, data; from data import open_dataset\n"
        f"d = open_dataset({str(tiny_dataset)!r}); d.episode(0)\n"
        "n = sum(1 for _ in d.frames(0, views=d.views, size=8))\n"
        "heavy = {'torch', 'lerobot', 'datasets', 'pandas'} & set(sys.modules)\n"
        "assert n == 12 and not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_data_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'lerobot', 'zarr', 'cv2', 'av', 'numpy', 'pyarrow'}"
    code = f"import sys, data; assert not {heavy} & set(sys.modules); data.FrameCache"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_every_exported_name_exists_and_others_do_not() -> None:
    import data

    assert all(hasattr(data, name) for name in data.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = data.nonsense


def test_memory_does_not_grow_with_the_length_of_an_episode(copy: Path) -> None:
    dataset = open_dataset(copy)
    next(dataset.frames(0, views=("front",)))
    tracemalloc.start()
    for _ in dataset.frames(0, views=("front",)):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


@pytest.mark.parametrize("rows_per_group", [5, 7, 1000])
def test_episodes_are_found_in_any_layout_of_row_groups(copy: Path, rows_per_group: int) -> None:
    rewrite(data_file(copy), lambda table: table, row_group_size=rows_per_group)
    dataset = open_dataset(copy)
    for index in range(3):
        truth = dataset.episode(index).truth
        assert truth is not None
        assert truth[3] == pytest.approx(3 / 9)
        means = [v["front"].mean() for _, v in dataset.frames(index, views=("front",))]
        assert means == [grey("front", number, index) for number in range(LENGTH)]


def test_the_fingerprint_survives_copying_and_notices_an_edit(
    tiny_dataset: Path, copy: Path
) -> None:
    original = open_dataset(tiny_dataset).fingerprint
    assert len(original) == 64
    assert open_dataset(copy).fingerprint == original
    with data_file(copy).open("ab") as file:
        file.write(b"x")
    assert open_dataset(copy).fingerprint != original


def test_without_truth_done_frames_follow_the_first_successful_step(copy: Path) -> None:
    episode = open_dataset(drop(copy, "truth.progress", "truth.goals")).episode(0)
    assert episode.truth is None
    assert episode.other_goals == {}
    assert episode.success is not None
    assert episode.success.tolist() == [False] * 9 + [True] * 3


def test_a_success_told_in_the_last_row_alone_has_an_unknown_moment(copy: Path) -> None:
    last = [number % LENGTH == LENGTH - 1 and number // LENGTH != 1 for number in range(3 * LENGTH)]
    drop(copy, "truth.progress", "truth.goals")

    def tell_late(table: pa.Table) -> pa.Table:
        place = table.column_names.index("next.success")
        return table.set_column(place, "next.success", pa.array(last))

    rewrite(data_file(copy), tell_late)
    success, failure = (open_dataset(copy).episode(index) for index in (0, 1))
    assert (success.outcome, success.success) == (True, None)
    assert episode_goals(success)[0].success.tolist()[-1] == 1.0
    assert failure.success is not None
    assert not failure.success.any()


def test_without_next_success_the_last_reward_tells_the_outcome(copy: Path) -> None:
    dataset = open_dataset(drop(copy, "truth.progress", "truth.goals", "next.success"))
    assert [dataset.episode(index).outcome for index in range(3)] == [True, False, True]
    assert dataset.episode(0).success is None


def test_without_any_sign_the_outcome_is_unknown(copy: Path) -> None:
    names = ("truth.progress", "truth.goals", "next.success", "next.reward")
    assert open_dataset(drop(copy, *names)).episode(0).outcome is None


def test_sarm_columns_give_subtasks_and_dense_ones_win(copy: Path) -> None:
    def annotate(table: pa.Table) -> pa.Table:
        for kind, names in (("sparse", ["all"]), ("dense", ["grasp", "release"])):
            edges = [0, 4, LENGTH][: len(names) + 1]
            for column, cell in (
                ("names", names),
                ("start_frames", edges[:-1]),
                ("end_frames", edges[1:]),
            ):
                cells = [cell, None, cell]
                table = table.append_column(f"{kind}_subtask_{column}", pa.array(cells))
        return table

    rewrite(episodes_file(copy), annotate)
    dataset = open_dataset(copy)
    grasp, release = dataset.episode(0).subtasks
    assert (grasp.name, grasp.start, grasp.end) == ("grasp", 0, 4)
    assert (release.name, release.start, release.end) == ("release", 4, LENGTH - 1)
    assert dataset.episode(1).subtasks == ()


def test_language_persistent_gives_subtasks(copy: Path) -> None:
    entries = [
        {"style": "subtask", "content": "release", "timestamp": 0.5},
        {"style": "plan", "content": "first grasp", "timestamp": 0.0},
        {"style": "subtask", "content": "grasp", "timestamp": 0.1},
    ]
    column = pa.array([entries] * (3 * LENGTH))
    rewrite(data_file(copy), lambda table: table.append_column("language_persistent", column))
    feature = {"dtype": "language", "shape": [1], "names": None}
    change_info(copy, lambda info: info["features"].update(language_persistent=feature))
    assert open_dataset(copy).episode(1).subtasks == (
        Subtask(name="grasp", start=1, end=5),
        Subtask(name="release", start=5, end=LENGTH - 1),
    )


def test_an_annotated_success_is_done_from_its_last_keyframe_on() -> None:
    subtasks = (Subtask(name="a", start=0, end=3),)
    columns = {"task_index": np.zeros(5, np.int64)}
    assert facts.outcome(columns, subtasks) is True
    done = facts.success(columns, subtasks, True)
    assert done is not None
    assert done.tolist() == [False, False, False, True, True]


def test_a_subtask_without_time_of_its_own_is_left_out() -> None:
    entries = [
        {"style": "subtask", "content": name, "timestamp": time}
        for name, time in (("look", 0.2), ("grasp", 0.2), ("lift", 0.6), ("rest", 0.9))
    ]
    kept = facts.language_subtasks(entries, 10, 10.0)
    assert [(part.name, part.start, part.end) for part in kept] == [("look", 2, 6), ("lift", 6, 9)]
    names, starts, ends = ["grasp", "press", "rest"], [0, 5, 5], [4, 5, 9]
    row = {"episode_index": 0, "sparse_subtask_names": names, "sparse_subtask_start_frames": starts}
    kept = facts.sarm_subtasks({**row, "sparse_subtask_end_frames": ends}, 6)
    assert [part.name for part in kept] == ["grasp", "press"]


def test_uneven_or_backward_subtasks_are_named() -> None:
    row = {"episode_index": 4, "sparse_subtask_names": ["a", "b"]}
    with pytest.raises(DatasetError, match="sparse subtasks of episode 4 have 2 names, 0 starts"):
        facts.sarm_subtasks(row, 10)
    row |= {"sparse_subtask_start_frames": [5, 0], "sparse_subtask_end_frames": [9, 5]}
    with pytest.raises(DatasetError, match="overlap, run backwards or leave its 10 frames"):
        facts.sarm_subtasks(row, 10)


def test_a_goal_without_text_is_named() -> None:
    with pytest.raises(DatasetError, match=r"no text for \['button'\]"):
        facts.other_goals(
            np.zeros((3, 2), np.float32), ["cube", "button"], {"goals": {"cube": TASK}}, TASK
        )


def test_a_subset_of_views_and_features_of_other_names_can_be_chosen(copy: Path) -> None:
    assert open_dataset(copy, views=("wrist",)).views == ("wrist",)
    old = "observation.images.wrist"

    def rename(table: pa.Table) -> pa.Table:
        names = ["wrist_image" if name == old else name for name in table.column_names]
        return table.rename_columns(names)

    rewrite(data_file(copy), rename)
    change_info(copy, lambda i: i["features"].update(wrist_image=i["features"].pop(old)))
    assert open_dataset(copy).views == ("front",)
    dataset = open_dataset(copy, views=("wrist_image", "front"))
    assert dataset.views == ("front", "wrist_image")
    _, views = next(dataset.frames(0, views=dataset.views))
    assert np.all(views["wrist_image"] == grey("wrist", 0))
