"""Writes LeRobotDataset v3.0 through LeRobot itself; nothing half-written is ever in place."""

import json
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robo_reward.errors import InputError, OutputError
from robo_reward.lerobot_rows import OWN_FILE

from .layout import DatasetLayout
from .places import check_dataset_place, clear_up, put_back, replace_folder, written
from .priorities import take_back_real_time

QUEUED_FRAMES = 8
"""Frames per camera that may wait for the video encoder."""


class DatasetWriter:
    """Writes episodes to a new LeRobotDataset v3.0; use it in a ``with`` statement.

    The dataset grows in ``<root>.partial-<pid>`` beside ``root`` and takes its place when the
    statement ends; if it ends by an exception, nothing is left, and what a killed writer left is
    cleared up by the next.
    """

    def __init__(
        self,
        root: Path,
        layout: DatasetLayout,
        *,
        overwrite: bool = False,
        description: Mapping[str, Any] | None = None,
    ) -> None:
        """Check that the dataset can be written; nothing is made before `__enter__`.

        Args:
            root: Directory to make.
            layout: What it holds.
            overwrite: Whether an existing dataset at ``root`` is replaced.
            description: Written to ``meta/robo_reward.json``: ``paraphrases`` (task → other
                phrasings), ``goals`` (goal name → task), and whatever else is worth keeping.

        Raises:
            OutputError: If ``root`` exists, or its parent cannot be written to.
            InputError: If there is no view.
        """
        if not layout.image_shapes:
            raise InputError(f"the dataset {root} would have no view; give it at least one camera")
        with written(root):
            put_back(root)
        check_dataset_place(root, overwrite=overwrite)
        self.root = root
        self._layout, self._features = layout, layout.further()
        self._description = dict(description or {})
        self._partial = root.with_name(f"{root.name}.partial-{os.getpid()}")
        self._columns: list[dict[str, Any]] = []
        self._dataset: Any = None

    def __enter__(self) -> Self:
        """Start the dataset in its temporary place.

        Raises:
            OutputError: If the temporary place cannot be made.
        """
        with written(self.root), quiet():
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            clear_up(self.root)
            shutil.rmtree(self._partial, ignore_errors=True)
            self._dataset = self._create()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the finished dataset in place, or remove it if an exception ended the writing.

        Raises:
            OutputError: If no episode was added, or the disk refuses.
        """
        try:
            if kind is None:
                self._finish()
            else:  # what went wrong is on its way up; closing may fail for the same reason
                with suppress(OSError, RuntimeError), quiet():
                    self._dataset.clear_episode_buffer()
                    self._dataset.finalize()
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def add_episode(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        task: str,
        columns: Mapping[str, Any] | None = None,
    ) -> int:
        """Append one episode and return its number.

        Args:
            rows: One mapping per frame: ``observation.images.<view>`` (H, W, 3) uint8 RGB of
                every view, and every further feature (scalars for shape (1,) are welcome).
            task: Its instruction.
            columns: Values for the per-episode metadata, such as ``behaviour``.

        Raises:
            InputError: If there are fewer than two rows, or a row lacks or has a wrong value.
            OutputError: If the disk refuses.
        """
        if not task.strip():
            raise InputError("an episode was given a blank task; say what the robot should do")
        count = 0
        with quiet():
            for row in rows:
                frame = {name: self._value(name, value) for name, value in row.items()}
                self._await_encoder()
                try:
                    with written_by_lerobot(self.root):
                        self._dataset.add_frame({**frame, "task": task})
                except ValueError as error:
                    raise InputError(
                        f"row {count} of episode {len(self._columns)} does not fit the dataset: "
                        f"{' '.join(str(error).split())}"
                    ) from error
                count += 1
            if count < 2:
                raise InputError(f"an episode needs at least 2 frames, and this one has {count}")
            with written_by_lerobot(self.root):
                self._dataset.save_episode()
            take_back_real_time()
            self._check_videos(count)
        self._columns.append(dict(columns or {}))
        return len(self._columns) - 1

    def _create(self) -> Any:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset

        layout = self._layout
        return LeRobotDataset.create(
            f"local/{self.root.name}",
            layout.fps,
            layout.columns(),
            root=self._partial,
            robot_type=layout.robot_type,
            use_videos=layout.as_video,
            image_writer_threads=0 if layout.as_video else 4,
            video_backend="pyav",
            rgb_encoder=layout.encoder(),
            streaming_encoding=layout.as_video,
            encoder_threads=1,  # with more, the same frames may give other bytes
            encoder_queue_maxsize=QUEUED_FRAMES,
        )

    def _value(self, name: str, value: Any) -> Any:
        feature = self._features.get(name)
        if feature is None or feature["dtype"] == "string":
            return value
        return np.asarray(value, dtype=feature["dtype"]).reshape(feature["shape"])

    def _await_encoder(self) -> None:
        """Wait for room in LeRobot's encoder queues: it drops frames after 0.1 s without."""
        encoder = self._dataset.writer._streaming_encoder
        if encoder is None:
            return
        if self._layout.storage == "av1":
            take_back_real_time()  # it would starve what makes the frames
        for view, waiting in list(encoder._frame_queues.items()):
            while waiting.full() and encoder._threads[view].is_alive():
                time.sleep(0.002)

    def _check_videos(self, count: int) -> None:
        latest = self._dataset.meta.latest_episode
        for key in self._dataset.meta.video_keys:
            begin = latest[f"videos/{key}/from_timestamp"][0]
            held = (latest[f"videos/{key}/to_timestamp"][0] - begin) * self._layout.fps
            if abs(held - count) > 0.5:
                raise RuntimeError(f"{key} holds {held:.1f} frames, {count} were given")

    def _finish(self) -> None:
        if not self._columns:
            raise OutputError(f"no episode was written, so {self.root} was not made")
        text = json.dumps(self._description, indent=2, ensure_ascii=False)
        with written_by_lerobot(self.root), quiet():
            self._dataset.finalize()
            _add_episode_columns(self._partial, self._columns)
            sort_statistics(self._partial)
            (self._partial / OWN_FILE).write_text(text + "\n", encoding="utf-8")
            replace_folder(self.root, self._partial)


@contextmanager
def written_by_lerobot(root: Path) -> Iterator[None]:
    """Turn what LeRobot raises when a disk refuses, in an encoder's thread too, into a sentence.

    Raises:
        OutputError: In place of an `OSError` or `RuntimeError`.
    """
    with written(root):
        try:
            yield
        except RuntimeError as error:
            raise OutputError(
                f"cannot write {root} ({' '.join(str(error).split())}); free some space or choose "
                "another place"
            ) from error


def sort_statistics(root: Path) -> None:
    """Order the statistics of a dataset by name; LeRobot's order changes from run to run."""
    path = root / "meta/stats.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=4, sort_keys=True))


def _add_episode_columns(root: Path, values: list[dict[str, Any]]) -> None:
    """Append per-episode columns to the metadata; episodes without a value get null."""
    names = dict.fromkeys(name for row in values for name in row)
    columns = {name: pa.array([row.get(name) for row in values]) for name in names}
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        table = pq.read_table(path).replace_schema_metadata(None)
        for name, column in columns.items():
            table = table.append_column(name, column.take(table["episode_index"]))
        pq.write_table(table, path)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the chatter of LeRobot, its progress bars and the video encoders off the screen."""
    import av
    from datasets import disable_progress_bars, enable_progress_bars
    from datasets.utils import are_progress_bars_disabled

    os.environ.setdefault("SVT_LOG", "1")
    loggers = [logging.getLogger(name) for name in ("lerobot", "libav")]
    levels = [logger.level for logger in loggers]
    silent = are_progress_bars_disabled()
    av.logging.set_libav_level(av.logging.ERROR)
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not silent:
            enable_progress_bars()
