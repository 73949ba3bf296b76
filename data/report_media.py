"""Pictures of an episode for its page: one JPEG of small tiles per view."""

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .episodes import Episode, EpisodeDataset

MOST_TILES = 60
"""Times of an episode that are shown at most."""
TILES_ACROSS = 10
"""Tiles in a row of the picture; more would pass the widest image that browsers decode."""
QUALITY = 80


def stride_of(length: int) -> int:
    """Return every how many frames to take a picture.

    At most `MOST_TILES` are taken. Among the strides up to half again as long as needed, the
    one whose last picture is nearest to the last frame wins: the end matters most.
    """
    least = max(1, math.ceil(length / MOST_TILES))
    return min(range(least, least + least // 2 + 1), key=lambda s: ((length - 1) % s, s))


def encode_media(dataset: EpisodeDataset, episode: Episode, image_size: int) -> dict[str, Any]:
    """Return an episode's pictures, ready for JSON.

    Returns:
        ``frames`` (the frame number of each tile), ``across`` and ``down`` (tiles), and
        ``views``: by name a base64 ``jpeg`` and the tiles ``missing`` in it.
    """
    frames: list[int] = []
    tiles: dict[str, dict[int, NDArray[np.uint8]]] = {name: {} for name in episode.views}
    stride = stride_of(episode.length)
    for frame, views in dataset.frames(
        episode.index, views=episode.views, size=image_size, stride=stride
    ):
        for name, image in views.items():
            tiles[name][len(frames)] = image
        frames.append(frame)
    across = min(TILES_ACROSS, len(frames))
    down = math.ceil(len(frames) / across)
    return {
        "frames": frames,
        "across": across,
        "down": down,
        "views": {
            name: {
                "jpeg": _jpeg(_mosaic(tiles[name], across, down, image_size)),
                "missing": [tile for tile in range(len(frames)) if tile not in tiles[name]],
            }
            for name in episode.views
        },
    }


def _mosaic(
    tiles: dict[int, NDArray[np.uint8]], across: int, down: int, size: int
) -> NDArray[np.uint8]:
    picture = np.zeros((down * size, across * size, 3), np.uint8)
    for number, image in tiles.items():
        row, column = divmod(number, across)
        picture[row * size : (row + 1) * size, column * size : (column + 1) * size] = image
    return picture


def _jpeg(picture: NDArray[np.uint8]) -> str:
    import cv2

    bgr = np.ascontiguousarray(picture[..., ::-1])
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {picture.shape}")
    return base64.b64encode(encoded.tobytes()).decode()
