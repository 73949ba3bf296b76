"""LeRobot's MultiTaskDiT, trained by flow matching, with the likelihood of one random step.

Its time runs as ours does, from noise at 0 to actions at 1, and its network is trained towards
x_1 − x_0. It is carried by Euler's method, whatever LeRobot is told to use.
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robo_reward.errors import InputError

from .flow import Velocity
from .lerobot_adapter import Parts
from .lerobot_flow import NOISE, FlowAdapter


class DitAdapter(FlowAdapter):
    """MultiTaskDiT as a `Policy`; its value stands on what conditions its transformer."""

    companions: ClassVar = {"vision_encoder_name": "clip_vision", "text_encoder_name": "clip_text"}

    def __init__(self, parts: Parts, noise: float = NOISE) -> None:
        """Adapt a policy; ``noise`` is the level of the random step."""
        config = parts.policy.config
        super().__init__(
            parts,
            noise,
            width=parts.policy.observation_encoder.conditioning_dim,
            grid=(config.horizon, config.action_feature.shape[0]),
            steps=config.num_integration_steps,
        )

    @classmethod
    def check(cls, config: Any, source: str) -> None:
        """Refuse what `LeRobotAdapter.check` does, and what is no rectified flow."""
        super().check(config, source)
        if not config.is_flow_matching:
            raise InputError(
                f"{source} was trained by diffusion, whose chain of steps is not scored here; "
                "train it with --policy.objective=flow_matching"
            )
        if config.sigma_min:
            raise InputError(
                f"{source} leaves noise {config.sigma_min} in its actions, and the likelihood here "
                "is that of a flow without; train it with --policy.sigma_min=0"
            )

    def look(self, batch: dict[str, Any]) -> tuple[Velocity, Tensor]:
        """Return the flow's velocity where this is seen, and features (B, W)."""
        told = batch | {"observation.state": batch["observation.state"].unsqueeze(1)}
        if self.config.image_features:
            shown = [batch[key] for key in self.config.image_features]
            told["observation.images"] = torch.stack(shown, dim=-4)
        features: Tensor = self.policy.observation_encoder.encode(told)
        return partial(self._velocity, features), features.float()

    def _velocity(self, features: Tensor, x: Tensor, tau: Tensor) -> Tensor:
        """Return u (B, N) at x (B, N) and τ (B,)."""
        made: Tensor = self.policy.noise_predictor(
            x.view(-1, *self.grid), tau, conditioning_vec=features
        )
        return made.flatten(1).float()

    def times(self, rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
        """Return times τ (B,) as the policy's configuration wants them drawn."""
        config = self.config
        if config.timestep_sampling_strategy == "uniform":
            return rng.random(count)
        shape = config.timestep_sampling_alpha, config.timestep_sampling_beta
        return np.asarray(config.timestep_sampling_s * (1.0 - rng.beta(*shape, count)))

    def save_companions(self, place: Path) -> None:
        """Write the shapes of both encoders; their weights are with the policy's."""
        seeing = self.policy.observation_encoder
        towers = {"text_encoder_name": seeing.text_encoder.text_encoder}
        if self.config.image_features:
            one = seeing.vision_encoder or seeing.vision_encoders[0]
            towers["vision_encoder_name"] = one.model
        for field, tower in towers.items():
            _save_shape(tower, place / self.companions[field])


def _save_shape(tower: Any, folder: Path) -> None:
    """Write a model without weights: one number of them, since LeRobot reads a file of them."""
    from safetensors.torch import save_file

    tower.config.save_pretrained(folder)
    save_file({"none": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
