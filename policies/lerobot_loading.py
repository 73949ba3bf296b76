"""From a directory or hub id of a LeRobot policy to an adapter with a likelihood.

LeRobot builds the network and loads its weights, strictly: one that is missing would be random
without a word. What other models give to the network (weights of a backbone) is in the checkpoint,
so they are not read; what else is needed of them (their shape, a tokenizer) lies beside the
checkpoint if the adapter saved it, and else is looked for where LeRobot looks.
"""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch

from data.places import put_back
from robo_reward.errors import CheckpointError, InputError, RoboRewardError
from robo_reward.hf.loading import locate

from .lerobot_adapter import HEADS, TOKENIZER, LeRobotAdapter, Parts

ADAPTERS = {
    "act": ("lerobot_act", "ActAdapter"),
    "smolvla": ("lerobot_smolvla", "SmolVlaAdapter"),
    "multi_task_dit": ("lerobot_dit", "DitAdapter"),
}
"""LeRobot's name of a type → module and class of its adapter."""
_PREPROCESSOR = "policy_preprocessor.json"


def load_lerobot_policy(
    source: str | Path, *, device: str | None = None, noise: float | None = None
) -> LeRobotAdapter:
    """Return a LeRobot policy with a likelihood, in evaluation mode and float32.

    Args:
        source: Directory that LeRobot, or an adapter's `save`, wrote; a checkpoint of its training
            that holds one in ``pretrained_model``; or a hub id.
        device: Where to put it; None: a GPU if there is one, else the CPU.
        noise: Of a flow, the level of the random step; of ACT, the spread. None: what it was saved
            with, else the adapter's own.

    Raises:
        InputError: If there is none, its type has no likelihood here, or ``noise`` is not above 0.
        CheckpointError: If it is damaged, incomplete, or of another version.
    """
    if noise is not None and not noise > 0:
        raise InputError(f"noise must be above 0, got {noise}: else nothing has a density")
    place = locate_policy(str(source))
    kind = _adapter_class(_read(place / "config.json"), str(source))
    _check_whole(place, str(source))
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        with _quiet(), _drawn_alike():
            parts = _parts(place, kind, where, str(source))
    except RoboRewardError:
        raise
    except ImportError as error:
        raise InputError(f"{source} needs a package that is not here: {error}") from error
    except Exception as error:  # of LeRobot, draccus, transformers and safetensors, each its own
        reason = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{source} cannot be loaded as LeRobot {_lerobot()} would ({reason}); copy it again, "
            "or save it with that version"
        ) from error
    _check_statistics(parts, str(source))
    build = cast(Any, kind)
    with _drawn_alike():
        adapter: LeRobotAdapter = build(parts) if noise is None else build(parts, noise)
    _load_heads(adapter, place / HEADS, keep_noise=noise is not None)
    return adapter.to(where, torch.float32)


def _adapter_class(stored: dict[str, Any], source: str) -> type[LeRobotAdapter]:
    """Return the adapter of a policy's configuration.

    Raises:
        InputError: If it is none of LeRobot's, or has no likelihood here.
    """
    kind = stored.get("type")
    if not isinstance(kind, str):
        raise InputError(
            f"{source} is no LeRobot policy: its config.json names no type; give a directory that "
            "lerobot-train or policy.save_pretrained made"
        )
    if kind not in ADAPTERS:
        raise InputError(
            f"{source} is a LeRobot {kind} policy, and nothing here can say how likely its actions "
            f"are, which refinement needs; types that have a likelihood: {', '.join(ADAPTERS)}"
        )
    module, name = ADAPTERS[kind]
    found: type[LeRobotAdapter] = getattr(import_module(f".{module}", __package__), name)
    return found


def locate_policy(source: str) -> Path:
    """Return the directory of a LeRobot policy, which the hub may have by that id.

    Raises:
        InputError: If there is none.
    """
    put_back(Path(source))
    place = locate(source)
    inside = place / "pretrained_model"
    place = inside if (inside / "config.json").is_file() else place
    if not (place / "config.json").is_file():
        raise InputError(
            f"{source} is no LeRobot policy: it has no config.json; give a directory that "
            "lerobot-train or policy.save_pretrained made"
        )
    return place


def _check_whole(place: Path, source: str) -> None:
    for name in ("model.safetensors", _PREPROCESSOR, "policy_postprocessor.json"):
        if not (place / name).is_file():
            raise InputError(
                f"{source} is no whole LeRobot policy: it has no {name}; save weights and both "
                "processors (save_pretrained), or migrate an old checkpoint with "
                "python -m lerobot.processor.migrate_policy_normalization"
            )


def _read(path: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); copy the policy again") from error
    return stored


def _parts(place: Path, kind: type[LeRobotAdapter], device: str, source: str) -> Parts:
    """Return policy and processors, with the names in them that the files have."""
    from lerobot.configs import PreTrainedConfig
    from lerobot.policies import get_policy_class, make_pre_post_processors

    config = PreTrainedConfig.from_pretrained(place)
    kind.check(config, source)
    config.device = device
    beside = {k: str(place / v) for k, v in kind.companions.items() if (place / v).is_dir()}
    changes = {**kind.building, **beside}
    named = {field: getattr(config, field) for field in changes}
    for field, value in changes.items():
        setattr(config, field, value)
    policy = get_policy_class(config.type).from_pretrained(place, config=config, strict=True)
    for field, value in named.items():
        setattr(config, field, value)
    overrides = {"device_processor": {"device": device}}
    tokenizer = _tokenizer(place)
    if tokenizer is not None and (place / TOKENIZER).is_dir():
        overrides["tokenizer_processor"] = {"tokenizer_name": str(place / TOKENIZER)}
    before, after = make_pre_post_processors(
        config, pretrained_path=str(place), preprocessor_overrides=overrides
    )
    for step in before.steps:
        if hasattr(step, "tokenizer_name"):
            step.tokenizer_name = tokenizer
    return Parts(policy=policy, before=before, after=after)


def _tokenizer(place: Path) -> str | None:
    """Return the name of the tokenizer that a processor was saved with, if it has one."""
    for step in _read(place / _PREPROCESSOR).get("steps", []):
        if step.get("registry_name") == "tokenizer_processor":
            name: str | None = step.get("config", {}).get("tokenizer_name")
            return name
    return None


def _check_statistics(parts: Parts, source: str) -> None:
    """Refuse processors that would leave numbers as they are for want of statistics."""
    from lerobot.configs import NormalizationMode

    for step in (*parts.before.steps, *parts.after.steps):
        features = step.features if hasattr(step, "norm_map") else {}
        for key, feature in features.items():
            mode = step.norm_map.get(feature.type, NormalizationMode.IDENTITY)
            if mode != NormalizationMode.IDENTITY and key not in step.stats:
                raise InputError(
                    f"{source} has no statistics of {key}, so its numbers are not in units of any "
                    "robot; fine-tune it on data of yours first (lerobot-train --policy.path)"
                )


def _load_heads(adapter: LeRobotAdapter, path: Path, *, keep_noise: bool) -> None:
    """Load what only the adapter has, if the directory has it: LeRobot's own have not."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return
    own = adapter.heads()
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy the policy again") from error
    if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in own.items()}:
        raise CheckpointError(f"{path} does not fit the policy beside it; copy both again")
    kept = {adapter.noise_name: own[adapter.noise_name]} if keep_noise else {}
    adapter.load_state_dict({**found, **kept}, strict=False)


def _lerobot() -> str:
    from importlib.metadata import version

    return version("lerobot")


@contextmanager
def _drawn_alike() -> Iterator[None]:
    """Draw weights that no file holds alike each time, and leave the generators as they were."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what LeRobot prints, and what transformers tells of weights that come later, away."""
    from transformers.utils import logging as told

    shown, level = told.is_progress_bar_enabled(), told.get_verbosity()
    told.disable_progress_bar()
    told.set_verbosity(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        told.set_verbosity(level)
        if shown:
            told.enable_progress_bar()
