"""The command ``clone``: what it takes, what it makes, and how it goes on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from demos import DONE, LENGTH, TASK, VIEWS, write_demos

from data.lerobot_dataset import open_dataset
from policies.clone import Clone
from policies.cloning_config import CloneShape, CloningConfig
from policies.cloning_run import CloningRun
from policies.storing import CONFIG, load_policy
from robo_reward.errors import CheckpointError, DatasetError, InputError, OutputError
from robo_reward.training_state import STATE

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes 0, 1 and 3 succeed. Do not change it."""
    return write_demos(tmp_path_factory.mktemp("demos") / "turning")


@pytest.fixture
def command(demos: Path, tmp_path: Path) -> Clone:
    return Clone(
        dataset=(str(demos),),
        out=tmp_path / "policy",
        cache=tmp_path / "cache",
        save_every=2,
        shape=CloneShape(image_size=16, chunk=4, channels=4, width=16),
        cloning=CloningConfig(steps=5, batch=6, warmup=1),
    )


def weights(place: Path) -> bytes:
    return next(place.glob("model-*")).read_bytes()


def interrupted(command: Clone, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Run until some steps are done."""
    draw = CloningRun._draw

    def stop(run: CloningRun, rng: np.random.Generator) -> Any:
        lines = (command.out / "log.jsonl").read_text().splitlines()
        if lines and json.loads(lines[-1])["step"] == step:
            raise KeyboardInterrupt
        return draw(run, rng)

    with monkeypatch.context() as patch:
        patch.setattr(CloningRun, "_draw", stop)
        with pytest.raises(KeyboardInterrupt):
            command.run()


def test_a_policy_is_made_that_says_what_it_is_for(
    command: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    told = capsys.readouterr().out
    assert "3 of 4 episodes are cloned (left out: 1 failed)" in told
    assert "24 frames of front, wrist at 16 px; 5 steps of 6; chunks of 4, of which 2" in told
    assert f"policy: {command.out} (fingerprint" in told
    found = load_policy(command.out)
    about = found.about
    assert (about.replan_steps, about.fps, about.robot, about.task) == (2, 10.0, "panda", "turning")
    assert about.images == dict.fromkeys(VIEWS, (16, 16))
    assert (about.state_names, about.action_names) == (("x", "y"), ("dx", "dy"))
    assert about.instructions == (TASK,)
    assert about.training["episode_numbers"] == [0, 1, 3]
    assert np.isfinite(about.training["loss"])
    assert {path.name for path in command.out.iterdir()} == {
        CONFIG,
        "log.jsonl",
        next(command.out.glob("model-*")).name,
    }


def test_the_same_command_makes_the_same_policy_and_does_not_make_it_twice(
    command: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    made = weights(command.out)
    again = replace(command, out=tmp_path / "again")
    again.run()
    assert weights(again.out) == made
    capsys.readouterr()
    log = (command.out / "log.jsonl").read_text()
    command.run()
    assert "it was there already" in capsys.readouterr().out
    assert (command.out / "log.jsonl").read_text() == log
    (command.out / "eval.json").touch()
    replace(command, seed=1, overwrite=True).run()
    assert weights(command.out) != made
    assert not (command.out / "eval.json").exists()


@pytest.mark.parametrize("step", [1, 3])
def test_an_interrupted_run_goes_on_to_the_same_bits(
    command: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = replace(command, out=tmp_path / "whole")
    whole.run()
    interrupted(command, monkeypatch, step)
    assert (command.out / STATE).is_file() == (step > 2)
    assert not (command.out / CONFIG).is_file()
    command.run()
    assert weights(command.out) == weights(whole.out)


def test_another_run_in_the_same_place_is_refused(
    command: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(command, monkeypatch, 3)
    other = replace(command, episodes=2)
    with pytest.raises(CheckpointError, match="with another episodes"):
        other.run()
    command.run()
    with pytest.raises(CheckpointError, match="with another episodes"):
        other.run()
    (command.out / "config.json").touch()  # as a reward model has
    with pytest.raises(OutputError, match=r"holds config.json, which is no part of a cloned"):
        replace(command, overwrite=True).run()
    with pytest.raises(OutputError, match="is a file"):
        replace(command, out=next(command.out.glob("model-*"))).run()


def test_a_dry_run_writes_nothing(command: Clone, capsys: pytest.CaptureFixture[str]) -> None:
    replace(command, dry_run=True, behaviour=("expert",), episodes=2).run()
    told = capsys.readouterr().out
    assert "2 of 4 episodes are cloned (left out: 1 of other behaviours, 1 beyond" in told
    assert not command.out.exists()
    assert not command.cache.exists()


def test_episodes_of_unknown_outcome_are_told(
    command: Clone, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {
        name: {"dtype": "float32", "shape": (2,), "names": None}
        for name in ("action", "observation.state")
    }
    root = write_demos(tmp_path / "plain", (True, False), features=plain)
    replace(command, dataset=(str(root),)).run()
    assert "2 of them do not say how they ended: taken for successes" in capsys.readouterr().out
    assert load_policy(command.out).about.action_names == ("0", "1")


def sidecar(demos: Path, path: Path, **columns: Any) -> Path:
    """Write a file beside the dataset: the columns of four episodes."""
    frames = np.arange(4 * LENGTH)
    table = pa.table({"index": frames, "episode_index": frames // LENGTH, **columns})
    told = {"dataset_fingerprint": open_dataset(demos).fingerprint}
    pq.write_table(table.replace_schema_metadata(told), path)
    return path


def drawn(command: Clone) -> set[tuple[int, int]]:
    """Return the rows that are drawn at all."""
    showing = CloningRun(command).showing
    return {(int(e), int(t)) for e, t in showing.rows(np.random.default_rng(0), 500)}


def test_a_column_of_weights_says_what_is_drawn(
    command: Clone, demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worth = np.zeros(4 * LENGTH)
    worth[[LENGTH + 2, LENGTH + 3, 2 * LENGTH]] = [1.0, 3.0, 9.0]  # the last of a failure
    path = sidecar(demos, tmp_path / "worth.parquet", worth=worth)
    weighed = replace(command, weights=(path,), weight_column="worth")
    assert drawn(weighed) == {(1, 2), (1, 3)}
    run = CloningRun(weighed)
    assert "weights by worth: 8% of frames count" in run.plan()
    rows = run.showing.rows(np.random.default_rng(0), 4000)
    assert (rows[:, 1] == 3).mean() == pytest.approx(0.75, abs=0.05)


def test_progress_that_rises_is_cloned_and_progress_that_falls_is_not(
    command: Clone, demos: Path, tmp_path: Path
) -> None:
    progress = np.tile(np.linspace(0, 1, LENGTH), 4).astype(np.float32)
    progress[LENGTH : 2 * LENGTH] = np.linspace(1, 0, LENGTH)
    folder = tmp_path / "labels"
    folder.mkdir()
    sidecar(demos, folder / "progress.parquet", progress_sparse=progress)
    found = drawn(replace(command, weights=(folder,)))
    assert {episode for episode, _ in found} == {0, 3}
    assert {t for episode, t in found if episode == 0} == set(range(DONE + 1))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.full(40, np.nan), "not all 0, got nan at frame 0 of episode 0"),
        (np.full(40, -1.0), "got -1.0 at frame 0"),
        (np.zeros(40), "got zeros alone"),
        (["heavy"] * 40, "is not made of numbers"),
    ],
)
def test_weights_that_cannot_be_are_refused(
    command: Clone, demos: Path, tmp_path: Path, values: Any, told: str
) -> None:
    path = sidecar(demos, tmp_path / "w.parquet", worth=values)
    with pytest.raises(InputError, match=told):
        replace(command, weights=(path,), weight_column="worth").run()


def test_weights_of_another_dataset_and_absent_ones_are_refused(
    command: Clone, demos: Path, tmp_path: Path
) -> None:
    path = sidecar(demos, tmp_path / "w.parquet", worth=np.ones(4 * LENGTH))
    weighed = replace(command, weights=(path,), weight_column="worth")
    other = write_demos(tmp_path / "other", (True, True))
    with pytest.raises(DatasetError, match="is of a dataset with fingerprint"):
        replace(weighed, dataset=(str(other),)).run()
    with pytest.raises(InputError, match="names 1 files for 2 datasets"):
        replace(weighed, dataset=(str(demos), str(other))).run()
    with pytest.raises(InputError, match="has no column value; it has index, episode_index, worth"):
        replace(weighed, weight_column="value").run()
    with pytest.raises(DatasetError, match="cannot be read"):
        replace(weighed, weights=(tmp_path / "absent.parquet",)).run()
    pq.write_table(pq.read_table(path).slice(0, 12), path)
    with pytest.raises(DatasetError, match="says nothing of row 12 and 13 others"):
        weighed.run()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset": ()}, "--dataset names nothing"),
        ({"replan_steps": 5}, "--replan-steps must be between 1 and --chunk 4, got 5"),
        ({"replan_steps": 0}, "between 1 and"),
        ({"episodes": 0}, "--episodes must be at least 1"),
        ({"save_every": 0}, "--save-every must be at least 1"),
        ({"seed": -1}, "--seed must be at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    command: Clone, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        replace(command, **changes)
