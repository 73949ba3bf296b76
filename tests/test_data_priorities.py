"""An AV1 encoder does not keep real-time priority, which it takes where it runs as root."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import write_dataset

from data.priorities import take_back_real_time

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may have real-time threads")


def policies() -> set[int]:
    """The scheduling policies of all threads of this process."""
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}


def encode() -> None:
    import av

    with av.open(io.BytesIO(), "w", format="mp4") as container:
        stream = container.add_stream("libsvtav1", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_what_the_encoder_took_is_taken_back() -> None:
    take_back_real_time()
    encode()
    if os.SCHED_FIFO not in policies():
        pytest.skip("this machine gave the encoder no real-time priority")
    assert take_back_real_time() >= 1
    assert not policies() & {os.SCHED_FIFO, os.SCHED_RR}
    assert take_back_real_time() == 0


def test_writing_av1_leaves_no_real_time_thread(tmp_path: Path) -> None:
    take_back_real_time()
    write_dataset(tmp_path / "data", "av1", episodes=2)
    assert not policies() & {os.SCHED_FIFO, os.SCHED_RR}
