"""`status` and `verify`: what they say of runs that are finished, under way, stopped, damaged."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_data_label import HERE, checkpoint, failing_at
from test_data_label_store import gone

from data import labelling
from data.compaction import FILE
from data.label import Label
from data.label_plan import UNITS
from data.label_progress import read_progress
from data.label_store import DirectoryStore
from data.labelling import COMPACTION
from data.leases import FOLDER, Lease
from data.status import Status
from data.verify import Verify
from robo_reward.errors import DatasetError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def command(tiny_dataset: Path, model: Path, tmp_path: Path) -> Label:
    return Label(dataset=str(tiny_dataset), model=model, out=tmp_path / "labels", decode=HERE)


@pytest.fixture
def begun(command: Label, monkeypatch: pytest.MonkeyPatch) -> Label:
    """Labels of which episode 1 failed."""
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "asked", failing_at(1))
        with pytest.raises(DatasetError):
            command.run()
    return command


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_finished_run_is_whole(
    command: Label, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command.run()
    said(capsys)
    Status(out=command.out, json=tmp_path / "status.json").run()
    assert said(capsys).startswith("finished: 3 of 3 episodes, 36 of 36 frames\n")
    told = json.loads((tmp_path / "status.json").read_text())
    assert (told["state"], told["units"], told["left_s"]) == ("finished", 3, None)
    Verify(out=command.out, dataset=command.dataset).run()
    assert "3 episodes, 36 rows: all there, all as they were written" in said(capsys)


def test_a_stopped_run_says_what_failed_and_what_is_missing(
    begun: Label, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys)
    Status(out=begun.out).run()
    told = said(capsys)
    assert told.startswith("stopped: 2 of 3 episodes, 24 of 36 frames; lately ")
    assert "episode 1 failed: episode 1 is damaged" in told
    assert "the last episode was published 0 s ago" in told
    assert "repeat the label command to go on" in told
    with pytest.raises(DatasetError, match="1 of 3 episodes are missing"):
        Verify(out=begun.out).run()
    assert "not labelled yet: episodes 1\n" in said(capsys)


def test_a_running_one_says_who_is_at_what_and_how_long_yet(
    begun: Label, capsys: pytest.CaptureFixture[str]
) -> None:
    store = DirectoryStore(begun.out)
    store.create(f"{FOLDER}/000001", Lease(process="host-1-7", token="t").content)
    store.create(f"{FOLDER}/000002", Lease(process=gone(), token="d").content)
    store.create(f"{FOLDER}/.nfs01", b"")
    store.create(f"{UNITS}/.nfs01", b"")
    store.create(f"{UNITS}/000099", b"")
    _, progress = read_progress(begun.out)
    assert (progress.state, progress.workers, progress.dead) == ("running", {"host-1-7": [1]}, 1)
    assert progress.left_s == pytest.approx(12 / progress.frames_per_s)
    said(capsys)
    Status(out=begun.out).run()
    told = said(capsys)
    assert "host-1-7 is at episode 1\n" in told
    assert "1 episodes of dead workers wait to be taken over" in told


def test_whoever_makes_the_sidecar_is_at_work(begun: Label) -> None:
    store = DirectoryStore(begun.out)
    store.create(f"{FOLDER}/{COMPACTION}", Lease(process="host-1-7", token="t").content)
    assert read_progress(begun.out)[1].state == "running"
    store.replace(f"{FOLDER}/{COMPACTION}", Lease(process=gone(), token="t").content)
    assert read_progress(begun.out)[1].state == "stopped"


@pytest.mark.parametrize(
    ("seconds", "text"), [(5.4, "5 s"), (65.0, "1 min 5 s"), (7322.0, "2 h 2 min")]
)
def test_the_time_left_is_told_in_words(begun: Label, seconds: float, text: str) -> None:
    from data.status import lines

    _, progress = read_progress(begun.out)
    assert f"{text} left" in lines(replace(progress, left_s=seconds))[0]


def change(out: Path, name: str, how: Any) -> None:
    path = out / name
    path.write_bytes(how(path.read_bytes()))


def test_damage_is_named(begun: Label, command: Label, capsys: pytest.CaptureFixture[str]) -> None:
    change(begun.out, f"{UNITS}/000002", lambda content: content[:50])
    with pytest.raises(DatasetError, match="1 faults in labels of 3 episodes"):
        Verify(out=begun.out).run()
    assert "the unit of episode 2 cannot be read" in said(capsys)
    with pytest.raises(DatasetError, match=r"is removed: repeat the command"):
        command.run()
    command.run()
    Verify(out=command.out).run()
    change(command.out, FILE, lambda content: content[:100] + b"?" + content[101:])
    with pytest.raises(DatasetError, match="faults in labels"):
        Verify(out=command.out).run()
    assert "is not the file that was written" in said(capsys)


def test_another_dataset_is_named(
    command: Label, tiny_video_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    with pytest.raises(DatasetError, match="faults in labels"):
        Verify(out=command.out, dataset=str(tiny_video_dataset)).run()
    assert "is not the dataset that was labelled" in said(capsys)


@pytest.mark.parametrize("command_of", [Status, Verify])
def test_a_place_without_labels_is_told(tmp_path: Path, command_of: Any) -> None:
    with pytest.raises(DatasetError, match=re.escape(f"{tmp_path} holds no plan.json")):
        command_of(out=tmp_path).run()
