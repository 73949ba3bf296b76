"""The frames between a reward server and its clients: a small msgpack header, then raw pixels.

A frame is two big-endian 32-bit lengths, a header of that many bytes, and pixels of that many. The
lengths are checked before anything is allocated. The header is a map of plain values, so that no
code is ever made of what was received; images are uint8 (H, W, 3), one after the other, described
in the header as ``[name, "u1", H, W, 3]``.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import msgpack
import numpy as np

from ..errors import InputError
from ..images import checked
from ..protocols import Views

VERSION = 1
"""Of the protocol: both sides must have the same."""
MOST_BYTES = 16 << 20
"""Of a frame, header and pixels."""
MOST_HEADER = 64 << 10
"""Bytes of a header; what is made of one in memory is bounded by it."""
MOST_IMAGES = 16
"""Images of a frame."""
MOST_SIDE = 4096
"""Pixels of an image's side."""
MOST_NAME = 256
"""Characters of a view's name."""
LENGTHS = struct.Struct(">II")
_DTYPE = "u1"


class WireError(InputError):
    """What was received is no frame, or not one that may be sent."""


def pack(header: Mapping[str, Any], views: Sequence[Views] = ()) -> bytes:
    """Return a frame; the images of ``views`` follow the header in order.

    Raises:
        WireError: If it would be larger than a frame may be.
    """
    try:
        head: bytes = msgpack.packb(dict(header))
    except (ValueError, OverflowError) as error:  # a text of half characters, a huge number
        raise WireError(f"it cannot be sent ({error})") from error
    pixels = [np.ascontiguousarray(image).data for one in views for image in one.values()]
    size = sum(part.nbytes for part in pixels)
    _check_sizes(len(head), size, MOST_BYTES)
    return b"".join([LENGTHS.pack(len(head), size), head, *pixels])


def lengths(prefix: bytes, *, most: int = MOST_BYTES) -> tuple[int, int]:
    """Return the bytes of header and pixels that follow the first 8 bytes of a frame.

    Raises:
        WireError: If they are more than ``most``, or there is no header.
    """
    head, pixels = LENGTHS.unpack(prefix)
    _check_sizes(head, pixels, most)
    return head, pixels


def _check_sizes(head: int, pixels: int, most: int) -> None:
    if not 0 < head <= MOST_HEADER or head + pixels > most:
        raise WireError(
            f"a frame of {head} bytes and {pixels} of pixels: at most {most} in all and "
            f"{MOST_HEADER} before the pixels; send smaller or fewer images"
        )


def unpack(head: bytes) -> dict[str, Any]:
    """Return the header of a frame: a map from names to plain values.

    Raises:
        WireError: If it is anything else.
    """
    try:
        told = msgpack.unpackb(head, strict_map_key=True, max_ext_len=0)
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError) as error:
        raise WireError(f"a header that is no msgpack ({type(error).__name__})") from error
    if not isinstance(told, dict) or not all(isinstance(name, str) for name in told):
        raise WireError("a header must be a map from names to values")
    return told


def described(views: Views) -> list[list[Any]]:
    """Return what a header says of the images that follow it.

    Raises:
        InputError: If one is not uint8 (H, W, 3).
        WireError: If there are too many, or one is too large.
    """
    told = [[name, _DTYPE, *checked(name, image).shape] for name, image in views.items()]
    for one in told:
        _check_image(one)
    _check_count(len(told))
    return told


def seen(told: Sequence[Any], pixels: memoryview) -> list[dict[str, Any]]:
    """Return the views of each group of images that a header describes, over all its pixels.

    The arrays (H, W, 3) share the memory of ``pixels`` and cannot be written to.

    Raises:
        WireError: If a description is unusable, or does not have as many pixels as there are.
    """
    groups = [_described(group) for group in told]
    _check_count(sum(map(len, groups)))
    found: list[dict[str, Any]] = []
    begin = 0
    for group in groups:
        views: dict[str, Any] = {}
        for name, _, height, width, _ in group:
            size = height * width * 3
            if begin + size > len(pixels):
                raise WireError("fewer pixels than the images that are described")
            flat = np.frombuffer(pixels[begin : begin + size], np.uint8)
            views[name] = flat.reshape(height, width, 3)
            begin += size
        if len(views) < len(group):
            raise WireError("two images of the same name")
        found.append(views)
    if begin != len(pixels):
        raise WireError("more pixels than the images that are described")
    return found


def _described(group: Any) -> list[list[Any]]:
    if not isinstance(group, list):
        raise WireError("images must be described by a list")
    for one in group:
        _check_image(one)
    return group


def _check_image(one: Any) -> None:
    if not (isinstance(one, list) and len(one) == 5 and isinstance(one[0], str)):
        raise WireError('an image is described by [name, "u1", H, W, 3]')
    name, dtype, height, width, colours = one
    if len(name) > MOST_NAME:
        raise WireError(f"the name of a view has {len(name)} characters, at most {MOST_NAME}")
    sides = [side for side in (height, width) if type(side) is int and 1 <= side <= MOST_SIDE]
    if dtype != _DTYPE or type(colours) is not int or colours != 3 or len(sides) < 2:
        raise WireError(
            f"view {name[:40]!r} must be uint8 (H, W, 3) with sides of 1 to {MOST_SIDE} pixels, "
            f"got {str([dtype, height, width, colours])[:80]}"
        )


def _check_count(count: int) -> None:
    if count > MOST_IMAGES:
        raise WireError(f"{count} images at once, at most {MOST_IMAGES}: show fewer views")
