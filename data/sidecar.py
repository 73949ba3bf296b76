"""The labels of a dataset on disk, read a few rows at a time, and what they become elsewhere."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robo_reward.errors import DatasetError

from .compaction import FILE
from .lerobot_dataset import LeRobotEpisodes
from .lerobot_meta import parquet_errors

KEYS = ("index", "episode_index", "frame_index")
"""Columns of the sidecar that say which row it is; a dataset has them already."""
PREFIX = "progress."
FUSED = "progress.fused"
"""Φ, NaN where ``progress.valid`` is false: ``progress_sparse`` of the sidecar."""


def feature_name(column: str) -> str:
    """Return what a column of the sidecar is called in a dataset.

    None begins with ``observation`` or ``action``, which LeRobot would feed to policies, and none
    is the beginning of another before a dot, which parquet readers take for a group.
    """
    return FUSED if column == "progress_sparse" else PREFIX + column.removeprefix("progress_")


class Sidecar:
    """The labels of a dataset, a row for each of its rows."""

    def __init__(self, path: Path) -> None:
        """Open ``progress.parquet``, or the directory that holds it.

        Raises:
            DatasetError: If it is absent, damaged, or says not what it was made of.
        """
        self.path = path / FILE if path.is_dir() else path
        if not self.path.is_file():
            raise DatasetError(
                f"there are no labels {self.path}; write them with robo-reward label"
            )
        with parquet_errors(self.path):
            self._file = pq.ParquetFile(self.path)
        self.schema: pa.Schema = self._file.schema_arrow
        told = self._file.metadata.metadata or {}
        self.about = {
            key.decode(): value.decode(errors="replace")
            for key, value in told.items()
            if not key.startswith(b"ARROW:")
        }
        lacking = [name for name in KEYS if name not in self.schema.names]
        if lacking or "dataset_fingerprint" not in self.about:
            what = f"column {lacking[0]}" if lacking else "dataset_fingerprint in its metadata"
            raise DatasetError(f"{self.path} has no {what}; write it with robo-reward label")
        self.fingerprint = self.about["dataset_fingerprint"]
        sizes = [
            self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)
        ]
        self._begins = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._begins[-1])

    def features(self) -> dict[str, str]:
        """Return the features that the columns become → their types.

        Raises:
            DatasetError: If a column is neither float32 nor bool.
        """
        kinds = {pa.float32(): "float32", pa.bool_(): "bool"}
        found = {}
        for name in self.schema.names:
            kind = self.schema.field(name).type
            if name not in KEYS:
                if kind not in kinds:
                    raise DatasetError(f"{self.path}: column {name} is {kind}, not float32 or bool")
                found[feature_name(name)] = kinds[kind]
        return found

    def rows(self, first: int, count: int) -> pa.Table:
        """Return some of the rows, in order; no more is read than the row groups they are in."""
        begin = int(np.searchsorted(self._begins, first, side="right")) - 1
        end = int(np.searchsorted(self._begins, first + count, side="left"))
        with parquet_errors(self.path):
            table = self._file.read_row_groups(range(begin, end))
        return table.slice(first - int(self._begins[begin]), count)


def check_belongs(sidecar: Sidecar, dataset: LeRobotEpisodes) -> None:
    """Check that labels were made of this dataset, and of all of it.

    Raises:
        DatasetError: If not.
    """
    if sidecar.fingerprint != dataset.fingerprint:
        raise DatasetError(
            f"{sidecar.path} is of a dataset with fingerprint {sidecar.fingerprint[:16]}, but "
            f"{dataset.root} has {dataset.fingerprint[:16]}; run 'robo-reward label' on it again"
        )
    rows = sum(dataset.facts.episodes["length"].to_pylist())
    if len(sidecar) != rows:
        raise DatasetError(
            f"{sidecar.path} has {len(sidecar)} rows and {dataset.root} {rows}; run 'robo-reward "
            "label' on it again"
        )
