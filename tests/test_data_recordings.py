"""Raw recordings: what is read, and the one sentence for each thing that can be wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import KEYFRAMES, LENGTH, SHAPE, TASK, image, write_video

from data.recordings import is_recording_directory, read_recordings
from robo_reward.errors import DatasetError


def annotate(root: Path, *spans: tuple[int, int]) -> None:
    entries = [{"annotation": "a", "start_frame_id": s, "end_frame_id": e} for s, e in spans]
    (root / "episode_001/annotated_keyframes.json").write_text(json.dumps(entries))


def test_two_episodes_of_two_views_and_two_subtasks_are_read(recordings: Path) -> None:
    found = read_recordings(recordings)
    assert found.instructions == (TASK, "bin the red cube")
    assert [episode.path.name for episode in found.episodes] == ["episode_001", "episode_002"]
    for episode in found.episodes:
        assert list(episode.videos) == ["front", "wrist"]
        assert episode.shapes == {"front": SHAPE, "wrist": SHAPE}
        assert (episode.length, episode.fps) == (LENGTH, 10.0)
        spans = [(subtask.name, subtask.start, subtask.end) for subtask in episode.subtasks]
        assert spans == [("grasp", 1, 5), ("release", 5, 10)]


def test_an_episode_without_annotation_has_no_subtasks(recordings: Path) -> None:
    (recordings / "episode_002/annotated_keyframes.json").unlink()
    assert read_recordings(recordings).episodes[1].subtasks == ()


def test_an_instruction_given_by_hand_replaces_the_file(recordings: Path) -> None:
    (recordings / "task_instruction.json").unlink()
    assert read_recordings(recordings, instruction="tidy up").instructions == ("tidy up",)


def test_a_folder_with_episode_videos_looks_like_recordings(recordings: Path) -> None:
    assert is_recording_directory(recordings)
    assert not is_recording_directory(recordings / "episode_001")


def test_the_real_recording_has_3_views_16_subtasks_and_5_phrasings(real_table: Path) -> None:
    found = read_recordings(real_table)
    (episode,) = found.episodes
    assert len(found.instructions) == 5
    assert len(episode.subtasks) == 16
    assert (episode.length, episode.fps) == (1277, 30.0)
    assert episode.shapes == dict.fromkeys(
        ("cam_high", "cam_left_wrist", "cam_right_wrist"), (480, 640, 3)
    )


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no directory .*nowhere"):
        read_recordings(tmp_path / "nowhere")


def test_a_directory_without_episodes_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no recordings: it needs folders episode_\*/"):
        read_recordings(tmp_path)


def test_a_single_episode_points_at_its_parent(recordings: Path) -> None:
    with pytest.raises(DatasetError, match=rf"is a single episode; name .*: {recordings}$"):
        read_recordings(recordings / "episode_001")


def test_episodes_without_any_camera_are_named(tmp_path: Path) -> None:
    (tmp_path / "episode_001").mkdir()
    with pytest.raises(DatasetError, match=r"no episode of .* holds a camera"):
        read_recordings(tmp_path)


def test_a_view_that_only_the_other_episode_has_is_named(recordings: Path) -> None:
    (recordings / "episode_002/wrist.mp4").unlink()
    with pytest.raises(DatasetError, match=r"episode_002 has no wrist\.mp4, which other episodes"):
        read_recordings(recordings)


def test_cameras_of_different_lengths_are_named(recordings: Path) -> None:
    images = [image("front", number) for number in range(9)]
    write_video(recordings / "episode_001/front.mp4", images)
    with pytest.raises(DatasetError, match=r"differ in length \(front 9, wrist 12 frames\)"):
        read_recordings(recordings)


def test_cameras_of_different_rates_are_named(recordings: Path) -> None:
    images = [image("front", number) for number in range(LENGTH)]
    write_video(recordings / "episode_001/front.mp4", images, fps=20)
    with pytest.raises(DatasetError, match=r"differ in frame rate \(front 20, wrist 10 fps\)"):
        read_recordings(recordings)


def test_episodes_of_different_rates_are_named(recordings: Path) -> None:
    for view in ("front", "wrist"):
        images = [image(view, number) for number in range(LENGTH)]
        write_video(recordings / f"episode_002/{view}.mp4", images, fps=20)
    with pytest.raises(DatasetError, match=r"episode_002 runs at 20 fps, but .*episode_001 at 10"):
        read_recordings(recordings)


def test_episodes_of_different_sizes_are_named(recordings: Path) -> None:
    images = [np.zeros((64, 64, 3), np.uint8)] * LENGTH
    write_video(recordings / "episode_002/front.mp4", images)
    with pytest.raises(DatasetError, match=r"front\.mp4 is 64x64, but .*front\.mp4 is 48x32"):
        read_recordings(recordings)


@pytest.mark.parametrize("span", [(-1, 5), (3, LENGTH), (20, 30)])
def test_keyframes_outside_the_episode_are_named(recordings: Path, span: tuple[int, int]) -> None:
    annotate(recordings, span)
    with pytest.raises(DatasetError, match="lies outside the episode, whose frames are 0 to 11"):
        read_recordings(recordings)


def test_a_subtask_that_ends_before_it_starts_is_named(recordings: Path) -> None:
    annotate(recordings, (5, 3))
    with pytest.raises(DatasetError, match=r"\(frames 5 to 3\) ends before it starts"):
        read_recordings(recordings)


def test_overlapping_keyframes_are_named(recordings: Path) -> None:
    annotate(recordings, (1, 6), (5, 9))
    with pytest.raises(DatasetError, match=r"1 and 2 of .* overlap \(frame 6 is after frame 5\)"):
        read_recordings(recordings)


def test_unsorted_keyframes_are_named(recordings: Path) -> None:
    annotate(recordings, (5, 9), (1, 5))
    with pytest.raises(DatasetError, match=r"1 and 2 of .* are not in order of time; sort them"):
        read_recordings(recordings)


@pytest.mark.parametrize("entry", [{}, {**KEYFRAMES[0], "end_frame_id": "5"}, ["grasp", 1, 5]])
def test_a_malformed_subtask_is_named(recordings: Path, entry: Any) -> None:
    path = recordings / "episode_001/annotated_keyframes.json"
    path.write_text(json.dumps([entry]))
    with pytest.raises(DatasetError, match=r"subtask 1 of .* needs 'annotation'"):
        read_recordings(recordings)


def test_keyframes_that_are_no_list_are_named(recordings: Path) -> None:
    (recordings / "episode_001/annotated_keyframes.json").write_text("{}")
    with pytest.raises(DatasetError, match="must be a list of subtasks, not a dict"):
        read_recordings(recordings)


@pytest.mark.parametrize("texts", [[""], [TASK, "  "]])
def test_a_blank_instruction_is_named(recordings: Path, texts: list[str]) -> None:
    (recordings / "task_instruction.json").write_text(json.dumps(texts))
    with pytest.raises(DatasetError, match=r"the instruction of .* is blank; write what"):
        read_recordings(recordings)


def test_a_missing_instruction_is_named(recordings: Path) -> None:
    (recordings / "task_instruction.json").unlink()
    with pytest.raises(DatasetError, match=r"has no task_instruction\.json; .* --instruction"):
        read_recordings(recordings)


@pytest.mark.parametrize("texts", [[], {}, [1], "tidy"])
def test_an_instruction_that_is_no_list_of_texts_is_named(recordings: Path, texts: Any) -> None:
    (recordings / "task_instruction.json").write_text(json.dumps(texts))
    with pytest.raises(DatasetError, match="must be a list of phrasings"):
        read_recordings(recordings)


@pytest.mark.parametrize("name", ["task_instruction.json", "episode_001/annotated_keyframes.json"])
def test_corrupt_json_is_named(recordings: Path, name: str) -> None:
    (recordings / name).write_text('[{"anotation": ')
    with pytest.raises(DatasetError, match=rf"{name} is not valid JSON \(.*line 1.*\); correct it"):
        read_recordings(recordings)


def test_an_empty_camera_file_is_named(recordings: Path) -> None:
    shutil.copy("/dev/null", recordings / "episode_001/front.mp4")
    with pytest.raises(DatasetError, match=r"front\.mp4 is empty \(0 bytes\)"):
        read_recordings(recordings)
