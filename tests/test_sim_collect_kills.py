"""Twenty kills at random, of the collection and of its workers: nothing lost, nothing doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from data.lerobot_dataset import open_dataset

PROGRAM = """
import sys
from pathlib import Path
from sim.collect import Collect

if __name__ == "__main__":
    Collect(
        out=Path(sys.argv[1]), task="press_button", episodes=60, seed=11, image_size=16,
        storage="images", workers=2, replay=2,
    ).run()
"""
KILLS = 20


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log but for the times."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: line[name] for name in line if name != "seconds"} for line in lines]


def children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def complete(folder: Path) -> None:
    """Every piece that is there can be read whole."""
    for piece in sorted(folder.glob("piece-?????")):
        assert len(open_dataset(piece)) == 5


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_twenty_kills_at_random_change_nothing(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(PROGRAM)

    def run(name: str) -> list[str]:
        return [sys.executable, str(script), str(tmp_path / name)]

    subprocess.run(run("calm"), check=True, timeout=600)
    rng, kills = random.Random(0), 0
    while kills < KILLS:
        with subprocess.Popen(run("killed"), stderr=subprocess.DEVNULL) as process:
            end = time.monotonic() + rng.uniform(3, 14)
            while time.monotonic() < end and process.poll() is None:
                time.sleep(0.05)
            found = children(process.pid)
            whole = rng.random() < 0.5 or not found
            if process.poll() is None:
                os.kill(process.pid if whole else rng.choice(found), signal.SIGKILL)
                kills += 1
                if not whole and kills < KILLS:
                    time.sleep(rng.uniform(0, 3))
                    process.kill()
                    kills += 1
            else:
                break
        complete(tmp_path / "killed.pieces")
    if not (tmp_path / "killed").exists():
        subprocess.run(run("killed"), check=True, timeout=600)
    assert contents(tmp_path / "killed") == contents(tmp_path / "calm")
    assert log(tmp_path / "killed.jsonl") == log(tmp_path / "calm.jsonl")
    names = ["calm", "calm.jsonl", "killed", "killed.jsonl", "run.py"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert kills >= KILLS // 2
