"""The one way an image becomes model input, so that training and use see the same pixels."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

type Image = NDArray[np.uint8]

PREPROCESSING = "square-area-1"
"""Version of `resize`; part of every cache key and checkpoint."""


def resize(image: Image, size: int) -> Image:
    """Return ``image`` (H, W, 3) as (size, size, 3), area-averaged, not cropped."""
    if image.shape[:2] == (size, size):
        return image
    import cv2

    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def checked(name: str, image: Image) -> Image:
    """Return ``image`` if it is a non-empty uint8 (H, W, 3) array.

    Raises:
        InputError: If it is anything else.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = image.dtype if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"view {name!r} must be a uint8 array, got {kind}; scale it to 0…255")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InputError(f"view {name!r} must have shape (H, W, 3), got {image.shape}; give RGB")
    return image


def jitter(
    images: Image,
    groups: NDArray[np.int64],
    *,
    shift: float,
    brightness: float,
    rng: np.random.Generator,
) -> Image:
    """Return images (N, S, S, 3) shifted and brightened at random, alike within a group.

    Args:
        images: As they were.
        groups: (N,) number of the group of each.
        shift: Furthest way down and right or back, as a share of the side; edges are repeated.
        brightness: Largest share by which they become brighter or darker.
        rng: Draws.
    """
    size, reach = images.shape[1], round(shift * images.shape[1])
    moved = np.empty_like(images)
    for number in np.unique(groups):
        rows = np.flatnonzero(groups == number)
        down, right = rng.integers(-reach, reach + 1, size=2)
        gain = 1.0 + brightness * rng.uniform(-1.0, 1.0)
        y = np.clip(np.arange(size) - down, 0, size - 1)
        x = np.clip(np.arange(size) - right, 0, size - 1)
        table = np.clip(np.arange(256) * gain, 0, 255).astype(np.uint8)
        moved[rows] = table[images[rows][:, y][:, :, x]]
    return moved


def pixel_hash(image: Image) -> str:
    """Return a key that equal pixels share."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16)
    return f"{image.shape[0]}x{image.shape[1]}-{digest.hexdigest()}"
