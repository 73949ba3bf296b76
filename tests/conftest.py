"""Tiny recordings and datasets that several test files share."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from data.train import Train
    from sim.crew_ray import Cluster

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MUJOCO_GL", "egl")

TASK = "put the red cube in the bin"
OTHER_TASK = "push the blue button"
VIEWS = ("front", "wrist")
LENGTH = 12
SHAPE = (32, 48, 3)
FEATURES: dict[str, dict[str, Any]] = {
    "action": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "z"]},
    "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    "truth.progress": {"dtype": "float32", "shape": (1,), "names": None},
    "truth.is_final": {"dtype": "bool", "shape": (1,), "names": None},
    "truth.goals": {"dtype": "float32", "shape": (2,), "names": ["cube", "button"]},
}


def grey(view: str, number: int, episode: int = 0) -> int:
    """The grey that fills a view of a frame: it tells view, frame and episode apart."""
    return (20 if view == "front" else 140) + 8 * number + 3 * (episode % 3)


def image(view: str, number: int, episode: int = 0) -> np.ndarray:
    return np.full(SHAPE, grey(view, number, episode), np.uint8)


def rows(episode: int, length: int = LENGTH) -> Iterator[dict[str, Any]]:
    """Progress rises to 1 at frame 9; episode 1 stays at half."""
    for number in range(length):
        progress = min(number / 9, 1.0 if episode != 1 else 0.5)
        success = bool(episode != 1 and number + 1 >= 9)
        yield {
            **{f"observation.images.{view}": image(view, number, episode) for view in VIEWS},
            "action": np.zeros(3),
            "next.reward": float(success),
            "next.success": success,
            "truth.progress": progress,
            "truth.is_final": number == length - 1,
            "truth.goals": [progress, 0.25],
        }


def write_dataset(root: Path, storage: str, episodes: int = 3) -> Path:
    from data.layout import DatasetLayout
    from data.writer import DatasetWriter

    description = {
        "paraphrases": {
            TASK: ["drop the red cube into the bin"],
            OTHER_TASK: ["press the blue button"],
        },
        "goals": {"cube": TASK, "button": OTHER_TASK},
    }
    layout = DatasetLayout(
        fps=10,
        image_shapes=dict.fromkeys(VIEWS, SHAPE),
        features=FEATURES,
        storage=storage,  # type: ignore[arg-type]
    )
    with DatasetWriter(root, layout, description=description) as writer:
        for episode in range(episodes):
            behaviour = "early_release" if episode == 1 else "expert"
            writer.add_episode(rows(episode), task=TASK, columns={"behaviour": behaviour})
    return root


def write_video(path: Path, images: list[np.ndarray], codec: str = "mpeg4", fps: int = 10) -> Path:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for picture in images:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


KEYFRAMES = [
    {"anotation": "grasp", "start_frame_id": 1, "end_frame_id": 5},
    {"annotation": "release", "start_frame_id": 5, "end_frame_id": 10},
]


def write_recordings(root: Path, episodes: int = 2) -> Path:
    for episode in range(episodes):
        folder = root / f"episode_{episode + 1:03d}"
        for view in VIEWS:
            images = [image(view, number, episode) for number in range(LENGTH)]
            write_video(folder / f"{view}.mp4", images)
        (folder / "annotated_keyframes.json").write_text(json.dumps(KEYFRAMES))
    texts = [TASK, "bin the red cube"]
    (root / "task_instruction.json").write_text(json.dumps(texts))
    return root


def change_info(root: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))
    return root


def rewrite(path: Path, change: Callable[[Any], Any], **options: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(change(pq.read_table(path)), path, **options)


def data_file(root: Path) -> Path:
    return root / "data/chunk-000/file-000.parquet"


def episodes_file(root: Path) -> Path:
    return root / "meta/episodes/chunk-000/file-000.parquet"


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three simulated episodes of 12 frames, two views, images in parquet. Do not change it."""
    return write_dataset(tmp_path_factory.mktemp("datasets") / "tiny", "images")


@pytest.fixture(scope="session")
def tiny_video_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as H.264 video. Do not change it."""
    return write_dataset(tmp_path_factory.mktemp("datasets") / "tiny-h264", "h264")


@pytest.fixture
def copy(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset; yours to damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "copy"))


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two raw recordings of 12 frames, two views, annotated; yours to damage."""
    return write_recordings(tmp_path / "recordings")


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks are quickest on one thread, most of all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def train_command(tiny_dataset: Path, tmp_path: Path) -> "Train":
    """Six steps on two episodes of twelve frames; one validates, at steps 3 and 6."""
    from data.train import Train
    from robo_reward.config import CompactConfig, TrainingConfig
    from robo_reward.plan import SamplingConfig

    return Train(
        dataset=(str(tiny_dataset),),
        out=tmp_path / "model",
        cache=tmp_path / "cache",
        evaluate_every=3,
        backbone=CompactConfig(image_size=16, width=16, depth=1, heads=2, channels=8),
        training=TrainingConfig(steps=6, warmup=2),
        sampling=SamplingConfig(episodes=2, frames=6, prefixes=2, pairs=6),
    )


@pytest.fixture(scope="session")
def real_table() -> Path:
    """The real recording that lies beside a development checkout."""
    root = Path(__file__).parent.parent.parent / "shared/data/real_table"
    if not root.is_dir():
        pytest.skip(f"the real recording {root} is not on this machine")
    return root


@pytest.fixture(scope="session")
def cluster() -> "Iterator[Cluster]":
    """Ray with two CPUs, for this machine alone; gone with its files after all tests.

    One for all of them: a process that has joined a cluster cannot join one with another token.
    """
    from sim.crew_ray import Cluster
    from sim.render import require_backend

    require_backend()  # actors inherit the answer
    place = tempfile.mkdtemp(prefix="ray-")  # short: it holds sockets
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("RAY_TMPDIR", place)
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else it keeps one at home
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")  # it kills actors on a full machine
        try:
            with pytest.MonkeyPatch.context() as inherited:  # by actors, and by nothing else here
                inherited.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
                inherited.setenv("OMP_NUM_THREADS", "1")
                made = Cluster(workers=2)
            with made:
                yield made
        finally:
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """Take back the real-time priority that an AV1 encoder in a test has taken."""
    yield
    from data.priorities import take_back_real_time

    take_back_real_time()
