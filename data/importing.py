"""``robo-reward import``: raw recordings become a LeRobotDataset v3.0."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from robo_reward.errors import DatasetError
from robo_reward.lerobot_rows import PREFIX

from .layout import DatasetLayout, Storage
from .places import written
from .recordings import Recording, Recordings, read_recordings
from .writer import DatasetWriter


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
    """Directory of the dataset to make; a log is written to OUT.jsonl beside it."""
    storage: Annotated[Storage, tyro.conf.arg(metavar="{h264,av1,images}")] = "h264"
    """How images are kept: as H.264 or AV1 video, or as PNG images inside parquet."""
    overwrite: bool = False
    """Replace the dataset at --out if there is one."""
    instruction: str | None = None
    """What the robot should do, in place of task_instruction.json."""
    success: bool = False
    """Record that every episode ended in success; annotated ones are successes anyway."""
    dry_run: bool = False
    """Say what would be done, and stop."""

    def run(self) -> None:
        """Convert the recordings and say where the dataset is.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        recordings = read_recordings(self.source, instruction=self.instruction)
        rate = whole_rate(recordings)
        total = sum(recording.length for recording in recordings.episodes)
        writer = self._writer(recordings, rate)
        if abs(rate - recordings.episodes[0].fps) > 1e-6:
            fps = recordings.episodes[0].fps
            print(f"{fps:g} frames a second are kept as {rate}: LeRobot has whole rates alone")
        if not self.dry_run:
            self._write(recordings, writer, rate)
        made = f"{len(recordings.episodes)} episodes, {total} frames: {self.out}"
        print(f"would make {made}" if self.dry_run else made)
        print(self._next(recordings))

    def _write(self, recordings: Recordings, writer: DatasetWriter, rate: int) -> None:
        from robo_reward.console import RunLog, progress_bar

        total = sum(recording.length for recording in recordings.episodes)
        log_path = self.out.with_name(f"{self.out.name}.jsonl")
        with written(log_path):
            log = RunLog(log_path)
        with closing(log), writer, progress_bar("import", total, "frames") as bar:
            for recording in recordings.episodes:
                number = writer.add_episode(
                    _counted(_rows(recording, self._known(recordings)), bar, recording.path.name),
                    task=recordings.instructions[0],
                    columns=subtask_columns(recording, rate),
                )
                log.write(
                    source=str(recording.path),
                    episode=number,
                    frames=recording.length,
                    subtasks=len(recording.subtasks),
                )

    def _known(self, recordings: Recordings) -> bool:
        """Return whether all episodes are known to be successes."""
        return self.success or all(recording.subtasks for recording in recordings.episodes)

    def _next(self, recordings: Recordings) -> str:
        count = sum(not recording.subtasks for recording in recordings.episodes)
        train = f"next: robo-reward train --dataset {self.out} --out {self.out}-model"
        if self.success or not count:
            return train
        missing = (
            f"{count} of {len(recordings.episodes)} episodes have no annotated_keyframes.json, and "
            "nothing says how they ended, so they teach no progress: annotate them, or import "
            "with --success if all episodes are successes"
        )
        return missing if count == len(recordings.episodes) else f"{missing}\n{train}"

    def _writer(self, recordings: Recordings, rate: int) -> DatasetWriter:
        task, *paraphrases = recordings.instructions
        done = {"next.success": {"dtype": "bool", "shape": (1,), "names": None}}
        layout = DatasetLayout(
            fps=rate,
            image_shapes=recordings.episodes[0].shapes,
            features=done if self._known(recordings) else {},
            storage=self.storage,
        )
        return DatasetWriter(
            self.out,
            layout,
            overwrite=self.overwrite,
            description={
                "paraphrases": {task: paraphrases},
                "source": [recording.path.name for recording in recordings.episodes],
            },
        )


def whole_rate(recordings: Recordings) -> int:
    """Return the frames a second that the dataset is said to have: LeRobot has whole rates alone.

    Raises:
        DatasetError: If that is none.
    """
    fps = recordings.episodes[0].fps
    if round(fps) < 1:
        raise DatasetError(
            f"the recordings of {recordings.root} have {fps:g} frames a second, and a dataset "
            "needs at least 1; export them at a higher rate"
        )
    return round(fps)


def subtask_columns(recording: Recording, fps: int) -> dict[str, list[Any]]:
    """Return the subtasks of an episode as LeRobot's SARM keeps them in ``meta/episodes``.

    Args:
        recording: The episode.
        fps: Frames per second of the dataset, which its timestamps follow.
    """
    subtasks = recording.subtasks
    if not subtasks:
        return {}
    return {
        "sparse_subtask_names": [subtask.name for subtask in subtasks],
        "sparse_subtask_start_frames": [subtask.start for subtask in subtasks],
        "sparse_subtask_end_frames": [subtask.end for subtask in subtasks],
        "sparse_subtask_start_times": [subtask.start / fps for subtask in subtasks],
        "sparse_subtask_end_times": [subtask.end / fps for subtask in subtasks],
    }


def _rows(recording: Recording, succeeded: bool) -> Iterator[dict[str, Any]]:
    from . import video

    count = recording.length
    streams = [video.frames(path, count=count, whole=True) for path in recording.videos.values()]
    for images in zip(*streams, strict=True):
        number = images[0][0]
        row: dict[str, Any] = {
            f"{PREFIX}{view}": image
            for view, (_, image) in zip(recording.videos, images, strict=True)
        }
        if succeeded:
            row["next.success"] = number == recording.length - 1
        yield row


def _counted(rows: Iterator[dict[str, Any]], bar: Any, note: str) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield row
        bar(1, note)
