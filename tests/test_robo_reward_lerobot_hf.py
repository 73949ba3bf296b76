"""The LeRobot plug-in over a pretrained model: steps, and checkpoints that need no base."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import draccus
import numpy as np
import pytest
import torch
from conftest import LENGTH, TASK, VIEWS
from draccus.utils import DecodingError
from lerobot.configs.rewards import RewardModelConfig
from lerobot.configs.train import TrainPipelineConfig
from lerobot.rewards import make_reward_model
from lerobot_plugin import batch, config, dataset, model, preprocessor
from safetensors.torch import load_file, save_file
from tiny_vlm import make_tiny_vlm

import robo_reward
from data.lerobot_dataset import open_dataset
from robo_reward.config import HfConfig
from robo_reward.errors import CheckpointError, InputError
from robo_reward.hf import storing as frozen
from robo_reward.lerobot.modeling_multiview_progress import MultiviewProgressRewardModel
from robo_reward.lerobot.storing import BASE
from robo_reward.protocols import References

pytestmark = pytest.mark.usefixtures("one_thread")
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vlm(tmp_path_factory.mktemp("vlm") / "qwen3_vl", "qwen3_vl", scale=4.0)


@pytest.fixture(scope="module")
def hf(base: Path) -> HfConfig:
    return HfConfig(base=str(base), image_size=32, lora_rank=2)


@pytest.fixture(scope="module")
def items(tiny_dataset: Path, hf: HfConfig) -> dict[str, Any]:
    """Two frames of episodes 0 and 2 each, through the preprocessor. Do not change it."""
    made = config(hf=hf)
    rows = [start + frame for start in (0, 2 * LENGTH) for frame in (3, 11)]
    ready: dict[str, Any] = preprocessor(made)(batch(dataset(tiny_dataset, made), rows))
    return ready


@pytest.fixture(scope="module")
def trained(tiny_dataset: Path, hf: HfConfig, items: dict[str, Any]) -> Any:
    """A model after one step. Do not change it."""
    return step(model(tiny_dataset, hf=hf), items)


@pytest.fixture
def place(trained: Any, tmp_path: Path) -> Path:
    """Its checkpoint, as LeRobot lays it; yours to damage."""
    trained.save_pretrained(tmp_path / "checkpoints/000001/pretrained_model")
    return tmp_path / "checkpoints/000001/pretrained_model"


def step(made: MultiviewProgressRewardModel, items: dict[str, Any]) -> MultiviewProgressRewardModel:
    optimiser = made.config.get_optimizer_preset().build(made.get_optim_params())
    made.train().forward(items)[0].backward()
    optimiser.step()
    optimiser.zero_grad()
    return made.eval()


def load(place: Path, **settings: Any) -> Any:
    """Load a checkpoint as lerobot-train does."""
    stored = RewardModelConfig.from_pretrained(place)
    for name, value in settings.items():
        setattr(stored, name, value)
    stored.pretrained_path = str(place)
    return make_reward_model(stored)


def refused(place: Path, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence) as told:
        MultiviewProgressRewardModel.from_pretrained(place)
    assert str(place) in str(told.value), "the message says where"


def test_a_pretrained_model_brings_its_own_rate_unless_another_is_given() -> None:
    hf = HfConfig(base="a/b", learning_rate=3e-5)
    rates = [
        made.get_optimizer_preset().lr
        for made in (config(), config(hf=hf), config(hf=hf, optimizer_lr=7e-4))
    ]
    assert rates == [2e-3, 3e-5, 7e-4]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["hf.base=a/b", "hf.history=1"], "history must be 0"),
        (["hf.lora_rank=4"], r"say which by hf\.base"),
        (["hf.base=a/b", "backbone.width=80"], "give one"),
        (["hf.base=a/b", "before=0"], "before must be at least 1"),
    ],
)
def test_the_command_line_tells_what_cannot_be(flags: list[str], told: str) -> None:
    given = ["--dataset.repo_id=a/b", "--reward_model.type=multiview_progress"]
    made = draccus.parse(TrainPipelineConfig, args=[*given, "--reward_model.hf.base=a/b"])
    assert made.reward_model.shape == HfConfig(base="a/b")
    with pytest.raises(DecodingError, match=told):
        draccus.parse(
            TrainPipelineConfig, args=[*given, *(f"--reward_model.{flag}" for flag in flags)]
        )


@pytest.mark.parametrize("told", [{}, {"lora_rank": 0, "dtype": "fp32", "train_vision": True}])
def test_a_step_changes_what_is_trained_and_nothing_else(
    told: dict[str, Any], tiny_dataset: Path, hf: HfConfig, items: dict[str, Any]
) -> None:
    made = model(tiny_dataset, hf=replace(hf, **told))
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    loss, terms = made.train().forward(items)
    loss.backward()
    assert 0.0 <= terms["error"] <= 1.0
    got = {name for name, p in made.named_parameters() if p.grad is not None}
    trained = {name for name, p in made.named_parameters() if p.requires_grad}
    assert got <= trained < set(before)
    assert any(".slots" in name for name in got)
    assert any(("lora_" if not told else "visual") in name for name in got)
    assert any("hop_heads" in name for name in got)
    groups = made.get_optim_params()
    assert sum(len(group["params"]) for group in groups) == len(trained)
    made.config.get_optimizer_preset().build(groups).step()
    for name, parameter in made.named_parameters():
        if name not in trained:
            assert torch.equal(parameter, before[name]), name
    assert not torch.equal(made.network.backbone.slots, before["network.backbone.slots"])


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_what_accelerate_casts_does_not_reach_the_network(
    dtype: str, tiny_dataset: Path, hf: HfConfig, items: dict[str, Any]
) -> None:
    made = model(tiny_dataset, hf=replace(hf, dtype=dtype))
    loss, rewards = made.forward(items)[0], made.compute_reward(items)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(made.forward(items)[0], loss)
        assert torch.equal(made.compute_reward(items), rewards)


def test_a_checkpoint_gives_the_same_rewards_without_its_base(
    tiny_dataset: Path, hf: HfConfig, items: dict[str, Any], tmp_path: Path
) -> None:
    gone = Path(shutil.copytree(hf.base, tmp_path / "gone"))
    made = step(model(tiny_dataset, hf=replace(hf, base=str(gone))), items)
    made.save_pretrained(tmp_path / "model")
    shutil.rmtree(gone)
    again = load(tmp_path / "model")
    assert torch.equal(again.compute_reward(items), made.compute_reward(items))
    assert (again.config.fps, again.steps.item()) == (10.0, 1)
    one, two = made.state_dict(), again.state_dict()
    assert set(one) == set(two)
    for name, tensor in one.items():
        assert two[name].dtype == tensor.dtype, name
        assert torch.equal(two[name], tensor), name


def test_weights_are_those_that_were_learnt_and_the_rest_is_shared(
    trained: Any, place: Path
) -> None:
    kinds = {path.name.split("-")[0] for path in place.iterdir()}
    assert kinds == {"config.json", WEIGHTS, BASE, "base", "tokenizer"}
    assert len({path.stat().st_mode for path in place.iterdir()}) == 1, "readers read all or none"
    learnt = {f"network.{name}" for name in trained.network.learnt()}
    assert set(load_file(place / WEIGHTS)) == {"steps", *learnt}
    (there,) = place.glob("base-*")
    for other in (trained, load(place)):  # a run, and one that was resumed
        later = place.parents[1] / f"{id(other)}/pretrained_model"
        other.save_pretrained(later)
        assert os.path.samefile(later / there.name, there)
        assert not os.path.samefile(later / WEIGHTS, place / WEIGHTS)


@pytest.mark.parametrize("kind", ["base-*", "tokenizer-*", BASE, WEIGHTS])
def test_files_that_are_cut_or_missing_are_refused(place: Path, kind: str) -> None:
    (path,) = place.glob(kind)
    path.write_bytes(path.read_bytes()[:-9])
    refused(place, "cannot be read|has been changed|does not fit the network")
    path.unlink()
    refused(place, "cannot be read .*; copy|No such file")


def test_weights_that_are_missing_or_unknown_are_refused(place: Path) -> None:
    weights = load_file(place / WEIGHTS)
    slots = "network.backbone.slots"
    save_file({name: t for name, t in weights.items() if name != slots}, place / WEIGHTS)
    refused(place, r"does not fit the network.*Missing key.*backbone\.slots.*copy the checkpoint")
    save_file({name: t for name, t in weights.items() if name != "steps"}, place / WEIGHTS)
    refused(place, "does not fit the network: 'steps'")
    save_file({**weights, "network.more": torch.zeros(1)}, place / WEIGHTS)
    refused(place, "does not fit the network.*Unexpected key.*more")
    save_file(weights, place / WEIGHTS)
    (place / BASE).write_text(json.dumps({"frozen_sha256": "x"}))
    refused(place, "does not describe its base model")


def test_another_shape_is_refused_and_another_rate_is_not(place: Path, hf: HfConfig) -> None:
    load(place, hf=replace(hf, learning_rate=1e-5, gradient_checkpointing=False))
    with pytest.raises(CheckpointError, match=r"trained with hf\.lora_rank 2, not 4: leave it"):
        load(place, hf=replace(hf, lora_rank=4))
    with pytest.raises(CheckpointError, match=r"trained with hf\.base '.*qwen3_vl', not ''"):
        load(place, hf=HfConfig())


@pytest.fixture
def hub(place: Path, tmp_path: Path) -> Path:
    """The hub's cache with that checkpoint as you/model."""
    kept = tmp_path / "hub/models--you--model"
    shutil.copytree(place, kept / "snapshots" / ("0" * 40))
    (kept / "refs").mkdir()
    (kept / "refs/main").write_text("0" * 40)
    return tmp_path / "hub"


def test_a_hub_id_is_read_like_a_directory(trained: Any, items: dict[str, Any], hub: Path) -> None:
    told: dict[str, Any] = {"cache_dir": hub, "local_files_only": True}
    made = MultiviewProgressRewardModel.from_pretrained("you/model", **told)
    assert torch.equal(made.compute_reward(items), trained.compute_reward(items))
    for name, revision in (("you/model", "0.1"), ("you/other", None), ("no such place", None)):
        with pytest.raises(CheckpointError, match=f"{name} is neither a directory nor a model"):
            MultiviewProgressRewardModel.from_pretrained(name, revision=revision, **told)


def test_a_base_that_does_not_fit_is_told_before_training(tiny_dataset: Path, hf: HfConfig) -> None:
    with pytest.raises(InputError, match="must be a multiple of 16, such as 32"):
        model(tiny_dataset, hf=replace(hf, image_size=40))
    with pytest.raises(InputError, match="neither a directory nor a model"):
        model(tiny_dataset, hf=replace(hf, base="nobody/nothing"))


def test_what_is_exported_labels_with_the_same_weights(
    trained: Any, tiny_dataset: Path, tmp_path: Path
) -> None:
    source = dataset(tiny_dataset, trained.config)
    numbers = list(range(0, LENGTH, trained.config.before))  # the frames that are queried
    rewards = trained.compute_reward(preprocessor(trained.config)(batch(source, numbers)))
    trained.export(tmp_path / "out")
    loaded = robo_reward.load(tmp_path / "out", device="cpu")
    frames = [shown for _, shown in open_dataset(tiny_dataset).frames(0, views=VIEWS)]
    labels = loaded.label(frames, TASK, References(start=frames[0]), fps=10.0)
    assert np.allclose(labels.forward[numbers], rewards.numpy(), atol=1e-6)
    assert frozen.frozen_digest(loaded.network) == frozen.frozen_digest(trained.network)


@pytest.mark.parametrize("family", ["smolvlm", "qwen2_5_vl"])
def test_other_families_go_the_same_way(
    family: str, tiny_dataset: Path, tmp_path: Path, items: dict[str, Any]
) -> None:
    """A step, a checkpoint, and the same rewards from it after the base is gone."""
    source = make_tiny_vlm(tmp_path / family, family, scale=4.0)
    made = model(tiny_dataset, hf=HfConfig(base=str(source), image_size=32, lora_rank=2))
    before = {name: weight.clone() for name, weight in made.network.learnt().items()}
    step(made, items)
    after = made.network.learnt()
    assert any(not torch.equal(before[name], weight) for name, weight in after.items())
    made.save_pretrained(tmp_path / "checkpoints/000001/pretrained_model")
    shutil.rmtree(source)
    again = load(tmp_path / "checkpoints/000001/pretrained_model")
    assert torch.equal(again.compute_reward(items), made.compute_reward(items))
