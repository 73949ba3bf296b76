"""What every episode of a LeRobot dataset teaches, read once from its metadata and rows."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..episodes import Episode
from ..errors import DatasetError, InputError
from ..goals import Goal, episode_goals
from ..lerobot_rows import COLUMNS, PREFIX, Source, array, episode, own_facts

type Ints = NDArray[np.int64]


class GoalTable:
    """Targets of every frame: episode → goals, each with an array over the episode's frames."""

    def __init__(self, episodes: Mapping[int, Episode]) -> None:
        """Work out the goals of episodes, by their ``episode_index``."""
        self.goals: dict[int, tuple[Goal, ...]] = {}
        self.first_rows: dict[int, int] = {}
        self.fps: dict[int, float] = {}
        for number, known in episodes.items():
            self.goals[number] = episode_goals(known)
            self.first_rows[number] = known.first_row
            self.fps[number] = known.fps

    def frames(self, episodes: Ints, index: Ints, before: int) -> Ints:
        """Return (B, 4) frame numbers: first, ``before`` frames earlier, now and last.

        This is how LeRobot clamps the offsets of an item to its episode.

        Args:
            episodes: (B,) ``episode_index``.
            index: (B,) ``index``, counted through the dataset.
            before: Frames between before and now.

        Raises:
            DatasetError: If an item is not of this dataset, or its data file was not there.
        """
        rows = []
        for number, row in zip(episodes.tolist(), index.tolist(), strict=True):
            if number not in self.goals:
                raise DatasetError(
                    f"nothing is known of episode {number}: its data file was not on disk when "
                    "training began; download the dataset, and leave --dataset.streaming off"
                )
            now, length = row - self.first_rows[number], len(self.goals[number][0].progress)
            if not 0 <= now < length:
                raise DatasetError(
                    f"index {row} is no frame of episode {number}; the dataset's index does not "
                    "count its rows: make it again with lerobot-edit-dataset"
                )
            rows.append([0, max(now - before, 0), now, length - 1])
        return np.array(rows, dtype=np.int64)


def read_table(meta: Any) -> GoalTable:
    """Return the targets of a dataset, from LeRobot's metadata of it and its data files.

    Data files that are not on disk are passed over (LeRobot downloads those it needs); a batch
    from one of them is refused later.

    Args:
        meta: A ``LeRobotDatasetMetadata``.

    Raises:
        DatasetError: If no data file is there, or a file is damaged.
    """
    root, features = Path(meta.root), meta.features
    source = Source(
        name=str(root),
        fps=float(meta.fps),
        views=camera_views(meta),
        tasks={int(number): str(text) for text, number in meta.tasks["task_index"].items()},
        goals=features.get("truth.goals", {}).get("names") or [],
        own=own_facts(root),
    )
    names = [name for name in COLUMNS if name in features]
    rows = list(meta.episodes)
    columns: dict[int, dict[str, NDArray[Any]]] = {}
    for path in sorted({root / meta.get_data_file_path(row["episode_index"]) for row in rows}):
        if path.is_file():
            columns.update(_columns(path, names))
    if not columns:
        raise DatasetError(
            f"{root} has no data files; download the dataset, and leave --dataset.streaming off"
        )
    there = [row for row in rows if row["episode_index"] in columns]
    return GoalTable(
        {row["episode_index"]: episode(row, columns[row["episode_index"]], source) for row in there}
    )


def _columns(path: Path, names: Sequence[str]) -> dict[int, dict[str, NDArray[Any]]]:
    """Return the columns of every episode in a data file."""
    parts: dict[int, list[pa.Table]] = {}
    try:
        for number, part in _parts(path, names):
            parts.setdefault(number, []).append(part)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read ({error}); copy the dataset again") from error
    joined = {number: pa.concat_tables(tables) for number, tables in parts.items()}
    return {n: {name: array(name, table[name]) for name in names} for n, table in joined.items()}


def _parts(path: Path, names: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """Yield (episode, its rows), a row group at a time."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=["episode_index", *names])
            numbers = rows["episode_index"].to_numpy()
            edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            for low, high in pairwise(edges):
                if high > low:
                    yield int(numbers[low]), rows.slice(low, high - low)


def camera_views(meta: Any, wanted: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of a dataset's cameras, sorted: those that are wanted, or all.

    Depth maps are no views.

    Raises:
        InputError: If there is none, or one that is wanted is not there.
    """
    cameras = [key for key in meta.camera_keys if key not in meta.depth_keys]
    known = sorted(key.removeprefix(PREFIX) for key in cameras if key.startswith(PREFIX))
    missing = sorted(set(wanted) - set(known))
    if missing or not known:
        raise InputError(
            f"the dataset has no view {' '.join(missing) or PREFIX + '<view>'}, its cameras are "
            f"{' '.join(known or cameras) or 'none'}: name some with --reward_model.views"
        )
    return tuple(sorted(wanted)) or tuple(known)
