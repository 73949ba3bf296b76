"""``train`` in two processes makes the model that one makes: as copies, and by FSDP2."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_vlm import make_tiny_vlm

import robo_reward
from data.train import Train
from robo_reward.config import HfConfig

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

DEADLINE_S = 1500
COPIES: dict[str, str] = {}
SHARDED = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
SHARDED |= {"FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}  # as the launcher sets it
SCRIPT = """
import os, pickle, sys
from datetime import timedelta
from torch import distributed
told, meeting, stop = sys.argv[1:]
distributed.init_process_group(
    "gloo",
    init_method=f"file://{meeting}",
    rank=int(os.environ["RANK"]),
    world_size=2,
    timeout=timedelta(minutes=20),
)
from robo_reward.training import Trainer
step = Trainer.step
def stopping(trainer, batch):
    if trainer.done == int(stop):
        raise KeyboardInterrupt
    return step(trainer, batch)
Trainer.step = stopping
with open(told, "rb") as file:
    command = pickle.load(file)
command.run()
"""


@pytest.fixture
def command(train_command: Train, tmp_path: Path) -> Train:
    base = str(make_tiny_vlm(tmp_path / "vlm", "qwen3_vl", scale=4.0))
    hf = HfConfig(
        base=base, image_size=32, dtype="fp32", lora_rank=4, learning_rate=0.01, time_to_go=True
    )
    steps = replace(train_command.training, steps=3, shift=0.1)
    return replace(train_command, hf=hf, training=steps, evaluate_every=2)


def several(command: Train, told: dict[str, str], stop: int = -1) -> list[str]:
    """Run a training in two processes that meet on 127.0.0.1; return what each printed."""
    import pickle

    place = command.out.parent
    script, pickled, meeting = (place / f"{command.out.name}.{kind}" for kind in ("py", "run", "f"))
    script.write_text(SCRIPT)
    pickled.write_bytes(pickle.dumps(command))
    meeting.unlink(missing_ok=True)
    fixed = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    fixed |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **told}
    runs = [
        subprocess.Popen(
            [sys.executable, str(script), str(pickled), str(meeting), str(stop)],
            env={**os.environ, **fixed, "RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(2)
    ]
    try:
        printed = [run.communicate(timeout=DEADLINE_S)[0] for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    assert all((run.returncode == 0) == (stop < 0) for run in runs), printed
    return printed


def weights(out: Path) -> dict[str, np.ndarray]:
    (path,) = (out / "last").glob("model-*.safetensors")
    return load_file(path)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def furthest(one: Path, two: Path) -> float:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    return max(float(np.abs(first[name] - second[name]).max()) for name in first)


@pytest.mark.parametrize("told", [COPIES, SHARDED], ids=["copies", "fsdp2"])
def test_two_processes_train_the_model_that_one_trains(
    told: dict[str, str], command: Train, tmp_path: Path
) -> None:
    command.run()
    shared = replace(command, out=tmp_path / "shared")
    first, second = several(shared, told)
    assert "model: " in first
    assert "model: " not in second
    assert losses(shared.out) == pytest.approx(losses(command.out), rel=1e-4)
    assert furthest(shared.out, command.out) <= 1e-4
    assert robo_reward.load(shared.out, device="cpu").further == ("time_to_go",)
    names = {path.name for path in (command.out / "last").glob("base-*")}
    assert {path.name for path in (shared.out / "last").glob("base-*")} == names


def test_a_run_of_two_sharded_processes_goes_on_where_it_stopped(
    command: Train, tmp_path: Path
) -> None:
    command.run()
    broken = replace(command, out=tmp_path / "broken")
    several(broken, SHARDED, stop=2)
    assert len(losses(broken.out)) == 2
    several(replace(broken, resume=True), SHARDED)
    assert losses(broken.out) == pytest.approx(losses(command.out), rel=1e-4)
    assert furthest(broken.out, command.out) <= 1e-4
