"""Labelling with SIGKILL at random moments: a dataset of many small units, and who is killed when.

Not a test itself; see `test_data_label_kills`. What is measured: rows lost, doubled, unreadable or
other than those of an undisturbed run, and units that were labelled more than once.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from data.compaction import FILE, is_finished
from data.label_plan import Plan
from data.label_store import DirectoryStore
from data.labelling import LOG

DEADLINE_S = 120.0
"""Seconds that a run without a kill may take."""


@dataclass
class Kills:
    """What was killed, and what came of it."""

    killed: int = 0
    whole_runs: int = 0
    """How often all processes were killed, the first included."""
    starts: int = 0
    seconds: float = 0.0


def label_and_kill(command: list[str], out: Path, *, kills: int, seed: int, most_s: float) -> Kills:
    """Label, killing a worker or all of them at random moments, until it is done.

    Args:
        command: The command line.
        out: Where it labels.
        kills: How many times to kill.
        seed: Of the moments and victims.
        most_s: Seconds between two kills at most.
    """
    chance, told, begun = random.Random(seed), Kills(), time.monotonic()
    while True:
        told.starts += 1
        run = subprocess.Popen(
            command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            _disturb(run, out, chance, told, kills=kills, most_s=most_s)
            output, _ = run.communicate(timeout=DEADLINE_S * 10)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()
        if run.returncode == 0:
            told.seconds = time.monotonic() - begun
            return told
        if run.returncode == 2 and b"nothing was labelled meanwhile" in output:
            continue  # all were killed before they could begin; the same command goes on
        if run.returncode != -signal.SIGKILL:
            raise AssertionError(f"label ended with {run.returncode}: {output.decode()[-2000:]}")


def _disturb(
    run: subprocess.Popen[bytes],
    out: Path,
    chance: random.Random,
    told: Kills,
    *,
    kills: int,
    most_s: float,
) -> None:
    while told.killed < kills and run.poll() is None:
        moment = time.monotonic() + chance.uniform(0.0, most_s)
        while time.monotonic() < moment and run.poll() is None:
            time.sleep(0.01)
        everyone = [run.pid, *workers(run.pid)]
        if run.poll() is not None or finished(out):
            return
        if len(everyone) == 1 or chance.random() < 0.2:
            os.killpg(run.pid, signal.SIGKILL)
            told.killed += len(everyone)
            told.whole_runs += 1
            return
        with suppress(ProcessLookupError):
            os.kill(chance.choice(everyone[1:]), signal.SIGKILL)
            told.killed += 1


def workers(parent: int) -> list[int]:
    """Return the processes that another one spawned to label, not the helpers of Python."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            ours = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if ours and b"spawn_main" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def finished(out: Path) -> bool:
    """Whether the sidecar is whole."""
    plan = Plan.read(DirectoryStore(out))
    return plan is not None and is_finished(out, plan)


def compare(out: Path, undisturbed: Path) -> list[str]:
    """Return in what two sidecars differ; nothing if they are the same to the byte."""
    if (out / FILE).read_bytes() == (undisturbed / FILE).read_bytes():
        return []
    one, other = (pq.read_table(place / FILE) for place in (out, undisturbed))
    rows = list(zip(one["episode_index"].to_pylist(), one["frame_index"].to_pylist(), strict=True))
    expected = set(
        zip(other["episode_index"].to_pylist(), other["frame_index"].to_pylist(), strict=True)
    )
    doubled = sum(count - 1 for count in Counter(rows).values())
    return [f"{len(expected - set(rows))} rows lost, {doubled} doubled, or values differ"]


def command_line(dataset: Path, model: Path, out: Path, *, workers: int) -> list[str]:
    """Return the command line of a labelling run."""
    program = "import sys; from robo_reward.cli import main; main(sys.argv[1:])"
    flags = ["--dataset", str(dataset), "--model", str(model), "--out", str(out)]
    return [sys.executable, "-c", program, "label", *flags, "--workers", str(workers)]


def reworked(out: Path) -> int:
    """Return how many units were begun again after whoever had them died."""
    lines = (json.loads(line) for line in (out / LOG).read_text().splitlines())
    return sum("taken_over" in line for line in lines)
