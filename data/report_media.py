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
FINENESS = ((1.0, 80), (1.0, 60), (1.0, 40), (0.7, 60), (0.7, 40), (0.5, 40), (0.35, 40))
"""Scale of the pictures and quality of their JPEG, from the finest on: the first that fits wins."""


def stride_of(length: int) -> int:
    """Return every how many frames to take a picture.

    At most `MOST_TILES` are taken. Among the strides up to half again as long as needed, the
    one whose last picture is nearest to the last frame wins: the end matters most.
    """
    least = max(1, math.ceil(length / MOST_TILES))
    return min(range(least, least + least // 2 + 1), key=lambda s: ((length - 1) % s, s))


def encode_media(
    dataset: EpisodeDataset, episode: Episode, image_size: int, *, most: float = math.inf
) -> dict[str, Any]:
    """Return an episode's pictures, ready for JSON.

    Args:
        dataset: Where the episode is.
        episode: Which one.
        image_size: Side of a picture in pixels, where there is room.
        most: Characters that its pictures may take; coarser ones are made until they do.

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
    mosaics = {name: _mosaic(tiles[name], across, down, image_size) for name in episode.views}
    jpegs: dict[str, str] = {}
    for scale, quality in FINENESS:
        jpegs = {name: _jpeg(mosaic, scale, quality) for name, mosaic in mosaics.items()}
        if sum(map(len, jpegs.values())) <= most:
            break
    return {
        "frames": frames,
        "across": across,
        "down": down,
        "views": {
            name: {
                "jpeg": jpegs[name],
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


def _jpeg(picture: NDArray[np.uint8], scale: float, quality: int) -> str:
    import cv2

    bgr = np.ascontiguousarray(picture[..., ::-1])
    if scale < 1:
        size = (round(bgr.shape[1] * scale), round(bgr.shape[0] * scale))
        bgr = np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {picture.shape}")
    return base64.b64encode(encoded.tobytes()).decode()
