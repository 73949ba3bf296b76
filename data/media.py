"""What pictures and videos may be: judged by their headers, before anything of them is decoded.

The caps are those of a machine, whatever the command, and decoders run in processes of their own
too: so the environment raises them, and not a flag of each command.
"""

import os
from collections.abc import Callable
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path

from robo_reward.errors import DatasetError, InputError

MAX_PIXELS = 4096 * 4096
"""Pixels of an image, or of a frame of a video."""
MAX_FRAMES = 10_000_000
"""Frames of a video file: LeRobot puts many episodes into one."""
MAX_HOURS = 100
"""Length of a video file."""
CAPS = {
    "ROBO_REWARD_MAX_PIXELS": MAX_PIXELS,
    "ROBO_REWARD_MAX_FRAMES": MAX_FRAMES,
    "ROBO_REWARD_MAX_HOURS": MAX_HOURS,
}
"""Environment variable that sets a cap → the cap where it is not set."""
CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"
"""Kinds of video files that are opened, as FFmpeg calls them; no playlist is one of them."""
CODECS = ("h264", "hevc", "av1", "libdav1d", "vp8", "vp9", "mpeg4", "mjpeg", "ffv1")
"""Decoders that are used, as FFmpeg calls them."""
PICTURES = ("PNG", "JPEG", "WEBP")
"""Kinds of pictures that are decoded, as Pillow calls them."""

WATCHER: ContextVar[Callable[[str], None] | None] = ContextVar("watcher", default=None)
"""Who is told what is about to be decoded, before each frame; see `tell`."""


def cap(name: str) -> int:
    """Return one of `CAPS`: what the environment says, or else what is usual.

    Raises:
        InputError: If the environment holds no whole number above 0.
    """
    told = os.environ.get(name)
    if told is None:
        return CAPS[name]
    if not (told.isascii() and told.isdecimal() and int(told) > 0):
        raise InputError(f"{name} is {told!r}; give a whole number above 0, or unset it")
    return int(told)


def tell(what: str) -> None:
    """Tell the watcher of this context, if any, what is about to be decoded: a sign of life."""
    watcher = WATCHER.get()
    if watcher is not None:
        watcher(what)


def check_size(what: str, width: int, height: int) -> None:
    """Check the size that a header promises.

    Raises:
        DatasetError: If it is none, or beyond the cap.
    """
    if width < 1 or height < 1:
        raise DatasetError(f"{what} does not say its size; export it again")
    most = cap("ROBO_REWARD_MAX_PIXELS")
    if width * height > most:
        raise DatasetError(
            f"{what} claims {width}x{height} pixels, more than the {most} that are decoded; make "
            "it smaller, or raise ROBO_REWARD_MAX_PIXELS if it is meant to be that large"
        )


def check_length(what: str, frames: int, seconds: float) -> None:
    """Check the length that a video's header promises; 0 where it does not say.

    Raises:
        DatasetError: If it is negative, or beyond the cap.
    """
    most, hours = cap("ROBO_REWARD_MAX_FRAMES"), cap("ROBO_REWARD_MAX_HOURS")
    if not 0 <= frames <= most:
        raise DatasetError(
            f"{what} claims {frames} frames, and at most {most} are decoded; cut it, or raise "
            "ROBO_REWARD_MAX_FRAMES if it is meant to be that long"
        )
    if not 0.0 <= seconds <= 3600.0 * hours:
        raise DatasetError(
            f"{what} claims to last {seconds / 3600.0:.4g} hours, and at most {hours} are decoded; "
            "cut it, or raise ROBO_REWARD_MAX_HOURS if it is meant to be that long"
        )


def picture_size(data: bytes, what: str) -> tuple[int, int]:
    """Return (width, height) of an encoded picture, checked, by its header alone.

    Raises:
        DatasetError: If it is no picture of a kind that is decoded, or too large.
    """
    import warnings

    from PIL import Image, UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the cap is ours
        try:
            with Image.open(BytesIO(data), formats=PICTURES) as picture:
                width, height = picture.size
        except Image.DecompressionBombError as error:
            raise DatasetError(
                f"{what} claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, which no "
                "setting allows; make it smaller"
            ) from error
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise DatasetError(
                f"{what} holds no readable image (PNG, JPEG or WebP); copy it or write it again"
            ) from error
    check_size(what, width, height)
    return width, height


def inside(root: Path, path: Path) -> Path:
    """Return a path of a dataset, after checking that it leads nowhere but into that dataset.

    Links may stay within ``root``. One more place is a dataset's own: the hub's cache keeps files
    in ``<name>/blobs``, and the dataset, ``<name>/snapshots/<revision>``, is links to them.

    Raises:
        DatasetError: If it leads elsewhere.
    """
    home = root.resolve()
    places = [home]
    if home.parent.name == "snapshots":
        places.append(home.parent.parent / "blobs")
    target = path.resolve()
    if not any(target.is_relative_to(place) for place in places):
        raise DatasetError(
            f"{path} leads out of the dataset, to {target}; put the file itself into {root}"
        )
    return path
