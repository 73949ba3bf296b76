"""From a directory or a hub id to a model: safetensors only, never code, never pickle."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import CheckpointError, InputError
from .families import Family, Geometry, family_of
from .preprocessing import Pixels
from .presets import hub_id

REFUSED = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.pickle", "*.ckpt", "*.py")
"""Files that can run code when they are loaded, and so have no place beside weights."""
_SAFE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
_WANTED = ("*.json", "*.safetensors", "*.txt", "*.jinja")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything about a base model but its weights: what a checkpoint keeps of it."""

    architecture: dict[str, Any]
    """Its whole configuration, as transformers writes it."""
    pixels: Pixels
    """How it wants its pixels."""
    tokenizer: str
    """The text of its ``tokenizer.json``."""

    @property
    def family(self) -> Family:
        """What tells it apart from other families."""
        return family_of(self.architecture, "the model")

    @property
    def geometry(self) -> Geometry:
        """How its images become tokens."""
        return Geometry.of(self.architecture)


def locate(base: str) -> Path:
    """Return the directory of a model: ``base`` itself, or what the hub has by that id.

    Only configurations, safetensors and tokenizers are fetched.

    Raises:
        InputError: If there is no such model, or its directory holds what could run code.
    """
    place = Path(base)
    if not base or not place.is_dir():
        place = _from_hub(hub_id(base))
    found = sorted(str(path.relative_to(place)) for kind in REFUSED for path in place.rglob(kind))
    if found:
        raise InputError(
            f"{base} holds {', '.join(found[:3])}: such files can run code when they are loaded; "
            "remove them and keep the .safetensors"
        )
    return place


def _from_hub(base: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(base, allow_patterns=list(_WANTED)))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{base} is neither a directory nor a model that can be had from the hub ({reason}); "
            "give the directory of a downloaded model, or go online"
        ) from error


def read_facts(base: str) -> Facts:
    """Return what a base model is, without its weights.

    Raises:
        InputError: If it is no model of our families, or incomplete.
    """
    place = locate(base)
    architecture = _architecture(place)
    family_of(architecture, str(place))
    from transformers import AutoImageProcessor

    try:
        tokenizer = (place / "tokenizer.json").read_text(encoding="utf-8")
        images = AutoImageProcessor.from_pretrained(place, **_SAFE)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{place} lacks a tokenizer or an image processor ({reason}); copy the whole model"
        ) from error
    pixels = Pixels(mean=tuple(images.image_mean), std=tuple(images.image_std))
    return Facts(architecture=architecture, pixels=pixels, tokenizer=tokenizer)


def _architecture(place: Path) -> dict[str, Any]:
    """Return a directory's configuration, completed by transformers' defaults."""
    from transformers import AutoConfig

    path = place / "config.json"
    try:
        stored = json.loads(path.read_text())
        named = family_of(stored, str(place)).name
    except FileNotFoundError as error:
        raise InputError(f"{place} has no config.json; give the directory of a model") from error
    except (ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged ({error}); copy the model again") from error
    if "auto_map" in stored:
        raise InputError(f"{path} asks to run code of its own (auto_map), which is never done")
    config = AutoConfig.from_pretrained(place, **_SAFE)
    told: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    assert told["model_type"] == named
    told.pop("_name_or_path", None)
    return told


def read_model(base: str) -> nn.Module:
    """Return the layers of a base model with its weights: everything but the words' head.

    Raises:
        CheckpointError: If weights are missing, damaged or of another shape.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText

    place = locate(base)
    with _quiet():
        try:
            made, told = AutoModelForImageTextToText.from_pretrained(
                place,
                dtype="auto",
                attn_implementation="sdpa",
                use_safetensors=True,
                **_SAFE,
                ignore_mismatched_sizes=True,  # so that they are told
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{place} cannot be loaded ({reason}); copy it again") from error
    lacking = [key for key in sorted(told["missing_keys"]) if not key.startswith("lm_head")]
    lacking += sorted(str(key) for key in told["mismatched_keys"])
    if lacking:
        raise CheckpointError(
            f"{place} lacks {len(lacking)} weights or has them in another shape, such as "
            f"{lacking[0]}; copy it again"
        )
    layers: nn.Module = made.model
    return layers


def blank_model(facts: Facts, dtype: torch.dtype) -> nn.Module:
    """Return the layers of a model whose weights are still to be loaded."""
    from transformers import AutoConfig, AutoModelForImageTextToText
    from transformers.initialization import no_init_weights

    told = dict(facts.architecture)
    config = AutoConfig.for_model(told.pop("model_type"), **told)
    with no_init_weights():
        made = AutoModelForImageTextToText.from_config(
            config, dtype=dtype, attn_implementation="sdpa"
        )
    layers: nn.Module = made.model
    return layers


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' own progress bars off the screen."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
