"""How much each frame of a demonstration counts: what a parquet file beside the dataset says."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.compaction import FILE
from data.report_curves import metadata_of
from robo_reward.errors import DatasetError, InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from data.lerobot_dataset import LeRobotEpisodes

    from .demonstrations import Demonstrations

type Floats = NDArray[np.float64]

PROGRESS = "progress_sparse"
"""The column of ``robo-reward label``: it is made into weights by its rise."""


def row_weights(files: tuple[Path, ...], column: str, shown: "Demonstrations") -> Floats:
    """Return (n,) how likely each row of the demonstrations is drawn, beside the others.

    `PROGRESS` becomes the weights of LeRobot's RA-BC (arXiv 2509.25358, eq. 8 and 9) over the
    length of a chunk: 1 where progress rises, 0 where it falls, 1 where it is unknown. Any other
    column holds the weights themselves.

    Args:
        files: For each dataset its parquet file, or the folder with `FILE`; none: all count alike.
        column: Its column.
        shown: What is to be weighed.

    Raises:
        DatasetError: If a file is absent, damaged, or of another dataset.
        InputError: If there is not one file for each dataset, no such column, or nothing is left.
    """
    if not files:
        return np.ones(len(shown.rows))
    if len(files) != len(shown.datasets):
        raise InputError(
            f"--weights names {len(files)} files for {len(shown.datasets)} datasets; give one each"
        )
    weights: Floats = np.zeros(len(shown.rows))
    sources = np.array([shown.mixture.source(number) for number in shown.rows[:, 0].tolist()])
    for source, (given, dataset) in enumerate(zip(files, shown.datasets, strict=True)):
        path = given / FILE if given.is_dir() else given
        table = _read(path)
        _check(table, path, column, dataset)
        mine = np.flatnonzero(sources == source)
        firsts = [shown.episodes[number].first_row for number in shown.rows[mine, 0].tolist()]
        index = np.array(firsts, np.int64) + shown.rows[mine, 1]
        places = _places(table, index, path)
        if column == PROGRESS:
            weights[mine] = _rising(path, index, shown.chunk)
        else:
            weights[mine] = _plain(table, column)[places]
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any() or not weights.any():
        episode, frame = shown.rows[int(np.argmax(wrong))].tolist()
        told = f"{weights[int(np.argmax(wrong))]} at frame {frame} of episode {episode}"
        raise InputError(
            f"--weight-column {column}: weights must be numbers from 0 on and not all 0, got "
            f"{told if wrong.any() else 'zeros alone'}"
        )
    return weights


def _read(path: Path) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"--weights {path} cannot be read ({error}); name the file or folder that "
            "'robo-reward label' wrote"
        ) from error


def _check(table: "pa.Table", path: Path, column: str, dataset: "LeRobotEpisodes") -> None:
    for name in ("index", "episode_index", column):
        if name not in table.column_names:
            raise InputError(
                f"--weights {path} has no column {name}; it has {', '.join(table.column_names)}: "
                "name one of weights with --weight-column"
            )
    of = metadata_of(table).get("dataset_fingerprint", dataset.fingerprint)
    if of != dataset.fingerprint:
        raise DatasetError(
            f"--weights {path} is of a dataset with fingerprint {of[:16]}, but {dataset.root} has "
            f"{dataset.fingerprint[:16]}; run 'robo-reward label' on it again"
        )


def _rising(path: Path, index: NDArray[np.int64], chunk: int) -> Floats:
    from lerobot.rewards.sarm.rabc import RABCWeights

    weigher: Any = RABCWeights(path, chunk_size=chunk)
    weights, _ = weigher.compute_batch_weights({"index": index})
    found: Floats = weights.double().cpu().numpy()
    return found


def _plain(table: "pa.Table", column: str) -> Floats:
    try:
        values: Floats = np.asarray(table[column].to_pylist(), np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"--weight-column {column} is not made of numbers ({error})") from error
    return values


def _places(table: "pa.Table", index: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
    """Return where the rows of these numbers are in a table.

    Raises:
        DatasetError: If one is not there.
    """
    there = {number: place for place, number in enumerate(table["index"].to_pylist())}
    absent = [number for number in index.tolist() if number not in there]
    if absent:
        raise DatasetError(
            f"--weights {path} says nothing of row {absent[0]} and {len(absent) - 1} others; write "
            "it again, for the whole dataset"
        )
    return np.array([there[number] for number in index.tolist()], np.int64)
