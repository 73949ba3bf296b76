"""Statistics of labels as LeRobot keeps them: of each episode, and of all."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from robo_reward.lerobot_rows import read_json

from .lerobot_meta import Metadata, parquet_errors
from .sidecar import KEYS, Sidecar
from .writer import sort_statistics

type Floats = NDArray[np.float64]
COUNT = "count"


def write_statistics(meta: Metadata, sidecar: Sidecar, features: list[str], root: Path) -> None:
    """Add the statistics of labels to ``meta/stats.json`` and write ``meta/episodes`` with them.

    They are of the numbers alone, by LeRobot's own functions. An episode without any has the
    figures of the whole dataset and counts as one row, so that nothing that LeRobot makes of them
    later becomes NaN; a column without any number is 0.

    Args:
        meta: The dataset that was labelled.
        sidecar: Its labels.
        features: What their columns are called, in order.
        root: The new dataset.
    """
    names = list(_of_numbers(np.zeros(2)))
    table = np.stack(list(_of_episodes(meta, sidecar, names)))
    whole = np.stack([_of_all(table[:, place], names) for place in range(len(features))])
    count = names.index(COUNT)
    empty = table[..., count] == 0
    table[empty] = np.broadcast_to(whole, table.shape)[empty]
    table[empty, count] = 1
    path = root / "meta/stats.json"
    stats = read_json(path) if path.is_file() else {}
    for feature, row in zip(features, whole.tolist(), strict=True):
        stats[feature] = {name: [value] for name, value in zip(names, row, strict=True)}
        stats[feature][COUNT] = [int(stats[feature][COUNT][0])]
    path.write_text(json.dumps(stats))
    sort_statistics(root)
    for old in sorted((meta.root / "meta/episodes").glob("chunk-*/file-*.parquet")):
        with parquet_errors(old):
            rows = pq.read_table(old).replace_schema_metadata(None)
        found = table[rows["episode_index"].to_numpy()]
        for place, feature in enumerate(features):
            for which, name in enumerate(names):
                kind = pa.int64() if name == COUNT else pa.float64()
                values = pa.array(found[:, place, which].astype(kind.to_pandas_dtype()), kind)
                ends = pa.array(np.arange(len(values) + 1), pa.int32())
                lists = pa.ListArray.from_arrays(ends, values)
                rows = rows.append_column(f"stats/{feature}/{name}", lists)
        new = root / old.relative_to(meta.root)
        new.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, new)


def _of_episodes(meta: Metadata, sidecar: Sidecar, names: list[str]) -> Iterator[Floats]:
    """Yield (F, S) statistics of each episode's features; the count is 0 where there is none."""
    firsts, lengths = meta.episodes["dataset_from_index"], meta.episodes["length"]
    for first, length in zip(firsts.to_pylist(), lengths.to_pylist(), strict=True):
        rows = sidecar.rows(int(first), int(length))
        found = np.zeros((rows.num_columns - len(KEYS), len(names)))
        columns = [rows[name] for name in rows.column_names if name not in KEYS]
        for place, column in enumerate(columns):
            values = np.asarray(column.to_numpy(), np.float64)
            numbers = values[np.isfinite(values)]
            if len(numbers):
                figures = _of_numbers(numbers)
                found[place] = [figures[name] for name in names]
        yield found


def _of_numbers(numbers: Floats) -> dict[str, float]:
    from lerobot.datasets.compute_stats import get_feature_stats

    figures = get_feature_stats(numbers, axis=0, keepdims=True)
    return {name: float(value.item()) for name, value in figures.items()}


def _of_all(rows: Floats, names: list[str]) -> Floats:
    """Return (S,) statistics of the whole dataset, from those of its episodes (E, S)."""
    from lerobot.datasets.compute_stats import aggregate_feature_stats

    told = rows[rows[:, names.index(COUNT)] > 0]
    if not len(told):
        return np.array([float(name == COUNT) for name in names])
    parts = [{name: row[[n]] for n, name in enumerate(names)} for row in told]
    figures = aggregate_feature_stats(parts)
    return np.array([figures[name].item() for name in names])
