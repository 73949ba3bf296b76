"""The families of vision-language models that can be a backbone, and what tells them apart.

Letters: N images, K tokens an image, D width, S side of an image in pixels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .preprocessing import patchify


@dataclass(frozen=True, kw_only=True)
class Family:
    """What a family calls its parts, and how its images enter the prompt."""

    name: str
    """The ``model_type`` of its configurations."""
    opening: tuple[str, ...]
    """Tokens before those of an image."""
    closing: tuple[str, ...]
    """Tokens after them."""
    language: str
    """Attribute of the language layers."""
    vision: tuple[str, ...]
    """Attributes of everything between pixels and image tokens."""
    rows_and_columns: bool
    """Whether an image token's position has a row and a column (multimodal rotary embedding)."""


_QWEN: dict[str, Any] = {
    "opening": ("<|vision_start|>",),
    "closing": ("<|vision_end|>",),
    "language": "language_model",
    "vision": ("visual",),
    "rows_and_columns": True,
}
FAMILIES = {
    family.name: family
    for family in (
        Family(name="qwen3_vl", **_QWEN),
        Family(name="qwen2_5_vl", **_QWEN),
        Family(
            name="smolvlm",
            opening=("<fake_token_around_image>", "<global-img>"),
            closing=("<fake_token_around_image>",),
            language="text_model",
            vision=("vision_model", "connector"),
            rows_and_columns=False,
        ),
    )
}


def family_of(architecture: dict[str, Any], where: str) -> Family:
    """Return the family of a configuration.

    Raises:
        InputError: If it is none of ours, or uses what our attention masks cannot say.
    """
    name = architecture.get("model_type")
    if name is None:
        raise InputError(
            f"{where} is no pretrained model: its configuration has no model_type; a model of "
            "robo-reward is trained on with --start"
        )
    if name not in FAMILIES:
        raise InputError(
            f"{where} is a {name!r} model, which cannot be a backbone; this version reads "
            f"{', '.join(FAMILIES)}"
        )
    layers = architecture.get("text_config", {}).get("layer_types") or ()
    if any(kind != "full_attention" for kind in layers):
        raise InputError(f"{where} has layers of sliding attention; choose a model without them")
    return FAMILIES[name]


@dataclass(frozen=True)
class Geometry:
    """How a square image becomes tokens."""

    patch: int
    """Side of a patch, in pixels."""
    merge: int
    """Patches along the side of what becomes one token."""
    frames: int
    """Times that an image is repeated, for towers that take films."""
    levels: int
    """Features of each token: its own, and what DeepStack adds after the first layers."""
    most: int
    """Largest side, in pixels; 0: any."""

    @classmethod
    def of(cls, architecture: dict[str, Any]) -> "Geometry":
        """Read it from a configuration."""
        vision = architecture["vision_config"]
        return cls(
            patch=vision["patch_size"],
            merge=vision.get("spatial_merge_size") or architecture["scale_factor"],
            frames=vision.get("temporal_patch_size", 1),
            levels=1 + len(vision.get("deepstack_visual_indexes", ())),
            most=vision.get("image_size", 0),
        )

    def side(self, size: int) -> int:
        """Return the tokens along the side of an image of ``size`` pixels.

        Raises:
            InputError: If such images do not divide into tokens; the message says which do.
        """
        unit = self.patch * self.merge
        if size % unit or size < unit:
            near = max(unit, round(size / unit) * unit)
            raise InputError(f"image_size {size} must be a multiple of {unit}, such as {near}")
        if self.most and size > self.most:
            raise InputError(f"image_size {size} is above {self.most}, this model's largest")
        return size // unit


def see(family: Family, model: Any, geometry: Geometry, pixels: Tensor) -> Tensor:
    """Return the tokens (N, K, levels · D) of normalised pixels (N, 3, S, S).

    The levels of a token lie beside each other: what enters the prompt, then what DeepStack
    (Meng et al., arXiv 2406.04334) adds to the states after the first, second, … layer.
    """
    count, side = len(pixels), geometry.side(pixels.shape[-1])
    if not family.rows_and_columns:
        states = model.vision_model(pixel_values=pixels, return_dict=True).last_hidden_state
        tokens: Tensor = model.connector(states)
        return tokens
    patches = patchify(pixels, geometry.patch, geometry.merge, geometry.frames)
    height = side * geometry.merge
    grid = torch.tensor([[1, height, height]], device=pixels.device).expand(count, 3)
    seen = model.visual(patches, grid_thw=grid, return_dict=True)
    deeper = getattr(seen, "deepstack_features", None) or []
    return torch.cat([seen.pooler_output, *deeper], dim=-1).view(count, side * side, -1)
