"""What large models weigh is known before they are fetched; the arithmetic is done by hand here."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_robo_reward_hf_training import batch
from tiny_vlm import make_tiny_vlm

from robo_reward.config import HfConfig
from robo_reward.errors import InputError
from robo_reward.hf.memory import Load, Shape, Weights, largest, weigh
from robo_reward.hf.presets import HUB, architecture, hub_id
from robo_reward.hf.storing import build

SHAPE = Shape(
    layers=2,
    width=10,
    inner=20,
    heads=4,
    kept_heads=2,
    head=5,
    image_tokens=4,
    levels=3,
    text=30,
    history=1,
    narrow=2,
    forget=True,
)
LOAD = Load(images=8, prefixes=2, pairs=4, views=2)
WEIGHTS = Weights(frozen=1000, trained=10, frozen_bytes=2000)


def config(**settings: Any) -> HfConfig:
    return HfConfig(**{"base": "qwen3-vl-2b", "lora_rank": 0, **settings})


def test_weights_and_their_moments_by_hand() -> None:
    assert WEIGHTS.judging_bytes == 2000 + 40
    assert WEIGHTS.training_bytes == 2000 + 160


def test_tokens_by_hand() -> None:
    assert SHAPE.prefix(2) == 30 + 2 * 2 * 14
    assert SHAPE.suffix(2) == 3 * 2 * 14 + 5


def test_what_is_kept_by_hand() -> None:
    assert SHAPE.kept_prefix(2) == 2 * 2 * 10 * 86 * 2
    assert SHAPE.kept_image() == 4 * 3 * 10 * 2


def test_activations_by_hand() -> None:
    token = 10 * 32 + (4 + 4) * 5 * 16 + 4 * 20 * 2
    assert SHAPE.token() == token == 1120
    reach = 4 * (86 + 89) * 2 * 6 * 5 * 2
    assert SHAPE.reach(LOAD) == reach == 84_000
    tokens, suffixes = 2 * 86 + 4 * 89, 4 * 89
    shown = 8 + 2 * (4 * 3 + 2 * 2) * 2
    kept = 2 * 2 * 6880 + shown * 240
    assert SHAPE.activations(LOAD) == kept + 2 * tokens * 10 * 4 + 2 * (token * suffixes + reach)
    whole = replace(SHAPE, forget=False)
    assert whole.activations(LOAD) == kept + 2 * (token * tokens + reach)


def test_what_would_fit_is_a_share_of_what_did_not() -> None:
    need = [SHAPE.activations(LOAD), WEIGHTS.training_bytes]
    half = Load(images=4, prefixes=1, pairs=2, views=2)
    room = int((SHAPE.activations(half) + WEIGHTS.training_bytes) / 0.9) + 1
    assert largest(SHAPE, WEIGHTS, LOAD, room) == half
    assert largest(SHAPE, WEIGHTS, LOAD, 10 * sum(need)) == half, "the estimate was too low"
    assert largest(SHAPE, WEIGHTS, LOAD, 0) == Load(images=1, prefixes=1, pairs=1, views=2)


@pytest.mark.parametrize(
    ("base", "parameters"),
    [
        ("qwen3-vl-2b", 2_127_532_032),
        ("qwen3-vl-4b", 4_437_815_808),
        ("qwen3-vl-8b", 8_144_793_840),
    ],
)
def test_presets_have_the_published_number_of_parameters(base: str, parameters: int) -> None:
    """The 8B has a words' head of its own, which is not loaded."""
    told = architecture(base)
    assert told is not None
    found = weigh(told, config())
    width = told["text_config"]["hidden_size"]
    ours = 5 * width + 2 * width + 3 * 51 * (width + 1) + 2 * (width + 1)
    assert found.frozen + found.trained == parameters + ours


def test_adapters_by_hand() -> None:
    pytest.importorskip("peft")
    told = architecture("qwen3-vl-2b")
    assert told is not None
    plain, adapted = weigh(told, config(lora_rank=0)), weigh(told, config(lora_rank=16))
    attention = (2048 + 2048) + 2 * (2048 + 1024) + (2048 + 2048)
    mlp = 3 * (2048 + 6144)
    more = adapted.frozen + adapted.trained - plain.frozen - plain.trained
    assert more == 28 * 16 * (attention + mlp) == 17_432_576


def test_the_2b_prefix_by_hand() -> None:
    told = architecture("Qwen/Qwen3-VL-2B-Instruct")
    assert told is not None
    shape = Shape.of(told, config(image_size=224))
    assert shape.image_tokens == 49
    assert shape.prefix(3) == 28 + 64 + 6 * 59
    assert shape.kept_prefix(3) == 2 * 28 * 8 * 128 * 446 * 2, "51 MB"
    assert shape.kept_image() == 49 * 4 * 2048 * 2, ".8 MB"


def test_names_of_presets() -> None:
    assert hub_id("qwen3-vl-4b") == "Qwen/Qwen3-VL-4B-Instruct"
    assert hub_id("outputs/mine") == "outputs/mine"
    assert architecture("outputs/mine") is None
    assert {name: architecture(name) for name in HUB} == {
        name: architecture(hub) for name, hub in HUB.items()
    }


def test_sizes_that_do_not_fit_are_refused_without_a_download() -> None:
    told = architecture("qwen3-vl-2b")
    assert told is not None
    with pytest.raises(InputError, match="image_size 80 must be a multiple of 32, such as 64"):
        Shape.of(told, config(image_size=80))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("settings", [{"dtype": "fp32"}, {"dtype": "bf16", "train_vision": True}])
def test_the_count_is_that_of_the_built_network(tmp_path: Path, settings: dict[str, Any]) -> None:
    base = make_tiny_vlm(tmp_path / "vlm", "qwen3_vl")
    told = config(base=str(base), image_size=32, **settings)
    network = build(told)
    found = weigh(network.backbone.facts.architecture, told)  # type: ignore[union-attr]
    frozen = network.frozen().values()
    assert found.frozen == sum(t.numel() for t in frozen)
    assert found.frozen_bytes == sum(t.nbytes for t in frozen)
    assert found.trained == sum(p.numel() for p in network.parameters() if p.requires_grad)


@pytest.mark.usefixtures("one_thread")
def test_activations_are_estimated_a_little_above_what_is_remembered(tmp_path: Path) -> None:
    base = make_tiny_vlm(tmp_path / "vlm", "qwen3_vl")
    told = config(base=str(base), image_size=32, dtype="fp32", gradient_checkpointing=False)
    network = build(told)
    given = batch(seed=3)
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    remembered: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            remembered[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.train()(given, torch.from_numpy(given.images))
    measured = sum(storage.nbytes() for storage in remembered.values())
    shape = Shape.of(network.backbone.facts.architecture, told)  # type: ignore[union-attr]
    shape = replace(shape, text=69 + told.text_tokens)  # the tiny tokenizer knows few words
    load = Load(images=24, prefixes=2, pairs=len(given), views=2)
    assert 0.5 < measured / shape.activations(load) < 1.0
