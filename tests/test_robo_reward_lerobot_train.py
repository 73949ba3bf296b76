"""The LeRobot plug-in learns, and stock lerobot-train trains, resumes and reloads it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LENGTH, TASK, VIEWS, write_dataset
from lerobot.configs.rewards import RewardModelConfig
from lerobot.rewards import make_reward_model, make_reward_pre_post_processors
from lerobot_plugin import batch, dataset, model, preprocessor
from safetensors.torch import load_file
from tiny_vlm import make_tiny_vlm

import robo_reward
from data.lerobot_dataset import open_dataset
from robo_reward.lerobot.modeling_multiview_progress import MultiviewProgressRewardModel
from robo_reward.protocols import References

STEPS = 100
SHAPE = "{image_size: 16, width: 16, depth: 1, heads: 2, channels: 8}"


def test_it_learns_to_tell_late_frames_from_early_ones(
    tiny_dataset: Path, one_thread: None
) -> None:
    made = model(tiny_dataset, scheduler_warmup_steps=10, prefixes=1, optimizer_lr=5e-3)
    source = dataset(tiny_dataset, made.config)
    prepare, rows = preprocessor(made.config), list(range(3 * LENGTH))
    ready = prepare(batch(source, rows[::2]))
    optimiser = made.config.get_optimizer_preset().build(made.get_optim_params())
    schedule = made.config.get_scheduler_preset().build(optimiser, STEPS)
    losses = []
    made.train()
    for _ in range(STEPS):
        loss, _ = made.forward(ready)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(made.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    rewards = made.compute_reward(prepare(batch(source, rows))).numpy().reshape(3, LENGTH)
    for episode in (0, 2):  # the successes
        assert rewards[episode, 8:].min() > rewards[episode, :4].max()
        assert rewards[episode, 8:].mean() > rewards[episode, :4].mean() + 0.3


def lerobot_train(*flags: str) -> str:
    """Run stock lerobot-train and return what it logged."""
    program = Path(sys.executable).with_name("lerobot-train")
    command = [str(program), "--discover_packages_path=robo_reward.lerobot", *flags]
    done = subprocess.run(
        command, env=os.environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def load(directory: Path) -> tuple[MultiviewProgressRewardModel, dict[str, torch.Tensor]]:
    """Return a checkpoint's model and its weights, the model by LeRobot's own factory."""
    stored = RewardModelConfig.from_pretrained(directory)
    stored.pretrained_path = str(directory)
    made = make_reward_model(stored)
    assert isinstance(made, MultiviewProgressRewardModel)
    return made, load_file(directory / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "shape"),
    [
        ("images", {"backbone": SHAPE}),
        ("h264", {"backbone": SHAPE}),
        ("images", {"hf.base": "vlm", "hf.image_size": "32", "hf.lora_rank": "2"}),
    ],
)
def test_stock_lerobot_train_trains_resumes_and_reloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str, shape: dict[str, str]
) -> None:
    root = write_dataset(tmp_path / "table", storage, episodes=8)
    base = make_tiny_vlm(tmp_path / "vlm", "qwen3_vl", scale=4.0)
    monkeypatch.chdir(tmp_path)
    flags = {
        "reward_model.type": "multiview_progress",
        "reward_model.device": "cpu",
        **{f"reward_model.{name}": value for name, value in shape.items()},
        "reward_model.before": "2",
        "dataset.repo_id": "tiny/table",
        "dataset.root": str(root),
        "dataset.video_backend": "pyav",
        "dataset.eval_split": "0.2",
        "eval_steps": "10",
        "steps": "20",
        "save_freq": "10",
        "log_freq": "5",
        "batch_size": "3",  # 24 steps an epoch: LeRobot resumes later ones in another order
        "num_workers": "0",
        "output_dir": str(tmp_path / "out"),
    }
    logged = lerobot_train(*(f"--{name}={value}" for name, value in flags.items()))
    assert "step:20" in logged
    assert "step 20: eval_loss=" in logged
    places = [tmp_path / f"out/checkpoints/{step}/pretrained_model" for step in ("000010", "last")]
    half, last = places
    shutil.rmtree(base)  # from here on, no pretrained model is there
    made, weights = load(last)
    assert made.config.views == list(VIEWS)
    frozen = [path for place in places for path in place.glob("base-*.safetensors")]
    assert len({path.stat().st_ino for path in frozen}) == len(frozen) // 2, "not written twice"
    assert bool(frozen) == bool(made.network.frozen())

    again = lerobot_train(f"--config_path={half / 'train_config.json'}", "--resume=true")
    assert "Resuming data order at epoch" in again
    resumed, resumed_weights = load(last)
    assert all(torch.equal(resumed_weights[name], weight) for name, weight in weights.items())
    assert any(not torch.equal(load(half)[1][name], weights[name]) for name in weights)

    source = dataset(root, made.config)
    ready = make_reward_pre_post_processors(made.config)[0](batch(source, list(range(LENGTH))))
    rewards = made.compute_reward(ready)
    assert torch.equal(resumed.compute_reward(ready), rewards)
    made.export(tmp_path / "exported")
    frames = [shown for _, shown in open_dataset(root).frames(0, views=VIEWS)]
    labels = robo_reward.load(tmp_path / "exported", device="cpu").label(
        frames, TASK, References(start=frames[0]), fps=10.0
    )
    assert np.allclose(labels.forward[::2], rewards[::2].numpy(), atol=1e-5)

    tuned = {name: value for name, value in flags.items() if not name.startswith("reward_model")}
    tuned |= {"reward_model.path": str(last), "output_dir": str(tmp_path / "tuned"), "steps": "5"}
    assert "step:5" in lerobot_train(*(f"--{name}={value}" for name, value in tuned.items()))
