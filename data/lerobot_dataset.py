"""Episodes of a LeRobotDataset v3.0, read with little memory and without LeRobot itself."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robo_reward import lerobot_rows as facts
from robo_reward.errors import DatasetError, InputError
from robo_reward.images import Image

from .cameras import PIXELS, camera_keys, unknown_views
from .episodes import Episode, Views
from .lerobot_meta import Metadata, fingerprint, locate, parquet_errors, read_metadata

ROWS_AT_ONCE = 8
"""Rows of images that are in memory together while an episode is read from parquet."""


def open_dataset(source: str | Path, *, views: tuple[str, ...] | None = None) -> "LeRobotEpisodes":
    """Return the episodes of a LeRobotDataset v3.0.

    Args:
        source: A local directory, or a hub id ``user/name``, which is downloaded.
        views: Cameras to use: view names, or feature names where a dataset does not call its
            cameras ``observation.images.<view>``; all of the former if None.

    Raises:
        DatasetError: If there is no such dataset, or it is damaged, outdated or lacks a view.
    """
    return LeRobotEpisodes(locate(source), views=views)


class LeRobotEpisodes:
    """The episodes of a local LeRobotDataset v3.0; an `EpisodeDataset`."""

    root: Path
    """The dataset's directory."""
    views: tuple[str, ...]
    """Names of the cameras in use, sorted."""
    fingerprint: str
    """sha256 of metadata and file sizes; the same on every machine and for any choice of views."""

    def __init__(self, root: Path, *, views: tuple[str, ...] | None = None) -> None:
        """Read the metadata of the dataset and check that its files are there.

        Raises:
            DatasetError: If it is damaged, outdated, incomplete or lacks a view.
        """
        self.root = root
        self._meta = read_metadata(root)
        self._features: dict[str, dict[str, Any]] = self._meta.info["features"]
        self._keys = camera_keys(root, self._features, views)
        self.views = tuple(sorted(self._keys))
        self._source = facts.Source(
            name=str(root),
            fps=float(self._meta.info["fps"]),
            views=self.views,
            tasks=self._meta.tasks,
            goals=self._features.get("truth.goals", {}).get("names") or [],
            own=self._meta.own,
        )
        self._data_files = self._meta.files(None)
        videos = [key for key, feature in self._features.items() if feature["dtype"] == "video"]
        chosen = self._keys.values()
        self._video_files = {key: self._meta.files(key) for key in videos if key in chosen}
        self._file_starts = self._first_rows_of_files()
        self._videos = videos
        self.fingerprint = fingerprint(self._meta, videos)

    def is_unchanged(self) -> bool:
        """Whether metadata and sizes of files are still what they were when it was opened.

        Raises:
            DatasetError: If it is damaged now, or a file is missing.
        """
        return fingerprint(read_metadata(self.root), self._videos) == self.fingerprint

    def __len__(self) -> int:
        """Return the number of episodes."""
        return int(self._meta.episodes.num_rows)

    def episode(self, index: int) -> Episode:
        """Return what is known of an episode, without decoding a pixel.

        Raises:
            InputError: If there is no such episode.
            DatasetError: If its rows or annotations are damaged.
        """
        return facts.episode(self._row(index), self._columns(index), self._source)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the features in use: with them another process opens the same dataset."""
        return tuple(self._keys[view] for view in self.views)

    @property
    def facts(self) -> Metadata:
        """What the ``meta`` folder says: robot, features with their names, statistics."""
        return self._meta

    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """Return view → (H, W) of its images, as they are stored."""
        sizes = {}
        for view, key in self._keys.items():
            shape, names = self._features[key]["shape"], self._features[key].get("names") or []
            first = 1 if "channel" in str(names[:1]) else 0  # LeRobot allows (3, H, W) too
            sizes[view] = (int(shape[first]), int(shape[first + 1]))
        return dict(sorted(sizes.items()))

    def columns(self, index: int, names: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return columns of an episode by name, each (T, n): float32, int64 or bool.

        Row t of ``next.*`` is about the step after frame t.

        Raises:
            InputError: If there is no such episode.
            DatasetError: If a column is absent or not of numbers, rows are missing, or a number is
                not finite; the message says where.
        """
        row = self._row(index)
        for name in names:
            dtype = self._features.get(name, {}).get("dtype")
            if dtype in (None, "string", *PIXELS):
                numeric = [n for n, f in self._features.items() if f["dtype"] not in PIXELS]
                what = "no column" if dtype is None else f"no numbers in its column ({dtype})"
                raise DatasetError(f"{self.root} has {what} {name}; it has {', '.join(numeric)}")
        batches = list(self._batches(row, list(names)))
        table = pa.Table.from_batches(batches) if batches else None
        if table is None or table.num_rows != int(row["length"]):
            raise DatasetError(
                f"episode {index} of {self.root} has {table.num_rows if table else 0} rows, but "
                f"meta/episodes claims {row['length']}; copy the dataset again"
            )
        lost = [name for name in names if name not in table.column_names]
        if lost:
            raise DatasetError(f"{self.root} lost its column {lost[0]}; copy the dataset again")
        return {name: self._numbers(index, name, table[name]) for name in names}

    def _numbers(self, index: int, name: str, column: Any) -> NDArray[Any]:
        where = f"{name} of episode {index} of {self.root}"
        try:
            values = np.asarray(column.to_pylist()).reshape(len(column), -1)
        except ValueError as error:
            raise DatasetError(f"{where} has rows of different length; record it again") from error
        if values.dtype.kind in "biu":
            return values if values.dtype.kind == "b" else values.astype(np.int64)
        try:
            numbers: NDArray[np.float32] = values.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{where} is not made of numbers ({error})") from error
        wrong = np.argwhere(~np.isfinite(numbers))
        if len(wrong):
            frame, place = wrong[0].tolist()
            raise DatasetError(
                f"{where} is {numbers[frame, place]} at frame {frame} (number {place}); delete the "
                "episode with LeRobot's lerobot-edit-dataset, or record it again"
            )
        return numbers

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        """Yield (frame number, views) in order, every ``stride``-th frame.

        Images are uint8 RGB (H, W, 3), squashed to ``size`` × ``size`` with area averaging
        (full resolution if None). Only a few frames are in memory at a time.

        Raises:
            InputError: If there is no such episode.
            DatasetError: If a view is unknown, or its images cannot be decoded.
        """
        missing = [view for view in views if view not in self._keys]
        if missing or not views:
            raise DatasetError(unknown_views(self.root, missing, self.views))
        row = self._row(index)
        streams = [self._stream(row, self._keys[view], size, stride) for view in views]
        for images in zip(*streams, strict=True):
            yield images[0][0], {v: image for v, (_, image) in zip(views, images, strict=True)}

    def window(self, index: int, view: str, first: int, count: int) -> Iterator[Image]:
        """Yield frames ``first`` … ``first + count − 1`` of a view, without decoding all before.

        Raises:
            InputError: If there is no such episode or frame.
            DatasetError: If the images cannot be decoded.
        """
        row, key = self._row(index), self._keys[view]
        if not 0 <= first < first + count <= int(row["length"]):
            raise InputError(f"episode {index} has no frames {first} to {first + count - 1}")
        row |= {"length": count, "dataset_from_index": int(row["dataset_from_index"]) + first}
        if key in self._video_files:
            row[f"videos/{key}/from_timestamp"] += first / self._source.fps
        yield from (image for _, image in self._stream(row, key, None, 1))

    def _row(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise InputError(f"{self.root} has no episode {index}; it has 0 to {len(self) - 1}")
        found: dict[str, Any] = self._meta.episodes.slice(index, 1).to_pylist()[0]
        return found

    def _first_rows_of_files(self) -> dict[Path, int]:
        starts: dict[Path, int] = {}
        first_rows = self._meta.episodes["dataset_from_index"].to_pylist()
        for path, first in zip(self._data_files, first_rows, strict=True):
            starts[path] = min(first, starts.get(path, first))
        return starts

    def _batches(self, row: dict[str, Any], names: list[str]) -> Iterator[pa.Table]:
        """Yield the columns of an episode's rows, a few rows at a time."""
        name = self._data_files[int(row["episode_index"])]
        first = int(row["dataset_from_index"]) - self._file_starts[name]
        last = first + int(row["length"])
        path = self.root / name
        with parquet_errors(path):
            stat = path.stat()
            file, starts = _open_parquet(path, (stat.st_size, stat.st_ino, stat.st_mtime_ns))
            for group in range(max(0, bisect_right(starts, first) - 1), len(starts)):
                if (at := starts[group]) >= last:
                    break
                for batch in file.iter_batches(ROWS_AT_ONCE, [group], columns=names):
                    low, high = max(first - at, 0), min(last - at, batch.num_rows)
                    at += batch.num_rows
                    if low < high:
                        yield batch.slice(low, high - low)
                    if at >= last:
                        return

    def _columns(self, index: int) -> dict[str, NDArray[Any]]:
        names = [name for name in facts.COLUMNS if name in self._features]
        batches = list(self._batches(self._row(index), names))
        if not batches:
            return {"task_index": np.array([], np.int64)}
        table = pa.Table.from_batches(batches)
        return {name: facts.array(name, table[name]) for name in names}

    def _stream(
        self, row: dict[str, Any], key: str, size: int | None, stride: int
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        from . import video

        if key not in self._video_files:
            return self._stored_images(row, key, size, stride)
        return video.frames(
            self.root / self._video_files[key][int(row["episode_index"])],
            count=int(row["length"]),
            start_s=float(row[f"videos/{key}/from_timestamp"]),
            size=size,
            stride=stride,
        )

    def _stored_images(
        self, row: dict[str, Any], key: str, size: int | None, stride: int
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        from . import video

        number = 0
        for batch in self._batches(row, [key]):
            for cell in batch.column(0):
                if number % stride == 0:
                    where = f"frame {number} of {key} in episode {row['episode_index']}"
                    yield number, video.square(video.decode_image(cell.as_py(), where), size)
                number += 1


@lru_cache(maxsize=2)
def _open_parquet(path: Path, stamp: tuple[int, int, int]) -> tuple[pq.ParquetFile, list[int]]:
    """Open a data file once for all episodes in it; ``stamp`` tells a rewritten file apart.

    With it come the first rows of its row groups: there is one an episode, and they may be many.
    """
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    return file, [0, *accumulate(sizes)][:-1]
