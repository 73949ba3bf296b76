"""Clips of one episode as public yardsticks keep them: folders of images, videos, npz arrays."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import DatasetError

from . import video

type Image = NDArray[np.uint8]

IMAGES = frozenset({".png", ".jpg", ".jpeg"})
IMAGES_FPS = 30.0
"""Frames per second that a folder of images is taken to have; it does not say."""
ASKED_FPS = 1.0
"""Frames per second that an array is taken to have: its frames were picked to be asked about."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The pictures of one camera in one episode."""

    path: Path
    """A folder of images, an npz file with ``frames``, or a video."""
    length: int
    """Frames."""
    fps: float
    """Frames per second."""

    def frames(self, *, size: int | None, stride: int) -> Iterator[tuple[int, Image]]:
        """Yield (number, image) of every ``stride``-th frame, uint8 RGB, squashed to ``size``.

        Raises:
            DatasetError: If the pictures cannot be read.
        """
        if self.path.is_dir():
            return self._images(size, stride)
        if self.path.suffix == ".npz":
            return self._array(size, stride)
        return video.frames(self.path, count=self.length, size=size, stride=stride)

    def _images(self, size: int | None, stride: int) -> Iterator[tuple[int, Image]]:
        for number, path in list(enumerate(image_files(self.path)))[::stride]:
            image = video.decode_image({"bytes": path.read_bytes()}, str(path))
            yield number, video.square(image, size)

    def _array(self, size: int | None, stride: int) -> Iterator[tuple[int, Image]]:
        with np.load(self.path, allow_pickle=False) as arrays:
            frames = arrays["frames"]
        if frames.dtype != np.uint8:
            raise DatasetError(f"{self.path} holds {frames.dtype} pixels, not uint8; export again")
        for number in range(0, self.length, stride):
            yield number, video.square(np.ascontiguousarray(frames[number]), size)


def open_clip(path: Path) -> Clip:
    """Return the clip at a path, without decoding a pixel.

    Raises:
        DatasetError: If nothing is there, or it is no clip.
    """
    if path.is_dir():
        files = image_files(path)
        if not files:
            raise DatasetError(f"{path} holds no .png or .jpg image; copy it again")
        return Clip(path=path, length=len(files), fps=IMAGES_FPS)
    if path.suffix == ".npz":
        return Clip(path=path, length=_array_length(path), fps=ASKED_FPS)
    told = video.header(path)
    return Clip(path=path, length=told.frames, fps=told.fps)


def image_files(folder: Path) -> list[Path]:
    """Return the images of a folder by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)


def _array_length(path: Path) -> int:
    """Return T of the array ``frames`` (T, H, W, 3), from its header alone."""
    form: Any = np.lib.format  # it has no types
    try:
        with zipfile.ZipFile(path) as archive, archive.open("frames.npy") as file:
            version = form.read_magic(file)
            read = form.read_array_header_1_0
            if version != (1, 0):
                read = form.read_array_header_2_0
            shape = read(file)[0]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise DatasetError(
            f"{path} holds no array called frames ({error}); copy the yardstick again"
        ) from error
    if len(shape) != 4 or shape[3] != 3 or not shape[0]:
        raise DatasetError(f"{path}: frames must be (T, H, W, 3), they are {shape}; export again")
    return int(shape[0])
