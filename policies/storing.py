"""A policy as a self-contained directory: safetensors weights and one JSON file.

The weights' file is named by their hash, and ``policy.json``, written after it, names that file: a
writer that is killed at any moment leaves the old policy or the new one. Loading is strict: every
weight must be there, and nothing else; what was damaged or written otherwise is refused. Never
pickle.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from robo_reward.acting import Policy
from robo_reward.checkpoint import weights_file
from robo_reward.errors import CheckpointError, InputError
from robo_reward.files import finite, write_atomically
from robo_reward.images import PREPROCESSING

from .compact import CompactPolicy, CompactPolicyConfig

FORMAT = 1
"""Version of the directory's layout."""
CONFIG = "policy.json"
FIGURES = "eval.json"
"""Where a policy's directory tells how often it succeeds."""


class Kind(NamedTuple):
    """What a policy of a kind is made of."""

    config: type[Any]
    """A dataclass of plain values; a list in a file is a tuple in it."""
    build: Callable[[Any], nn.Module]
    """Returns an untrained `Policy` with such a ``config``."""


KINDS: dict[str, Kind] = {"compact": Kind(CompactPolicyConfig, CompactPolicy)}
"""Every kind of policy by its name."""


@dataclass(frozen=True, kw_only=True)
class About:
    """All that is to be known of a policy but its shape and weights."""

    replan_steps: int
    """Actions of a chunk that are executed before the next is predicted."""
    fps: float
    """Actions in one second."""
    images: Mapping[str, tuple[int, int]]
    """View → (H, W) of the images that it learnt from, before they were resized."""
    state_names: tuple[str, ...]
    """Names of the numbers of the state."""
    action_names: tuple[str, ...]
    """Names of the numbers of an action."""
    robot: str = ""
    """What its datasets call the robot."""
    task: str = ""
    """Name of the simulated task that it was shown; empty where there is none, or several."""
    instructions: tuple[str, ...] = ()
    """Those that it was taught."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on and how: for people, not read by code."""


@dataclass(frozen=True, kw_only=True)
class StoredPolicy:
    """A policy from a directory."""

    policy: Policy
    """In evaluation mode; a torch module."""
    kind: str
    """Its name in `KINDS`."""
    about: About
    """What it is for."""
    fingerprint: str
    """sha256 of weights and configuration, 16 digits."""


def kind_of(policy: Any) -> str:
    """Return the name of a policy's kind.

    Raises:
        InputError: If it is of none.
    """
    for name, kind in KINDS.items():
        if type(getattr(policy, "config", None)) is kind.config:
            return name
    raise InputError(
        f"a {type(policy).__name__} cannot be stored; policies are: {', '.join(KINDS)}"
    )


def save_policy(policy: nn.Module, directory: Path, about: About) -> str:
    """Write a policy and return its fingerprint; one that is there is replaced in one step.

    Raises:
        InputError: If the policy is of no known kind, or a weight is not finite.
        OSError: If it cannot be written.
    """
    from safetensors.torch import save

    kind = kind_of(policy)
    tensors = {name: t.detach().cpu().contiguous() for name, t in policy.state_dict().items()}
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise InputError(f"the policy's {broken[0]} is not finite, so it is not stored")
    weights = save(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    stored = {
        "format": FORMAT,
        "code_version": version("robo-reward"),
        "preprocessing": PREPROCESSING,
        "kind": kind,
        "weights_sha256": digest,
        "config": asdict(cast(Any, policy.config)),
        "about": finite(asdict(about)),
    }
    text = json.dumps(stored, indent=1, allow_nan=False)
    directory.mkdir(parents=True, exist_ok=True)
    kept = weights_file(directory, digest)
    write_atomically(kept, weights)
    write_atomically(directory / CONFIG, text.encode())
    for path in directory.glob("model-*.safetensors"):
        if path != kept:
            path.unlink()
    return _fingerprint(stored)


def remove_policy(directory: Path) -> None:
    """Remove the policy in a directory; fine if there is none.

    Raises:
        OSError: If a file cannot be removed.
    """
    (directory / CONFIG).unlink(missing_ok=True)
    for path in directory.glob("model-*.safetensors"):
        path.unlink()


def load_policy(directory: str | Path, *, device: str | None = None) -> StoredPolicy:
    """Return the policy in a directory, ready to act.

    Args:
        directory: Holds ``policy.json`` and the weights it names.
        device: Where to put it; None: a GPU if there is one, else the CPU.

    Raises:
        CheckpointError: If it is absent, damaged, incomplete, or of another version or kind.
    """
    place = Path(directory)
    stored = read_policy(place)
    kind = KINDS[stored["kind"]]
    try:
        config = kind.config(**_tuples(stored["config"]))
        images = {name: tuple(size) for name, size in stored["about"]["images"].items()}
        about = About(**_tuples(stored["about"]) | {"images": images})
        digest = str(stored["weights_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{place / CONFIG} does not describe a {stored['kind']} policy ({error}); copy it again"
        ) from error
    policy = kind.build(config)
    _load_weights(place, policy, digest)
    policy.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return StoredPolicy(
        policy=cast(Policy, policy),
        kind=stored["kind"],
        about=about,
        fingerprint=_fingerprint(stored),
    )


def read_policy(directory: Path) -> dict[str, Any]:
    """Return what ``policy.json`` says.

    Raises:
        CheckpointError: If it is absent, damaged, or of another version or kind.
    """
    path = directory / CONFIG
    if not path.is_file():
        raise CheckpointError(
            f"{directory} is no policy: there is no {CONFIG}; make one with robo-reward clone"
        )
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = stored["format"], stored["preprocessing"]
        kind = str(stored["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); clone or copy the policy again"
        ) from error
    if found != (FORMAT, PREPROCESSING):
        raise CheckpointError(
            f"{path} has format {found[0]} with preprocessing {found[1]!r}, this version reads "
            f"format {FORMAT} with {PREPROCESSING!r}: use the version that wrote it "
            f"({stored.get('code_version')}) or clone again"
        )
    if kind not in KINDS:
        raise CheckpointError(f"{path}: there is no policy {kind!r}, only {', '.join(KINDS)}")
    return stored


def _load_weights(directory: Path, policy: nn.Module, digest: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = weights_file(directory, digest)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read ({error.strerror}); copy the policy again"
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(
            f"{path} is not the file that {CONFIG} was written with; copy both again"
        )
    try:
        policy.load_state_dict(load(content))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{path} does not fit the policy: {reason}") from error


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}


def _fingerprint(stored: dict[str, Any]) -> str:
    """Return a hash of weights and configuration."""
    told = {name: stored[name] for name in ("format", "kind", "weights_sha256", "config")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
