"""LeRobot's SmolVLA with the likelihood of one random step of its flow.

SmolVLA (arXiv 2506.01844) reads images, words and state once into keys and values, and carries
noise to actions by asking its expert K times. LeRobot's time t runs from noise at 1 to actions at
0, x_t = t x_noise + (1 − t) x_actions, with a network trained towards x_noise − x_actions: so
τ = 1 − t, and the velocity in τ is the negative of its own.
"""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robo_reward.acting import Situation
from robo_reward.errors import InputError

from .flow import Velocity
from .lerobot_adapter import Parts
from .lerobot_flow import NOISE, FlowAdapter


class SmolVlaAdapter(FlowAdapter):
    """SmolVLA as a `Policy`; its value stands on the mean of what it read.

    What of it is trained, LeRobot's configuration says: by default the expert and the projections.
    """

    building: ClassVar = {"load_vlm_weights": False}
    companions: ClassVar = {"vlm_model_name": "smolvlm"}

    def __init__(self, parts: Parts, noise: float = NOISE) -> None:
        """Adapt a policy; ``noise`` is the level of the random step."""
        config, model = parts.policy.config, parts.policy.model
        super().__init__(
            parts,
            noise,
            width=model.vlm_with_expert.config.text_config.hidden_size,
            grid=(config.chunk_size, config.max_action_dim),
            steps=config.num_steps,
        )

    @classmethod
    def check(cls, config: Any, source: str) -> None:
        """Refuse what `LeRobotAdapter.check` does, joints converted inside, and no cache."""
        super().check(config, source)
        if not config.use_cache:
            raise InputError(
                f"{source} has use_cache false, and without its cache the expert reads nothing; "
                "set it to true in config.json"
            )
        if config.adapt_to_pi_aloha:
            raise InputError(
                f"{source} converts Aloha's joints inside the policy (adapt_to_pi_aloha), which is "
                "not done here; train it on joints as they are"
            )

    def _check_views(self, seen: Situation) -> None:
        """Refuse to see nothing: a missing view has no tokens."""
        if not set(self.cameras) & set(seen.views):
            raise InputError(
                f"a smolvla policy needs at least one of its views {', '.join(self.cameras)}, got "
                f"{', '.join(seen.views) or 'none'}; name the cameras as it was trained"
            )

    def _in_size(self, name: str, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return images as they are: LeRobot makes any size fit."""
        return images

    def look(self, batch: dict[str, Any]) -> tuple[Velocity, Tensor]:
        """Return the flow's velocity where this is seen, and features (B, W)."""
        from lerobot.policies.common.vla_utils import make_att_2d_masks

        model = self.policy.model
        embedded, there, causal = model.embed_prefix(
            *self.policy.prepare_images(batch),
            batch["observation.language.tokens"],
            batch["observation.language.attention_mask"],
            state=self.policy.prepare_state(batch),
        )
        (read, _), cache = model.vlm_with_expert.forward(
            attention_mask=make_att_2d_masks(there, causal),
            position_ids=torch.cumsum(there, dim=1) - 1,
            past_key_values=None,
            inputs_embeds=[embedded, None],
            use_cache=True,
        )
        weight = there.unsqueeze(-1).float()
        features = (read.float() * weight).sum(1) / weight.sum(1)
        return partial(self._velocity, there, cache), features

    def _velocity(self, there: Tensor, cache: Any, x: Tensor, tau: Tensor) -> Tensor:
        """Return u (B, N) at x (B, N) and τ (B,)."""
        back: Tensor = self.policy.model.denoise_step(
            prefix_pad_masks=there,
            past_key_values=cache,
            x_t=x.view(-1, *self.grid),
            timestep=1.0 - tau,
        )
        return -back.flatten(1).float()

    def save_companions(self, place: Path) -> None:
        """Write the shape of the language model and its processor; its weights are LeRobot's."""
        both = self.policy.model.vlm_with_expert
        both.config.save_pretrained(place / self.companions["vlm_model_name"])
        both.processor.save_pretrained(place / self.companions["vlm_model_name"])
