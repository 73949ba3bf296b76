"""Several datasets of the same features as one: what was written in pieces is put together."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from robo_reward.lerobot_rows import OWN_FILE

from .places import check_dataset_place, clear_up, replace_folder
from .writer import quiet, sort_statistics, written_by_lerobot


def join_datasets(
    pieces: Sequence[Path],
    root: Path,
    *,
    description: Mapping[str, Any],
    overwrite: bool = False,
) -> None:
    """Write the episodes of all pieces, in order, as one LeRobotDataset v3.0.

    Videos are joined without being encoded again. The whole appears at ``root`` in one step;
    the pieces stay as they are.

    Args:
        pieces: Directories of datasets with the same features.
        root: Directory to make.
        description: Written to ``meta/robo_reward.json``.
        overwrite: Whether an existing dataset at ``root`` is replaced.

    Raises:
        OutputError: If ``root`` exists, or the disk refuses.
    """
    from lerobot.datasets.aggregate import aggregate_datasets

    check_dataset_place(root, overwrite=overwrite)
    partial = root.with_name(f"{root.name}.partial-{os.getpid()}")
    clear_up(root)
    shutil.rmtree(partial, ignore_errors=True)
    text = json.dumps(dict(description), indent=2, ensure_ascii=False)
    try:
        with written_by_lerobot(root), quiet(), redirect_stderr(StringIO()):  # its bars
            aggregate_datasets(
                [f"local/{piece.name}" for piece in pieces],
                f"local/{root.name}",
                roots=list(pieces),
                aggr_root=partial,
            )
            sort_statistics(partial)
            (partial / OWN_FILE).write_text(text + "\n", encoding="utf-8")
            replace_folder(root, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
