"""Random models of any size: shapes as published, states that keep their size, words as tokens."""

from typing import Any

import pytest
import torch

from robo_reward.config import HfConfig
from robo_reward.hf.families import FAMILIES
from robo_reward.hf.memory import weigh
from robo_reward.hf.prompt import Words
from robo_reward.hf.random_weights import made_up_facts, random_model

TEXT = "pick up the red cube, and put it in the bin"
CPU = torch.device("cpu")


@pytest.mark.parametrize(("size", "billions"), [("small", 0.0119), ("2b", 2.13), ("8b", 8.14)])
def test_a_size_has_the_weights_that_it_names(size: Any, billions: float) -> None:
    weights = weigh(made_up_facts(size, [TEXT]).architecture, HfConfig(lora_rank=0))
    assert (weights.frozen + weights.trained) / 1e9 == pytest.approx(billions, rel=0.01)


def test_known_words_are_one_token_each_and_any_text_is_legal() -> None:
    words = Words(made_up_facts("small", [TEXT]).tokenizer, FAMILIES["qwen3_vl"])
    assert len(words(TEXT, 99)) == 12, "eleven words and a comma"
    assert len(words("été ☃", 99)) == 9, "unknown: spelt in bytes"
    assert words("<|vision_start|>", 99) != words.opening
    assert not set(words("<|vision_start|>", 99)) & words.structural


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_keep_their_size_and_tell_inputs_apart(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model: Any = random_model(made_up_facts("small", [TEXT]), dtype, CPU)
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    layer = model.language_model.layers[3]
    sums = {
        layer.mlp.up_proj: 256,
        layer.mlp.down_proj: 1024,
        model.visual.patch_embed.proj: 3 * 2 * 16 * 16,
    }
    for matrix, summed in sums.items():
        told = float(matrix.weight.detach().float().std())
        assert told == pytest.approx(summed**-0.5, rel=0.02)
    assert (layer.input_layernorm.weight == 1).all()
    assert (model.visual.blocks[0].attn.qkv.bias == 0).all()
    with torch.inference_mode():
        numbers = torch.arange(40).view(2, 20)
        states = model.language_model(numbers, use_cache=False).last_hidden_state.float()
    assert states.isfinite().all()
    assert float(states.std()) == pytest.approx(1.0, rel=0.05)
    assert (states[0, -1] - states[1, -1]).abs().mean() > 0.2


def test_a_seed_gives_one_set_of_weights() -> None:
    facts = made_up_facts("small", [TEXT])
    sums = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        model: Any = random_model(facts, torch.float32, CPU)
        sums.append(float(model.language_model.embed_tokens.weight.detach().sum()))
    assert sums[0] == sums[1] != sums[2]
    assert made_up_facts("small", [TEXT]).tokenizer == facts.tokenizer
