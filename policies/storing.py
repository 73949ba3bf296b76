"""A policy as a self-contained directory: safetensors weights and one JSON file.

An embedded policy's weights' file is named by their hash, and ``policy.json``, written after it,
names that file: a writer that is killed at any moment leaves the old policy or the new one. Loading
is strict: every weight must be there, and nothing else; what was damaged or written otherwise is
refused. Never pickle.

A LeRobot policy keeps LeRobot's files and names, and ``policy.json`` among them says the rest; one
that LeRobot wrote has none, and tells less of itself. It is replaced as a whole folder.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from data.places import put_back
from robo_reward.acting import Policy
from robo_reward.checkpoint import weights_file
from robo_reward.errors import CheckpointError, InputError
from robo_reward.files import finite, write_atomically
from robo_reward.images import PREPROCESSING

from . import lerobot_storing
from .about import About
from .compact import CompactPolicy, CompactPolicyConfig
from .lerobot_adapter import LeRobotAdapter
from .lerobot_loading import ADAPTERS, load_lerobot_policy, locate_policy

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
"""Every kind of policy that is ours, by its name; the others are LeRobot's types (`ADAPTERS`)."""


@dataclass(frozen=True, kw_only=True)
class StoredPolicy:
    """A policy from a directory."""

    policy: Policy
    """In evaluation mode; a torch module."""
    kind: str
    """Its name in `KINDS`, or LeRobot's name of its type."""
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
    if isinstance(policy, LeRobotAdapter):
        return str(policy.config.type)
    raise InputError(
        f"a {type(policy).__name__} cannot be stored; policies are: {', '.join(_kinds())}"
    )


def save_policy(policy: nn.Module, directory: Path, about: About) -> str:
    """Write a policy and return its fingerprint; one that is there is replaced in one step.

    Raises:
        InputError: If the policy is of no known kind, or a weight is not finite.
        OutputError: If a LeRobot policy would replace what is none.
        OSError: If it cannot be written.
    """
    kind = kind_of(policy)
    broken = [n for n, t in policy.state_dict().items() if not bool(t.isfinite().all())]
    if broken:
        raise InputError(f"the policy's {broken[0]} is not finite, so it is not stored")
    stored = {
        "format": FORMAT,
        "code_version": version("robo-reward"),
        "preprocessing": PREPROCESSING,
        "kind": kind,
        "about": finite(asdict(about)),
    }
    if isinstance(policy, LeRobotAdapter):
        policy.save(
            directory, lambda place: _describe(place, stored, lerobot_storing.digest(place))
        )
    else:
        _save_weights(policy, directory, stored)
    return _fingerprint(stored)


def _save_weights(policy: nn.Module, directory: Path, stored: dict[str, Any]) -> None:
    from safetensors.torch import save

    tensors = {name: t.detach().cpu().contiguous() for name, t in policy.state_dict().items()}
    weights = save(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    stored["config"] = asdict(cast(Any, policy.config))
    directory.mkdir(parents=True, exist_ok=True)
    kept = weights_file(directory, digest)
    write_atomically(kept, weights)
    _describe(directory, stored, digest)
    for path in directory.glob("model-*.safetensors"):
        if path != kept:
            path.unlink()


def _describe(place: Path, stored: dict[str, Any], digest: str) -> None:
    """Write ``policy.json`` beside weights with this hash, which is put into ``stored``."""
    stored["weights_sha256"] = digest
    write_atomically(place / CONFIG, json.dumps(stored, indent=1, allow_nan=False).encode())


def remove_policy(directory: Path) -> None:
    """Remove the policy in a directory; fine if there is none.

    Raises:
        OSError: If a file cannot be removed.
    """
    (directory / CONFIG).unlink(missing_ok=True)
    for path in directory.glob("model-*.safetensors"):
        path.unlink()
    lerobot_storing.remove(directory)


def load_policy(source: str | Path, *, device: str | None = None) -> StoredPolicy:
    """Return a policy, ready to act.

    Args:
        source: Directory with ``policy.json``; or what `load_lerobot_policy` takes: one of
            LeRobot's directories, or a hub id.
        device: Where to put it; None: a GPU if there is one, else the CPU.

    Raises:
        CheckpointError: If it is absent, damaged, incomplete, or of another version or kind.
        InputError: If it is a LeRobot policy without a likelihood here, or there is nothing.
    """
    place = Path(source)
    put_back(place)
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not (place / CONFIG).is_file() and (not place.exists() or _is_lerobot(place)):
        return _loaded(locate_policy(str(source)), None, where)
    stored = read_policy(place)
    if stored["kind"] in ADAPTERS:
        return _loaded(place, stored, where)
    kind = KINDS[stored["kind"]]
    about = _about(place, stored)
    try:
        config = kind.config(**_tuples(stored["config"]))
        digest = str(stored["weights_sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise _strange(place, stored, error) from error
    policy = kind.build(config)
    _load_weights(place, policy, digest)
    policy.eval().to(where)
    return StoredPolicy(
        policy=cast(Policy, policy),
        kind=stored["kind"],
        about=about,
        fingerprint=_fingerprint(stored),
    )


def _loaded(place: Path, stored: dict[str, Any] | None, device: str) -> StoredPolicy:
    """Return the LeRobot policy in a directory, with what ``policy.json`` says if there is one."""
    found = lerobot_storing.digest(place)
    if stored is not None and stored.get("weights_sha256") != found:
        raise CheckpointError(
            f"{place} holds other files than {CONFIG} was written with; copy all of them again, "
            f"or remove {CONFIG} to take the policy as LeRobot's"
        )
    policy = load_lerobot_policy(place, device=device)
    kind = kind_of(policy)
    told = {"format": FORMAT, "kind": kind, "weights_sha256": found}
    return StoredPolicy(
        policy=policy,
        kind=kind,
        about=lerobot_storing.about(policy) if stored is None else _about(place, stored),
        fingerprint=_fingerprint(told),
    )


def _is_lerobot(place: Path) -> bool:
    return (place / "config.json").is_file() or (place / "pretrained_model").is_dir()


def _about(place: Path, stored: dict[str, Any]) -> About:
    try:
        images = {name: tuple(size) for name, size in stored["about"]["images"].items()}
        return About(**_tuples(stored["about"]) | {"images": images})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _strange(place, stored, error) from error


def _strange(place: Path, stored: dict[str, Any], error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{place / CONFIG} does not describe a {stored['kind']} policy ({error}); copy it again"
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
    if kind not in _kinds():
        raise CheckpointError(f"{path}: there is no policy {kind!r}, only {', '.join(_kinds())}")
    return stored


def _kinds() -> tuple[str, ...]:
    return (*KINDS, *ADAPTERS)


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
    named = ("format", "kind", "weights_sha256", "config")
    told = {name: stored[name] for name in named if name in stored}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
