"""What a run shows and writes while it works."""

import json
from pathlib import Path

import pytest

from robo_reward.console import RunLog, progress_bar


def test_without_a_terminal_one_line_says_what_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress_bar("label", 10, "frames") as bar:
        for _ in range(4):
            bar(2, "note")
        bar()
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("label: 9 frames in 0.")
    assert told.err.count("\n") == 1


def test_an_error_inside_the_bar_is_not_swallowed() -> None:
    with pytest.raises(ValueError, match="broken"), progress_bar("label", 1, "frames"):
        raise ValueError("broken")


def test_the_log_is_one_json_object_a_line_readable_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log.jsonl"
    log = RunLog(path)
    log.write(step=1, loss=0.5, hop=float("nan"))
    (line,) = path.read_text().splitlines()
    assert json.loads(line).keys() == {"step", "loss", "hop", "seconds"}
    assert '"hop": null' in line
    log.close()


def test_a_resumed_run_appends_to_its_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for step in (1, 2):
        log = RunLog(path)
        log.write(step=step)
        log.close()
    steps = [json.loads(line)["step"] for line in path.read_text().splitlines()]
    assert steps == [1, 2]
