"""The part of a checkpoint that is not trained: frozen weights, tokenizer, architecture.

With them a checkpoint needs neither its base model nor the network. Each file is named by a hash
of what is in it and never changes, so the checkpoints of one run share it by a hard link.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..config import HfConfig
from ..errors import CheckpointError, RoboRewardError
from ..files import replacing, write_atomically
from ..network import ProgressNetwork
from .backbone import HfBackbone
from .families import family_of
from .loading import Facts, blank_model, read_facts, read_model
from .preprocessing import Pixels


def build(config: HfConfig) -> ProgressNetwork:
    """Return a network whose backbone has the weights of its base, and whose heads are new.

    Raises:
        RoboRewardError: If the base cannot be read, or the configuration does not fit it.
    """
    backbone = HfBackbone(config, read_facts(config.base), read_model(config.base))
    return ProgressNetwork(
        backbone, backbone.width, time_to_go=config.time_to_go, belief=config.belief
    )


def save_base(
    directory: Path, network: ProgressNetwork, *, others: Iterable[Path] | None = None
) -> dict[str, Any]:
    """Write what training does not change, where it is not there yet, and return what names it.

    Args:
        directory: Where to.
        network: Whose backbone is a pretrained one.
        others: Checkpoints of the same run, with which the weights are shared; None: those beside.

    Raises:
        OSError: If it cannot be written.
    """
    facts = cast(HfBackbone, network.backbone).facts
    tokenizer = facts.tokenizer.encode()
    name = hashlib.sha256(tokenizer).hexdigest()
    if not tokenizer_file(directory, name).is_file():
        write_atomically(tokenizer_file(directory, name), tokenizer)
    digest = frozen_digest(network)
    if not frozen_file(directory, digest).is_file():
        like = tokenizer_file(directory, name)
        beside = directory.parent.iterdir() if others is None else others
        _write_frozen(frozen_file(directory, digest), network, like=like, others=beside)
    return {
        "frozen_sha256": digest,
        "tokenizer_sha256": name,
        "pixels": asdict(facts.pixels),
        "architecture": facts.architecture,
    }


def load_base(directory: Path, config: HfConfig, stored: Any) -> ProgressNetwork:
    """Return a network with the frozen weights that `save_base` wrote; the rest is still blank.

    Raises:
        CheckpointError: If a file is missing, damaged or does not fit, or ``stored`` is not what
            `save_base` returned.
        InputError: If the architecture is of no family that is known here.
    """
    try:
        return _load_base(directory, config, stored)
    except RoboRewardError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"{directory} does not describe its base model ({error!r}); copy it again"
        ) from error


def _load_base(directory: Path, config: HfConfig, stored: Any) -> ProgressNetwork:
    family_of(stored["architecture"], str(directory))
    pixels = Pixels(**{name: tuple(values) for name, values in stored["pixels"].items()})
    path = tokenizer_file(directory, stored["tokenizer_sha256"])
    text = _read(path)
    if hashlib.sha256(text).hexdigest() != stored["tokenizer_sha256"]:
        raise CheckpointError(f"{path} has been changed; copy the model again")
    facts = Facts(architecture=stored["architecture"], pixels=pixels, tokenizer=text.decode())
    dtype = torch.bfloat16 if config.dtype == "bf16" else torch.float32
    backbone = HfBackbone(config, facts, blank_model(facts, dtype))
    network = ProgressNetwork(
        backbone, backbone.width, time_to_go=config.time_to_go, belief=config.belief
    )
    _load_frozen(frozen_file(directory, stored["frozen_sha256"]), network, stored["frozen_sha256"])
    return network


def frozen_file(directory: Path, digest: str) -> Path:
    """Return where frozen weights of this hash are in a checkpoint's directory."""
    return directory / f"base-{digest[:12]}.safetensors"


def tokenizer_file(directory: Path, digest: str) -> Path:
    """Return where the tokenizer of this hash is in a checkpoint's directory."""
    return directory / f"tokenizer-{digest[:12]}.json"


def frozen_digest(network: ProgressNetwork) -> str:
    """Return a hash of the frozen weights: of names, types, shapes and values."""
    backbone = cast(HfBackbone, network.backbone)
    if backbone.frozen_digest is None:
        backbone.frozen_digest = _digest(network.frozen())
    return backbone.frozen_digest


def _digest(tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _write_frozen(
    path: Path, network: ProgressNetwork, *, like: Path, others: Iterable[Path]
) -> None:
    """Link the file of another checkpoint, or write it; whoever may read ``like`` may read it."""
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        for other in others:
            try:
                os.link((other / path.name).resolve(), temporary)
            except OSError:  # it has none, or is on another disk, or on one that knows no links
                continue
            return
        save_file({name: t.contiguous() for name, t in network.frozen().items()}, temporary)
        shutil.copymode(like, temporary)  # safetensors would let nobody else read it


def _load_frozen(path: Path, network: ProgressNetwork, expected: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy the model again") from error
    wanted = network.frozen()
    other = {name for name in wanted.keys() | found.keys() if not _alike(name, wanted, found)}
    if other:
        raise CheckpointError(f"{path} does not fit the network: {min(other)}; copy it again")
    if _digest(found) != expected:
        raise CheckpointError(f"{path} has been changed; copy the model again")
    for name, tensor in found.items():
        wanted[name].copy_(tensor)
    cast(HfBackbone, network.backbone).frozen_digest = expected


def _alike(name: str, one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    both = name in one and name in two
    return both and one[name].shape == two[name].shape and one[name].dtype == two[name].dtype


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}); copy the model again"
        ) from error
