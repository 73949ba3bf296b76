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


def pixel_hash(image: Image) -> str:
    """Return a key that equal pixels share."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16)
    return f"{image.shape[0]}x{image.shape[1]}-{digest.hexdigest()}"
