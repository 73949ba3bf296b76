"""A model of transformers learns progress through the real trainer, whole or through adapters."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_vlm import make_tiny_vlm
from torch import Tensor

from robo_reward.batch import PairBatch
from robo_reward.bins import expectation
from robo_reward.config import HfConfig, TrainingConfig
from robo_reward.errors import InputError
from robo_reward.hf.backbone import HfBackbone
from robo_reward.hf.loading import read_facts, read_model
from robo_reward.network import ProgressNetwork
from robo_reward.targets import hop
from robo_reward.training import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = 32


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vlm(tmp_path_factory.mktemp("vlm") / "qwen3_vl", "qwen3_vl", scale=4.0)


def network(place: Path, **settings: Any) -> ProgressNetwork:
    told = {"image_size": SIZE, "dtype": "fp32", "lora_rank": 0, **settings}
    config = HfConfig(base=str(place), **told)
    torch.manual_seed(0)
    made = HfBackbone(config, read_facts(config.base), read_model(config.base))
    return ProgressNetwork(made, made.width)


def batch(seed: int, frames: int = 12, pairs: int = 16) -> PairBatch:
    """Two views of a bar that grows with progress; frames 0 and 1 are start and goal."""
    rng = np.random.default_rng(seed)
    progress = np.concatenate([[0.0, 1.0], rng.uniform(size=frames - 2)])
    images = np.full((2, frames, SIZE, SIZE, 3), 40, np.uint8)
    for frame, done in enumerate(progress):
        images[0, frame, :, : round(done * SIZE)] = (220, 60, 60)
        images[1, frame, : round(done * SIZE)] = (60, 60, 220)
    before, after = rng.integers(0, frames, size=(2, pairs))
    hops = [hop(progress[p], progress[q]) for p, q in zip(before, after, strict=True)]
    return PairBatch(
        views=("front", "wrist"),
        images=images.reshape(-1, SIZE, SIZE, 3),
        jitter=np.zeros(2 * frames, np.int64),
        frames=np.arange(2 * frames).reshape(2, frames).T.copy(),
        instructions=("open the drawer", "close the drawer"),
        start=np.array([0, -1]),
        goal=np.array([1, 1]),
        visible=np.array([[True, True], [True, False]]),
        prefix=rng.integers(0, 2, size=pairs),
        before=before,
        after=after,
        history=np.full((pairs, 0), -1),
        belief=np.full((pairs, 2), np.nan, np.float32),
        replay=np.full((2, 0), -1),
        replay_belief=np.full((2, 2), np.nan, np.float32),
        own=np.full(pairs, -1),
        hop_previous=np.array(hops, np.float32),
        hop_start=progress[after].astype(np.float32),
        hop_goal=progress[after].astype(np.float32) - 1.0,
        success=(progress[after] > 0.95).astype(np.float32),
        match=np.full(pairs, np.nan, np.float32),
        time_to_go=np.full(pairs, np.nan, np.float32),
        untold=np.zeros((pairs, 3), np.bool_),
    )


def error(made: ProgressNetwork, given: PairBatch) -> float:
    """Mean |error| of progress from the start."""
    made.eval()
    with torch.inference_mode():
        told = expectation(made(given, torch.from_numpy(given.images)).hops)[:, 1]
    return float((told - torch.from_numpy(given.hop_start)).abs().mean())


def gradients(made: ProgressNetwork, given: PairBatch) -> dict[str, Tensor]:
    made.zero_grad()
    told = made.train()(given, torch.from_numpy(given.images))
    (told.hops.square().mean() + told.success.mean() + told.match.mean()).backward()
    return {n: p.grad for n, p in made.named_parameters() if p.grad is not None}


def test_it_learns_progress_that_it_has_not_seen(place: Path) -> None:
    made = network(place, train_vision=True, gradient_checkpointing=False)
    config = TrainingConfig(steps=80, warmup=20, learning_rate=1e-3, shift=0.0)
    trainer = Trainer(made, config, seed=0)
    unseen = batch(seed=1000, pairs=64)
    before = error(made, unseen)
    for step in range(config.steps):
        trainer.step(batch(seed=step))
    after = error(made, unseen)
    assert before > 0.2
    assert after < 0.06, after


def test_what_is_forgotten_is_computed_again_alike(place: Path) -> None:
    given = batch(seed=3)
    kept = network(place, train_vision=True, gradient_checkpointing=False)
    forgotten = network(place, train_vision=True, gradient_checkpointing=True)
    expected, got = gradients(kept, given), gradients(forgotten, given)
    assert set(got) == set(expected)
    assert any("visual" in name for name in got)
    for name, gradient in expected.items():
        assert (got[name] - gradient).abs().max() < 1e-5, name


@pytest.mark.parametrize("settings", [{}, {"train_vision": True}])
def test_frozen_parts_get_no_gradient(place: Path, settings: dict[str, Any]) -> None:
    made = network(place, **settings)
    got = gradients(made, batch(seed=3))
    assert all(
        parameter.requires_grad == (name in got) for name, parameter in made.named_parameters()
    )
    assert any("visual" in name for name in got) == bool(settings)
    assert not any("embed_tokens" in name for name in got)
    assert {"backbone.slots", "backbone.read_out.weight", "success_head.weight"} < set(got)


@pytest.fixture
def _peft() -> None:
    pytest.importorskip("peft")


@pytest.mark.usefixtures("_peft")
def test_adapters_begin_by_changing_nothing_and_are_all_that_is_trained(place: Path) -> None:
    given = batch(seed=3)
    plain, adapted = network(place), network(place, lora_rank=4)
    with torch.inference_mode():
        images = torch.from_numpy(given.images)
        adapted.load_state_dict(
            {n: t for n, t in plain.state_dict().items() if "backbone.model" not in n}, strict=False
        )
        gap = plain(given, images).hops - adapted(given, images).hops
    assert gap.abs().max() < 1e-5
    learnt = [name for name in gradients(adapted, given) if "backbone.model" in name]
    assert len(learnt) == 2 * 7 * 3, "A and B of seven matrices in three layers"
    assert all("lora_" in name for name in learnt)
    frozen, trained = adapted.frozen(), adapted.learnt()
    assert not set(frozen) & set(trained)
    assert set(frozen) | set(trained) == set(adapted.state_dict())


@pytest.mark.usefixtures("_peft")
def test_a_run_with_adapters_in_bfloat16_resumes_exactly(place: Path, tmp_path: Path) -> None:
    config = TrainingConfig(steps=4, warmup=1, learning_rate=1e-3)
    told = {"dtype": "bf16", "lora_rank": 4}
    whole = Trainer(network(place, **told), config, seed=0)
    for step in range(4):
        terms = whole.step(batch(seed=step))
        assert np.isfinite(terms["loss"])
        if step == 1:
            whole.save(tmp_path)
    size = (tmp_path / "training_state.safetensors").stat().st_size
    assert size < (place / "model.safetensors").stat().st_size, "the frozen weights are not in it"
    resumed = Trainer(network(place, **told), config, seed=0)
    resumed.restore(tmp_path)
    for step in range(2, 4):
        resumed.step(batch(seed=step))
    expected, got = whole.network.state_dict(), resumed.network.state_dict()
    assert all(torch.equal(got[name], expected[name]) for name in expected)


@pytest.mark.usefixtures("_peft")
def test_what_is_trained_is_wide_and_what_is_frozen_is_narrow(place: Path) -> None:
    made = network(place, dtype="bf16", lora_rank=4)
    for name, parameter in made.named_parameters():
        matrix = parameter.ndim > 1 and "pos_embed" not in name
        narrow = matrix and not parameter.requires_grad
        assert parameter.dtype == (torch.bfloat16 if narrow else torch.float32), name
    whole = network(place, dtype="bf16", train_vision=True)
    assert all(p.dtype == torch.float32 for p in whole.parameters() if p.requires_grad)


def test_adapters_without_peft_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"need peft: pip install 'robo-reward\[peft\]'"):
        network(place, lora_rank=4)


def test_a_step_that_does_not_fit_says_which_would(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = network(place)
    trainer = Trainer(made, TrainingConfig(steps=2), seed=0)

    def full(*_: Any) -> Tensor:
        raise torch.OutOfMemoryError("too many")

    with monkeypatch.context() as patch:
        patch.setattr(made.backbone, "read", full)
        sentence = r"24 images, 2 prefixes and 16 pairs does not fit .* one of 1 images, 1 prefixes"
        with pytest.raises(InputError, match=sentence + " and 1 pairs would; lower --sampling"):
            trainer.step(batch(seed=0))
    assert trainer.done == 0
    trainer.step(batch(seed=0))
