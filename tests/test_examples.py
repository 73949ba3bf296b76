"""The examples run as they are, on a tiny dataset and an untrained model; README names commands."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import LENGTH, TASK, write_recordings

from robo_reward.serving.child import started

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SCORE, LABEL = "01_score_a_recording.py", "02_label_a_dataset.py"
SHAPE, SERVED = "03_shape_the_reward.py", "04_ask_a_server.py"


def run(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run an example in a process of its own, on one thread and without a network."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / name), *map(str, args)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save an untrained model; a query every .4 s, so every 4 frames of the tiny episodes."""
    import torch

    from robo_reward.checkpoint import ModelConfig, build, save
    from robo_reward.config import CompactConfig
    from robo_reward.model import ModelSettings

    torch.manual_seed(0)
    shape = CompactConfig(image_size=16, width=16, depth=1, heads=2, channels=8)
    directory = tmp_path_factory.mktemp("models") / "model"
    config = ModelConfig(backbone=shape, settings=ModelSettings(image_size=16))
    save(directory, build(shape), config)
    return directory


def test_an_episode_of_a_dataset_is_scored(tiny_dataset: Path, model: Path) -> None:
    done = run(SCORE, tiny_dataset, "--model", model, "--episode", 1)
    assert done.returncode == 0, done.stderr
    first, *lines, last = done.stdout.splitlines()
    assert first == f"episode 1: {TASK!r}, references: episode 0"
    assert [line.split()[0] for line in lines] == ["0.00", "0.40", "0.80"]
    assert all(0.0 <= float(line.split()[3]) <= 1.0 for line in lines)
    assert last.startswith("success declared: ")


def test_a_folder_of_videos_is_scored(model: Path, tmp_path: Path) -> None:
    folder = write_recordings(tmp_path, episodes=1) / "episode_001"
    done = run(SCORE, folder, "--model", model, "--instruction", TASK)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[:-1]] == ["0.00", "0.40", "0.80"]


def test_a_dataset_is_labelled_and_the_suspicious_episodes_named(
    tiny_dataset: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "labels"
    done = run(LABEL, tiny_dataset, "--model", model, "--out", out, "--show", 2)
    assert done.returncode == 0, done.stderr
    assert pq.read_table(out / "progress.parquet").num_rows == 3 * LENGTH
    assert "the most suspicious of 3 episodes:" in done.stdout
    assert len(re.findall(r"^  episode +\d  0\.\d\d  \S", done.stdout, re.MULTILINE)) == 2
    assert f"--sample_weighting.progress_path={out / 'progress.parquet'}" in done.stdout


def test_an_episode_is_paid_the_shaped_reward_and_its_sum_telescopes(
    tiny_dataset: Path, model: Path
) -> None:
    done = run(SHAPE, model, "--references", tiny_dataset, "--steps", 12)
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "10"]
    total, left = re.findall(r"[+-]\d\.\d{4}", last)
    assert total == left
    assert float(total) != 0.0


def test_a_server_is_asked_frame_by_frame(tiny_dataset: Path, model: Path) -> None:
    with started(model, environment={"OMP_NUM_THREADS": "1"}) as server:
        done = run(SERVED, tiny_dataset, "--server", server.address, "--deadline", 20)
        assert done.returncode == 0, done.stderr
        *lines, last = done.stdout.splitlines()
        assert [line.split()[0] for line in lines] == ["0.00", "0.40", "0.80"]
        assert all(0.0 <= float(line.split()[3]) <= 1.0 for line in lines)
        assert last == f"{LENGTH} Scored, 0 Stale, 0 Unavailable"
    done = run(SERVED, tiny_dataset, "--server", server.address)
    assert done.returncode == 1
    assert done.stderr.startswith("no reward server listens at tcp://127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_what_cannot_work_is_said_in_one_sentence(tiny_dataset: Path) -> None:
    done = run(SCORE, tiny_dataset, "--model", "no/model")
    assert done.returncode == 1
    assert done.stderr.startswith("no/model is no model")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_short_and_says_what_it_needs(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80
    header = lines[1 : lines.index("# ///")]
    told = tomllib.loads("\n".join(line.removeprefix("#").strip() for line in header))
    assert lines[0] == "# /// script"
    assert told["dependencies"] == ["robo-reward"]


def test_the_readme_names_the_commands_that_there_are() -> None:
    from robo_reward.bench import Bench
    from robo_reward.cli import COMMANDS, find

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("## Commands")[1].split("## ")[0]
    named = set(re.findall(r"^\| `([a-z]+(?: [a-z]+)?)` \|", table, re.MULTILINE))
    there = set(find(COMMANDS)) - {"bench"} | {f"bench {name}" for name in find(Bench.group)}
    assert named == there
