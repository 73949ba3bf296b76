"""`bench serve`: what it measures adds up, and what it cannot measure it says."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from serving import HeldUp, running

from data.bench_serve import BenchError, BenchServe, Load, ask_together
from robo_reward.config import CompactConfig
from robo_reward.errors import CheckpointError, InputError, OutputError

TINY = CompactConfig(image_size=16, width=20, depth=1, heads=2, channels=4)


def test_figures_are_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deeper" / "serve.json"
    BenchServe(json=out, clients=2, seconds=0.5, repeats=1, views=2, threads=1, backbone=TINY).run()
    told = capsys.readouterr().out
    assert "2 clients get" in told
    figures = json.loads(out.read_text())
    assert (figures["clients"], figures["views"], figures["image_size"]) == (2, 2, 16)
    assert figures["ratio"] == pytest.approx(figures["all_per_s"] / figures["one_per_s"])
    assert figures["one_queries_a_pass"] == 1.0
    assert 1.0 <= figures["all_queries_a_pass"] <= 2.0
    for name in ("one", "all"):
        assert 0.0 < figures[f"{name}_p50_ms"] <= figures[f"{name}_p99_ms"] < math.inf
        assert figures[f"{name}_answers"] > 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"clients": 0}, "--clients must be at least 1"),
        ({"repeats": 0}, "--repeats must be at least 1"),
        ({"seconds": 0.0}, "--seconds must be from 0.1"),
        ({"threads": -1}, "--threads must be at least 0"),
    ],
)
def test_flags_that_leave_nothing_to_measure_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        BenchServe(**how).run()


def test_what_cannot_be_served_or_written_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no model"):
        BenchServe(model=tmp_path).run()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        BenchServe(json=tmp_path / "file" / "x.json").run()


def test_a_frame_without_an_answer_ends_the_measurement() -> None:
    model = HeldUp()
    with running(model) as server, pytest.raises(BenchError, match="a client failed: NoVerdict"):
        ask_together(server.address, Load(size=8, views=1, seed=0, seconds=1.0, deadline_s=0.2), 1)


def test_clients_show_frames_of_their_own_and_the_same_ones_each_time() -> None:
    load = Load(size=4, views=2, seed=1, seconds=1.0)
    first, again, other = (next(load.frames(number)) for number in (0, 0, 1))
    assert list(first) == ["view_00", "view_01"]
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)
