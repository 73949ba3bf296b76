"""Video that repeats its bytes, however many cameras are encoded at once."""

import hashlib
import threading
from fractions import Fraction

import av
import numpy as np
import pytest

from data.layout import DatasetLayout

LAYOUT = DatasetLayout(fps=20, image_shapes={"front": (96, 96, 3)}, features={}, storage="h264")


def frames(count: int = 100) -> list[np.ndarray]:
    """Return squares that move over a noisy ground, as a camera would see them."""
    rng = np.random.default_rng(0)
    ground = rng.integers(90, 160, (96, 96, 3))
    made = []
    for number in range(count):
        image = ground + rng.integers(-3, 4, ground.shape)
        x, y = 40 + round(30 * np.sin(number / 9)), 40 + round(30 * np.cos(number / 7))
        image[y : y + 14, x : x + 14] = (200, 30, 30)
        image[80 - number % 60 :][:10, 10:24] = (30, 60, 200)
        made.append(np.clip(image, 0, 255).astype(np.uint8))
    return made


def encoded(images: list[np.ndarray]) -> str:
    """Return a hash of what the writer's encoder makes of images."""
    chosen = LAYOUT.encoder()
    codec = av.CodecContext.create("h264", "w")
    codec.width, codec.height, codec.pix_fmt = 96, 96, "yuv420p"
    codec.time_base, codec.framerate, codec.thread_count = Fraction(1, 20), 20, 1
    codec.options = {
        "crf": str(chosen.crf),
        "g": str(chosen.g),
        "preset": str(chosen.preset),
        **chosen.extra_options,
    }
    digest = hashlib.sha256()
    for number, image in enumerate(images):
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = number
        for packet in codec.encode(frame):
            digest.update(bytes(packet))
    for packet in codec.encode(None):
        digest.update(bytes(packet))
    return digest.hexdigest()


def repeated(times: int) -> set[str]:
    """Return the hashes that three threads at once get."""
    images, found = frames(), set()

    def work() -> None:
        for _ in range(times):
            found.add(encoded(images))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_what_makes_h264_forget_its_bytes_is_off() -> None:
    options = LAYOUT.encoder().extra_options
    assert options == {"bf": "0", "rc-lookahead": "0", "mbtree": "0"}
    assert len(repeated(3)) == 1


@pytest.mark.slow
def test_h264_repeats_its_bytes_while_other_threads_encode() -> None:
    assert len(repeated(250)) == 1
