"""The command `label`: what the sidecar holds, who can read it, and what is refused."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import LENGTH

from data import label as label_module
from data.label import FILE, LOG, Label, ranges
from data.lerobot_dataset import open_dataset
from data.report import Report
from robo_reward.checkpoint import ModelConfig, build, load, save
from robo_reward.config import CompactConfig
from robo_reward.errors import DatasetError, RoboRewardError
from robo_reward.model import ModelSettings
from robo_reward.tracker import TrackerSettings

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = CompactConfig(image_size=16, width=16, depth=1, heads=2, channels=8)
COLUMNS = {
    "index": pa.int64(),
    "episode_index": pa.int64(),
    "frame_index": pa.int64(),
    "progress_sparse": pa.float32(),
    "progress_forward": pa.float32(),
    "progress_backward": pa.float32(),
    "progress_incremental": pa.float32(),
    "confidence": pa.float32(),
    "progress_lower": pa.float32(),
    "success_prob": pa.float32(),
    "match_prob": pa.float32(),
    "reward": pa.float32(),
    "valid": pa.bool_(),
}


def checkpoint(directory: Path, **settings: Any) -> Path:
    """Save an untrained model whose heads say something at every query."""
    torch.manual_seed(0)
    tracker = TrackerSettings(**settings)
    config = ModelConfig(backbone=SHAPE, settings=ModelSettings(image_size=16, tracker=tracker))
    network = build(SHAPE)
    for head in network.hop_heads:
        torch.nn.init.normal_(head.weight)  # type: ignore[arg-type]
    save(directory, network, config)
    return directory


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def command(tiny_dataset: Path, model: Path, tmp_path: Path) -> Label:
    return Label(dataset=str(tiny_dataset), model=model, out=tmp_path / "labels")


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_the_sidecar_has_the_columns_types_and_rows_that_were_promised(command: Label) -> None:
    command.run()
    assert names(command.out) == [LOG, FILE]
    table = pq.read_table(command.out / FILE)
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == COLUMNS
    assert table["index"].to_pylist() == list(range(3 * LENGTH))
    assert table["episode_index"].to_pylist() == [e for e in range(3) for _ in range(LENGTH)]
    assert table["frame_index"].to_pylist() == list(range(LENGTH)) * 3
    phi = table["progress_sparse"].to_numpy()
    assert ((phi >= 0) & (phi <= 1)).all()
    assert pq.ParquetFile(command.out / FILE).num_row_groups == 3


def test_the_sidecar_says_what_it_was_made_of(command: Label) -> None:
    command.run()
    metadata = pq.read_schema(command.out / FILE).metadata
    told = {key.decode(): value.decode() for key, value in metadata.items()}
    assert told["model_fingerprint"] == load(command.model).fingerprint
    assert told["dataset_fingerprint"] == open_dataset(command.dataset).fingerprint
    assert told["references"] == "auto"
    assert json.loads(told["references_used"]) == {"episode 2": "0", "episode 0": "1-2"}
    assert told["views"] == "front, wrist"
    assert told["causal"] == "yes"
    assert told["gamma"] == "0.99"
    assert told["reward"].startswith("gamma * potential after the row - potential")
    assert re.match(r"\d+\.\d+", told["code_version"])


def test_the_log_has_a_line_an_episode(command: Label) -> None:
    command.run()
    lines = [json.loads(line) for line in (command.out / LOG).read_text().splitlines()]
    phi = pq.read_table(command.out / FILE)["progress_sparse"].to_pylist()
    told = [(one["episode"], one["frames"], one["references"]) for one in lines]
    assert told == [(0, LENGTH, "episode 2"), (1, LENGTH, "episode 0"), (2, LENGTH, "episode 0")]
    assert [one["last_progress"] for one in lines] == phi[LENGTH - 1 :: LENGTH]
    assert [one["valid_share"] for one in lines] == [1.0] * 3


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 4, 6, 7], "0-2,4,6-7")]
)
def test_numbers_are_told_as_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_rows_hold_the_verdict_of_the_last_query(command: Label) -> None:
    command.run()
    match = pq.read_table(command.out / FILE)["match_prob"].to_numpy()[:LENGTH]
    assert [len(set(match[start : start + 4])) for start in (0, 4, 8)] == [1, 1, 1]
    assert len(set(match)) == 3


def test_the_screen_says_which_references_were_used_and_what_comes_next(
    command: Label, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    printed = capsys.readouterr().out
    assert "3 episodes, 36 frames of front, wrist" in printed
    assert "references of 2 episodes: episode 0" in printed
    assert f"--sample_weighting.progress_path={command.out / FILE}" in printed


def test_labels_that_look_ahead_are_recorded_as_such(command: Label) -> None:
    replace(command, reference="own-last-frame").run()
    metadata = pq.read_schema(command.out / FILE).metadata
    assert (metadata[b"causal"], metadata[b"references"]) == (b"no", b"own-last-frame")


def test_without_a_goal_the_backward_column_is_nan(command: Label) -> None:
    replace(command, reference="none").run()
    table = pq.read_table(command.out / FILE)
    assert np.isnan(table["progress_backward"].to_numpy()).all()
    assert not np.isnan(table["progress_sparse"].to_numpy()).any()


def test_where_the_task_does_not_match_progress_is_nan_and_invalid(
    command: Label, tmp_path: Path
) -> None:
    strict = checkpoint(tmp_path / "strict", match_threshold=1.1)
    replace(command, model=strict).run()
    table = pq.read_table(command.out / FILE)
    assert not any(table["valid"].to_pylist())
    assert np.isnan(table["progress_sparse"].to_numpy()).all()
    assert not np.isnan(table["progress_forward"].to_numpy()).any()


def test_labels_that_are_there_are_kept_unless_told_to_replace_them(command: Label) -> None:
    command.out.mkdir()
    (command.out / FILE).write_text("mine")
    with pytest.raises(RoboRewardError, match=r"progress\.parquet exists: --overwrite replaces"):
        command.run()
    assert (command.out / FILE).read_text() == "mine"
    replace(command, overwrite=True).run()
    assert pq.read_table(command.out / FILE).num_rows == 36


def test_a_failure_halfway_leaves_the_old_labels_and_nothing_else(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = label_module.label_episode

    def failing(*args: Any) -> Any:
        if args[-1].index == 1:
            raise DatasetError("episode 1 is damaged")
        return whole(*args)

    monkeypatch.setattr(label_module, "label_episode", failing)
    with pytest.raises(DatasetError, match="episode 1 is damaged"):
        command.run()
    assert names(command.out) == [LOG]
    (command.out / FILE).write_text("mine")
    with pytest.raises(DatasetError, match="episode 1 is damaged"):
        replace(command, overwrite=True).run()
    assert names(command.out) == [LOG, FILE]
    assert (command.out / FILE).read_text() == "mine"


def test_a_full_disk_is_said_in_one_sentence(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RoboRewardError, match=r"cannot write .*\(No space left on device\)"):
        command.run()
    assert names(command.out) == [LOG]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": Path("no/model")}, "no/model is no model"),
        ({"dataset": "no/where"}, "no/where"),
        ({"views": ("side",)}, "has no view side; tiny has front, wrist"),
        ({"reference": "7"}, "--reference 7:"),
        ({"reference": "no/pictures"}, "--reference no/pictures: no start/<view>.png"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(
    command: Label, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RoboRewardError, match=re.escape(words)) as caught:
        replace(command, **changes).run()
    assert "\n" not in str(caught.value)
    assert not command.out.exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    command: Label, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RoboRewardError, match=r"cannot write .*choose another place"):
        replace(command, model=Path("no/model"), out=tmp_path / "file" / "labels").run()


def test_a_dry_run_writes_nothing(command: Label, tmp_path: Path) -> None:
    replace(command, dry_run=True).run()
    assert list(tmp_path.iterdir()) == []


def test_lerobot_weighs_its_training_with_the_sidecar(command: Label, tmp_path: Path) -> None:
    from lerobot.rewards.sarm.rabc import RABCWeights

    command.run()
    weights = RABCWeights(command.out / FILE, chunk_size=4, device=torch.device("cpu"))
    phi = pq.read_table(command.out / FILE)["progress_sparse"].to_pylist()
    assert [weights.progress_lookup[index] for index in range(36)] == phi
    assert weights.episode_boundaries[1] == {"start": 12, "end": 24}
    given, _ = weights.compute_batch_weights({"index": torch.arange(8)})
    assert given.shape == (8,)
    replace(
        command, model=checkpoint(tmp_path / "strict", match_threshold=1.1), overwrite=True
    ).run()
    nothing = RABCWeights(command.out / FILE, chunk_size=4, device=torch.device("cpu"))
    given, _ = nothing.compute_batch_weights({"index": torch.arange(8)})
    assert given.tolist() == pytest.approx([1.0] * 8)


@pytest.mark.parametrize(
    ("labelled", "shown"), [((), ()), (("wrist",), ()), (("wrist",), ("wrist",))]
)
def test_a_report_is_made_of_the_sidecar_whatever_the_views(
    command: Label,
    tiny_video_dataset: Path,
    tmp_path: Path,
    labelled: tuple[str, ...],
    shown: tuple[str, ...],
) -> None:
    replace(command, dataset=str(tiny_video_dataset), views=labelled).run()
    page = tmp_path / "report.html"
    Report(
        dataset=tiny_video_dataset,
        labels=command.out,
        out=page,
        views=shown,
        image_size=32,
        max_media=1,
    ).run()
    assert "put the red cube in the bin" in page.read_text(encoding="utf-8")
