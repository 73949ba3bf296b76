"""Models of random weights and of any size, for benches: nothing is downloaded.

What a pass costs depends on shapes alone. The tokenizer is made of the texts that will be told, a
token for every word and mark of theirs, so that a text takes about as many tokens as with the
tokenizer of a large model.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .families import FAMILIES, Family
from .loading import Facts, blank_model
from .preprocessing import Pixels
from .presets import Size, architecture

_VOCABULARY = 2048
_SMALL: dict[str, Any] = {
    "model_type": "qwen3_vl",
    "tie_word_embeddings": True,
    "text_config": {
        "hidden_size": 256,
        "intermediate_size": 1024,
        "num_hidden_layers": 9,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 64,
        "vocab_size": _VOCABULARY,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [12, 10, 10],
            "mrope_interleaved": True,
        },
    },
    "vision_config": {
        "depth": 4,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_heads": 2,
        "out_hidden_size": 256,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 2304,
        "deepstack_visual_indexes": [1, 3],
    },
}


def made_up_facts(size: Size, texts: Sequence[str]) -> Facts:
    """Return a Qwen3-VL of a size: ``small`` has 12 million weights, the others those they name.

    Args:
        size: Which.
        texts: What its tokenizer shall know; any other text is spelt in more tokens.
    """
    told = architecture(f"qwen3-vl-{size}") or _SMALL
    half = (0.5, 0.5, 0.5)
    words = tokenizer(texts, FAMILIES[told["model_type"]])
    return Facts(architecture=told, pixels=Pixels(mean=half, std=half), tokenizer=words)


def tokenizer(texts: Sequence[str], family: Family) -> str:
    """Return the text of a ``tokenizer.json`` in which each word of some texts is one token.

    It is byte-level byte-pair encoding (Sennrich et al., arXiv 1508.07909): any text can be told.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=sorted({*family.opening, *family.closing}),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    told: str = made.to_str()
    return told


def random_model(facts: Facts, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """Return its layers with random weights, made where they will be, in their own type.

    Matrices have variance 1 / (what a number of the product sums over), biases are 0, norms 1. So
    states keep their size at any width; with the usual deviation of .02, a narrow network says the
    same of every input, and two ways of asking it could not be told apart.
    """
    with torch.device(device):
        model = blank_model(facts, dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(std=1.0 / math.sqrt(weight[0].numel()))
            else:
                weight.fill_(float(name.endswith("weight")))
    return model
