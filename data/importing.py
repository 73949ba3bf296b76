"""``robo-reward import``: raw recordings become a LeRobotDataset v3.0."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from .lerobot_meta import PREFIX
from .recordings import Recording, Recordings, read_recordings
from .writer import DatasetWriter, Storage


@dataclass(frozen=True)
class Import:
    """Turn raw recordings (episode_*/VIEW.mp4) into a LeRobotDataset.

    Example: robo-reward import recordings/table --out outputs/table

    The folder holds one folder episode_* per episode, each with one mp4 per camera and, if it
    is annotated, annotated_keyframes.json; task_instruction.json lists phrasings of the task.
    """

    source: tyro.conf.Positional[Path]
    """The folder that holds episode_*."""
    out: Path
    """Directory of the dataset to make."""
    storage: Annotated[Storage, tyro.conf.arg(metavar="{h264,av1,images}")] = "h264"
    """How images are kept: as H.264 or AV1 video, or as PNG images inside parquet."""
    overwrite: bool = False
    """Replace the dataset at --out if there is one."""
    instruction: str | None = None
    """What the robot should do, in place of task_instruction.json."""

    def run(self) -> None:
        """Convert the recordings and say where the dataset is."""
        from robo_reward.console import progress_bar

        recordings = read_recordings(self.source, instruction=self.instruction)
        annotated = all(recording.subtasks for recording in recordings.episodes)
        total = sum(recording.length for recording in recordings.episodes)
        with (
            self._writer(recordings, annotated) as writer,
            progress_bar("import", total, "frames") as bar,
        ):
            for recording in recordings.episodes:
                rows = _rows(recording, annotated)
                writer.add_episode(
                    _counted(rows, bar, recording.path.name),
                    task=recordings.instructions[0],
                    columns=subtask_columns(recording),
                )
        print(f"{len(recordings.episodes)} episodes, {total} frames: {self.out}")
        print(f"next: robo-reward train --dataset {self.out} --out {self.out}-model")

    def _writer(self, recordings: Recordings, annotated: bool) -> DatasetWriter:
        first = recordings.episodes[0]
        task, *paraphrases = recordings.instructions
        done = {"next.success": {"dtype": "bool", "shape": (1,), "names": None}}
        return DatasetWriter(
            self.out,
            fps=round(first.fps),
            image_shapes=first.shapes,
            features=done if annotated else {},
            storage=self.storage,
            overwrite=self.overwrite,
            description={
                "paraphrases": {task: paraphrases},
                "source": [recording.path.name for recording in recordings.episodes],
            },
        )


def subtask_columns(recording: Recording) -> dict[str, list[Any]]:
    """Return the subtasks of an episode as LeRobot's SARM keeps them in ``meta/episodes``."""
    subtasks = recording.subtasks
    if not subtasks:
        return {}
    return {
        "sparse_subtask_names": [subtask.name for subtask in subtasks],
        "sparse_subtask_start_frames": [subtask.start for subtask in subtasks],
        "sparse_subtask_end_frames": [subtask.end for subtask in subtasks],
        "sparse_subtask_start_times": [subtask.start / recording.fps for subtask in subtasks],
        "sparse_subtask_end_times": [subtask.end / recording.fps for subtask in subtasks],
    }


def _rows(recording: Recording, annotated: bool) -> Iterator[dict[str, Any]]:
    from . import video

    streams = [video.frames(path, count=recording.length) for path in recording.videos.values()]
    for images in zip(*streams, strict=True):
        number = images[0][0]
        row: dict[str, Any] = {
            f"{PREFIX}{view}": image
            for view, (_, image) in zip(recording.videos, images, strict=True)
        }
        if annotated:
            row["next.success"] = number == recording.length - 1
        yield row


def _counted(rows: Iterator[dict[str, Any]], bar: Any, note: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield row
        bar(1, note)
