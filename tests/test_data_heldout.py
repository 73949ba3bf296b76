"""Held-out cases: own words, wrong words, and what needs no learning."""

from pathlib import Path

import tiny
from conftest import LENGTH, grey, write_dataset

from data.heldout import HeldOut
from data.lerobot_dataset import open_dataset


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
