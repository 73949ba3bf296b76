"""Labels as columns of a new LeRobotDataset: what a trainer that reads datasets alone can use.

Each column of the sidecar becomes a feature ``progress.<name>``, float32 or bool, of shape (1,).
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robo_reward.errors import DatasetError, InputError
from robo_reward.lerobot_rows import OWN_FILE, own_facts

from .column_stats import write_statistics
from .lerobot_dataset import LeRobotEpisodes, open_dataset
from .lerobot_meta import Metadata, parquet_errors
from .places import check_dataset_place, clear_up, put_back, replace_folder, written
from .sidecar import KEYS, PREFIX, Sidecar, check_belongs, feature_name


def check_columns(source: LeRobotEpisodes, out: Path, *, overwrite: bool = False) -> None:
    """Check, before any work, that labels can be added to a dataset and the result put at ``out``.

    Raises:
        InputError: If the dataset has such columns, or ``out`` is the dataset or lies in it.
        OutputError: If ``out`` is taken, or its parent cannot be written to.
    """
    there = [name for name in source.facts.info["features"] if name.startswith(PREFIX)]
    if there:
        raise InputError(
            f"{source.root} has a column {there[0]} already; add labels to the dataset without them"
        )
    if out.resolve().is_relative_to(source.root.resolve()):
        raise InputError(
            f"{out} lies in the dataset {source.root}, which stays as it is; name another place"
        )
    with written(out):
        put_back(out)
    check_dataset_place(out, overwrite=overwrite)


def write_columns(
    source: Path, labels: Path, out: Path, *, overwrite: bool = False, link_videos: bool = False
) -> list[str]:
    """Write a new LeRobotDataset v3.0: the one at ``source`` with its labels as columns.

    Rows without a verdict are NaN and ``progress.valid`` is false. Statistics are of the numbers
    alone; an episode without any has those of the dataset, and counts as one row. The new dataset
    appears whole or not at all. Memory is that of a row group, or of one file of ``meta/episodes``.

    Args:
        source: Directory of the dataset that was labelled; it is not touched.
        labels: Its ``progress.parquet``, or the directory that holds it.
        out: Directory to make.
        overwrite: Whether a dataset at ``out`` is replaced.
        link_videos: Share the videos' bytes by hard links where the file system can. Programs that
            write into a video in place, as LeRobot does when it appends, then change both.

    Returns:
        The names of the new columns.

    Raises:
        DatasetError: If labels and dataset do not belong together, or one is damaged.
        InputError: If the dataset has such columns already, or ``out`` lies in it.
        OutputError: If ``out`` is taken, or the disk refuses; nothing is left then.
    """
    dataset, sidecar = open_dataset(source), Sidecar(labels)
    check_belongs(sidecar, dataset)
    check_columns(dataset, out, overwrite=overwrite)
    features = sidecar.features()
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        with written(out):
            partial.parent.mkdir(parents=True, exist_ok=True)
            clear_up(out)
            shutil.rmtree(partial, ignore_errors=True)
            _copy_rest(dataset.facts, partial, link_videos=link_videos)
            info = _add_features(dataset.facts.info, features)
            (partial / "meta/info.json").write_text(json.dumps(info, indent=4, ensure_ascii=False))
            _write_data(dataset.facts, sidecar, info, partial)
            write_statistics(dataset.facts, sidecar, list(features), partial)
            own = own_facts(dataset.root) | {"labels": sidecar.about}
            text = json.dumps(own, indent=2, ensure_ascii=False) + "\n"
            (partial / OWN_FILE).write_text(text, encoding="utf-8")
            replace_folder(out, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return list(features)


def _copy_rest(meta: Metadata, partial: Path, *, link_videos: bool) -> None:
    """Copy all that stays as it is: tasks, annotations, videos."""
    episodes = meta.root / "meta/episodes"
    for path in sorted((meta.root / "meta").rglob("*")):
        if path.is_file() and not path.is_relative_to(episodes):
            new = partial / path.relative_to(meta.root)
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, new)
    if (meta.root / "README.md").is_file():
        shutil.copyfile(meta.root / "README.md", partial / "README.md")
    cameras = [name for name, f in meta.info["features"].items() if f["dtype"] == "video"]
    for name in dict.fromkeys(name for camera in cameras for name in meta.files(camera)):
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        real = (meta.root / name).resolve()  # a link to the hub's cache is not linked to
        if link_videos:
            try:
                os.link(real, partial / name)
                continue
            except OSError:  # another file system, or one without links
                pass
        shutil.copyfile(real, partial / name)


def _add_features(info: Mapping[str, Any], features: Mapping[str, str]) -> dict[str, Any]:
    added = {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in features.items()}
    return {**info, "features": {**info["features"], **added}}


def _write_data(meta: Metadata, sidecar: Sidecar, info: dict[str, Any], partial: Path) -> None:
    from lerobot.datasets.feature_utils import get_hf_features_from_features

    shapes = {n: {**f, "shape": tuple(f["shape"])} for n, f in info["features"].items()}
    told = get_hf_features_from_features(shapes).arrow_schema.metadata
    first = 0
    for name in dict.fromkeys(meta.files(None)):
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        with parquet_errors(meta.root / name):
            file = pq.ParquetFile(meta.root / name)
        writer: pq.ParquetWriter | None = None
        try:
            for number in range(file.num_row_groups):
                with parquet_errors(meta.root / name):
                    table = file.read_row_group(number)
                table = _joined(table, sidecar, first, f"{meta.root / name}")
                table = table.replace_schema_metadata(told)
                writer = writer or pq.ParquetWriter(partial / name, table.schema)
                writer.write_table(table, row_group_size=max(1, len(table)))
                first += len(table)
        finally:
            if writer is not None:
                writer.close()


def _joined(table: pa.Table, sidecar: Sidecar, first: int, where: str) -> pa.Table:
    """Return rows of the data with their labels; both must say that they are these rows."""
    labels = sidecar.rows(first, len(table))
    for key in KEYS:
        if table[key].to_pylist() != labels[key].to_pylist():
            raise DatasetError(
                f"the rows of {sidecar.path} are not those of {where}, from row {first} on; run "
                "'robo-reward label' again"
            )
    for name in labels.column_names:
        if name not in KEYS:
            table = table.append_column(feature_name(name), labels[name])
    return table
