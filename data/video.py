"""Video files: what their header says, and their frames one at a time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import DatasetError
from robo_reward.images import resize


@dataclass(frozen=True, kw_only=True)
class VideoHeader:
    """What a video file says about itself, before any frame is decoded."""

    frames: int
    """Number of frames."""
    fps: float
    """Average frames per second."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""


def header(path: Path) -> VideoHeader:
    """Return the header of a video.

    Raises:
        DatasetError: If the file is absent, empty, cut off, or holds no video.
    """
    with _opened(path) as (container, stream):
        count = stream.frames
        if not count:
            count = sum(1 for packet in container.demux(stream) if packet.size)
        if not stream.average_rate:
            raise DatasetError(f"{path} does not say its frame rate; export it again as mp4")
        return VideoHeader(
            frames=count,
            fps=float(stream.average_rate),
            height=stream.height,
            width=stream.width,
        )


def frames(
    path: Path,
    *,
    count: int,
    start_s: float = 0.0,
    size: int | None = None,
    stride: int = 1,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (number, image) of ``count`` consecutive frames, every ``stride``-th of them.

    Args:
        path: A video that pyav can decode (H.264, AV1, MPEG-4 part 2, …).
        count: How many frames the video is said to hold from ``start_s`` on.
        start_s: Time of frame 0, in seconds from the start of the file.
        size: Side of the square that images are squashed to; None keeps their size.
        stride: Distance between the frames that are yielded.

    Yields:
        Frame number (0, ``stride``, …) and its image, uint8 RGB (H, W, 3).

    Raises:
        DatasetError: If the file cannot be decoded or ends before ``count`` frames.
    """
    seen = 0
    for number, frame in enumerate(islice(_decoded(path, start_s), count)):
        seen = number + 1
        if number % stride == 0:
            yield number, square(frame.to_ndarray(format="rgb24"), size)
    if seen < count:
        raise DatasetError(
            f"{path} ends after {seen} of the {count} frames that the dataset claims from "
            f"{start_s:.2f} s on; the file was cut off: copy it again or remove the episode"
        )


def square(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Return the image squashed to (size, size, 3) by area averaging; unchanged if None."""
    return image if size is None else resize(image, size)


def decode_image(cell: Mapping[str, Any], where: str) -> NDArray[np.uint8]:
    """Return the image (H, W, 3), uint8 RGB, of a parquet cell with encoded ``bytes``.

    Raises:
        DatasetError: If the cell holds no image that can be decoded.
    """
    data = cell.get("bytes")
    image = None
    if data:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DatasetError(f"{where} holds no readable image; copy the dataset again")
    return np.asarray(image, np.uint8)


def _decoded(path: Path, start_s: float) -> Iterator[av.VideoFrame]:
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        first = start_s - 0.5 / float(stream.average_rate or 1)
        if start_s > 0:
            container.seek(int(start_s / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            if start_s == 0 or frame.time >= first:
                yield frame


@contextmanager
def _opened(
    path: Path,
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    if not path.is_file():
        raise DatasetError(f"there is no video {path}; copy it there or remove its episode")
    if path.stat().st_size == 0:
        raise DatasetError(f"the video {path} is empty (0 bytes); copy it again")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DatasetError(f"{path} holds no video stream; replace it by a video")
            yield container, container.streams.video[0]
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise DatasetError(
            f"the video {path} cannot be decoded ({reason}): it is cut off or not a video; "
            "copy it again or export it as mp4"
        ) from error
