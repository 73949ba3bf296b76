"""Which weights of a base model are trained, and in which type each is held.

What is trained is held in float32, since steps are smaller than what bfloat16 can tell; of what
is frozen, matrices are held in the chosen type, and the few other numbers in float32.
"""

from typing import Any

import torch
from torch import nn

from ..config import HfConfig
from ..errors import InputError
from .families import Family

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Matrices of a language layer that get an adapter."""
ALPHA = 2.0
"""Adapters are added with this weight, whatever their rank (LoRA's α / r, arXiv 2106.09685)."""


def prepare(model: nn.Module, family: Family, config: HfConfig, *, will_train: bool = True) -> None:
    """Freeze, adapt and cast a base model in place, as the configuration says.

    Without ``will_train``, layers that would be trained whole are frozen and cast too: products
    are the same, since they would be taken of narrow copies.

    Raises:
        InputError: If adapters are asked for and peft is not installed.
    """
    model.requires_grad_(False)
    layers = getattr(model, family.language).layers
    if config.lora_rank:
        _adapt(model, family, config.lora_rank)
    elif will_train:
        layers.requires_grad_(True)
    if config.train_vision:
        for part in family.vision:
            getattr(model, part).requires_grad_(True)
            if config.gradient_checkpointing:
                _forgetful(getattr(model, part))
    half = torch.bfloat16 if config.dtype == "bf16" else torch.float32
    wide = {id(parameter) for parameter in _matrices(model, family)}
    for parameter in model.parameters():
        frozen = id(parameter) in wide and not parameter.requires_grad
        parameter.data = parameter.data.to(half if frozen else torch.float32)


def _adapt(model: nn.Module, family: Family, rank: int) -> None:
    """Put adapters beside the matrices of the language layers; only they are trained."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError(
            "low-rank adapters need peft: pip install 'robo-reward[peft]', or train all weights "
            "of the language layers with --hf.lora-rank 0"
        ) from error
    names = rf".*{family.language}\.layers\.\d+\.\w+\.({'|'.join(TARGETS)})"
    told = LoraConfig(r=rank, lora_alpha=int(ALPHA * rank), lora_dropout=0.0, target_modules=names)
    inject_adapter_in_model(told, model)


def _forgetful(tower: nn.Module) -> None:
    """Let a vision tower compute its activations again in the backward pass."""
    if hasattr(tower, "gradient_checkpointing_enable"):
        made: Any = tower
        made.gradient_checkpointing_enable({"use_reentrant": False})


def _matrices(model: nn.Module, family: Family) -> list[nn.Parameter]:
    """Return the weights that products of matrices use, and the embedding of words.

    Embeddings of places stay wide: what is added to them would be rounded with them.
    """
    kinds = (nn.Linear, nn.Conv2d, nn.Conv3d)
    found = [module.weight for module in model.modules() if isinstance(module, kinds)]
    return [*found, getattr(model, family.language).embed_tokens.weight]
