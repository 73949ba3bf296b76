"""Jobs in processes: done once each, whatever happens to the processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from robo_reward.errors import InputError
from sim.workforce import TRIES, WorkerError, do_jobs


def square(job: int) -> int:
    return job * job


def die_once(job: tuple[Path, int]) -> int:
    """Kill the own process at the first try of an odd job."""
    mark, number = job[0] / str(job[1]), job[1]
    if number % 2 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def hang_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        time.sleep(600)
    return "done"


def always_die(job: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(job: int) -> int:
    if job == 2:
        raise InputError("two is not welcome; give another number")
    return job


def stumble(job: int) -> float:
    return 1 / job


def threads(job: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def test_every_job_is_done_once_by_any_number_of_workers() -> None:
    for workers in (1, 3):
        done = list(do_jobs(range(7), square, workers=workers, deadline=300))
        assert sorted(done) == [(n, n * n) for n in range(7)]


def test_the_jobs_of_killed_processes_are_done_by_others(tmp_path: Path) -> None:
    jobs = [(tmp_path, number) for number in range(5)]
    done = list(do_jobs(jobs, die_once, workers=2, deadline=300))
    assert sorted(done) == [(n, n) for n in range(5)]


def test_a_hung_process_is_killed_at_the_deadline(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert list(do_jobs([tmp_path / "m"], hang_once, workers=1, deadline=6.0)) == [(0, "done")]
    assert time.monotonic() - begun < 60


def test_a_job_that_always_kills_its_process_is_given_up_by_name() -> None:
    with pytest.raises(WorkerError, match=f"killed or crashed {TRIES} times with the bad one"):
        list(do_jobs(["the bad one"], always_die, workers=1, deadline=300))


def test_what_a_user_can_mend_comes_through_as_it_is() -> None:
    with pytest.raises(InputError, match="two is not welcome"):
        list(do_jobs([1, 2, 3], refuse, workers=1, deadline=300))


def test_a_fault_comes_with_its_job_and_traceback() -> None:
    with pytest.raises(WorkerError, match=r"failed with 0:\n.*ZeroDivisionError|ZeroDivision"):
        list(do_jobs([0], stumble, workers=1, deadline=300))


def test_workers_use_one_thread_each_and_this_process_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert list(do_jobs([0], threads, workers=1, deadline=300)) == [(0, "1")]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_workers_leave_at_once_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom sim.workforce import do_jobs\n"
        "from test_sim_workforce import sleep_long\n"
        "if __name__ == '__main__':\n"
        "    list(do_jobs([Path(sys.argv[1])], sleep_long, workers=1, deadline=600))\n"
    )
    mark = tmp_path / "pid"
    paths = os.pathsep.join((str(Path(__file__).parent), *filter(None, sys.path)))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, str(script), str(mark)]
    with subprocess.Popen(command, env=environment) as process:
        until(lambda: mark.exists() and mark.read_text())
        worker = int(mark.read_text())
        process.kill()
    until(lambda: not Path(f"/proc/{worker}").exists())


def until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sleep_long(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    time.sleep(600)


def test_no_process_is_left_when_the_results_are_not_wanted_any_more() -> None:
    results = do_jobs(range(50), square, workers=2, deadline=300)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
