"""Held-out cases: own words, wrong words, and what needs no learning."""

from pathlib import Path

import tiny

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


def test_figures_of_a_model_and_of_the_clock_on_the_same_cases(tiny_dataset: Path) -> None:
    held_out = HeldOut(open_dataset(tiny_dataset), size=16)
    figures = held_out.metrics(tiny.model())
    assert figures["episodes"] == held_out.baselines(0.4)["clock"]["episodes"]
    assert 0 <= figures["mae"] <= 1
    assert set(held_out.baselines(0.4)) == {"clock", "constant_hop", "pixel_distance"}
