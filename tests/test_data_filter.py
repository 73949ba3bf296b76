"""Which episodes to drop: rules and distances by hand, the command on files."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import write_dataset
from reviewing import write_labels

from data.filter import Filter, edit_command, small_pictures
from data.filter_rules import (
    Judged,
    Limits,
    Near,
    Traits,
    agreement,
    curve_points,
    distances,
    judge,
    neighbours,
)
from data.lerobot_dataset import open_dataset
from robo_reward.errors import DatasetError, InputError, OutputError


def traits(*phi: float, outcome: bool | None = True, **changes: Any) -> Traits:
    values = np.array(phi)
    plain = Traits(phi=values, valid=np.isfinite(values), disagreement=0.0, outcome=outcome)
    return replace(plain, **changes)


def verdict(one: Traits, **near: Near) -> tuple[str, tuple[str, ...]]:
    found = judge(one, Limits(), **near)
    return found.verdict, found.reasons


NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "expected", "reasons"),
    [
        (traits(0, 0.5, 1), "keep", ()),
        (traits(0, 0.5, 0.8), "keep", ()),
        (traits(0, 0.5, 0.7), "look", ("ends at 0.70",)),
        (traits(0, 0.3, 0.4), "drop", ("ends at 0.40",)),
        (traits(0, 1, 0.6), "look", ("ends at 0.60", "falls from 1.00 to 0.60")),
        (traits(0, 0.9, 0.1), "drop", ("ends at 0.10", "falls from 0.90 to 0.10")),
        (traits(0.95, 0.96, 1), "drop", ("Φ spans 0.05",)),
        (traits(0, 0.5, 1, outcome=None), "keep", ()),
        (traits(0, 0.5, 0.7, outcome=None), "look", ("ends at 0.70",)),
        (traits(0, 0.5, 1, outcome=False), "drop", ("failed",)),
        (traits(0, 0.05, outcome=False), "drop", ("failed", "Φ spans 0.05")),
        (traits(0, NAN, NAN, 1), "drop", ("invalid 50%",)),
        (traits(0, 0.2, 0.5, NAN, 1), "look", ("invalid 20%",)),
        (traits(NAN, NAN), "drop", ("invalid 100%",)),
        (traits(0, 1, disagreement=0.25), "look", ("anchors disagree by 0.25",)),
    ],
)
def test_each_rule_speaks_from_its_limit_on(
    one: Traits, expected: str, reasons: tuple[str, ...]
) -> None:
    assert verdict(one) == (expected, reasons)


def test_what_a_reviewer_accepted_is_kept_unless_it_failed() -> None:
    accepted = traits(0, 0.9, 0.1, accepted=True)
    assert verdict(accepted)[0] == "keep"
    assert verdict(accepted)[1][0] == "accepted by a reviewer"
    assert verdict(replace(accepted, outcome=False)) == ("drop", ("failed",))


def test_the_likeness_of_a_failure_or_of_an_earlier_episode_deserves_a_look() -> None:
    near, far = Near(episode=7, distance=0.04), Near(episode=7, distance=0.3)
    assert verdict(traits(0, 1), failure=near) == ("look", ("like failure 7 (0.04)",))
    assert verdict(traits(0, 1), twin=near) == ("look", ("much the same as 7 (0.04)",))
    assert verdict(traits(0, 1), failure=far, twin=far) == ("keep", ())
    assert verdict(traits(0, 1, outcome=False), failure=near) == ("drop", ("failed",))


def test_end_and_highest_are_those_of_valid_frames() -> None:
    found = judge(traits(0, 0.8, 0.6, NAN), Limits())
    assert (found.end, found.highest) == (0.6, 0.8)
    nothing = judge(traits(NAN), Limits())
    assert nothing == Judged(verdict="drop", reasons=("invalid 100%",), end=None, highest=None)


def test_the_distance_is_relative_to_what_is_usual() -> None:
    # pictures .1, .2, .3 apart: usually .2; curves .4, .4, 0 apart: usually .4
    pictures = np.array([[0.0, 0.0], [0.1, 0.1], [0.3, 0.3]])
    curves = np.array([[0.0] * 32, [0.4] * 32, [0.4] * 32])
    found = distances(pictures, curves)
    assert found[0, 1] == pytest.approx((0.1 / 0.2 + 0.4 / 0.4) / 2)
    assert found[0, 2] == pytest.approx((0.3 / 0.2 + 0.4 / 0.4) / 2)
    assert found[1, 2] == pytest.approx((0.2 / 0.2 + 0.0) / 2)
    assert np.array_equal(found, found.T)
    assert np.diag(found).tolist() == [0, 0, 0]


def test_the_same_twice_is_at_no_distance_and_one_alone_has_none() -> None:
    same = distances(np.ones((2, 4)), np.ones((2, 32)))
    assert same.tolist() == [[0, 0], [0, 0]]
    tiny = distances(np.array([[0.0], [0.001]]), np.zeros((2, 32)))
    assert tiny[0, 1] == pytest.approx(0.001 / 0.005 / 2)
    assert distances(np.ones((1, 4)), np.ones((1, 32))).tolist() == [[0]]


def test_neighbours_are_the_nearest_failure_and_the_nearest_earlier_one() -> None:
    apart = np.array([[0, 3, 1], [3, 0, 2], [1, 2, 0]], np.float64)
    found = neighbours(apart, [4, 6, 9], np.array([False, True, True]))
    assert found == [
        (Near(episode=9, distance=1), None),
        (Near(episode=9, distance=2), Near(episode=4, distance=3)),
        (Near(episode=6, distance=2), Near(episode=4, distance=1)),
    ]
    assert neighbours(apart[:1, :1], [4], np.array([True])) == [(None, None)]


def test_curves_are_compared_at_equal_steps_and_hold_the_last_valid_value() -> None:
    phi = np.array([NAN, 0.2, 0.9, NAN])
    found = curve_points(phi, np.array([False, True, False, False]))
    assert found.shape == (32,)
    assert found[0] == 0
    assert set(found[10:].tolist()) <= {0.0, 0.2}
    assert found[-1] == 0.2
    assert curve_points(np.array([0.5]), np.array([True])).tolist() == [0.5] * 32


def test_agreement_takes_every_episode_for_a_claimed_success() -> None:
    known = [
        (traits(0, 1), True),  # kept
        (traits(0, 0.3), True),  # dropped, wrongly
        (traits(0, 0.2, outcome=False), False),  # dropped
        (traits(0, 0.9, outcome=False, accepted=True), False),  # missed
        (traits(0, 0.6, outcome=False), False),  # to look at: missed
    ]
    found = agreement(known, Limits())
    assert (found.episodes, found.failures, found.dropped, found.hits) == (5, 3, 2, 1)
    assert found.precision == 0.5
    assert found.recall == pytest.approx(1 / 3)
    none = agreement([], Limits())
    assert (none.precision, none.recall) == (None, None)


def test_a_limit_out_of_range_is_named_by_its_flag() -> None:
    with pytest.raises(InputError, match=r"--limits\.low-end 50 is not between 0 and 1"):
        Limits(low_end=50).check()
    with pytest.raises(InputError, match="nan"):
        Limits(near=NAN).check()


# ---- the command ----


@pytest.fixture
def labels(tiny_dataset: Path, tmp_path: Path) -> Path:
    return write_labels(tmp_path / "labels", tiny_dataset)


def filtered(root: Path, labels: Path, out: Path, **changes: Any) -> dict[str, Any]:
    Filter(dataset=root, labels=labels, out=out, **changes).run()
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_the_file_and_the_screen_say_what_to_drop_and_why(
    tiny_dataset: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = filtered(tiny_dataset, labels, tmp_path / "filter.json")
    # 0 rises to 1; 1 is a recorded failure; 2 is a success that ends at .4
    assert (found["keep"], found["look"], found["drop"]) == ([0], [], [1, 2])
    reasons = [one["reasons"] for one in found["episodes"]]
    assert reasons[1:] == [["failed"], ["ends at 0.40"]]
    assert found["episodes"][0]["nearest_failure"]["episode"] == 1
    assert found["agreement"] == {
        "episodes": 3,
        "failures": 1,
        "dropped": 1,
        "hits": 0,
        "precision": 0.0,
        "recall": 0.0,
    }
    said = capsys.readouterr().out
    assert "3 episodes: 2 drop, 0 look, 1 keep" in said
    assert "precision 0.000, recall 0.000" in said
    assert found["command"] in said


def test_a_reviewers_decisions_count(tiny_dataset: Path, labels: Path, tmp_path: Path) -> None:
    from data.review_session import Session

    session = Session(open_dataset(tiny_dataset), labels, "me")
    session.decide(0, {"outcome": "failure"})
    session.decide(1, {"outcome": "success"})
    session.decide(2, {"accepted": True})
    version = session.write("")
    session.draft.close()
    found = filtered(tiny_dataset, version.folder, tmp_path / "filter.json")
    assert (found["drop"], found["keep"]) == ([0], [1, 2])
    assert found["episodes"][2]["reasons"][0] == "accepted by a reviewer"
    assert [one["outcome"] for one in found["episodes"]] == [False, True, True]


def test_limits_move_the_verdicts_and_a_known_good_dataset_needs_no_command(
    tiny_dataset: Path, labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loose = Limits(low_end=0.3, fair_end=0.4, near=0, duplicate=0)
    found = filtered(tiny_dataset, labels, tmp_path / "a.json", limits=loose)
    assert (found["keep"], found["drop"]) == ([0, 2], [1])
    capsys.readouterr()
    strict = Limits(still=1.0)
    assert filtered(tiny_dataset, labels, tmp_path / "b.json", limits=strict)["keep"] == [0]
    assert edit_command(tiny_dataset, []) is None


def test_a_copy_of_an_episode_is_noticed(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "four", "images", episodes=4)  # pictures repeat after three
    labels = write_labels(tmp_path / "labels", root)
    found = filtered(root, labels, tmp_path / "filter.json")
    assert "much the same as 0 (0.00)" in found["episodes"][3]["reasons"]
    assert found["episodes"][3]["verdict"] == "look"


def test_small_pictures_are_the_ends_of_every_view(tiny_dataset: Path) -> None:
    found = small_pictures(open_dataset(tiny_dataset), 0)
    assert found.shape == (2 * 2 * 8 * 8 * 3,)
    greys = found.reshape(4, -1).mean(axis=1) * 255
    assert greys == pytest.approx([20, 20 + 88, 140, 140 + 88], abs=0.01)


def test_bad_input_is_told_before_the_work(
    tiny_dataset: Path, labels: Path, tmp_path: Path
) -> None:
    out = tmp_path / "filter.json"
    command = Filter(dataset=tiny_dataset, labels=labels, out=out)
    with pytest.raises(OutputError, match="is a folder; name a JSON file"):
        replace(command, out=tmp_path).run()
    out.write_text("mine")
    with pytest.raises(OutputError, match="give --overwrite"):
        command.run()
    assert out.read_text() == "mine"
    out.unlink()
    with pytest.raises(DatasetError, match=r"holds no progress.parquet"):
        replace(command, labels=tmp_path).run()
    other = write_labels(tmp_path / "other", tiny_dataset, dataset_fingerprint="0ther")
    with pytest.raises(DatasetError, match="fingerprint 0ther"):
        replace(command, labels=other).run()
    (labels / "review.json").write_text("{")
    with pytest.raises(DatasetError, match=r"review.json cannot be read"):
        command.run()
    assert not out.exists()


@pytest.mark.parametrize("place", [".", "meta/.."])
def test_a_dataset_may_be_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    root = write_dataset(tmp_path / "here", "images").resolve()
    labels = write_labels(tmp_path / "labels", root)
    monkeypatch.chdir(root)
    command = filtered(Path(place), labels, tmp_path / "filter.json")["command"]
    assert f"--root {root} " in command
    assert f"--new_root {root}-filtered " in command


@pytest.mark.slow
def test_the_printed_command_makes_the_filtered_dataset(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "two words", "images")
    labels = write_labels(tmp_path / "labels", root)
    command = filtered(root, labels, tmp_path / "filter.json")["command"]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    left = open_dataset(tmp_path / "two words-filtered")
    assert len(left) == 1
    assert left.episode(0).outcome
    assert len(left.episode(0).instructions) == 2


def test_a_label_that_is_missing_is_told(tiny_dataset: Path, labels: Path, tmp_path: Path) -> None:
    path = labels / "progress.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(0, 30)]), path)
    with pytest.raises(DatasetError, match="episode 2 has 12 frames, but its labels are 6 rows"):
        filtered(tiny_dataset, labels, tmp_path / "filter.json")
