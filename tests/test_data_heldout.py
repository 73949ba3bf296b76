"""Held-out cases: own words, wrong words, and what needs no learning."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import tiny
from conftest import (
    LENGTH,
    change_info,
    data_file,
    grey,
    rewrite,
    write_dataset,
    write_recordings,
)

from data.heldout import HeldOut
from data.importing import Import
from data.lerobot_dataset import open_dataset
from robo_reward.ranking import FAILURE, SUCCESS


def test_every_episode_is_a_case_under_its_recorded_words(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset)
    cases = HeldOut(dataset, size=16).cases()
    assert len(cases) == len(dataset)
    for number, case in enumerate(cases):
        episode = dataset.episode(number)
        assert case.instruction == episode.instructions[0]
        assert len(case.truth) == episode.length
        assert len(list(case.frames(2))) == -(-episode.length // 2)


def test_no_episode_is_shown_its_own_end_as_the_picture_of_a_goal(tiny_dataset: Path) -> None:
    """Episodes 0 and 2 succeed; episode 1 brings the cube half the way, so pursues its goal."""
    cases = HeldOut(open_dataset(tiny_dataset), size=16).match_cases()
    assert [(case.name, case.match) for case in cases] == [
        (f"episode {number}", match) for number in range(3) for match in (1.0, 0.0, 0.0)
    ]
    shown = [int(case.references.goal["front"][0, 0, 0]) for case in cases if case.match == 1.0]
    assert shown == [grey("front", LENGTH - 1, other) for other in (2, 0, 0)]
    assert cases[1].references.goal == {}, "nothing shows the button pushed"


def test_the_only_success_of_a_goal_is_its_own_picture(tmp_path: Path) -> None:
    alone = open_dataset(write_dataset(tmp_path / "alone", "images", episodes=1))
    case, *_ = HeldOut(alone, size=16).match_cases()
    assert int(case.references.goal["front"][0, 0, 0]) == grey("front", LENGTH - 1)


def test_figures_of_a_model_and_of_the_clock_on_the_same_cases(tiny_dataset: Path) -> None:
    held_out = HeldOut(open_dataset(tiny_dataset), size=16)
    figures = held_out.metrics(tiny.model())
    assert figures["episodes"] == held_out.baselines(0.4)["clock"]["episodes"]
    assert 0 <= figures["mae"] <= 1
    assert set(held_out.baselines(0.4)) == {"clock", "constant_hop", "pixel_distance"}


def test_a_case_tells_what_probes_need(tiny_dataset: Path) -> None:
    held_out = HeldOut(open_dataset(tiny_dataset), size=16)
    for number, case in enumerate(held_out.cases()):
        assert (case.number, case.source) == (number, "simulator")
        assert case.paraphrases == ("drop the red cube into the bin",)
        assert [rival.instructions[0] for rival in case.rivals] == ["push the blue button"]
        assert case.rivals[0].progress.max() == 0.25
    assert [case.behaviour for case in held_out.cases()] == ["expert", "early_release", "expert"]


def test_some_episodes_in_the_order_given(tiny_dataset: Path) -> None:
    held_out = HeldOut(open_dataset(tiny_dataset), size=16, chosen=[2, 0])
    assert [case.name for case in held_out.cases()] == ["episode 2", "episode 0"]


def test_references_are_found_as_for_labels(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset)
    none = HeldOut(dataset, size=16, reference="none").cases()
    own = HeldOut(dataset, size=16, reference="own-last-frame").cases()
    assert not any(case.references.goal for case in none)
    shown = [int(case.references.goal["front"][0, 0, 0]) for case in own]
    assert shown == [grey("front", LENGTH - 1, number) for number in range(3)]


def forget_truth(root: Path) -> Path:
    names = ["truth.progress", "truth.goals"]
    rewrite(data_file(root), lambda table: table.drop_columns(names))
    change_info(root, lambda info: [info["features"].pop(name) for name in names])
    return root


def test_elapsed_time_is_no_truth_but_an_end_is_known(tmp_path: Path) -> None:
    root = forget_truth(write_dataset(tmp_path / "untold", "images"))
    success, failure, _ = HeldOut(open_dataset(root), size=16).cases()
    for case in (success, failure):
        assert case.source == "none: time is not taken for it"
        assert np.isnan(case.truth).all()
    assert (success.done[-1], failure.done[-1]) == (1.0, 0.0)
    assert (success.outcome, failure.outcome) == (SUCCESS, FAILURE)


def test_when_a_success_came_is_not_guessed(tmp_path: Path) -> None:
    """`next.success` in the last row alone says that it came, and not when."""
    root = forget_truth(write_dataset(tmp_path / "late", "images", episodes=1))

    def at_the_end(table: pa.Table) -> pa.Table:
        told = pa.array([False] * (LENGTH - 1) + [True])
        return table.set_column(table.column_names.index("next.success"), "next.success", told)

    rewrite(data_file(root), at_the_end)
    (case,) = HeldOut(open_dataset(root), size=16).cases()
    assert case.done[-1] == 1.0
    assert np.isnan(case.done[:-1]).all()


def test_annotated_subtasks_are_truth_and_said_to_be(tmp_path: Path) -> None:
    Import(source=write_recordings(tmp_path / "raw"), out=tmp_path / "made").run()
    case, _ = HeldOut(open_dataset(tmp_path / "made"), size=16).cases()
    assert case.source == "annotated subtasks, time within each"
    assert case.truth[[0, 5, 11]].tolist() == [0.0, 0.5, 1.0]
