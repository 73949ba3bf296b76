"""Collecting in pieces: the same bytes for any workers, and what a kill or a full disk leaves."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.lerobot_dataset import open_dataset
from robo_reward.errors import InputError, OutputError
from sim.collect import Collect
from sim.collect_log import log_path
from sim.pieces import Job, Plan, claim, make_piece, piece_path


def log(out: Path) -> list[dict[str, Any]]:
    """The log of a collection, without the times."""
    text = out.with_name(f"{out.name}.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(line.pop("seconds") >= 0 for line in lines)
    return lines


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


SMALL = Plan(
    task="press_button",
    mix="",
    behaviours=("expert", "noise", "miss", "stop", "expert", "expert", "wrong_object"),
    seed=7,
    image_size=16,
    storage="images",
)


def small(out: Path, **changes: Any) -> Collect:
    """Two pieces, of five episodes and of two."""
    flags = {"task": "press_button", "episodes": 7, "seed": 7, "image_size": 16}
    return Collect(out=out, storage="images", **(flags | changes))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed") / "d"
    small(out, workers=1).run()
    assert not out.with_name("d.pieces").exists()
    *episodes, totals = log(out)
    assert [line["episode"] for line in episodes] == list(range(7))
    assert [line["seed"] for line in episodes] == list(range(7, 14))
    assert {(line["task"], line["robot"]) for line in episodes} == {("press_button", "panda")}
    dataset = open_dataset(out)
    for number, line in enumerate(episodes):
        told = dataset.episode(number)
        assert (line["instruction"], line["behaviour"]) == (told.instructions[0], told.behaviour)
        assert (line["success"], line["steps"] + 1) == (told.outcome, told.length)
        assert (line["failure_mode"] == "none") == (line["onset"] == -1) == line["success"]
    assert totals == {
        "episodes": 7,
        "successes": sum(line["success"] for line in episodes),
        "failure_modes": Counter(line["failure_mode"] for line in episodes),
        "steps": sum(line["steps"] for line in episodes),
    }
    return contents(out)


def test_two_workers_make_the_same_files_as_one(
    tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    small(tmp_path / "d", workers=2).run()
    assert contents(tmp_path / "d") == undisturbed


def test_a_killed_collection_goes_on_where_it_was_and_makes_the_same_files(
    tmp_path: Path, undisturbed: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    program = (
        "import sys; from pathlib import Path; from sim.collect import Collect\n"
        "if __name__ == '__main__':\n"
        "    Collect(out=Path(sys.argv[1]), task='press_button', episodes=7, seed=7,"
        " image_size=16, storage='images', workers=1).run()"
    )
    script, out = tmp_path / "run.py", tmp_path / "d"
    script.write_text(program)
    first = out.with_name("d.jsonl")
    with subprocess.Popen([sys.executable, str(script), str(out)]) as process:
        deadline = time.monotonic() + 120
        while (
            not (first.exists() and first.read_text())
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        process.kill()
    assert len(log(out)) == 5, "it grows while the collection goes on"
    assert not out.exists()
    small(out, workers=1).run()
    assert "going on with" in capsys.readouterr().out
    assert contents(out) == undisturbed
    assert [line.get("episode") for line in log(out)] == [*range(7), None], "none lost or doubled"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "d.jsonl", "run.py"]


def test_pieces_of_another_plan_are_not_mixed_in(tmp_path: Path) -> None:
    folder = tmp_path / "d.pieces"
    assert claim(folder, SMALL) == [0, 1]
    assert claim(folder, SMALL) == [0, 1]
    with pytest.raises(InputError, match=r"another image_size, seed: repeat.*--overwrite"):
        claim(folder, replace(SMALL, seed=8, image_size=32))


def test_a_piece_is_a_dataset_of_its_own_and_made_again_if_its_log_is_missing(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        assert make_piece(Job(SMALL, tmp_path, 1)) == 1
        log_path(piece_path(tmp_path, 1)).rename(tmp_path / "away")
        assert claim(tmp_path, SMALL) == [0, 1]
    (tmp_path / "away").rename(log_path(piece_path(tmp_path, 1)))
    assert claim(tmp_path, SMALL) == [0]
    dataset = open_dataset(tmp_path / "piece-00001")
    assert [dataset.episode(n).behaviour for n in range(len(dataset))] == ["expert", "wrong_object"]
    assert "piece 1 of" in repr(Job(SMALL, tmp_path, 1))
    assert "seeds 12 to 13" in repr(Job(SMALL, tmp_path, 1))


@pytest.mark.parametrize(("episodes", "length", "count"), [(1, 5, 1), (320, 5, 64), (1000, 16, 63)])
def test_there_are_64_pieces_at_most(episodes: int, length: int, count: int) -> None:
    plan = replace(SMALL, behaviours=("expert",) * episodes)
    assert (plan.length, plan.count) == (length, count)
    assert [n for piece in range(count) for n in plan.episodes(piece)] == list(range(episodes))


def test_a_full_disk_says_what_is_safe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(jobs: list[Job], *_: Any, **__: Any) -> Iterator[tuple[int, Any]]:
        yield 0, make_piece(jobs[0])
        raise OutputError("cannot write x (No space left on device); free some space")

    monkeypatch.setattr("sim.workforce.do_jobs", refuse)
    with pytest.raises(OutputError, match=r"No space left.*1 of 2 pieces are safe in .*d.pieces"):
        small(tmp_path / "d").run()
    assert len(open_dataset(tmp_path / "d.pieces/piece-00000")) == 5


def test_more_workers_than_cores_are_warned_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.workforce.do_jobs", lambda *_, **__: iter(()))
    monkeypatch.setattr("data.joining.join_datasets", lambda *_, **__: None)
    monkeypatch.setattr("sim.replay.check_replay", lambda *_, **__: (1, 1))
    small(tmp_path / "d", workers=999).run()
    assert "--workers 999 is more than the" in capsys.readouterr().out
