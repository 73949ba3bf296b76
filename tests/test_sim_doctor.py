"""The check of the machine: what it finds, what it advises, when it fails."""

import json
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from robo_reward.cli import main
from robo_reward.errors import OutputError
from sim import doctor
from sim.doctor import Check, Doctor, UnfitError


def only(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    """Let the doctor find just these."""
    monkeypatch.setattr(doctor, "diagnose", lambda: iter(checks))


def test_this_machine_passes_with_11_checks_and_the_table_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "deep" / "doctor.json"
    main(["doctor", "--json", str(path)])
    table = {check["name"]: check for check in json.loads(path.read_text())}
    assert len(table) == 11
    assert table["drawing"]["found"] in doctor.BACKENDS
    assert table["video h264"]["problem"] == ""
    shown = capsys.readouterr().out
    for name in ("python", "torch", "mujoco", "lerobot", "transformers", "cores", "gpu"):
        assert name in shown
        assert table[name]["found"]


def test_something_needed_that_is_missing_exits_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, Check(name="drawing", found="none", problem="install it"))
    with pytest.raises(SystemExit) as stop:
        main(["doctor"])
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert "not ready: drawing" in captured.err
    assert "install it" in captured.out


def test_the_table_is_written_also_when_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only(monkeypatch, Check(name="torch", found="none", problem="install it"))
    with pytest.raises(UnfitError):
        Doctor(json=tmp_path / "d.json").run()
    assert json.loads((tmp_path / "d.json").read_text())[0]["problem"] == "install it"


def test_something_that_is_not_needed_does_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Check(name="av1", found="none", problem="use h264", needed=False))
    Doctor().run()


def test_a_package_that_is_not_installed_is_a_problem() -> None:
    check = doctor.check_package("no-such-package-at-all")
    assert check.problem == "install it: pip install no-such-package-at-all"


def test_without_any_backend_the_advice_is_the_line_to_install() -> None:
    check = doctor.check_drawing(lambda backend: f"no {backend}")
    assert "libegl1 libgl1" in check.problem
    assert check.found == "egl: no egl; osmesa: no osmesa"
    assert check.needed


def test_with_only_osmesa_the_advice_is_to_choose_it() -> None:
    check = doctor.check_drawing(lambda backend: "no egl" if backend == "egl" else None)
    assert check.found == "osmesa"
    assert "MUJOCO_GL=osmesa" in check.problem
    assert not check.needed


def test_an_encoder_that_does_not_exist_is_a_problem_with_advice() -> None:
    check = doctor.check_codec("h264", "no_such_encoder")
    assert check.needed
    assert "PyAV" in check.problem
    assert not doctor.check_codec("av1", "no_such_encoder").needed


def test_less_than_2_gb_of_disk_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**10, 9 * 10**9, 10**9))
    assert doctor.check_disk(tmp_path).problem == "free at least 2 GB"


def test_an_unwritable_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Check(name="python", found="3"))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --json"):
        Doctor(json=tmp_path / "file" / "d.json").run()
