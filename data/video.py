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

from . import media


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
        DatasetError: If the file is absent, empty, cut off, not a video, or beyond the caps.
    """
    with _opened(path) as (container, stream):
        count = stream.frames
        if not count:
            most = media.cap("ROBO_REWARD_MAX_FRAMES") + 1
            packets = (packet for packet in container.demux(stream) if packet.size)
            count = sum(1 for _ in islice(packets, most))
            media.check_length(str(path), count, 0.0)
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
    whole: bool = False,
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Yield (number, image) of ``count`` consecutive frames, every ``stride``-th of them.

    Args:
        path: A video that pyav can decode (H.264, AV1, MPEG-4 part 2, …).
        count: How many frames the video is said to hold from ``start_s`` on.
        start_s: Time of frame 0, in seconds from the start of the file.
        size: Side of the square that images are squashed to; None keeps their size.
        stride: Distance between the frames that are yielded.
        whole: Whether there must be no more frames after those.

    Yields:
        Frame number (0, ``stride``, …) and its image, uint8 RGB (H, W, 3).

    Raises:
        DatasetError: If the file cannot be decoded, is beyond the caps, changes its size on the way
            or ends before ``count`` frames.
    """
    media.check_length(f"the episode in {path}", count, 0.0)
    seen = 0
    decoded = _decoded(path, start_s)
    for number, frame in enumerate(islice(decoded, count)):
        seen = number + 1
        if number % stride == 0:
            yield number, square(frame.to_ndarray(format="rgb24"), size)
    if seen < count:
        raise DatasetError(
            f"{path} ends after {seen} of the {count} frames that the dataset claims from "
            f"{start_s:.2f} s on; the file was cut off: copy it again or remove the episode"
        )
    if whole and next(decoded, None) is not None:
        raise DatasetError(
            f"{path} holds more than the {count} frames that its header claims; export it again"
        )


def square(image: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """Return the image squashed to (size, size, 3) by area averaging; unchanged if None."""
    return image if size is None else resize(image, size)


def decode_image(cell: Mapping[str, Any], where: str) -> NDArray[np.uint8]:
    """Return the image (H, W, 3), uint8 RGB, of a parquet cell with encoded ``bytes``.

    Raises:
        DatasetError: If the cell holds no image that can be decoded.
    """
    return decode_picture(cell.get("bytes") or b"", where)


def decode_picture(data: bytes, where: str) -> NDArray[np.uint8]:
    """Return the image (H, W, 3), uint8 RGB, of an encoded picture; its header is read first.

    Raises:
        DatasetError: If it is no picture that can be decoded, or larger than the cap.
    """
    media.tell(where)
    media.picture_size(data, where)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DatasetError(f"{where} holds no readable image; copy it or write it again")
    return np.asarray(image, np.uint8)


def _decoded(path: Path, start_s: float) -> Iterator[av.VideoFrame]:
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        size = stream.width, stream.height
        first = start_s - 0.5 / float(stream.average_rate or 1)
        if start_s > 0:
            container.seek(int(start_s / stream.time_base), stream=stream)
        media.tell(str(path))
        for frame in container.decode(stream):
            if (frame.width, frame.height) != size:
                raise DatasetError(
                    f"{path} claims {size[0]}x{size[1]} pixels and holds a frame of "
                    f"{frame.width}x{frame.height}; export it again at one size"
                )
            if start_s == 0 or frame.time >= first:
                yield frame
            media.tell(str(path))


@contextmanager
def _opened(
    path: Path,
) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open a local file, as one of the known kinds, and check what its header promises."""
    if not path.is_file():
        raise DatasetError(f"there is no video {path}; copy it there or remove its episode")
    if path.stat().st_size == 0:
        raise DatasetError(f"the video {path} is empty (0 bytes); copy it again")
    name = f"file:{path.absolute()}"
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": media.CONTAINERS,
        "codec_whitelist": ",".join(media.CODECS),
        **_bound(),
    }
    try:
        with av.open(name, options=options, metadata_errors="replace") as container:
            yield container, _checked(path, container)
    except av.error.ValueError as error:  # so FFmpeg calls what is not on the list
        raise DatasetError(
            f"{path} is not a video of a kind that is read (mp4, mov, mkv, webm, avi); export it "
            "as mp4"
        ) from error
    except av.FFmpegError as error:
        reason = error.strerror or type(error).__name__
        raise DatasetError(
            f"the video {path} cannot be decoded ({reason}): it is cut off or not a video; "
            "copy it again or export it as mp4"
        ) from error


def _checked(path: Path, container: av.container.InputContainer) -> av.video.stream.VideoStream:
    streams = container.streams.video
    if len(streams) != 1:
        count = f"{len(streams)} video streams" if streams else "no video stream"
        raise DatasetError(f"{path} holds {count}; replace it by a video with exactly one")
    stream = streams[0]
    decoder = stream.codec_context
    if decoder is None or decoder.name not in media.CODECS:
        name = "no known codec" if decoder is None else f"the codec {decoder.name}"
        raise DatasetError(
            f"{path} has {name}, which is not decoded here; export it as H.264 or AV1"
        )
    media.check_size(str(path), stream.width, stream.height)
    seconds = [container.duration / av.time_base] if container.duration else []
    if stream.duration and stream.time_base:
        seconds.append(float(stream.duration * stream.time_base))
    media.check_length(str(path), stream.frames, max(seconds, default=0.0))
    decoder.options = _bound()
    return stream


def _bound() -> dict[str, str]:
    """Return what keeps FFmpeg from frames larger than promised; it counts margins of its own."""
    most = 2 * media.cap("ROBO_REWARD_MAX_PIXELS") + 2**20
    return {"max_pixels": str(min(most, 2**31 - 1))}
