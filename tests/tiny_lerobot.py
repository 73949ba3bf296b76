"""Small random LeRobot checkpoints on disk: made and saved by LeRobot itself, weights and all.

Their numbers of state and actions are `STATE` and `ACTIONS`, their views `VIEWS`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_vlm import make_tiny_vlm

from robo_reward.acting import Situation

STATE, ACTIONS, SIDE = 3, 2, 32
VIEWS = ("front", "wrist")


def stats(mean: tuple[float, ...] = (10.0, -20.0), std: tuple[float, ...] = (2.0, 0.5)) -> Any:
    """Return statistics whose actions have this mean and spread; the state's are not 0 and 1."""
    told = {"action": (mean, std), "observation.state": ((1.0, 2.0, 3.0), (2.0, 2.0, 2.0))}
    told |= {f"observation.images.{name}": ((0.5,) * 3, (0.25,) * 3) for name in VIEWS}
    made = {}
    for key, (middle, spread) in told.items():
        m, s = torch.tensor(middle), torch.tensor(spread)
        made[key] = {"mean": m, "std": s, "min": m - 2.0 * s, "max": m + 2.0 * s}
    return made


def situation(count: int = 4, seed: int = 0, side: int = SIDE) -> Situation:
    """Return situations that look different, with three instructions."""
    rng = np.random.default_rng(seed)
    shape = (count, side, side, 3)
    return Situation(
        views={name: rng.integers(0, 256, shape, dtype=np.uint8) for name in VIEWS},
        state=(1.0 + 2.0 * rng.standard_normal((count, STATE))).astype(np.float32),
        instructions=[("push", "open the drawer", "")[i % 3] for i in range(count)],
    )


def make_act(directory: Path, **changes: Any) -> Path:
    """Save a random ACT with a ResNet-18."""
    shape = {
        "chunk_size": 4,
        "n_action_steps": 4,
        "pretrained_backbone_weights": None,
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 64,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
        "latent_dim": 4,
    }
    return make(directory, "act", scale=1.0, **shape | changes)


def make_smolvla(directory: Path, **changes: Any) -> Path:
    """Save a random SmolVLA over a tiny SmolVLM, which lies beside it in ``smolvlm``."""
    shape = {
        "vlm_model_name": str(make_smolvlm(directory.parent / "smolvlm")),
        "num_vlm_layers": 2,
        "resize_imgs_with_padding": (64, 64),
        "chunk_size": 4,
        "n_action_steps": 3,
        "num_steps": 4,
        "max_state_dim": 6,
        "max_action_dim": 5,
    }
    return make(directory, "smolvla", scale=3.0, **shape | changes)


def make_dit(directory: Path, **changes: Any) -> Path:
    """Save a random MultiTaskDiT over a tiny CLIP, which lies beside it in ``clip``."""
    clip = str(make_clip(directory.parent / "clip"))
    shape = {
        "vision_encoder_name": clip,
        "text_encoder_name": clip,
        "objective": "flow_matching",
        "num_integration_steps": 4,
        "n_obs_steps": 1,
        "horizon": 4,
        "n_action_steps": 3,
        "hidden_dim": 32,
        "num_layers": 2,
        "num_heads": 2,
        "timestep_embed_dim": 16,
        "image_crop_shape": None,
    }
    return make(directory, "multi_task_dit", scale=1.0, **shape | changes)


def make(directory: Path, kind: str, *, scale: float, statistics: Any = None, **shape: Any) -> Path:
    """Save a random policy of a LeRobot type with processors that have ``statistics``.

    So narrow a network says the same of every input with the usual initial weights: those of two
    or more dimensions are multiplied by ``scale``, and what begins at nothing gets a little.
    """
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.factory import (
        get_policy_class,
        make_policy_config,
        make_pre_post_processors,
    )

    defaults = {
        "device": "cpu",
        "input_features": {
            "observation.state": PolicyFeature(FeatureType.STATE, (STATE,)),
            **{f"observation.images.{name}": image() for name in VIEWS},
        },
        "output_features": {"action": PolicyFeature(FeatureType.ACTION, (ACTIONS,))},
    }
    config = make_policy_config(kind, **defaults | shape)
    torch.manual_seed(0)
    policy = get_policy_class(kind)(config)
    with torch.no_grad():
        for name, weight in policy.named_parameters():
            if weight.ndim > 1 and "backbone" not in name:
                weight.mul_(scale)
                weight.add_(0.1 * torch.randn_like(weight) * (weight == 0.0))
    policy.save_pretrained(directory)
    for processor in make_pre_post_processors(config, dataset_stats=statistics or stats()):
        processor.save_pretrained(directory)
    return directory


def image(side: int = SIDE) -> Any:
    """Return the feature of a view of square images."""
    from lerobot.configs import FeatureType, PolicyFeature

    return PolicyFeature(FeatureType.VISUAL, (3, side, side))


def make_smolvlm(directory: Path) -> Path:
    """Save a tiny SmolVLM whose tokenizer names its marks, as that of the published one does."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    make_tiny_vlm(directory, "smolvlm")
    bare = AutoTokenizer.from_pretrained(directory)
    PreTrainedTokenizerFast(
        tokenizer_object=bare.backend_tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "image_token": "<image>",
        },
    ).save_pretrained(directory)
    return directory


def make_clip(directory: Path) -> Path:
    """Save a tiny CLIP with its tokenizer."""
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel

    marks = AutoTokenizer.from_pretrained(make_tiny_vlm(directory, "smolvlm"))
    text = {"vocab_size": len(marks), "hidden_size": 16, "intermediate_size": 32}
    text |= {"num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 77}
    text |= {"eos_token_id": marks.eos_token_id, "pad_token_id": marks.pad_token_id}
    text |= {"bos_token_id": marks.eos_token_id}
    vision = {"image_size": SIDE, "patch_size": 8, "hidden_size": 16, "intermediate_size": 32}
    vision |= {"num_hidden_layers": 1, "num_attention_heads": 2}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).save_pretrained(directory)
    return directory
