"""What a refinement run needs to go on: complete, in one file, replaced in one step."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from robo_reward.errors import CheckpointError
from robo_reward.files import finite, write_atomically

from .evaluation import Success
from .observing import Observed
from .potential_fit import PotentialFit
from .refreshing import forget_versions, load_version, version_place
from .reward_models import training_of
from .starts import Reached
from .storing import CONFIG

if TYPE_CHECKING:
    from .refining import Refinement

STATE = "state.safetensors"
FREE = (
    "out",
    "overwrite",
    "dry_run",
    "workers",
    "launcher",
    "ray_address",
    "deadline",
    "peer_deadline",
    "rollouts",
    "keep_rollouts",
    "cache",
    "cache_gb",
    "monitors",
    "stop_on_alarm",
)
"""Settings that a run may change when it goes on; ``rollouts`` to go on for longer."""


@dataclass(kw_only=True)
class RunState:
    """How far a run has got."""

    updates: int = 0
    rollouts: int = 0
    """Episodes that were played to learn from."""
    fit: PotentialFit = field(default_factory=PotentialFit)
    evaluations: list[tuple[int, Success]] = field(default_factory=list)
    """(rollouts by then, success)."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Of every update: what the curve shows."""
    observed: list[Observed] = field(default_factory=list)
    """Of every update since Φ was replaced: what monitors look at."""
    version: int = 0
    """Which version of the reward model judges; 0: the one that was given."""
    reward: str = ""
    """Its fingerprint; empty where none judges."""

    def save(self, run: "Refinement") -> None:
        """Write all of a run that is in this state; what was there is replaced in one step.

        Raises:
            OSError: If it cannot be written.
        """
        from safetensors.torch import save

        command, learner, starts = run.command, run.learner, run.starts
        policy = learner.policy
        tensors = {f"weight.{n}": t.contiguous() for n, t in changing(policy).items()}
        for name, parameter in policy.named_parameters():
            for key, value in learner.optimiser.state.get(parameter, {}).items():
                tensors[f"moment.{name}.{key}"] = value.contiguous()
        for number, reached in enumerate(starts.reached):
            tensors[f"reached.{number}"] = torch.from_numpy(reached.played)
        told = {
            "identity": identity(run),
            "updates": self.updates,
            "rollouts": self.rollouts,
            "learner_updates": learner.updates,
            "fit": self.fit.state(),
            "evaluations": [(rollouts, asdict(found)) for rollouts, found in self.evaluations],
            "history": finite(self.history),
            "observed": [one.state() for one in self.observed],
            "begun": starts.begun,
            "groups": starts.groups,
            "reached": [(one.seed, one.progress) for one in starts.reached],
            "version": self.version,
            "reward": self.reward,
        }
        content = save(tensors, metadata={"state": json.dumps(told)})
        command.out.mkdir(parents=True, exist_ok=True)
        write_atomically(command.out / STATE, content)


def changing(policy: nn.Module) -> dict[str, Tensor]:
    """Return what of a policy may have changed since it was loaded: all but frozen weights."""
    frozen = {name for name, weight in policy.named_parameters() if not weight.requires_grad}
    return {name: value for name, value in policy.state_dict().items() if name not in frozen}


def identity(run: "Refinement") -> dict[str, Any]:
    """Return what a run and the one that resumes it must share."""
    mine = {name: value for name, value in asdict(run.command).items() if name not in FREE}
    setting = run.setting
    mine["policy"] = setting.stored.fingerprint
    if setting.showing is not None:
        mine["demonstrations"] = setting.showing.shown.mixture.fingerprint
    told: dict[str, Any] = json.loads(json.dumps(mine, default=str))
    return told


def forget(out: Path) -> None:
    """Remove the run in ``out``.

    Raises:
        OSError: If a file cannot be removed.
    """
    (out / STATE).unlink(missing_ok=True)
    for name in ("policy", "best"):
        if (out / name / CONFIG).is_file():
            shutil.rmtree(out / name)
    forget_versions(out)
    for name in ("refine.jsonl", "curve.png"):
        (out / name).unlink(missing_ok=True)


def begin_or_resume(run: "Refinement") -> None:
    """Let a run go on where the one in ``--out`` stopped; fine where nothing is there.

    Raises:
        CheckpointError: If the state is damaged, or of a run with other settings.
    """
    from safetensors import SafetensorError, safe_open

    path = run.command.out / STATE
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        other = [n for n, v in identity(run).items() if told["identity"].get(n) != v]
        if other:
            raise CheckpointError(
                f"{run.command.out} holds a run with another {', '.join(other)}; repeat its "
                "flags to go on with it, or start afresh with --overwrite"
            )
        _restore(run, told, tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} cannot be resumed ({' '.join(str(error).split())}); start afresh with "
            "--overwrite"
        ) from error


def _restore(run: "Refinement", told: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    weights = {n.removeprefix("weight."): t for n, t in tensors.items() if n.startswith("weight.")}
    if weights.keys() != changing(run.learner.policy).keys():
        raise ValueError("its weights are those of another policy")
    run.learner.policy.load_state_dict(weights, strict=False)
    for name, parameter in run.learner.policy.named_parameters():
        prefix = f"moment.{name}."
        found = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if found:
            run.learner.optimiser.state[parameter] = {
                n: t if n == "step" else t.to(parameter.device) for n, t in found.items()
            }
    run.learner.updates = int(told["learner_updates"])
    run.starts.begun, run.starts.groups = int(told["begun"]), int(told["groups"])
    for number, (seed, progress) in enumerate(told["reached"]):
        run.starts.reached.append(
            Reached(seed, tensors[f"reached.{number}"].numpy(), float(progress))
        )
    run.state = RunState(
        updates=int(told["updates"]),
        rollouts=int(told["rollouts"]),
        fit=PotentialFit.from_state(told["fit"]),
        evaluations=[(n, Success(**found)) for n, found in told["evaluations"]],
        history=told["history"],
        observed=[Observed.from_state(one) for one in told["observed"]],
        version=int(told["version"]),
        reward=str(told["reward"]),
    )
    if run.state.version:
        version = run.state.version
        place = version_place(run.command.out, version)
        run.setting.judge_by(load_version(run.command.out, version), training_of(place))
    if run.setting.reward_fingerprint != run.state.reward:
        raise CheckpointError(
            f"the run in {run.command.out} was judged by another reward model "
            f"({run.state.reward}) than is there now ({run.setting.reward_fingerprint}); put that "
            "one back, or start afresh with --overwrite"
        )
