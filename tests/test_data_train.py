"""The command `train`: what it makes, how it resumes, and what it refuses."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import robo_reward
from data.train import Train
from robo_reward.cli import main
from robo_reward.config import CompactConfig, TrainingConfig
from robo_reward.errors import InputError, RoboRewardError
from robo_reward.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = CompactConfig(image_size=16, width=16, depth=1, heads=2, channels=8)


@pytest.fixture
def command(train_command: Train) -> Train:
    return train_command


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def weights(out: Path, which: str = "last") -> bytes:
    (path,) = (out / which).glob("*.safetensors")
    return path.read_bytes()


def run_until(step: int, command: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a training that is interrupted when ``step`` steps are done."""
    whole = Trainer.step

    def interrupted(trainer: Trainer, batch: Any) -> dict[str, float]:
        if trainer.done == step:
            raise KeyboardInterrupt
        return whole(trainer, batch)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            command.run()


def test_training_makes_a_model_that_loads_and_a_log(
    command: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    printed = capsys.readouterr().out
    assert "2 episodes to train on, 1 to validate; 36 frames of front, wrist" in printed
    assert f"model: {command.out / 'best'}" in printed
    made = {path.name for path in command.out.iterdir()}
    assert made == {"best", "last", "log.jsonl", "training_state.safetensors"}
    told = lines(command.out)
    assert [line["step"] for line in told] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert [line["pairs"] for line in told if "pairs" in line] == [24 * n for n in range(1, 7)]
    assert ["mae" in line["validation"] for line in told if "validation" in line] == [True, True]
    model = robo_reward.load(command.out)
    assert model.settings.image_size == 16
    assert model.settings.tracker.calibration is not None
    assert model.settings.tracker.fusion == "filter"


def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(
    command: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.run()
    broken = replace(command, out=tmp_path / "broken")
    run_until(5, broken, monkeypatch)
    assert lines(broken.out)[-1]["step"] == 5
    replace(broken, resume=True).run()
    told = [(line["step"], line["pairs"]) for line in lines(broken.out) if "pairs" in line]
    assert told == [(n, 24 * n) for n in (1, 2, 3, 4, 5, 4, 5, 6)]
    for which in ("best", "last"):
        assert weights(broken.out, which) == weights(command.out, which)
    state = "training_state.safetensors"
    assert (broken.out / state).read_bytes() == (command.out / state).read_bytes()


def test_a_seed_decides_the_weights(command: Train, tmp_path: Path) -> None:
    short = replace(command, training=TrainingConfig(steps=2, warmup=1))
    outs = [tmp_path / name for name in ("one", "same", "other")]
    for out, seed in zip(outs, (4, 4, 5), strict=True):
        replace(short, out=out, seed=seed).run()
    assert weights(outs[0]) == weights(outs[1])
    assert weights(outs[0]) != weights(outs[2])


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    command: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(command, dry_run=True).run()
    assert "6 steps of 24 pairs" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"views": ("front", "side")}, "has no view side; tiny has front, wrist"),
        ({"withhold": ("0:5:13",)}, "--withhold 0:5:13: episode 0 has 12 frames"),
        ({"withhold": ("3:0:2",)}, "--withhold names episode 3; there are 3"),
        ({"withhold": ("0-5",)}, "must be EPISODE:START:STOP"),
        ({"validation": 1.5}, "--validation must be a share in [0, 1), got 1.5"),
        ({"dataset": ("no/where",)}, "no/where"),
        ({"resume": True}, "there is no run in"),
        ({"cache_gb": 1e-6}, "raise --cache-gb or lower --image-size"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(
    command: Train, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RoboRewardError, match=re.escape(words)) as caught:
        replace(command, **changes).run()
    assert "\n" not in str(caught.value)
    assert not command.out.exists()


def test_settings_that_contradict_each_other_are_refused(command: Train) -> None:
    with pytest.raises(InputError, match="choose one"):
        replace(command, resume=True, overwrite=True)
    with pytest.raises(InputError, match="--evaluate-every must be at least 1"):
        replace(command, evaluate_every=0)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--seed=-1", "--seed must be at least 0, got -1"),
        ("--heads=0", "heads must be at least 1, got 0"),
        ("--query-period=0", "--query-period must be seconds above 0"),
        ("--sampling.pairs=0", "sampling pairs must be at least 1, got 0"),
        ("--sampling.episodes=0", "sampling episodes must be at least 1, got 0"),
        ("--sampling.prefixes=0", "sampling prefixes must be at least 1, got 0"),
        ("--sampling.frames=1", "sampling frames must be at least 2, got 1"),
        ("--sampling.swap=1.5", "sampling swap is a probability in [0, 1], got 1.5"),
        ("--shift=-0.1", "shift must be a share in [0, 1), got -0.1"),
        ("--brightness=nan", "brightness must be a share in [0, 1), got nan"),
        ("--weight-decay=-1", "weight_decay must be at least 0, got -1"),
    ],
)
def test_a_flag_that_cannot_work_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, words: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["train", "--dataset", "d", "--out", str(tmp_path / "model"), flag])
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert words in told
    assert "Traceback" not in told


def test_an_output_that_holds_something_is_refused(command: Train, tmp_path: Path) -> None:
    command.out.mkdir()
    (command.out / "notes.txt").write_text("mine")
    with pytest.raises(RoboRewardError, match="is not empty: --resume goes on"):
        command.run()
    assert [path.name for path in command.out.iterdir()] == ["notes.txt"]
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(RoboRewardError, match="is a file; give a directory"):
        replace(command, out=file).run()
    with pytest.raises(RoboRewardError, match=r"cannot write .*choose another place"):
        replace(command, out=file / "model").run()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": replace(TINY, width=32)}, "has another shape"),
        ({"seed": 1}, "has another seed"),
        ({"views": ("front",)}, "has another views"),
        ({"withhold": ("0:2:4",)}, "has another withhold"),
        ({"fusion": "weighted"}, "has another fusion"),
        ({"training": TrainingConfig(steps=9)}, "is of a run with other settings"),
    ],
)
def test_a_run_is_not_resumed_with_other_flags(
    command: Train, changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until(3, command, monkeypatch)
    before = weights(command.out)
    with pytest.raises(RoboRewardError, match=words):
        replace(command, resume=True, **changes).run()
    assert weights(command.out) == before


def test_overwriting_forgets_the_old_run_at_once(
    command: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    command.run()
    before = weights(command.out)
    run_until(2, replace(command, overwrite=True), monkeypatch)
    assert [path.name for path in command.out.iterdir()] == ["log.jsonl"]
    assert [line["step"] for line in lines(command.out)] == [1, 2]
    replace(command, resume=True).run()
    assert [line["step"] for line in lines(command.out)] == [1, 2, 1, 2, 3, 3, 4, 5, 6, 6]
    assert weights(command.out) == before


def test_an_overwriting_run_that_is_refused_leaves_the_old_one(command: Train) -> None:
    command.run()
    before, other = sorted(command.out.rglob("*")), replace(TINY, image_size=17)
    with pytest.raises(InputError, match="raise --cache-gb"):
        replace(command, overwrite=True, backbone=other, cache_gb=1e-6).run()
    assert sorted(command.out.rglob("*")) == before


def test_a_withheld_block_validates_where_no_episode_is_kept_back(command: Train) -> None:
    replace(command, validation=0.0, withhold=("0:4:8",)).run()
    told = [line["validation"] for line in lines(command.out) if "validation" in line]
    assert [figures["episodes"] for figures in told] == [1.0, 1.0]


def test_the_program_exits_with_2_and_one_sentence(tmp_path: Path) -> None:
    args = ["train", "--dataset", str(tmp_path / "nowhere"), "--out", str(tmp_path / "model")]
    code = f"from robo_reward.cli import main; main({args!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"robo-reward train: .*nowhere.*\n", done.stderr)
