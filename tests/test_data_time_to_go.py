"""``train --time-to-go``: the whole path, and that a model without it is what it was."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from conftest import LENGTH
from test_data_evaluate import case, labels
from tiny_vlm import make_tiny_vlm

from data.adapt import Adapt
from data.compaction import FILE
from data.decoding import DecodeConfig
from data.evaluate import Judged, seconds_error
from data.label import Label
from data.train import Train
from robo_reward.checkpoint import CONFIG, build, load
from robo_reward.config import CompactConfig, HfConfig
from robo_reward.errors import CheckpointError, DatasetError, InputError
from robo_reward.training import Trainer
from robo_reward.training_state import STATE

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def command(train_command: Train) -> Train:
    return replace(train_command, backbone=replace(train_command.backbone, time_to_go=True))


def test_a_model_that_tells_seconds_labels_them(
    command: Train, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.run()
    assert "time_to_go_error" in capsys.readouterr().out
    card = (command.out / "best" / "README.md").read_text()
    assert "mean error of the seconds until success" in card
    first = json.loads((command.out / "log.jsonl").read_text().splitlines()[0])
    assert first["time_to_go"] > 0
    out = command.out.parent / "labels"
    Label(
        dataset=str(tiny_dataset), model=command.out, out=out, decode=DecodeConfig(processes=0)
    ).run()
    table = pq.read_table(out / FILE)
    assert table.schema.names[-2:] == ["time_to_go", "valid"]
    seconds, valid = table["time_to_go"].to_numpy(), table["valid"].to_numpy()
    assert len(seconds) == 3 * LENGTH
    assert ((seconds >= 0) & (seconds <= 1000)).tolist() == valid.tolist()


def test_the_other_weights_begin_as_those_of_a_network_without_it() -> None:
    torch.manual_seed(3)
    plain = build(tiny.SHAPE).state_dict()
    torch.manual_seed(3)
    further = build(replace(tiny.SHAPE, time_to_go=True)).state_dict()
    assert further.keys() - plain.keys() == {"time_head.weight", "time_head.bias"}
    assert all(torch.equal(further[name], tensor) for name, tensor in plain.items())


def test_a_checkpoint_without_it_does_not_mention_it(train_command: Train) -> None:
    train_command.run()
    for name in ("best", "last"):
        stored = (train_command.out / name / CONFIG).read_text()
        assert "time_to_go" not in stored
    assert load(train_command.out).further == ()


def test_a_run_that_began_before_there_was_such_a_weight_goes_on(
    train_command: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    train_command.run()
    state = train_command.out / STATE
    with safe_open(state, framework="pt") as file:
        told = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del told["config"]["loss"]["time_to_go"]
    save_file(tensors, state, metadata={"state": json.dumps(told)})
    monkeypatch.setattr(Trainer, "step", lambda *_: pytest.fail("there is nothing left to do"))
    replace(train_command, resume=True).run()


def test_adapting_keeps_the_head(command: Train, tmp_path: Path) -> None:
    command.run()
    adapt = Adapt(
        model=command.out, dataset=command.dataset, out=tmp_path / "adapted", cache=command.cache
    )
    assert adapt.command().shape.time_to_go


def test_a_model_without_the_head_is_no_start_for_one_with_it(
    train_command: Train, command: Train, tmp_path: Path
) -> None:
    train_command.run()
    with pytest.raises(InputError, match="which is not what was asked for"):
        replace(command, start=train_command.out, out=tmp_path / "other").run()
    with pytest.raises(CheckpointError, match=r"the run in .* has another shape"):
        replace(command, resume=True).run()


@pytest.fixture
def untimed(tmp_path: Path) -> str:
    """Two successes of which only the end is known."""
    from conftest import FEATURES, TASK, VIEWS, rows
    from conftest import SHAPE as PIXELS

    from data.layout import DatasetLayout
    from data.writer import DatasetWriter

    known = {"action": FEATURES["action"], "next.success": FEATURES["next.success"]}
    layout = DatasetLayout(
        fps=10, image_shapes=dict.fromkeys(VIEWS, PIXELS), features=known, storage="images"
    )
    root = tmp_path / "untimed"
    with DatasetWriter(root, layout) as writer:
        for _ in range(2):
            frames = list(rows(0))
            told = [{k: v for k, v in f.items() if k in known or "images" in k} for f in frames]
            for number, row in enumerate(told):
                row["next.success"] = number == len(told) - 1
            writer.add_episode(iter(told), task=TASK)
    return str(root)


def test_data_that_say_no_moment_of_success_are_refused(command: Train, untimed: str) -> None:
    with pytest.raises(DatasetError, match="says of no training episode when it succeeded"):
        replace(command, dataset=(untimed,)).run()


def test_a_pretrained_backbone_has_a_flag_of_its_own(command: Train, tmp_path: Path) -> None:
    base = str(make_tiny_vlm(tmp_path / "vlm", "qwen3_vl", scale=4.0))
    hf = HfConfig(base=base, image_size=32, lora_rank=0, dtype="fp32", time_to_go=True)
    with pytest.raises(InputError, match=r"with --hf\.base say --hf\.time-to-go"):
        replace(command, hf=hf)
    plain = CompactConfig()
    steps = replace(command.training, steps=2)
    told = replace(command, hf=hf, backbone=plain, training=steps)
    told.run()
    model = load(told.out, device="cpu")
    assert model.further == ("time_to_go",)
    made = model.label(tiny.episode(3), "open the drawer", tiny.references(), fps=10)
    assert np.isfinite(made.time_to_go).all()


def test_the_error_in_seconds_by_hand() -> None:
    timed = Judged(case=case([0, 0.5, 1], [0, 0, 1]), labels=labels(3, time_to_go=[0.5, 0.1, 0.3]))
    failed = Judged(case=case([0, 0.5, 0], [0, 0, 0]), labels=labels(3, time_to_go=[9, 9, 9]))
    assert seconds_error([timed, failed]) == pytest.approx((0.3 + 0.0 + 0.3) / 3)
    assert np.isnan(seconds_error([failed]))
