"""The simulation bench: what it measures, and how CPU time is counted."""

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robo_reward.errors import InputError
from sim.bench import BenchSim, cpu_seconds, rounds

KEYS = {
    "pixels_over_raw",
    "state_over_raw",
    "vector_per_cpu",
    "vector_wall",
    "raw_wall",
    "metaworld_gain",
    "render_every_gain",
}


def test_it_writes_every_ratio_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.bench.metaworld_gain", lambda: math.nan)
    path = tmp_path / "bench.json"
    monkeypatch.setattr("sim.bench._RAW_S", 0.05)
    BenchSim(json=path, image_size=16, steps=4, repeats=1, envs=1).run()
    figures = json.loads(path.read_text())
    assert set(figures) >= KEYS
    assert figures["metaworld_gain"] is None
    assert min(figures[name] for name in KEYS - {"metaworld_gain"}) > 0
    assert "not installed" in capsys.readouterr().out


def test_parts_are_timed_in_turn_and_the_least_counts() -> None:
    order: list[str] = []
    work = {name: (lambda name=name: order.append(name)) for name in ("a", "b")}
    cpu, wall = rounds(work, 2, begin=lambda: order.append("begin"), pids=list)
    assert order == ["begin", "a", "b"] * 3
    assert set(cpu) == set(wall) == {"a", "b"}


def test_the_best_round_of_a_part_counts() -> None:
    naps = iter((0.0, 0.05, 0.001, 0.05))
    _, wall = rounds({"nap": lambda: time.sleep(next(naps))}, 3, begin=lambda: None, pids=list)
    assert 0.001 <= wall["nap"] < 0.05


def test_the_cpu_time_of_other_processes_counts() -> None:
    spin = "import time\nend = time.time() + 30\nwhile time.time() < end: pass"
    with subprocess.Popen([sys.executable, "-c", spin]) as process:
        before = cpu_seconds([process.pid])
        deadline = time.monotonic() + 20
        while cpu_seconds([process.pid]) - before < 0.3 and time.monotonic() < deadline:
            time.sleep(0.05)
        gained = cpu_seconds([process.pid]) - before
        process.kill()
    assert gained >= 0.3


def test_impossible_flags_are_refused() -> None:
    with pytest.raises(InputError, match="--steps must be at least 1"):
        BenchSim(steps=0).run()
