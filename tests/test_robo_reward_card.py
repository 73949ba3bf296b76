"""The model card: what it tells, and what a text in the data cannot do to it."""

from pathlib import Path
from typing import Any

import pytest
import tiny

from robo_reward.card import CARD, model_card
from robo_reward.checkpoint import CONFIG, ModelConfig, remove, save
from robo_reward.model import ModelSettings

TRAINING: dict[str, Any] = {
    "views": ["front", "wrist"],
    "datasets": ["table"],
    "episodes": {"training": 9, "validation": 1},
    "step": 300,
    "seed": 4,
    "instructions": ["clean the table"],
    "validation": {"mae": 0.0412, "success_auroc": None},
    "limits": ["match: only one goal in this data"],
}


def card(**changes: Any) -> str:
    stored = {
        "code_version": "1.2",
        "backbone": {"type": "compact"},
        "settings": {
            "query_period_s": 0.4,
            "tracker": {"success_threshold": 0.7, "calibration": None},
        },
        "training": TRAINING | changes,
    }
    return model_card("best", "abc123", stored)


def test_it_tells_data_figures_and_limits() -> None:
    text = card()
    for told in (
        "# Progress reward model abc123",
        "`front`, `wrist`",
        'robo_reward.load("best")',
        "9 episodes, 1 kept back",
        "300 steps, seed 4",
        "“clean the table”",
        "| mean \\|Φ − truth\\| | 0.0412 |",
        "One query every 0.4 s",
        "declared above 0.70",
        "Confidence is not calibrated",
        "match: only one goal",
    ):
        assert told in text
    assert "AUROC" not in text  # it was not known


def test_without_validation_it_says_that_nobody_knows() -> None:
    assert "so nobody knows" in card(validation={})


def test_many_instructions_are_counted_and_not_listed() -> None:
    text = card(instructions=[f"task {number}" for number in range(25)])
    assert "“task 19”" in text
    assert "“task 20”" not in text
    assert "and 5 other instructions" in text


@pytest.mark.parametrize("text", ["a\n# b", "```\nimport os", '"); import os; ("', "x" * 5000])
def test_a_text_of_the_data_stays_within_its_line(text: str) -> None:
    plain, hostile = card(instructions=["plain"]), card(instructions=[text])
    assert hostile.count("\n") == plain.count("\n")
    assert hostile.count('"') == plain.count('"')
    assert hostile.count("```") == plain.count("```")


def test_a_checkpoint_has_a_card_and_leaves_nothing_when_removed(tmp_path: Path) -> None:
    config = ModelConfig(backbone=tiny.SHAPE, settings=ModelSettings(image_size=tiny.SIZE))
    fingerprint = save(tmp_path / "model", tiny.network(), config)
    text = (tmp_path / "model" / CARD).read_text()
    assert fingerprint in text
    assert (tmp_path / "model" / CONFIG).is_file()
    remove(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_it_names_the_model_that_a_backbone_is_made_of() -> None:
    settings = {"query_period_s": 0.4, "tracker": {"success_threshold": 0.7, "calibration": None}}
    stored = {
        "code_version": "1.2",
        "backbone": {"type": "hf", "base": "some/`model`"},
        "settings": settings,
        "training": {},
    }
    assert "a hf backbone over `some/'model'`" in model_card("m", "f", stored)
