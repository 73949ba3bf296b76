"""``train --hf.base``: a pretrained model through the whole path, from dataset to labels."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import tyro
from tiny_vlm import make_tiny_vlm

from data.adapt import Adapt
from data.bench_label import BenchLabel
from data.train import Train
from robo_reward.batch import PairBatch
from robo_reward.checkpoint import CONFIG, load
from robo_reward.cli import main
from robo_reward.config import HfConfig
from robo_reward.errors import CheckpointError, InputError, RoboRewardError
from robo_reward.protocols import References
from robo_reward.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tiny_vlm(tmp_path / "vlm", "qwen3_vl", scale=4.0)


@pytest.fixture
def command(train_command: Train, base: Path) -> Train:
    hf = HfConfig(base=str(base), image_size=32, lora_rank=0, dtype="fp32")
    return replace(train_command, hf=hf, training=replace(train_command.training, steps=4))


def test_a_pretrained_model_is_trained_and_used_without_its_base(
    command: Train, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    told = capsys.readouterr().out
    assert "model: " in told
    stored = json.loads((command.out / "last" / CONFIG).read_text())
    assert stored["backbone"]["type"] == "hf"
    assert stored["training"]["shape"]["base"] == str(base)
    shutil.rmtree(base)
    model = load(command.out, device="cpu")
    labels = model.label(tiny.episode(3), "open the drawer", References(), fps=10)
    assert np.isfinite(labels.incremental).all()


def test_a_resumed_run_ends_with_the_weights_of_an_undisturbed_one(
    command: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(command, out=tmp_path / "whole")
    whole.run()
    step = Trainer.step

    def cut(trainer: Trainer, batch: PairBatch) -> dict[str, float]:
        if trainer.done == 3:
            raise KeyboardInterrupt
        return step(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", cut)
        with pytest.raises(KeyboardInterrupt):
            command.run()
    resumed = replace(command, resume=True)
    resumed.run()
    one, two = (
        load(place, device="cpu").network.state_dict()
        for place in (whole.out / "last", resumed.out / "last")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_run_is_not_resumed_on_another_base(command: Train) -> None:
    command.run()
    with pytest.raises(CheckpointError, match=r"--resume: .* has another shape"):
        replace(command, resume=True, hf=replace(command.hf, train_vision=True)).run()
    base = Path(command.hf.base)
    shutil.rmtree(base)
    make_tiny_vlm(base, "qwen3_vl", scale=4.0, seed=1)
    with pytest.raises(CheckpointError, match=r"is on other weights than .* has now"):
        replace(command, resume=True).run()


def test_the_flags_choose_the_backbone() -> None:
    flags = ["--dataset", "d", "--out", "o"]
    compact = tyro.cli(Train, args=[*flags, "--width", "80", "--learning-rate", ".001"])
    assert compact.shape == replace(compact.backbone, width=80)
    assert compact.schedule == compact.training
    hf = tyro.cli(Train, args=[*flags, "--hf.base", "some/model", "--hf.lora-rank", "8"])
    assert hf.shape == HfConfig(base="some/model", lora_rank=8)
    assert hf.schedule.learning_rate == 1e-4
    with pytest.raises(InputError, match=r"say which by --hf\.base"):
        Train(dataset=("d",), out=Path("o"), hf=HfConfig(lora_rank=8))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--hf.base", "nobody/nothing"], "neither a directory nor a model"),
        (["--hf.base", "BASE", "--hf.image-size", "40"], "must be a multiple of 16, such as 32"),
        (["--hf.base", "BASE", "--hf.lora-rank", "-1"], "lora_rank must be at least 0"),
        (["--hf.base", "BASE", "--hf.learning-rate", "0"], "learning_rate must be positive"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(
    flags: list[str],
    sentence: str,
    tiny_dataset: Path,
    base: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = [str(base) if flag == "BASE" else flag for flag in flags]
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--dataset", str(tiny_dataset), "--out", str(out), "--dry-run", *told])
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err
    assert not list(out.glob("*"))


def test_errors_of_a_base_are_errors_that_a_user_can_mend(command: Train) -> None:
    (Path(command.hf.base) / "extra.bin").touch()
    with pytest.raises(RoboRewardError, match="can run code"):
        command.run()


def test_a_dry_run_tells_sizes_and_memory_and_fetches_nothing(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    flags = ["--dataset", str(tiny_dataset), "--out", str(out), "--dry-run"]
    main(["train", *flags, "--hf.base", "qwen3-vl-2b", "--hf.lora-rank", "0"])
    told = capsys.readouterr().out
    assert "2127.9 M parameters, 1409.7 M of them trained (66 %), 1500 steps of 144 pairs" in told
    assert "memory to train, estimated: " in told
    assert "a step of at most 216 images, 36 prefixes and 144 pairs" in told
    assert "memory to judge, estimated: " in told
    assert not out.exists()


def test_one_cached_pass_says_what_three_whole_ones_say_and_costs_less(base: Path) -> None:
    hf = HfConfig(base=str(base), image_size=32, lora_rank=0, dtype="fp32", history=1, belief=True)
    figures = BenchLabel(queries=8, repeats=1, hf=hf).measure()
    assert figures["image_size"] == 32
    assert figures["macs_ratio"] > 4.0


def test_training_goes_on_from_a_model_whose_base_is_gone(
    command: Train, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    shutil.rmtree(base)
    before = load(command.out, device="cpu").network
    adapt = Adapt(
        model=command.out,
        dataset=command.dataset,
        out=tmp_path / "more",
        steps=1,
        cache=command.cache,
    )
    told = adapt.command()
    assert told.shape == command.hf, "its own rate is lower"
    replace(told, sampling=command.sampling).run()
    assert "memory to train, estimated" in capsys.readouterr().out
    after = load(tmp_path / "more", device="cpu").network
    one, two = before.frozen(), after.frozen()
    assert all(torch.equal(one[name], two[name]) for name in one)
    other = replace(command, start=command.out, out=tmp_path / "other")
    with pytest.raises(
        InputError, match=r"has train_vision False, not True, which is not what was asked for"
    ):
        replace(other, hf=replace(command.hf, train_vision=True)).run()
