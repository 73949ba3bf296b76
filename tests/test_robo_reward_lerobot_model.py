"""The LeRobot plug-in's model: training steps, rewards, checkpoints."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LENGTH, OTHER_TASK, TASK, VIEWS, image
from lerobot.configs.rewards import RewardModelConfig
from lerobot.rewards import make_reward_model
from lerobot.rewards.pretrained import PreTrainedRewardModel
from lerobot_plugin import BEFORE, SIZE, batch, config, dataset, meta, model, preprocessor
from safetensors.torch import load_file, save_file

import robo_reward
from data.lerobot_dataset import open_dataset
from robo_reward.errors import CheckpointError, DatasetError, InputError
from robo_reward.lerobot.judging import anchored
from robo_reward.protocols import References
from robo_reward.tracker import Reading

FRONT, WRIST = (f"observation.images.{view}" for view in VIEWS)


@pytest.fixture(scope="module")
def items(tiny_dataset: Path) -> dict[str, Any]:
    """Frames 0, 3, 6 and 11 of episodes 0 and 2, through the preprocessor. Do not change it."""
    made = config()
    rows = [start + frame for start in (0, 2 * LENGTH) for frame in (0, 3, 6, 11)]
    ready: dict[str, Any] = preprocessor(made)(batch(dataset(tiny_dataset, made), rows))
    return ready


def altered(items: dict[str, Any], time: int | slice) -> dict[str, Any]:
    """Return items whose pictures at a time are other ones."""
    changed = dict(items)
    for key in (FRONT, WRIST):
        changed[key] = items[key].clone()
        changed[key][:, time] = 255 - changed[key][:, time]
    return changed


def views(number: int, episode: int = 0) -> dict[str, np.ndarray]:
    return {view: image(view, number, episode) for view in VIEWS}


def test_the_dataset_fills_in_what_the_model_must_remember(tiny_dataset: Path) -> None:
    made = model(tiny_dataset)
    assert made.is_trainable
    assert (made.config.views, made.config.fps) == (["front", "wrist"], 10.0)
    assert made.config.input_features[FRONT].shape == (3, 32, 48)
    made.config.validate_features()


def test_whatever_lerobot_hands_to_models_is_taken() -> None:
    made = make_reward_model(config(), dataset_stats=None, dataset_meta=None, rename_map={})
    assert made.config.views == []


def test_a_step_gives_a_loss_with_gradients_and_its_terms(
    tiny_dataset: Path, items: dict[str, Any]
) -> None:
    made = model(tiny_dataset).train()
    loss, told = made.forward(items)
    loss.backward()
    weights = made.config.loss
    expected = sum(getattr(weights, name) * told[name] for name in weights.__dict__ if name in told)
    assert "time_to_go" not in told, "the network has no such head"
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert 0.0 <= told["error"] <= 1.0
    grads = {name for name, p in made.named_parameters() if p.grad is not None}
    assert any("hop_heads" in name for name in grads)
    assert any("backbone" in name for name in grads)


def test_a_step_draws_from_seed_and_number_alone(tiny_dataset: Path, items: dict[str, Any]) -> None:
    losses = []
    for disturbed in (False, True):
        made = model(tiny_dataset, seed=5).train()
        torch.rand(100 if disturbed else 1)  # as a resumed run's data loader does
        losses.append([made.forward(items)[0].item() for _ in range(3)])
    assert losses[0] == losses[1]
    assert len(set(losses[0])) == 3


def test_in_evaluation_a_batch_always_has_the_same_loss(
    tiny_dataset: Path, items: dict[str, Any]
) -> None:
    made = model(tiny_dataset)
    before = made.steps.item()
    assert made.forward(items)[0].item() == made.forward(items)[0].item()
    assert made.steps.item() == before


def test_batches_that_cannot_be_trained_on_are_refused(
    tiny_dataset: Path, items: dict[str, Any]
) -> None:
    made = model(tiny_dataset)
    with pytest.raises(InputError, match="training needs 4 frames of each item"):
        made.forward({**items, FRONT: items[FRONT][:, :2], WRIST: items[WRIST][:, :2]})
    with pytest.raises(InputError, match="the batch has no 'index'"):
        made.forward({key: value for key, value in items.items() if key != "index"})
    with pytest.raises(InputError, match="pass the batch through the preprocessor"):
        made.forward({**items, FRONT: torch.zeros(8, 4, 3, 8, 8)})
    with pytest.raises(DatasetError, match="nothing is known of episode 9"):
        made.forward({**items, "episode_index": items["episode_index"] + 9})
    with pytest.raises(InputError, match="takes no sample weights"):
        made.forward(items, reduction="none")
    with pytest.raises(InputError, match="pass dataset_meta"):
        model().forward(items)


def test_the_reward_sees_start_before_and_now_and_never_the_end(items: dict[str, Any]) -> None:
    made = model(views=list(VIEWS)).train()
    rewards = made.compute_reward(items)
    assert made.training
    assert rewards.shape == (8,)
    assert rewards.dtype == torch.float32
    assert ((rewards >= 0) & (rewards <= 1)).all()
    assert torch.equal(made.compute_reward(altered(items, 3)), rewards)
    for time in range(3):
        assert not torch.equal(made.compute_reward(altered(items, time)), rewards)
    three = {**items, FRONT: items[FRONT][:, :3], WRIST: items[WRIST][:, :3]}
    assert torch.equal(made.compute_reward(three), rewards)


def test_a_reward_depends_neither_on_its_batch_nor_on_the_order_of_views(
    items: dict[str, Any],
) -> None:
    made = model()
    rewards = made.compute_reward(items)
    alone = {key: value[2:3] for key, value in items.items() if key in (FRONT, WRIST, "task")}
    assert made.compute_reward(alone).item() == pytest.approx(rewards[2].item(), abs=1e-6)
    turned = {WRIST: items[WRIST], FRONT: items[FRONT], "task": items["task"]}
    assert torch.allclose(made.compute_reward(turned), rewards, atol=1e-6)


def test_a_frame_without_a_start_says_nothing_until_references_are_set(
    items: dict[str, Any],
) -> None:
    made = model()
    now = {key: items[key][:, 2:3] for key in (FRONT, WRIST)} | {"task": TASK}
    assert made.compute_reward(now).isnan().all()
    made.set_references(TASK, References(start=views(0)))
    forward = made.compute_reward(now)
    two = {key: items[key][:, [0, 2]] for key in (FRONT, WRIST)} | {"task": OTHER_TASK}
    made.set_references(OTHER_TASK, References())
    same_start = made.compute_reward({**two, "task": [TASK] * 8})
    assert torch.allclose(forward, same_start, atol=1e-6)
    assert not made.compute_reward(two).isnan().any()
    made.set_references(TASK, References(goal=views(11)))
    backward = made.compute_reward(now)
    made.set_references(TASK, References(start=views(0), goal=views(11)))
    assert not torch.allclose(made.compute_reward(now), backward)
    made.set_references(TASK, References())
    assert made.compute_reward(now).isnan().all()


@pytest.mark.parametrize(
    ("start", "goal", "expected"),
    [(0.5, -0.25, 0.625), (0.5, np.nan, 0.5), (np.nan, -0.25, 0.75), (np.nan, np.nan, np.nan)],
)
def test_phi_is_the_mean_of_the_anchors_that_are_there(
    start: float, goal: float, expected: float
) -> None:
    spreads = {"spread_previous": 0.0, "spread_start": 0.0, "spread_goal": 0.0}
    hops = {"hop_previous": 0.9, "hop_start": start, "hop_goal": goal}
    reading = Reading(**hops, **spreads, success=0.5, match=0.5)
    assert anchored(reading) == pytest.approx(expected, nan_ok=True)


def test_rewards_that_cannot_be_asked_for_are_refused(items: dict[str, Any]) -> None:
    made = model()
    with pytest.raises(InputError, match="8 items and 2 tasks"):
        made.compute_reward({**items, "task": [TASK, TASK]})
    with pytest.raises(InputError, match="8 items and 0 tasks"):
        made.compute_reward({FRONT: items[FRONT]})
    five = torch.cat([items[FRONT], items[FRONT][:, :1]], dim=1)
    with pytest.raises(InputError, match="may have 1 to 4 frames"):
        made.compute_reward({FRONT: five, "task": TASK})
    with pytest.raises(InputError, match="must be a uint8 array"):
        made.set_references(TASK, References(start={"front": np.zeros((4, 4, 3))}))


def test_a_checkpoint_gives_the_same_rewards_wherever_it_is_loaded(
    tiny_dataset: Path, items: dict[str, Any], tmp_path: Path
) -> None:
    made = model(tiny_dataset)
    made.train().forward(items)  # moves the statistics of the images
    made.eval().save_pretrained(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}
    stored = RewardModelConfig.from_pretrained(tmp_path)
    stored.pretrained_path = str(tmp_path)
    again = make_reward_model(stored, dataset_meta=meta(tiny_dataset))
    assert torch.equal(again.compute_reward(items), made.compute_reward(items))
    assert (again.config.fps, again.steps.item()) == (10.0, 1)


@pytest.mark.parametrize("damage", ["missing", "extra", "cut"])
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, damage: str) -> None:
    made = model()
    made.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = load_file(path)
    if damage == "missing":
        del weights["network.match_head.weight"]
    if damage == "extra":
        weights["network.more"] = torch.zeros(1)
    save_file(weights, path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="does not fit the network"):
        type(made).from_pretrained(tmp_path, strict=False)


def test_what_is_exported_labels_with_the_same_weights(tiny_dataset: Path, tmp_path: Path) -> None:
    made = model(tiny_dataset)
    source = dataset(tiny_dataset, made.config)
    numbers = list(range(0, LENGTH, BEFORE))  # the frames that are queried
    rewards = made.compute_reward(preprocessor(made.config)(batch(source, numbers)))
    made.export(tmp_path / "out")
    loaded = robo_reward.load(tmp_path / "out", device="cpu")
    assert loaded.settings.query_period_s == pytest.approx(BEFORE / 10.0)
    assert loaded.settings.tracker.fusion == "filter"
    frames = [shown for _, shown in open_dataset(tiny_dataset).frames(0, views=VIEWS)]
    labels = loaded.label(frames, TASK, References(start=frames[0]), fps=10.0)
    assert np.allclose(labels.forward[numbers], rewards.numpy(), atol=1e-6)
    told = json.loads((tmp_path / "out/config.json").read_text())
    assert told["training"]["trainer"] == "lerobot-train"


def test_an_export_needs_to_know_its_period(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pass query_period_s"):
        model().export(tmp_path)
    model().export(tmp_path, query_period_s=0.4)
    assert robo_reward.load(tmp_path, device="cpu").settings.image_size == SIZE


def test_uploading_takes_what_lerobot_passes_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(PreTrainedRewardModel, "push_model_to_hub", lambda _, cfg: seen.append(cfg))
    model().push_model_to_hub("cfg", state_dict=None, dataset_meta=None)
    assert seen == ["cfg"]


def test_only_matrices_decay() -> None:
    made = model()
    decayed, plain = made.get_optim_params()
    assert all(p.ndim > 1 for p in decayed["params"])
    assert plain["weight_decay"] == 0.0
    count = len(decayed["params"]) + len(plain["params"])
    assert count == len(list(made.parameters()))
    made.config.get_optimizer_preset().build(made.get_optim_params())


def test_weights_that_are_spread_over_processes_are_refused_before_they_are_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="LeRobot cannot save a reward model whose weights are sp"):
        model()
