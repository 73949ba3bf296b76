"""The command `label`: what the sidecar holds, who can read it, and what is refused."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import LENGTH
from test_data_label_store import gone

from data import labelling
from data.compaction import FILE, MANIFEST, numbers, ranges
from data.decoding import DecodeConfig
from data.label import Label
from data.label_plan import PLAN, UNITS, Plan
from data.label_store import ASIDE, DirectoryStore
from data.labelling import LOG
from data.leases import FOLDER, Lease
from data.lerobot_dataset import open_dataset
from data.references import ReferenceFinder
from data.report import Report
from robo_reward.checkpoint import ModelConfig, build, load, save
from robo_reward.config import CompactConfig
from robo_reward.errors import DatasetError, InputError, OutputError, RoboRewardError
from robo_reward.model import ModelSettings
from robo_reward.tracker import TrackerSettings

pytestmark = pytest.mark.usefixtures("one_thread")

HERE = DecodeConfig(processes=0)
"""Decoding in the test's own process, which needs no start."""
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
    return Label(dataset=str(tiny_dataset), model=model, out=tmp_path / "labels", decode=HERE)


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def units_logged(out: Path) -> list[dict[str, Any]]:
    """The lines of the log that are about units."""
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return [line for line in lines if "frames" in line]


def test_the_sidecar_has_the_columns_types_and_rows_that_were_promised(command: Label) -> None:
    command.run()
    assert names(command.out) == [MANIFEST, PLAN, LOG, FILE]
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
    lines = units_logged(command.out)
    phi = pq.read_table(command.out / FILE)["progress_sparse"].to_pylist()
    told = [(one["episode"], one["frames"], one["references"]) for one in lines]
    assert told == [(0, LENGTH, "episode 2"), (1, LENGTH, "episode 0"), (2, LENGTH, "episode 0")]
    assert [one["last_progress"] for one in lines] == phi[LENGTH - 1 :: LENGTH]
    assert [one["valid_share"] for one in lines] == [1.0] * 3


@pytest.mark.parametrize(
    ("told", "text"), [([], ""), ([3], "3"), ([0, 1, 2, 4, 6, 7], "0-2,4,6-7")]
)
def test_numbers_are_told_as_ranges(told: list[int], text: str) -> None:
    assert ranges(told) == text
    assert numbers(text) == told


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


def failing_at(episode: int) -> Any:
    """`asked` that cannot read one episode."""
    whole = labelling.asked

    def failing(about: Any, *rest: Any) -> Any:
        if about.index == episode:
            raise DatasetError(f"episode {episode} is damaged")
        return whole(about, *rest)

    return failing


def test_an_episode_that_cannot_be_read_costs_no_other(
    command: Label, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    undisturbed = replace(command, out=tmp_path / "undisturbed")
    undisturbed.run()
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "asked", failing_at(1))
        with pytest.raises(DatasetError, match=r"episode 1 could not be .* damaged; the others"):
            command.run()
        assert names(command.out / UNITS) == ["000000", "000002"]
        assert not (command.out / FILE).exists()
    command.run()
    assert [line["episode"] for line in units_logged(command.out)] == [0, 2, 1]
    assert (command.out / FILE).read_bytes() == (undisturbed.out / FILE).read_bytes()


def test_an_unreadable_episode_gets_rows_without_a_verdict_on_request(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelling, "asked", failing_at(1))
    replace(command, skip_unreadable=True).run()
    table = pq.read_table(command.out / FILE)
    assert table["index"].to_pylist() == list(range(3 * LENGTH))
    assert table["valid"].to_pylist() == [True] * LENGTH + [False] * LENGTH + [True] * LENGTH
    assert np.isnan(table["progress_forward"].to_numpy()[LENGTH : 2 * LENGTH]).all()
    assert table.schema.metadata[b"unreadable"] == b"1"


def test_a_reference_that_cannot_be_read_is_no_fault_of_those_that_are_shown_it(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = ReferenceFinder._read_ends

    def failing(self: ReferenceFinder, index: int) -> Any:
        if index == 0:
            raise DatasetError("it is cut off")
        return ends(self, index)

    monkeypatch.setattr(ReferenceFinder, "_read_ends", failing)
    with pytest.raises(DatasetError, match=r"episode 0, whose ends are shown .* it is cut off; or"):
        replace(command, skip_unreadable=True, together=1).run()
    assert names(command.out / UNITS) == ["000000"]


def lease(store: DirectoryStore, unit: str, **about: Any) -> None:
    store.create(f"{FOLDER}/{unit}", Lease(token="theirs", **about).content)


def test_an_episode_over_which_workers_died_is_given_up(command: Label) -> None:
    store = DirectoryStore(command.out)
    lease(store, "000001", process=gone(), begun=True, deaths=2)
    alone = replace(command, together=1)
    with pytest.raises(DatasetError, match=r"episode 1 could not .* 3 workers died at work on 1;"):
        alone.run()
    assert names(command.out / UNITS) == ["000000", "000002"]
    store.remove(f"{FOLDER}/000001")
    lease(store, "000001", process=gone(), begun=True, deaths=2)
    replace(alone, skip_unreadable=True).run()
    assert pq.read_schema(command.out / FILE).metadata[b"unreadable"] == b"1"


def test_labels_are_not_begun_anew_while_somebody_is_at_work(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "asked", failing_at(1))
        with pytest.raises(DatasetError):
            command.run()
    store = DirectoryStore(command.out)
    lease(store, "000001", process="host-1-7")
    with pytest.raises(OutputError, match=r"host-1-7 is at work on 000001 in .*: end it first"):
        replace(command, overwrite=True).run()
    assert names(command.out / UNITS) == ["000000", "000002"]


def test_what_cannot_begin_does_not_end_what_is_there(command: Label) -> None:
    command.run()
    before = names(command.out)
    with pytest.raises(RoboRewardError, match="no/model"):
        replace(command, overwrite=True, model=Path("no/model")).run()
    replace(command, overwrite=True, dry_run=True).run()
    assert names(command.out) == before


def test_a_run_that_another_one_has_replaced_ends(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = labelling.check_unchanged

    def replaced(dataset: Any) -> None:
        """Another run begins while this one makes its sidecar."""
        begin_anew_by_force(command.out)
        Plan(about={"gamma": "other"}, lengths=(1,)).adopt(DirectoryStore(command.out))
        whole(dataset)

    monkeypatch.setattr(labelling, "check_unchanged", replaced)
    with pytest.raises(OutputError, match="another labelling run has begun in"):
        command.run()
    assert not (command.out / FILE).exists()


def begin_anew_by_force(out: Path) -> None:
    (out / PLAN).unlink()


def test_labels_that_are_replaced_stay_until_the_new_ones_are_whole(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.out.mkdir()
    (command.out / FILE).write_text("mine")
    monkeypatch.setattr(labelling, "asked", failing_at(1))
    with pytest.raises(DatasetError, match="episode 1 is damaged"):
        replace(command, overwrite=True).run()
    assert (command.out / FILE).read_text() == "mine"


def test_a_finished_run_is_not_done_again(
    command: Label, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    before = (command.out / FILE).stat()
    monkeypatch.setattr(labelling, "asked", None)
    command.run()
    assert (command.out / FILE).stat().st_mtime_ns == before.st_mtime_ns
    assert "labels: " in capsys.readouterr().out


def test_labels_of_another_model_are_not_mixed_in(command: Label, tmp_path: Path) -> None:
    command.run()
    before = (command.out / FILE).read_bytes()
    other = checkpoint(tmp_path / "other", match_threshold=0.1)
    with pytest.raises(OutputError, match=r"another model_fingerprint \w+ \(this run: \w+\)"):
        replace(command, model=other).run()
    with pytest.raises(OutputError, match=r"another gamma 0\.99 \(this run: 0\.9\)"):
        replace(command, gamma=0.9).run()
    assert (command.out / FILE).read_bytes() == before
    replace(command, model=other, overwrite=True).run()
    assert (command.out / FILE).read_bytes() != before


def test_episodes_judged_together_are_what_they_are_alone(command: Label, tmp_path: Path) -> None:
    alone = replace(command, out=tmp_path / "alone", together=1)
    for one in (command, alone):
        one.run()
    mine, theirs = (pq.read_table(one.out / FILE) for one in (command, alone))
    for name in COLUMNS:
        np.testing.assert_allclose(mine[name].to_numpy(), theirs[name].to_numpy(), atol=1e-5)
    with pytest.raises(OutputError, match=r"another together 4 \(this run: 1\)"):
        replace(alone, out=command.out).run()


def test_the_log_says_what_the_time_of_a_worker_went_into(command: Label) -> None:
    command.run()
    last = json.loads((command.out / LOG).read_text().splitlines()[-1])
    assert {"worker", "decode_s", "model_s", "write_s", "idle_s", "most_mb"} < last.keys()
    assert all(last[name] >= 0.0 for name in ("decode_s", "model_s", "write_s", "idle_s"))


def test_decoding_in_a_process_of_its_own_changes_nothing(command: Label, tmp_path: Path) -> None:
    command.run()
    ahead = replace(command, out=tmp_path / "ahead", decode=DecodeConfig(processes=1))
    ahead.run()
    assert (ahead.out / FILE).read_bytes() == (command.out / FILE).read_bytes()


def test_workers_share_the_processes_that_decode(command: Label) -> None:
    few = replace(command, decode=DecodeConfig(processes=None), workers=64)
    assert few.share(0, 1).decode.processes == 1
    assert replace(few, decode=DecodeConfig(processes=3)).share(0, 1).decode.processes == 3


def test_labels_become_columns_and_a_copy_for_lerobot_besides(
    command: Label, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns, rabc = tmp_path / "columns", tmp_path / "rabc"
    replace(command, write_columns=columns, rabc_name=rabc).run()
    told = capsys.readouterr().out
    assert f"labels for RA-BC: {rabc / 'sarm_progress.parquet'}" in told
    assert "dataset with columns progress.fused" in told
    phi = open_dataset(columns).columns(1, ["progress.fused"])["progress.fused"][:, 0]
    expected = pq.read_table(command.out / FILE)["progress_sparse"].to_numpy()
    np.testing.assert_array_equal(phi, expected[LENGTH : 2 * LENGTH])
    with pytest.raises(OutputError, match="columns exists"):
        replace(command, write_columns=columns).run()


def test_a_dataset_that_changes_under_way_is_noticed(
    command: Label, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(command.dataset, copy)
    whole = labelling.asked

    def changing(*args: Any) -> Any:
        (copy / "meta/tasks.parquet").write_bytes(
            (copy / "meta/tasks.parquet").read_bytes().replace(b"red", b"bad")
        )
        return whole(*args)

    monkeypatch.setattr(labelling, "asked", changing)
    with pytest.raises(DatasetError, match="was changed while it was labelled"):
        replace(command, dataset=str(copy)).run()
    assert not (command.out / FILE).exists()


def test_a_full_disk_is_said_in_one_sentence_and_nothing_is_lost(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, calls = os.fsync, iter(range(10**6))

    def full(handle: int) -> None:
        if next(calls) > 4:
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RoboRewardError, match=r"cannot write .*\(No space left on device\)"):
            command.run()
    assert names(command.out / UNITS) in (["000000"], ["000000", "000001"])
    assert names(command.out / ASIDE) == []
    command.run()
    assert pq.read_table(command.out / FILE).num_rows == 3 * LENGTH


def test_too_little_room_is_refused_before_the_work(
    command: Label, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match="labels of 36 frames take up to 0 MB and 0 MB are free"):
        command.run()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": 0}, "--workers must be at least 1, got 0"),
        ({"together": 0}, "--together must be at least 1, got 0"),
        ({"rank": 1}, "--rank 1 of --world None: give both"),
        ({"rank": 2, "world": 2}, "--rank 2 of --world 2"),
        ({"lease_timeout": 0.0}, "--lease-timeout must be seconds above 0"),
        ({"rank": 0, "world": 2, "rabc_name": Path("x")}, "are not for one of several processes"),
        ({"rank": 0, "world": 2, "overwrite": True}, "--overwrite cannot be one of several"),
    ],
)
def test_shares_that_cannot_be_are_refused(
    command: Label, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RoboRewardError, match=re.escape(words)):
        replace(command, **changes).run()


def test_launchers_say_which_share_it_is(command: Label, monkeypatch: pytest.MonkeyPatch) -> None:
    assert command.check() == (0, 1)
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert command.check() == (3, 8)
    monkeypatch.setenv("RANK", "")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="RANK= of WORLD_SIZE=2: no numbers"):
        command.check()
    monkeypatch.setenv("RANK", "1")
    assert command.check() == (1, 2)
    assert replace(command, rank=0, world=4).check() == (0, 4)


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
