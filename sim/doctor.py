"""``robo-reward doctor``: whether this machine has what is needed, and what to do if not."""

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from robo_reward.errors import OutputError, RoboRewardError
from robo_reward.files import write_atomically

from .render import BACKENDS, INSTALL, probe

PACKAGES = ("torch", "mujoco", "lerobot", "transformers")
"""Packages whose versions are shown; all of them are needed."""
CODECS = {"h264": "libx264", "av1": "libsvtav1"}
"""Storage of `robo-reward collect` → video encoder."""
LEAST_DISK = 2.0
"""Gigabytes of free disk below which there is too little to work with."""


class UnfitError(RoboRewardError):
    """This machine lacks something that is needed."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table."""

    name: str
    """What was looked at."""
    found: str
    """What there is."""
    problem: str = ""
    """What is wrong and what to do about it; empty if all is well."""
    needed: bool = True
    """Whether a problem here makes the program unusable."""


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this machine: versions, disk, GPU, off-screen drawing, video; say what to install.

    Example: robo-reward doctor --json outputs/doctor.json
    """

    json: Path | None = None
    """File that receives the same table as JSON."""

    def run(self) -> None:
        """Print the table.

        Raises:
            UnfitError: If something needed is missing.
            OutputError: If the JSON file cannot be written.
        """
        checks = list(diagnose())
        _print(checks)
        if self.json is not None:
            _write(self.json, checks)
        missing = [check.name for check in checks if check.problem and check.needed]
        if missing:
            raise UnfitError(f"not ready: {', '.join(missing)}; the table says what to do")


def diagnose() -> Iterator[Check]:
    """Yield the checks, the quick ones first."""
    yield Check(name="python", found=platform.python_version())
    yield from map(check_package, PACKAGES)
    yield Check(name="cores", found=str(len(os.sched_getaffinity(0))))
    yield check_disk(Path())
    yield check_gpu()
    yield check_drawing(probe)
    for storage, encoder in CODECS.items():
        yield check_codec(storage, encoder)


def check_package(name: str) -> Check:
    """Return the version of a package, without importing it."""
    try:
        return Check(name=name, found=version(name))
    except PackageNotFoundError:
        return Check(name=name, found="none", problem=f"install it: pip install {name}")


def check_disk(folder: Path) -> Check:
    """Return the free disk where ``folder`` lies."""
    free = shutil.disk_usage(folder).free / 1e9
    problem = "" if free >= LEAST_DISK else f"free at least {LEAST_DISK:.0f} GB"
    return Check(name="free disk", found=f"{free:.0f} GB", problem=problem)


def check_gpu() -> Check:
    """Return the NVIDIA GPUs that the driver lists; none is fine."""
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    names = [
        line.partition(":")[2].strip()
        for card in cards
        for line in card.read_text().splitlines()
        if line.startswith("Model:")
    ]
    return Check(name="gpu", found=", ".join(names) or "none (the CPU is used)")


def check_drawing(try_backend: Callable[[str], str | None]) -> Check:
    """Return which off-screen backend works, the preferred one first.

    Args:
        try_backend: Returns None if a backend works, else what went wrong.
    """
    problems = {}
    for backend in BACKENDS:
        problem = try_backend(backend)
        if problem is None:
            advice = "" if backend == BACKENDS[0] else f"set MUJOCO_GL={backend}, or {INSTALL}"
            return Check(name="drawing", found=backend, problem=advice, needed=False)
        problems[backend] = problem
    found = "; ".join(f"{backend}: {problem}" for backend, problem in problems.items())
    return Check(name="drawing", found=found, problem=INSTALL)


def check_codec(storage: str, encoder: str) -> Check:
    """Encode and decode five frames; `robo-reward collect --storage images` needs no codec."""
    import io

    import av
    import numpy as np

    images = np.full((5, 64, 64, 3), 128, np.uint8)
    buffer = io.BytesIO()
    os.environ.setdefault("SVT_LOG", "1")
    try:
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream(encoder, rate=20)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for image in images:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        buffer.seek(0)
        with av.open(buffer) as container:
            count = sum(1 for _ in container.decode(video=0))
    except (av.FFmpegError, ValueError) as error:
        count, reason = 0, str(error)
    else:
        reason = f"{count} of {len(images)} frames came back"
    if count == len(images):
        return Check(name=f"video {storage}", found=encoder)
    other = f"reinstall PyAV (pip install --force-reinstall av), or avoid --storage {storage}"
    return Check(name=f"video {storage}", found=reason, problem=other, needed=storage == "h264")


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "found", "state", "what to do")
    for check in checks:
        state = "problem" if check.problem else "ok"
        table.add_row(check.name, check.found, state, check.problem)
    Console().print(table)


def _write(path: Path, checks: list[Check]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(check) for check in checks], indent=2) + "\n"
        write_atomically(path, text.encode())
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}); choose another --json"
        ) from None
    print(f"table: {path}")
