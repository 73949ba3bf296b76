"""Scripts that tests run in several processes, which meet on this machine alone."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

BEGIN = """
import os, sys
from datetime import timedelta
from torch import distributed
place = sys.argv[1]
number, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
distributed.init_process_group(
    "gloo",
    init_method=f"file://{place}/meeting",
    rank=number,
    world_size=count,
    timeout=timedelta(seconds=120),
)
"""
"""How a script begins: it knows ``place``, ``number`` and ``count``."""


class Ended(NamedTuple):
    """What became of a process."""

    status: int
    out: str
    err: str


def launch(script: str, place: Path, *, count: int = 2, deadline: float = 120.0) -> list[Ended]:
    """Run ``BEGIN`` and a script in several processes; those that take too long are killed."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "meeting").unlink(missing_ok=True)
    (place / "script.py").write_text(BEGIN + script)
    several = str(count)
    fixed = {"WORLD_SIZE": several, "LOCAL_WORLD_SIZE": several, "GLOO_SOCKET_IFNAME": "lo"}
    fixed |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    fixed["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    runs = [
        subprocess.Popen(
            [sys.executable, str(place / "script.py"), str(place)],
            env={**os.environ, **fixed, "RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    try:
        told = [run.communicate(timeout=deadline) for run in runs]
    finally:
        for run in runs:
            run.kill()
            run.wait()
    return [Ended(run.returncode, *said) for run, said in zip(runs, told, strict=True)]
