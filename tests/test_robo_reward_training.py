"""Training: it learns, resumes bit for bit, is the same in every process, and refuses NaN."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save as to_bytes
from safetensors.torch import save_file

from robo_reward.checkpoint import build
from robo_reward.config import CompactConfig, TrainingConfig
from robo_reward.errors import CheckpointError, InputError
from robo_reward.training import Trainer, augment, rate
from robo_reward.training_state import STATE

CONFIG = TrainingConfig(steps=8, warmup=2)


def trainer(seed: int = 0, config: TrainingConfig = CONFIG) -> Trainer:
    return Trainer(tiny.network(), config, seed=seed)


def train(made: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        made.step(tiny.batch(seed=int(made.rng(0).integers(1000))))
    return made


def digest(made: Trainer) -> str:
    return hashlib.sha256(to_bytes(dict(made.network.state_dict()))).hexdigest()


def test_training_on_one_batch_lowers_its_loss() -> None:
    config = TrainingConfig(steps=60, warmup=5, learning_rate=3e-3, shift=0.0, brightness=0.0)
    made = trainer(config=config)
    terms = [made.step(tiny.batch()) for _ in range(60)]
    for name in ("loss", "value"):
        assert terms[-1][name] < 0.5 * terms[0][name], name
    assert made.done == 60


def test_a_resumed_run_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = train(trainer(), 8)
    train(trainer(), 3).save(tmp_path)
    torch.manual_seed(99)
    resumed = Trainer(tiny.network(seed=5), CONFIG, seed=0)
    resumed.restore(tmp_path)
    assert resumed.done == 3
    assert digest(train(resumed, 5)) == digest(undisturbed)


def test_a_run_can_be_resumed_before_its_first_step_and_again_after_each(tmp_path: Path) -> None:
    trainer().save(tmp_path)
    for _ in range(4):
        made = Trainer(tiny.network(seed=5), CONFIG, seed=0)
        made.restore(tmp_path)
        train(made, 1).save(tmp_path)
    assert digest(made) == digest(train(trainer(), 4))


def test_seeds_decide_draws_and_nothing_else_does() -> None:
    assert digest(train(trainer(), 3)) == digest(train(trainer(), 3))
    assert digest(train(trainer(seed=1), 3)) != digest(train(trainer(), 3))


SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
import tiny
from test_robo_reward_training import digest, train, trainer
from robo_reward.model import Model, ModelSettings
made = train(trainer(), 3)
model = Model(made.network, ModelSettings(image_size=16), fingerprint="")
labels = model.label(tiny.episode(9), "open", tiny.references(), fps=5)
told = b"".join(getattr(labels, name).tobytes() for name in tiny.COLUMNS)
print(digest(made), hashlib.sha256(told).hexdigest())
"""


def test_two_processes_train_the_same_weights_and_give_the_same_labels() -> None:
    here = str(Path(__file__).parent)
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, here],
            env={"PYTHONHASHSEED": str(number), "PATH": ""},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    told = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert told[0] == told[1]
    assert told[0].split()[0] == digest(train(trainer(), 3))


def test_a_loss_that_is_not_finite_is_refused_and_the_weights_stay() -> None:
    made = train(trainer(), 2)
    with torch.no_grad():
        made.network.success_head.bias.fill_(float("inf"))
    before = digest(made)
    with pytest.raises(InputError, match=r"the loss is .* at step 2: lower --learning-rate"):
        made.step(tiny.batch())
    assert digest(made) == before
    assert made.done == 2


def test_a_batch_without_any_known_target_can_be_stepped_on() -> None:
    nothing = np.full(10, np.nan, np.float32)
    names = ("hop_previous", "hop_start", "hop_goal", "success", "match", "time_to_go")
    made = trainer()
    terms = made.step(replace(tiny.batch(), **dict.fromkeys(names, nothing)))
    assert terms["loss"] == 0.0
    assert all(bool(weight.isfinite().all()) for weight in made.network.parameters())


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    config = TrainingConfig(steps=110, warmup=10, learning_rate=2.0)
    assert rate(config, 0) == pytest.approx(0.2)
    assert rate(config, 9) == pytest.approx(2.0)
    assert rate(config, 10) == pytest.approx(2.0)
    assert rate(config, 60) == pytest.approx(1.0)
    assert rate(config, 110) == pytest.approx(0.0)


def test_images_of_one_camera_are_shifted_and_brightened_alike() -> None:
    given = tiny.batch()
    same = replace(given, images=np.repeat(given.images[:1], 18, axis=0))
    moved = augment(same, CONFIG, np.random.default_rng(0))
    for number in range(3):
        rows = moved[same.jitter == number]
        assert np.all(rows == rows[:1])
    assert not np.array_equal(moved[0], moved[1])


def test_augmentation_stays_within_its_reach() -> None:
    config = replace(CONFIG, shift=0.07, brightness=0.1)  # one pixel of 16
    spot = np.zeros((18, 16, 16, 3), np.uint8)
    spot[:, 8, 8] = 200
    moved = augment(replace(tiny.batch(), images=spot), config, np.random.default_rng(1))
    assert np.all(moved.max(axis=(1, 2, 3)) >= 179)
    assert np.all(moved.max(axis=(1, 2, 3)) <= 220)
    assert not moved[:, :7].any()
    assert not moved[:, 10:].any()
    assert not spot[:, 0].any()


def test_no_shift_and_no_brightness_leave_images_as_they_are() -> None:
    still = replace(CONFIG, shift=0.0, brightness=0.0)
    given = tiny.batch()
    assert np.array_equal(augment(given, still, np.random.default_rng(0)), given.images)


def refused(made: Trainer, directory: Path, sentence: str) -> None:
    before = digest(made)
    with pytest.raises(CheckpointError, match=sentence):
        made.restore(directory)
    assert digest(made) == before


def test_nothing_to_resume_is_refused(tmp_path: Path) -> None:
    refused(trainer(), tmp_path, "cannot be resumed .*; start afresh")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 64])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATE).write_bytes(content)
    refused(trainer(), tmp_path, "cannot be resumed")


def test_a_state_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    save_file({"weight.x": torch.zeros(1)}, tmp_path / STATE)
    refused(trainer(), tmp_path, "cannot be resumed")


def test_a_run_with_other_settings_is_not_resumed(tmp_path: Path) -> None:
    train(trainer(), 1).save(tmp_path)
    refused(trainer(seed=1), tmp_path, "other settings.*seed 0.*repeat its flags")
    refused(trainer(config=replace(CONFIG, steps=9)), tmp_path, "other settings")


def test_a_run_of_another_network_is_not_resumed(tmp_path: Path) -> None:
    train(trainer(), 1).save(tmp_path)
    wider = build(replace(tiny.SHAPE, width=24))
    with pytest.raises(CheckpointError, match="network of another shape"):
        Trainer(wider, CONFIG, seed=0).restore(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}]
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be positive"):
        TrainingConfig(**wrong)  # type: ignore[arg-type]


def test_the_default_shape_fits_the_default_training() -> None:
    assert CompactConfig().image_size * TrainingConfig().shift == pytest.approx(2, abs=0.1)
