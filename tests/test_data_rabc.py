"""Labels where LeRobot's RA-BC looks for them, and stock lerobot-train with them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import LENGTH
from policy_fixtures import tabletop_demos, tabletop_smolvla
from test_data_label import checkpoint
from test_data_write_columns import labels

from data.columns import write_columns
from data.label import Label
from data.lerobot_dataset import open_dataset
from data.rabc import NAME, place_for_rabc
from robo_reward.errors import DatasetError, OutputError

CHUNK = 4


def weights(path: Path) -> Any:
    """Return LeRobot's weigher by LeRobot's own factory, which is told no more than the dataset."""
    from lerobot.utils.sample_weighting import SampleWeightingConfig, make_sample_weighter

    class Policy:
        class config:  # noqa: N801 - as LeRobot's
            chunk_size = CHUNK

    told: Any = Policy
    return make_sample_weighter(
        SampleWeightingConfig(type="rabc"), told, torch.device("cpu"), dataset_root=str(path)
    )


def test_lerobot_finds_the_labels_by_itself_where_they_were_asked_into_a_dataset(
    copy: Path, tmp_path: Path
) -> None:
    given, before = labels(copy, tmp_path / "labels"), open_dataset(copy).fingerprint
    path = place_for_rabc(given, copy, into_dataset=True)
    assert path == copy / NAME
    assert path.read_bytes() == (given / "progress.parquet").read_bytes()
    assert open_dataset(copy).fingerprint == before
    assert len(weights(copy).progress_lookup) == 2 * LENGTH


def test_rows_without_a_verdict_weigh_as_usual_and_others_by_their_rise(
    copy: Path, tmp_path: Path
) -> None:
    phi = np.tile(np.linspace(0, 0.55, LENGTH, dtype=np.float32), 3)
    phi[LENGTH : 2 * LENGTH] = np.nan  # an episode of another task
    phi[2 * LENGTH + 6 :] = 0.1  # a loss, then standing still
    phi[5] = np.nan  # one frame that the model could not judge
    given = labels(copy, tmp_path / "labels", progress_sparse=phi, valid=~np.isnan(phi))
    weigher = weights(place_for_rabc(given, copy, into_dataset=True).parent)

    def weight(*rows: int) -> list[float]:
        found: list[float] = weigher._compute_weights(
            np.array([weigher._compute_delta(row) for row in rows], np.float32)
        ).tolist()
        return found

    assert weight(0, 4, 6) == [1.0, 1.0, 1.0]  # Φ rises by more than κ
    assert weight(5) == [1.0]  # NaN now
    assert weight(1) == [1.0]  # NaN four rows on
    assert weight(LENGTH, LENGTH + 5, 2 * LENGTH - 1) == [1.0, 1.0, 1.0]
    assert weight(2 * LENGTH + 5) == [0.0]  # Φ falls
    still = weight(2 * LENGTH + 8)[0]
    assert 0.0 < still < 1.0
    batch, _ = weigher.compute_batch_weights({"index": torch.tensor([5, 29, LENGTH, 0])})
    assert batch.tolist() == pytest.approx([4 / 3, 0.0, 4 / 3, 4 / 3])


def test_labels_go_beside_without_asking_and_into_no_dataset(copy: Path, tmp_path: Path) -> None:
    given = labels(copy, tmp_path / "labels")
    assert place_for_rabc(given / "progress.parquet", tmp_path / "new/place").is_file()
    assert place_for_rabc(given, given) == given / NAME
    with pytest.raises(OutputError, match=r"sarm_progress\.parquet exists: --overwrite replaces"):
        place_for_rabc(given, given)
    place_for_rabc(given, given, overwrite=True)
    with pytest.raises(OutputError, match="is a dataset, which stays as it is unless you ask"):
        place_for_rabc(given, copy)
    assert not (copy / NAME).exists()


def test_labels_go_into_the_dataset_made_of_them_and_into_no_other(
    tiny_dataset: Path, copy: Path, tmp_path: Path
) -> None:
    given = labels(tiny_dataset, tmp_path / "labels")
    write_columns(tiny_dataset, given, tmp_path / "out")
    assert place_for_rabc(given, tmp_path / "out", into_dataset=True).is_file()
    (copy / "meta/robo_reward.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"is of another dataset than .*copy; run"):
        place_for_rabc(given, copy, into_dataset=True)
    with pytest.raises(DatasetError, match=r"there are no labels .*none\.parquet"):
        place_for_rabc(tmp_path / "none.parquet", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        place_for_rabc(given, tmp_path / "file/x")


def lerobot_train(root: Path, policy: Path, out: Path, *flags: str) -> str:
    """Run stock lerobot-train for a few steps and return what it logged."""
    command = [
        str(Path(sys.executable).with_name("lerobot-train")),
        f"--policy.path={policy}",
        "--policy.device=cpu",
        "--policy.push_to_hub=false",
        "--dataset.repo_id=tiny/table",
        f"--dataset.root={root}",
        f"--output_dir={out}",
        "--steps=3",
        "--log_freq=1",
        "--batch_size=4",
        "--num_workers=0",
        "--sample_weighting.type=rabc",
        *flags,
    ]
    done = subprocess.run(
        command, env=os.environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.slow
def test_stock_lerobot_train_weighs_a_smolvla_by_our_labels(tmp_path: Path) -> None:
    root = tabletop_demos(tmp_path / "demos")
    policy = tabletop_smolvla(tmp_path / "smolvla")
    command = Label(
        dataset=str(root), model=checkpoint(tmp_path / "model"), out=tmp_path / "labels"
    )
    command.run()
    path = tmp_path / "labels/progress.parquet"
    rows = pq.read_metadata(path).num_rows
    told = f"--sample_weighting.progress_path={path}"
    logged = lerobot_train(root, policy, tmp_path / "one", told)
    assert f"Loading SARM progress values from {path}" in logged
    assert f"Loaded {rows} frame progress values" in logged
    assert (tmp_path / "one/checkpoints/last/pretrained_model/model.safetensors").is_file()

    made = tmp_path / "made"
    write_columns(root, path, made)  # LeRobot reads the columns, and finds the labels by itself
    place_for_rabc(path, made, into_dataset=True)
    again = lerobot_train(made, policy, tmp_path / "two")
    assert f"Loading SARM progress values from {made / NAME}" in again
    losses = [re.findall(r"loss:([\d.]+)", text) for text in (logged, again)]
    assert losses[0] == losses[1] != []

    phi = pq.read_table(path)
    place = phi.column_names.index("progress_sparse")
    falling = pa.array(np.linspace(1, 0, rows, dtype=np.float32))
    pq.write_table(phi.set_column(place, "progress_sparse", falling), tmp_path / "falling.parquet")
    third = lerobot_train(
        root,
        policy,
        tmp_path / "three",
        f"--sample_weighting.progress_path={tmp_path}/falling.parquet",
    )
    assert re.findall(r"loss:([\d.]+)", third) != losses[0], "the labels make a difference"
