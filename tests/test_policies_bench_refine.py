"""`robo-reward bench refine`: shares that add up, steps per second by number of processes."""

import json
from pathlib import Path

import pytest

from policies.bench_refine import BenchRefine, summed_up
from policies.clock import PARTS, Clock
from policies.config import LearnerConfig
from robo_reward.errors import InputError


def test_shares_add_up_and_the_first_update_does_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    BenchRefine(
        json=figures,
        env="press_button",
        workers=(0, 1),
        envs=2,
        rollouts=2,
        updates=1,
        max_steps=16,
        image_size=16,
        learner=LearnerConfig(epochs=1),
    ).run()
    told = json.loads(figures.read_text())
    assert sum(told[part] for part in (*PARTS, "overhead")) == pytest.approx(1.0)
    assert all(told[part] > 0.0 for part in PARTS)
    assert told["steps_per_s_0"] > 0
    assert told["played_steps_per_s_1"] > told["steps_per_s_1"] > 0
    assert "share of the wall time with 1 processes: environment" in capsys.readouterr().out


def test_figures_by_hand() -> None:
    line = {"seconds_wall": 10.0, "env_steps": 200.0, "seconds_overhead": 1.0}
    spent = dict(zip(PARTS, (4.0, 2.0, 1.0, 2.0), strict=True))
    told = summed_up([line | {f"seconds_{part}": s for part, s in spent.items()}], 2)
    assert told["environment"] == pytest.approx(0.4)
    assert told["overhead"] == pytest.approx(0.1)
    assert told["steps_per_s_2"] == pytest.approx(20.0)
    assert told["played_steps_per_s_2"] == pytest.approx(200.0 / 7.0)


def test_what_is_timed_within_another_part_is_not_counted_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("policies.clock.time.perf_counter", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    clock = Clock()
    wait(1.0)
    with clock("environment"):
        wait(2.0)
        with clock("policy"):
            wait(4.0)
        wait(8.0)
    with clock("learner"):
        wait(16.0)
    assert clock.shares() == {
        "wall": 31.0,
        "environment": 10.0,
        "policy": 4.0,
        "reward": 0.0,
        "learner": 16.0,
        "overhead": 1.0,
    }


@pytest.mark.parametrize("how", [{"workers": ()}, {"workers": (-1,)}, {"envs": 0}, {"updates": 0}])
def test_nothing_to_measure_is_refused(how: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"must be at least 1|must name numbers"):
        BenchRefine(**how).run()  # type: ignore[arg-type]
