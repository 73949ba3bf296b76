"""What a training run keeps to go on as if it had never stopped, whatever it trains."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import CheckpointError
from .files import write_atomically
from .processes import spread_like, whole

STATE = "training_state.safetensors"
"""File of a run's directory."""


def adamw(module: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return the optimiser of what is trained of a module; only matrices decay."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=learning_rate,
        betas=(0.9, 0.95),
    )


def state_tensors(
    module: nn.Module, weights: Mapping[str, Tensor], optimiser: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """Return weights and the optimiser's moments of a module by name, put together if spread."""
    tensors = {f"weight.{name}": tensor.contiguous() for name, tensor in weights.items()}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"moment.{name}.{key}"] = whole(value).contiguous()
    return tensors


def stored_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights among `state_tensors`."""
    return _under("weight.", tensors)


def put_moments(
    module: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Give an optimiser the moments among `state_tensors`."""
    for name, parameter in module.named_parameters():
        state = _under(f"moment.{name}.", tensors)
        if state:
            optimiser.state[parameter] = {
                n: t if n == "step" else spread_like(t.to(parameter.device), parameter)
                for n, t in state.items()
            }


def write_state(directory: Path, tensors: dict[str, Tensor], told: Mapping[str, Any]) -> None:
    """Write a state whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    from safetensors.torch import save

    content = save(tensors, metadata={"state": json.dumps(told)})
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / STATE, content)


def read_state(directory: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what `write_state` wrote.

    Raises:
        CheckpointError: If it is absent or damaged.
    """
    from safetensors import SafetensorError, safe_open

    path = directory / STATE
    try:
        with safe_open(path, framework="pt") as file:
            told = dict(json.loads(file.metadata()["state"]))
            return {name: file.get_tensor(name) for name in file.keys()}, told  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be resumed ({error}); start afresh") from error


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
