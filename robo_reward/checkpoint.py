"""A model as a self-contained directory: safetensors weights and one JSON file.

A pretrained backbone adds its frozen weights and its tokenizer (`robo_reward.hf.storing`).
Loading is strict: every weight must be there, and nothing else; what was damaged or written by
another format is refused. Never pickle.
"""

import hashlib
import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .calibration import Calibration
from .card import CARD, model_card
from .compact import Compact
from .config import CompactConfig, HfConfig
from .config import stored as stored_fields
from .errors import CheckpointError
from .files import finite, write_atomically
from .images import PREPROCESSING
from .model import Model, ModelSettings
from .network import ProgressNetwork
from .tracker import TrackerSettings

FORMAT = 2
"""Version of the directory's layout."""
CONFIG = "config.json"
_BACKBONES: dict[str, type[CompactConfig | HfConfig]] = {"compact": CompactConfig, "hf": HfConfig}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything about a model but its weights."""

    backbone: CompactConfig | HfConfig = field(default_factory=CompactConfig)
    """Shape of the network."""
    settings: ModelSettings
    """How it is used."""
    training: dict[str, Any] = field(default_factory=dict)
    """What it was trained on and how well it did: for people, see `card`; code reads of it only
    whether a robot's views and instructions were there, and how many failures fooled it."""


def build(backbone: CompactConfig | HfConfig) -> ProgressNetwork:
    """Return an untrained network of this shape; a pretrained backbone has its base's weights.

    Raises:
        RoboRewardError: If a base model cannot be read or does not fit the shape.
    """
    if isinstance(backbone, HfConfig):
        from .hf.storing import build as build_hf

        return build_hf(backbone)
    return ProgressNetwork(
        Compact(backbone), backbone.width, time_to_go=backbone.time_to_go, belief=backbone.belief
    )


def save(
    directory: Path, network: ProgressNetwork, config: ModelConfig, *, write: bool = True
) -> str:
    """Write a checkpoint and return its fingerprint; one that is there is replaced in one step.

    With several processes all must call it, and all but one with ``write`` False: they take part
    in putting weights together, and get no fingerprint.

    The weights' file is named by their hash, and the configuration, written after it, names that
    file: a writer that is killed at any moment leaves the old checkpoint or the new one.
    """
    from safetensors.torch import save as to_bytes

    learnt = {name: t.contiguous() for name, t in network.learnt().items()}
    if not write:
        return ""
    directory.mkdir(parents=True, exist_ok=True)
    weights = to_bytes(learnt)
    digest = hashlib.sha256(weights).hexdigest()
    stored = {
        "format": FORMAT,
        "code_version": version("robo-reward"),
        "preprocessing": PREPROCESSING,
        "weights_sha256": digest,
        "backbone": {"type": "compact", **stored_fields(config.backbone)},
        "settings": stored_fields(config.settings),
        "training": finite(config.training),
    }
    if isinstance(config.backbone, HfConfig):
        from .hf.storing import save_base

        stored["backbone"]["type"] = "hf"
        stored["base"] = save_base(directory, network)
    text = json.dumps(stored, indent=1, allow_nan=False)
    write_atomically(weights_file(directory, digest), weights)
    write_atomically(directory / CONFIG, text.encode())
    for path in _files(directory) - _named(directory, stored):
        path.unlink()
    fingerprint = _fingerprint(stored)
    write_atomically(directory / CARD, model_card(directory.name, fingerprint, stored).encode())
    return fingerprint


def _files(directory: Path) -> set[Path]:
    """Return the files beside the configuration that are a checkpoint's."""
    kinds = ("model-*.safetensors", "base-*.safetensors", "tokenizer-*.json")
    return {path for kind in kinds for path in directory.glob(kind)}


def _named(directory: Path, stored: dict[str, Any]) -> set[Path]:
    """Return the files that a configuration names."""
    named = {weights_file(directory, stored["weights_sha256"])}
    if "base" in stored:
        from .hf.storing import frozen_file, tokenizer_file

        named.add(frozen_file(directory, stored["base"]["frozen_sha256"]))
        named.add(tokenizer_file(directory, stored["base"]["tokenizer_sha256"]))
    return named


def weights_file(directory: Path, digest: str) -> Path:
    """Return where the weights of this sha256 are in a checkpoint's directory."""
    return directory / f"model-{digest[:12]}.safetensors"


def remove(directory: Path) -> None:
    """Remove a checkpoint, and its directory if nothing else is in there; fine if there is none.

    Raises:
        OSError: If a file cannot be removed.
    """
    for name in (CONFIG, CARD):
        (directory / name).unlink(missing_ok=True)
    for path in _files(directory):
        path.unlink()
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def load(directory: str | Path, *, device: str | None = None) -> Model:
    """Return the model in a checkpoint directory, or the best one of a training run's directory.

    Args:
        directory: Holds ``config.json`` and the weights it names, or ``best/`` that does.
        device: Where to put it; None: a GPU if there is one, else the CPU.

    Raises:
        CheckpointError: If it is absent, damaged, incomplete or of another version.
    """
    import torch

    place = resolve(Path(directory))
    stored = read_config(place)
    config = _parse(place, stored)
    network = _blank(place, config.backbone, stored)
    _load_weights(place, network, str(stored.get("weights_sha256")))
    network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return Model(network, config.settings, fingerprint=_fingerprint(stored))


def read_model_config(directory: str | Path) -> ModelConfig:
    """Return all about a model but its weights.

    Raises:
        CheckpointError: If it is absent, damaged or of another version.
    """
    place = resolve(Path(directory))
    return _parse(place, read_config(place))


def resolve(directory: Path) -> Path:
    """Return the checkpoint directory that ``directory`` is, or whose training run it is.

    Raises:
        CheckpointError: If there is no checkpoint.
    """
    for place in (directory, directory / "best"):
        if (place / CONFIG).is_file():
            return place
    raise CheckpointError(
        f"{directory} is no model: it has no {CONFIG}; give the directory that "
        "'robo-reward train --out' made"
    )


def read_config(directory: Path) -> dict[str, Any]:
    """Return the stored configuration, its format checked.

    Raises:
        CheckpointError: If it cannot be read or is of another format.
    """
    path = directory / CONFIG
    try:
        stored: dict[str, Any] = json.loads(path.read_text())
        if "model_type" in stored and "format" not in stored:
            raise CheckpointError(
                f"{directory} is a {stored['model_type']} model without slots to read; make a "
                f"reward model of it with 'robo-reward train --hf.base {directory}'"
            )
        found = stored["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); train or copy the model again"
        ) from error
    if found != FORMAT or stored.get("preprocessing") != PREPROCESSING:
        raise CheckpointError(
            f"{path} has format {found} with preprocessing {stored.get('preprocessing')!r}, this "
            f"version reads format {FORMAT} with {PREPROCESSING!r}: use the version that wrote it "
            f"({stored.get('code_version')}) or train again"
        )
    return stored


def _parse(directory: Path, stored: dict[str, Any]) -> ModelConfig:
    try:
        backbone = dict(stored["backbone"])
        kind = backbone.pop("type")
        if kind not in _BACKBONES:
            raise CheckpointError(
                f"{directory}: this version has no backbone {kind!r}, only {', '.join(_BACKBONES)}"
            )
        settings = dict(stored["settings"])
        tracker = dict(settings.pop("tracker"))
        fitted = tracker.pop("calibration")
        calibration = fitted and Calibration(bias=fitted["bias"], slopes=tuple(fitted["slopes"]))
        return ModelConfig(
            backbone=_BACKBONES[kind](**backbone),
            settings=ModelSettings(
                tracker=TrackerSettings(calibration=calibration, **tracker), **settings
            ),
            training=stored["training"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{directory / CONFIG} does not describe a model ({error}); train or copy it again"
        ) from error


def _blank(
    directory: Path, backbone: CompactConfig | HfConfig, stored: dict[str, Any]
) -> ProgressNetwork:
    """Return the network whose learnt weights are still to be loaded."""
    if isinstance(backbone, CompactConfig):
        return build(backbone)
    from .hf.storing import load_base

    return load_base(directory, backbone, stored.get("base"))


def _load_weights(directory: Path, network: ProgressNetwork, expected: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load as from_bytes

    path = weights_file(directory, expected)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}); copy the model again"
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise CheckpointError(
            f"{path} is not the file that {CONFIG} was written with; copy both again"
        )
    try:
        network.load_learnt(from_bytes(content))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not fit the network: {reason}") from error


def _fingerprint(stored: dict[str, Any]) -> str:
    """Return a hash of weights, configuration and code version."""
    told = {name: value for name, value in stored.items() if name != "training"}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
