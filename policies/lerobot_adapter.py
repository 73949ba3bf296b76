"""What the adapters of LeRobot's policies share: eyes, units, a value, and a directory.

LeRobot's own processors turn situations into the network's input and its output into actions in
the robot's units: names, statistics and tokens are those that the checkpoint was saved with. The
network always runs as it does when it acts: no dropout, no random crop, no latent of a VAE, so
that a sample can be scored again.

Letters: B situations, C actions of A numbers, N numbers that a flow carries.
"""

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data.places import clear_up, replace_folder, written
from robo_reward.acting import Bools, Floats, Situation, Trace
from robo_reward.errors import InputError, OutputError
from robo_reward.images import resize

HEADS = "robo_reward_heads.safetensors"
"""File beside LeRobot's own with the weights that only the adapter has."""
TOKENIZER = "tokenizer"
"""Folder beside LeRobot's files with the tokenizer of the instructions."""
_IMAGES, _STATE = "observation.images.", "observation.state"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A LeRobot policy as LeRobot loads it."""

    policy: Any
    """Its `PreTrainedPolicy`."""
    before: Any
    """Its processor of observations."""
    after: Any
    """Its processor of actions."""


class LeRobotAdapter(nn.Module, ABC):
    """A LeRobot policy as a `Policy`: what is the same for all of them."""

    building: ClassVar[Mapping[str, Any]] = {}
    """Fields of LeRobot's configuration that are otherwise while the network is built."""
    companions: ClassVar[Mapping[str, str]] = {}
    """Field that names another model → folder beside LeRobot's files with what is needed of it."""
    noise_name: ClassVar[str] = "noise"
    """Which of `heads` holds how much is left to chance."""

    def __init__(self, parts: Parts, *, width: int) -> None:
        """Adapt a policy.

        Args:
            parts: The policy and its processors.
            width: Numbers of the features that the value stands on.

        Raises:
            InputError: If the policy looks at what a `Situation` does not hold.
        """
        super().__init__()
        self.policy, self.before, self.after = parts.policy, parts.before, parts.after
        self.config = parts.policy.config
        self.chunk = int(self.config.n_action_steps)
        self.action_dim = int(self.config.action_feature.shape[0])
        self.cameras = _cameras(self.config, self.before)
        self.value = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        for parameter in self.value[2].parameters():
            nn.init.zeros_(parameter)
        self.eval()

    @classmethod
    def check(cls, config: Any, source: str) -> None:
        """Refuse a configuration that cannot be adapted.

        Raises:
            InputError: If it cannot.
        """
        if config.use_peft:
            raise InputError(
                f"{source} holds a PEFT adapter and not the weights; merge it into its base "
                "(merge_and_unload) and save the whole policy"
            )
        if config.n_obs_steps != 1:
            raise InputError(
                f"{source} looks at the last {config.n_obs_steps} observations, and a situation "
                "holds one; train it with --policy.n_obs_steps=1"
            )

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but LeRobot's network, which always runs as it does when it acts."""
        super().train(mode)
        self.policy.eval()
        return self

    @property
    def device(self) -> torch.device:
        """Where it lives."""
        return next(self.value.parameters()).device

    @abstractmethod
    def act(self, seen: Situation) -> Floats:
        """Return chunks (B, C, A) without chance."""

    @abstractmethod
    def sample(self, seen: Situation, rng: np.random.Generator) -> tuple[Floats, Trace]:
        """Return chunks (B, C, A) drawn from the policy, and what is needed to score them."""

    @abstractmethod
    def score(self, seen: Situation, trace: Trace) -> tuple[Tensor, Tensor, Tensor]:
        """Return (log-density (B,), entropy (B,), value (B,)) of chunks that were sampled."""

    @abstractmethod
    def cloning_loss(
        self, seen: Situation, actions: Floats, known: Bools, rng: np.random.Generator
    ) -> Tensor:
        """Return (B,) LeRobot's loss on chunks (B, C, A), of which ``known`` (B, C) count."""

    def batch(self, seen: Situation, actions: Floats | None = None) -> dict[str, Any]:
        """Return what LeRobot's processor makes of situations, and of chunks (B, C, A).

        Raises:
            InputError: If the policy knows another state, or needs a view that is missing.
        """
        self._check_state(seen)
        self._check_views(seen)
        state = torch.as_tensor(np.array(seen.state), dtype=torch.float32, device=self.device)
        told: dict[str, Any] = {"task": list(seen.instructions), _STATE: state}
        for name, key in self.cameras.items():
            if name in seen.views:
                images = self._in_size(name, np.array(seen.views[name]))
                shown = torch.from_numpy(images).to(self.device)
                told[key] = shown.permute(0, 3, 1, 2).to(torch.float32) / 255.0
        if actions is not None:
            told["action"] = torch.from_numpy(np.array(actions, np.float32)).to(self.device)
        made = self.before(told).items()
        return {k: v.to(self.device) if isinstance(v, Tensor) else v for k, v in made}

    def _check_state(self, seen: Situation) -> None:
        feature = self.config.robot_state_feature
        if feature is not None and seen.state.shape[1] != feature.shape[0]:
            raise InputError(
                f"this policy knows a state of {feature.shape[0]} numbers, got "
                f"{seen.state.shape[1]}; it is of another robot"
            )

    def _check_views(self, seen: Situation) -> None:
        """Refuse missing views; overridden where they are fine."""
        missing = [name for name in self.cameras if name not in seen.views]
        if missing:
            shown = ", ".join(seen.views) or "none"
            raise InputError(
                f"this {self.config.type} policy cannot do without a view: {missing[0]} is missing "
                f"(shown: {shown}); show it, or load a policy that was trained without it"
            )

    def _in_size(self, name: str, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the images (B, H, W, 3) of a view as the policy learnt from them.

        Larger square ones are averaged; overridden where any will do.

        Raises:
            InputError: If they are of another shape, or smaller.
        """
        wanted, got = self.image_sizes()[name], images.shape[1:3]
        if wanted[0] == wanted[1] < got[0] == got[1]:
            return np.stack([resize(image, wanted[0]) for image in images])
        if wanted != got:
            raise InputError(
                f"this policy learnt from images of {wanted[0]}x{wanted[1]} in view {name}, "
                f"got {got[0]}x{got[1]}; set the camera to that size"
            )
        return images

    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """Return view → (H, W) of the images that a camera had in training."""
        renames = _renames(self.before)
        shapes = {
            name: self.config.image_features[renames.get(key, key)].shape[-2:]
            for name, key in self.cameras.items()
        }
        return {name: (int(height), int(width)) for name, (height, width) in shapes.items()}

    def chunks(self, made: Tensor) -> Floats:
        """Return actions (B, C, A) in the robot's units of what the network made of them."""
        actions: Floats = self.after(made).float().numpy(force=True)
        return actions

    def save(self, directory: str | Path, also: Callable[[Path], None] = lambda _: None) -> None:
        """Write all that is needed to load it again; a policy that is there is replaced.

        LeRobot's files keep their names and places, so its programs read the directory too; what
        they name (a tokenizer, another model) they look for where they did before. A writer that is
        killed leaves the old policy or the new one to the loader here.

        Args:
            directory: Where to.
            also: Called with the new folder before it takes its place, to put more into it.

        Raises:
            OutputError: If something else is there, or it cannot be written.
        """
        place = Path(directory)
        if place.exists() and not is_policy(place) and (place.is_file() or any(place.iterdir())):
            raise OutputError(
                f"{place} is no LeRobot policy, so it is not replaced; choose another directory"
            )
        new = place.with_name(f"{place.name}.partial-{os.getpid()}")
        with written(place):
            clear_up(place)
            try:
                new.mkdir(parents=True)
                self._write(new)
                also(new)
                replace_folder(place, new)
            finally:
                shutil.rmtree(new, ignore_errors=True)

    def _write(self, place: Path) -> None:
        from safetensors.torch import save_file

        self.policy.save_pretrained(place)
        self.before.save_pretrained(place)
        self.after.save_pretrained(place)
        for step in self.before.steps:
            if hasattr(step, "input_tokenizer"):
                step.input_tokenizer.save_pretrained(place / TOKENIZER)
        self.save_companions(place)
        save_file(self.heads(), place / HEADS)

    def save_companions(self, place: Path) -> None:
        """Write what is needed of other models into their folders; nothing by default."""

    def heads(self) -> dict[str, Tensor]:
        """Return what only the adapter has: its state without LeRobot's network."""
        told = self.state_dict().items()
        return {k: v.detach().cpu().contiguous() for k, v in told if not k.startswith("policy.")}


def is_policy(directory: Path) -> bool:
    """Return whether a directory looks like a LeRobot policy."""
    return (directory / "config.json").is_file() and any(directory.glob("policy_*processor.json"))


def _renames(before: Any) -> dict[str, str]:
    """Return incoming key → key of the policy, as the processor renames them."""
    found: dict[str, str] = {}
    for step in before.steps:
        found |= getattr(step, "rename_map", {})
    return found


def _cameras(config: Any, before: Any) -> dict[str, str]:
    """Return view → incoming LeRobot key of all that a policy looks at.

    Raises:
        InputError: If it also looks at something else.
    """
    others = [k for k in config.input_features if k != _STATE and k not in config.image_features]
    if others:
        raise InputError(
            f"this {config.type} policy looks at {', '.join(others)}, which a situation does not "
            "hold; train one on images and observation.state"
        )
    origin = {new: old for old, new in _renames(before).items()}
    keys = [origin.get(key, key) for key in config.image_features if ".empty_camera_" not in key]
    return {key.removeprefix(_IMAGES).removeprefix("observation."): key for key in keys}
