"""Whether a training run may write where it is told to, and whether it may go on there."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.config import CompactConfig, HfConfig, stored
from robo_reward.errors import CheckpointError, InputError, OutputError
from robo_reward.processes import Processes

from .places import try_out

if TYPE_CHECKING:
    from robo_reward.network import ProgressNetwork
    from robo_reward.training import Trainer

    from .episodes import EpisodeDataset
    from .train import Train


LOG = "log.jsonl"


def forget(out: Path) -> None:
    """Remove the run in ``out``, its models too: a later ``--resume`` must not announce them.

    Raises:
        OSError: If a file cannot be removed.
    """
    from robo_reward.checkpoint import remove
    from robo_reward.training_state import STATE

    (out / STATE).unlink(missing_ok=True)
    for name in ("best", "last"):
        remove(out / name)
    (out / LOG).unlink(missing_ok=True)


def check_output(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Check that ``--out`` may be written to, as ``--resume`` and ``--overwrite`` say.

    Raises:
        RoboRewardError: If it is a file, holds something unasked for, or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise OutputError(f"--out {out} is a file; give a directory")
    if out.is_dir() and any(out.iterdir()):
        if not resume and not overwrite:
            raise OutputError(
                f"--out {out} is not empty: --resume goes on with the run there, --overwrite "
                "replaces it"
            )
    elif resume:
        raise InputError(f"--resume: there is no run in {out}; leave --resume out")
    try_out(out)


def check_shareable(command: "Train", processes: Processes) -> None:
    """Check that several processes can share the steps of a training.

    Raises:
        InputError: If the network is the compact one.
    """
    if processes.count > 1 and not command.hf.base:
        raise InputError(
            "several processes train pretrained backbones alone (--hf.base): the compact network "
            "normalises by the batch, and a part of a step has other statistics than the whole; "
            "start it without a launcher"
        )


def keep_base(network: "ProgressNetwork", place: Path, *, write: bool) -> None:
    """Write what training does not change before the weights are spread over processes.

    Raises:
        OSError: If it cannot be written.
    """
    from robo_reward.hf.storing import frozen_digest, save_base

    frozen_digest(network)  # every process remembers it; parts have none
    if write:
        place.mkdir(parents=True, exist_ok=True)
        save_base(place, network)


def first_network(command: "Train") -> "ProgressNetwork":
    """Return the network that training begins with.

    Raises:
        CheckpointError: If the model to begin with cannot be read.
        InputError: If it has another shape than was asked for.
    """
    from robo_reward.checkpoint import build, load, read_model_config

    if command.start is None:
        return build(command.shape)
    shape = read_model_config(command.start).backbone
    differences = _differences(shape, command.shape)
    if differences:
        raise InputError(
            f"--start {command.start} has {', '.join(differences)}, which is not what was asked "
            "for; repeat the flags of its training"
        )
    return load(command.start).network


def _differences(one: CompactConfig | HfConfig, two: CompactConfig | HfConfig) -> list[str]:
    """Return what keeps weights of a shape from fitting another; where a base lies is no matter."""
    if isinstance(one, HfConfig) and isinstance(two, HfConfig):
        one = replace(one, base=two.base, learning_rate=two.learning_rate)
    if type(one) is not type(two):
        return [f"the shape {one}"]
    asked = asdict(two)
    told = asdict(one).items()
    return [
        f"{name} {value!r}, not {asked[name]!r}" for name, value in told if value != asked[name]
    ]


def identity(command: "Train", dataset: "EpisodeDataset") -> dict[str, Any]:
    """Return what a run and the one that resumes it must share, beside the training settings."""
    from robo_reward.checkpoint import read_config, resolve

    return {
        "dataset_fingerprint": dataset.fingerprint,
        "views": list(dataset.views),
        "seed": command.seed,
        "validation_share": command.validation,
        "withhold": list(command.withhold),
        "query_period": command.query_period,
        "budget": command.budget,
        "unannotated": command.unannotated,
        "fusion": command.fusion,
        "weights": list(command.weights),
        "start": command.start and read_config(resolve(command.start))["weights_sha256"],
        "sampling": asdict(command.sampling),
        "shape": stored(command.shape),
    }


OLDER = {"drop_belief": 0.25, "own_belief": 0.5, "unseen": 0.0}
"""What runs did that say nothing of it."""


def check_same_run(out: Path, mine: dict[str, Any]) -> None:
    """Refuse to go on with a run of another `identity`; fine where nothing was saved yet.

    Raises:
        CheckpointError: If it is another, or its last checkpoint cannot be read.
    """
    from robo_reward.checkpoint import CONFIG, read_config

    if not (out / "last" / CONFIG).is_file():
        return
    stored = read_config(out / "last")["training"]
    stored["sampling"] = OLDER | stored.get("sampling", {})
    stored.setdefault("fusion", "weighted")
    told = json.loads(json.dumps(mine))
    other = [name for name, value in told.items() if stored.get(name) != value]
    if other:
        raise CheckpointError(
            f"--resume: the run in {out} has another {', '.join(other)}; repeat its flags to go "
            "on with it, or start afresh with --overwrite"
        )


def best_so_far(out: Path) -> dict[str, float]:
    """Return what validation said of the best checkpoint in ``out``; nothing where none is."""
    path = out / "best" / "config.json"
    if not path.is_file():
        return {}
    told = json.loads(path.read_text())["training"]["validation"]
    return {name: math.nan if value is None else value for name, value in told.items()}


def restore(trainer: "Trainer", out: Path) -> None:
    """Let a trainer go on where the run in ``out`` left off; fine where nothing was saved yet.

    Raises:
        CheckpointError: If the state cannot be read, or the base model's frozen weights are
            others than they were.
    """
    from robo_reward.checkpoint import read_config
    from robo_reward.training_state import STATE

    if not (out / STATE).is_file():
        return
    if trainer.network.frozen():
        from robo_reward.hf.storing import frozen_digest

        stored = read_config(out / "last")
        if stored["base"]["frozen_sha256"] != frozen_digest(trainer.network):
            raise CheckpointError(
                f"--resume: the run in {out} is on other weights than its base model has now; "
                "put the old ones back, or start afresh with --overwrite"
            )
    trainer.restore(out)
