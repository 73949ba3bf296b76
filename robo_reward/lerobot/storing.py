"""A checkpoint in LeRobot's layout: what is learnt, and files of a pretrained model's rest.

``model.safetensors`` holds what training changes. Over a pretrained model, ``base.json`` holds its
architecture and names the files that `robo_reward.hf.storing` writes; so neither the base model
nor the network is needed again, and LeRobot, which logs the whole configuration, logs no more.
"""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from lerobot.configs.rewards import RewardModelConfig
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..checkpoint import build
from ..config import CompactConfig, HfConfig
from ..errors import CheckpointError, InputError
from ..files import replacing, write_atomically
from ..network import ProgressNetwork
from .configuration_multiview_progress import MultiviewProgressConfig

BASE = "base.json"
"""What is told of a pretrained model."""
HUB = ("revision", "token", "cache_dir", "force_download", "local_files_only")
"""Arguments of ``from_pretrained`` that say how the hub is asked."""
_WANTED = (CONFIG_NAME, SAFETENSORS_SINGLE_FILE, BASE, "base-*.safetensors", "tokenizer-*.json")
_NETWORK = "network."
_FREE = ("hf.learning_rate", "hf.gradient_checkpointing")


def locate(name: str, **how: Any) -> Path:
    """Return the directory of a checkpoint: ``name`` itself, or what the hub has by that id.

    Args:
        name: A directory or a hub id.
        how: The arguments called `HUB`.

    Raises:
        CheckpointError: If there is none.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, allow_patterns=list(_WANTED), **how))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{name} is neither a directory nor a model that can be had from the hub ({reason}); "
            "give the pretrained_model directory of a checkpoint, or go online"
        ) from error


def settled(place: Path, asked: MultiviewProgressConfig | None) -> MultiviewProgressConfig:
    """Return the configuration of a checkpoint, or the one ``asked`` for if its shape is the same.

    Raises:
        CheckpointError: If the checkpoint has another shape, so that its weights mean nothing.
    """
    stored: MultiviewProgressConfig = RewardModelConfig.from_pretrained(place)
    if asked is None:
        return stored
    there, wanted = _shape(stored), _shape(asked)
    for name, value in there.items():
        if wanted[name] != value:
            raise CheckpointError(
                f"{place} was trained with {name} {value!r}, not {wanted[name]!r}: leave it as it "
                "was, or train anew without the checkpoint"
            )
    return asked


def _shape(config: MultiviewProgressConfig) -> dict[str, Any]:
    """Return all that says what the weights are, by the flags' names."""
    parts = {"backbone": asdict(config.backbone), "hf": asdict(config.hf)}
    named = {f"{part}.{name}": v for part, told in parts.items() for name, v in told.items()}
    return {name: value for name, value in named.items() if name not in _FREE}


def check_savable() -> None:
    """Refuse FSDP: LeRobot saves a reward model from one process, which holds a part of it.

    Raises:
        InputError: If accelerate was launched with it.
    """
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true"):
        raise InputError(
            "LeRobot cannot save a reward model whose weights are spread over processes (FSDP); "
            "launch it without, or train with 'robo-reward train' by accelerate launch"
        )


def save_weights(
    directory: Path, shape: CompactConfig | HfConfig, network: ProgressNetwork, steps: Tensor
) -> None:
    """Write what was learnt and, of a pretrained model, the rest where it is not there yet.

    Raises:
        OSError: If it cannot be written.
    """
    if isinstance(shape, HfConfig):
        from ..hf.storing import save_base

        others = directory.parent.parent.glob(f"*/{directory.name}")  # <step>/pretrained_model
        told = save_base(directory, network, others=others)
        write_atomically(directory / BASE, json.dumps(told, indent=1).encode())
    learnt = {_NETWORK + name: t.contiguous() for name, t in network.learnt().items()}
    with replacing(directory / SAFETENSORS_SINGLE_FILE) as temporary:
        save_file({"steps": steps, **learnt}, temporary)
        shutil.copymode(directory / CONFIG_NAME, temporary)  # else nobody else could read it


def blank(place: Path, shape: CompactConfig | HfConfig) -> ProgressNetwork:
    """Return a checkpoint's network; what was learnt is still to be loaded.

    Raises:
        CheckpointError: If a file is missing, damaged or does not fit.
        InputError: If the pretrained model is of no family that is known here.
    """
    if isinstance(shape, CompactConfig):
        return build(shape)
    from ..hf.storing import load_base

    path = place / BASE
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy it again") from error
    return load_base(place, shape, told)


def load_learnt(path: Path, network: ProgressNetwork) -> Tensor:
    """Put in what was learnt, and return the count of steps.

    Raises:
        CheckpointError: If a weight is missing, unknown or of another shape, or the file damaged.
    """
    try:
        found = load_file(path)
        steps = found.pop("steps")
        network.load_learnt({name.removeprefix(_NETWORK): t for name, t in found.items()})
    except (KeyError, RuntimeError, SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} does not fit the network: {reason}; copy the checkpoint again"
        ) from error
    return steps
