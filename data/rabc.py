"""Labels under the name at which LeRobot's RA-BC looks for them by itself."""

import shutil
from pathlib import Path

from robo_reward.errors import DatasetError, OutputError
from robo_reward.files import replacing
from robo_reward.lerobot_rows import own_facts

from .lerobot_dataset import open_dataset
from .places import try_out, written
from .sidecar import Sidecar

NAME = "sarm_progress.parquet"
"""What LeRobot reads in a dataset's root if ``--sample_weighting.progress_path`` is not given."""


def place_for_rabc(
    labels: Path, folder: Path, *, into_dataset: bool = False, overwrite: bool = False
) -> Path:
    """Copy labels to where LeRobot looks for them: ``<folder>/sarm_progress.parquet``.

    Args:
        labels: ``progress.parquet``, or the directory that holds it.
        folder: Where to; the root of a dataset only if that is meant.
        into_dataset: Whether ``folder`` is meant to be the dataset that was labelled, or one that
            `write_columns` made of it.
        overwrite: Whether such a file is replaced.

    Returns:
        The file.

    Raises:
        DatasetError: If the labels are damaged, or of another dataset: LeRobot would not notice.
        OutputError: If the file exists, ``folder`` is a dataset and that was not asked for, or it
            cannot be written.
    """
    sidecar, path = Sidecar(labels), folder / NAME
    if (folder / "meta/info.json").is_file():
        if not into_dataset:
            raise OutputError(
                f"{folder} is a dataset, which stays as it is unless you ask for it; choose "
                "another place, and name it with LeRobot's --sample_weighting.progress_path"
            )
        of = own_facts(folder).get("labels", {}).get("dataset_fingerprint")
        if sidecar.fingerprint not in (of, open_dataset(folder).fingerprint):
            raise DatasetError(
                f"{sidecar.path} is of another dataset than {folder}; run 'robo-reward label' on it"
            )
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: --overwrite replaces it, or choose another place")
    try_out(folder)
    with written(path):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            shutil.copyfile(sidecar.path, partial)
    return path
