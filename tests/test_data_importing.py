"""`robo-reward import`: recordings become datasets that both we and LeRobot read."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import LENGTH, TASK, VIEWS, grey

from data import importing
from data.importing import Import, subtask_columns, whole_rate
from data.lerobot_dataset import open_dataset
from data.recordings import Recordings, read_recordings
from robo_reward.cli import main
from robo_reward.errors import DatasetError, OutputError
from robo_reward.goals import episode_goals


@pytest.mark.parametrize("storage", ["h264", "images"])
def test_two_recordings_become_two_episodes(recordings: Path, tmp_path: Path, storage: Any) -> None:
    Import(recordings, tmp_path / "d", storage=storage).run()
    dataset = open_dataset(tmp_path / "d")
    assert (len(dataset), dataset.views) == (2, VIEWS)
    for index in range(2):
        episode = dataset.episode(index)
        assert (episode.length, episode.fps) == (LENGTH, 10.0)
        assert episode.instructions == (TASK, "bin the red cube")
        spans = [(subtask.name, subtask.start, subtask.end) for subtask in episode.subtasks]
        assert spans == [("grasp", 1, 5), ("release", 5, 10)]
        assert episode.outcome is True
        assert episode.success is not None
        assert episode.success.tolist() == [False] * 10 + [True] * 2
        for number, views in dataset.frames(index, views=VIEWS):
            for view in VIEWS:
                assert abs(float(views[view].mean()) - grey(view, number, index)) < 5


def test_stock_lerobot_opens_what_was_imported(recordings: Path, tmp_path: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    Import(recordings, tmp_path / "d").run()
    dataset = LeRobotDataset("local/d", root=tmp_path / "d", video_backend="pyav")
    assert (len(dataset), dataset.num_episodes) == (2 * LENGTH, 2)
    item = dataset[LENGTH + 4]
    assert item["task"] == TASK
    assert abs(float(item["observation.images.wrist"].mean()) * 255 - grey("wrist", 4, 1)) < 5
    assert [bool(dataset[row]["next.success"]) for row in (10, 11, 12)] == [False, True, False]
    assert dataset.meta.episodes[1]["sparse_subtask_end_frames"] == [5, 10]


def test_an_unannotated_episode_has_an_unknown_outcome(recordings: Path, tmp_path: Path) -> None:
    (recordings / "episode_002/annotated_keyframes.json").unlink()
    Import(recordings, tmp_path / "d", storage="images").run()
    dataset = open_dataset(tmp_path / "d")
    assert [dataset.episode(index).outcome for index in range(2)] == [True, None]
    assert dataset.episode(1).success is None
    assert dataset.episode(1).subtasks == ()


def test_subtask_times_are_frames_over_the_rate_of_the_dataset(recordings: Path) -> None:
    columns = subtask_columns(read_recordings(recordings).episodes[0], 10)
    assert columns["sparse_subtask_end_frames"] == [5, 10]
    assert columns["sparse_subtask_end_times"] == [0.5, 1.0]


def test_the_command_line_prints_the_dataset_and_what_to_do_next(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d"
    main(["import", str(recordings), "--out", str(out), "--storage", "images"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"2 episodes, 24 frames: {out}"
    assert lines[1].startswith(f"next: robo-reward train --dataset {out}")


def unannotated(recordings: Path, *episodes: int) -> Path:
    for number in episodes:
        (recordings / f"episode_{number:03d}/annotated_keyframes.json").unlink()
    return recordings


def test_recordings_that_say_nothing_of_their_end_are_told_to(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Import(unannotated(recordings, 1), tmp_path / "one", storage="images").run()
    told = capsys.readouterr().out
    assert "1 of 2 episodes have no annotated_keyframes.json" in told
    assert "next: robo-reward train" in told
    Import(unannotated(recordings, 2), tmp_path / "two", storage="images").run()
    told = capsys.readouterr().out
    assert "2 of 2 episodes have no annotated_keyframes.json" in told
    assert "import with --success if all episodes are successes" in told
    assert "next:" not in told


def test_recordings_that_are_said_to_be_successes_can_be_trained_on(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Import(unannotated(recordings, 1), tmp_path / "d", storage="images", success=True).run()
    told = capsys.readouterr().out
    assert "annotated_keyframes" not in told
    assert "next: robo-reward train" in told
    episodes = [open_dataset(tmp_path / "d").episode(index) for index in range(2)]
    assert [episode.outcome for episode in episodes] == [True, True]
    (goal,) = episode_goals(episodes[0])
    assert goal.progress == pytest.approx(np.arange(LENGTH) / (LENGTH - 1))
    assert (goal.success[-1], goal.match) == (1.0, 1.0)


def at_rate(recordings: Path, fps: float) -> Recordings:
    found = read_recordings(recordings)
    return replace(found, episodes=tuple(replace(one, fps=fps) for one in found.episodes))


def test_a_rate_that_is_not_whole_is_rounded_everywhere_and_said(
    recordings: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = at_rate(recordings, 9.6)
    monkeypatch.setattr(importing, "read_recordings", lambda root, instruction: odd)
    Import(recordings, tmp_path / "d", storage="images").run()
    assert "9.6 frames a second are kept as 10" in capsys.readouterr().out
    (path,) = (tmp_path / "d/meta/episodes").glob("*/*.parquet")
    assert pq.read_table(path)["sparse_subtask_end_times"].to_pylist() == [[0.5, 1.0]] * 2


def test_a_rate_below_one_is_refused(recordings: Path) -> None:
    with pytest.raises(DatasetError, match=r"have 0\.4 frames a second, and a dataset needs"):
        whole_rate(at_rate(recordings, 0.4))


def test_a_dry_run_checks_everything_and_writes_nothing(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Import(recordings, tmp_path / "d", dry_run=True).run()
    assert f"would make 2 episodes, 24 frames: {tmp_path / 'd'}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["recordings"]
    (recordings / "episode_001/wrist.mp4").unlink()
    with pytest.raises(DatasetError, match=r"has no wrist\.mp4"):
        Import(recordings, tmp_path / "d", dry_run=True).run()


def test_a_log_beside_the_dataset_has_a_line_an_episode(recordings: Path, tmp_path: Path) -> None:
    Import(recordings, tmp_path / "d", storage="images").run()
    lines = [json.loads(line) for line in (tmp_path / "d.jsonl").read_text().splitlines()]
    assert [(one["episode"], one["frames"], one["subtasks"]) for one in lines] == [
        (0, LENGTH, 2),
        (1, LENGTH, 2),
    ]


def test_the_command_line_refuses_an_existing_dataset_in_one_sentence(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "d"
    (out / "meta").mkdir(parents=True)
    (out / "meta/info.json").write_text("{}")
    with pytest.raises(SystemExit, match="2"):
        main(["import", str(recordings), "--out", str(out)])
    error = capsys.readouterr().err
    assert error == f"robo-reward import: {out} exists; choose another --out, or pass --overwrite\n"


def test_an_instruction_may_be_given_by_hand(recordings: Path, tmp_path: Path) -> None:
    (recordings / "task_instruction.json").unlink()
    Import(recordings, tmp_path / "d", storage="images", instruction="tidy up").run()
    assert open_dataset(tmp_path / "d").episode(0).instructions == ("tidy up",)


def test_a_camera_that_breaks_off_leaves_no_dataset(recordings: Path, tmp_path: Path) -> None:
    path = recordings / "episode_002/wrist.mp4"
    whole = path.read_bytes()
    at = whole.index(b"mdat") + 60
    path.write_bytes(whole[:at] + bytes(200) + whole[at + 200 :])
    with pytest.raises(DatasetError, match=r"wrist\.mp4 (ends after|cannot be decoded)"):
        Import(recordings, tmp_path / "d", storage="images").run()
    assert sorted(child.name for child in tmp_path.iterdir()) == ["d.jsonl", "recordings"]


def test_overwriting_imports_again(recordings: Path, tmp_path: Path) -> None:
    for overwrite in (False, True):
        Import(recordings, tmp_path / "d", storage="images", overwrite=overwrite).run()
    with pytest.raises(OutputError, match="exists"):
        Import(recordings, tmp_path / "d").run()


@pytest.mark.slow
def test_the_real_recording_imports_in_less_than_two_minutes(
    real_table: Path, tmp_path: Path
) -> None:
    start = time.monotonic()
    Import(real_table, tmp_path / "d").run()
    assert time.monotonic() - start < 120
    dataset = open_dataset(tmp_path / "d")
    episode = dataset.episode(0)
    assert (episode.length, len(episode.subtasks), len(episode.instructions)) == (1277, 16, 5)
    assert episode.success is not None
    assert int(episode.success.sum()) == 1277 - 1263
    from data import video

    source = video.frames(real_table / "episode_001/cam_high.mp4", count=1277, size=64, stride=400)
    ours = dataset.frames(0, views=("cam_high",), size=64, stride=400)
    for (number, wanted), (again, views) in zip(source, ours, strict=True):
        assert number == again
        difference = np.abs(views["cam_high"].astype(float) - wanted.astype(float))
        assert difference.mean() < 3
