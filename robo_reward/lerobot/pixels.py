"""LeRobot's images as the network's: the same pixels as everywhere else in robo-reward."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..images import resize
from ..lerobot_rows import PREFIX

EDGE = 1e-3
"""How far beyond [0, 1] rounding may bring an image of floats."""


def batched(images: Tensor, told: Mapping[str, Any]) -> Tensor:
    """Return images as (B, T, 3, H, W), from a batch or a single item, with times or without.

    An item has a task that is a text and an index without dimensions; a batch has lists of them.
    Without both, four dimensions could be T images of one item or one each of B items.

    Args:
        images: (C, H, W), (T, C, H, W), (B, C, H, W) or (B, T, C, H, W).
        told: What came with them: ``task``, ``index``.

    Raises:
        InputError: If the shape is another one, or could mean two things.
    """
    shape = tuple(images.shape)
    if len(shape) not in (3, 4, 5) or shape[-3] != 3 or 0 in shape:
        raise InputError(
            f"images must be (B, T, 3, H, W), or lack B, T or both, got {shape}; give the "
            "preprocessor LeRobot's own images, once"
        )
    if len(shape) != 4:
        return images if len(shape) == 5 else images[None, None]
    task, index = told.get("task"), told.get("index")
    if isinstance(task, str) or (task is None and isinstance(index, Tensor) and index.ndim == 0):
        return images[None]
    if task is None and index is None:
        raise InputError(
            f"images {shape} could be T images or B items; give the task with them: a text for an "
            "item, a list of texts for a batch"
        )
    return images[:, None]


def to_uint8(name: str, images: Tensor) -> Tensor:
    """Return images of bytes, or of floats in [0, 1], as bytes; k / 255 comes out as k.

    Raises:
        InputError: If they are neither.
    """
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise InputError(f"{name} must be uint8 or floats in [0, 1], got {images.dtype}")
    low, high = images.min().item(), images.max().item()
    if not (low >= -EDGE and high <= 1.0 + EDGE):
        raise InputError(
            f"{name} must lie in [0, 1], got {low:.3g} to {high:.3g}; do not normalise images, the "
            "network does"
        )
    return (images * 255.0).round_().clamp_(0.0, 255.0).to(torch.uint8)


def squared(images: Tensor, size: int) -> Tensor:
    """Return uint8 images (B, T, 3, H, W) as (B, T, S, S, 3), by `robo_reward.images.resize`."""
    pixels: NDArray[np.uint8] = images.movedim(2, -1).contiguous().cpu().numpy()
    flat = pixels.reshape(-1, *pixels.shape[2:])
    small = np.stack([resize(image, size) for image in flat])
    return torch.from_numpy(small.reshape(*pixels.shape[:2], size, size, 3))


def views_of(observation: Mapping[str, Any], wanted: Sequence[str]) -> dict[str, Tensor]:
    """Return the images of an observation by view name, sorted; views may be missing, but not all.

    Args:
        observation: LeRobot's, with ``observation.images.<view>``.
        wanted: Names of the views to use; none: all that are there.

    Raises:
        InputError: If no view is there.
    """
    found = {
        key.removeprefix(PREFIX): value
        for key, value in sorted(observation.items())
        if key.startswith(PREFIX) and isinstance(value, Tensor) and not key.endswith("_is_pad")
    }
    views = {name: value for name, value in found.items() if not wanted or name in wanted}
    if not views:
        raise InputError(
            f"no view to look at: the batch has {', '.join(found) or 'no ' + PREFIX + '<view>'}"
            + (f", the model wants {', '.join(wanted)}" if wanted else "")
        )
    return views


def stacked(
    batch: Mapping[str, Any], wanted: Sequence[str], size: int
) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Return (view names, images (B, T, V, S, S, 3)) of a batch from the preprocessor.

    Raises:
        InputError: If it did not come from there.
    """
    views = views_of(batch, wanted)
    for name, images in views.items():
        if images.dtype != torch.uint8 or images.ndim != 5 or images.shape[2:] != (size, size, 3):
            raise InputError(
                f"{PREFIX + name} is {images.dtype} {tuple(images.shape)}, not uint8 "
                f"(B, T, {size}, {size}, 3); pass the batch through the preprocessor first"
            )
    return tuple(views), torch.stack(list(views.values()), dim=2).cpu().numpy()
