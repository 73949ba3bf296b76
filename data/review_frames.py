"""Pictures of single frames as JPEG, decoded when they are asked for and kept for a while."""

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .lerobot_dataset import LeRobotEpisodes

AT_ONCE = 16
"""Frames that are decoded together: the neighbours are likely to be asked for next."""
LONGEST_SIDE = 480
"""Pixels of a picture's longer side at most."""
KEPT_BYTES = 256 * 2**20
"""JPEGs that are kept in memory."""
QUALITY = 85


class FramePictures:
    """JPEGs of a dataset's frames; may be asked by several threads."""

    def __init__(self, dataset: LeRobotEpisodes, *, kept_bytes: int = KEPT_BYTES) -> None:
        """Show the frames of a dataset, keeping at most ``kept_bytes`` of JPEGs in memory."""
        self._dataset, self._most = dataset, kept_bytes
        self._kept: OrderedDict[tuple[int, str, int], bytes] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def jpeg(self, episode: int, view: str, frame: int) -> bytes:
        """Return the picture of one frame of a view.

        Raises:
            InputError: If there is no such episode or frame.
            DatasetError: If it cannot be decoded.
        """
        with self._lock:
            key = (episode, view, frame)
            if key not in self._kept:
                return self._decode(episode, view, frame)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _decode(self, episode: int, view: str, frame: int) -> bytes:
        length = self._dataset.episode(episode).length
        if not 0 <= frame < length:
            raise InputError(f"episode {episode} has no frame {frame}")
        first = frame - frame % AT_ONCE
        images = self._dataset.window(episode, view, first, min(AT_ONCE, length - first))
        found = {first + place: _jpeg(image) for place, image in enumerate(images)}
        for number, picture in found.items():
            self._keep((episode, view, number), picture)
        return found[frame]

    def _keep(self, key: tuple[int, str, int], picture: bytes) -> None:
        self._size += len(picture) - len(self._kept.pop(key, b""))
        self._kept[key] = picture
        while self._size > self._most:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    import cv2

    height, width = image.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    bgr = np.ascontiguousarray(image[..., ::-1])
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV could not encode a picture of shape {image.shape}")
    return encoded.tobytes()
