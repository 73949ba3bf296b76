"""Figures with intervals, the same draws for all, and the table of them."""

import json
from typing import Any

import bright
import numpy as np
import pytest

from data.estimators import trivial_estimators, truth_estimator
from data.eval_table import TITLES, print_table
from data.figures import FIGURES
from data.probes import probes_for
from data.probing import Prober
from data.results import results
from robo_reward.files import finite

PROBES = {name: probe for name, probe in probes_for(("front", "side")).items() if name != "grain"}


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    estimators = {
        "model": bright.seeing(),
        **trivial_estimators(0.4),
        "truth": truth_estimator(0.4),
    }
    prober = Prober(estimators=estimators, probes=PROBES, period_s=0.4)
    for end in (1.0, 1.0, 0.6, 0.5, 0.2, 0.1):
        rise = np.append(np.linspace(0, end, 9), end)
        prober.ask(bright.case(rise.tolist(), clean=end == 1.0))
    return results(prober.findings(), PROBES, draws=50, seed=0)


def test_every_figure_of_every_estimator_has_an_interval(told: dict[str, Any]) -> None:
    assert set(told["figures"]) == set(FIGURES)
    for figure in told["figures"].values():
        assert set(figure["values"]) == {
            "model", "clock", "constant_hop", "pixel_distance", "truth",
        }  # fmt: skip
        for one in figure["values"].values():
            if not np.isnan(one["low"]):
                assert one["low"] <= one["high"]
    assert told["outcomes"] == {"failure": 2, "partial": 2, "success": 2}
    assert told["tau_a_ceiling"] == pytest.approx(12 / 15)


def test_a_difference_is_that_of_the_values_and_paired(told: dict[str, Any]) -> None:
    error = told["figures"]["mae"]
    gap = error["model_minus"]["clock"]
    assert error["better"] == "lower"
    assert gap["value"] == error["values"]["model"]["value"] - error["values"]["clock"]["value"]
    assert gap["high"] < 0, "it beats the clock in every draw"
    assert "model" not in error["model_minus"]


def test_a_figure_that_the_model_lacks_is_compared_with_nothing(told: dict[str, Any]) -> None:
    calibration = told["figures"]["calibration_error"]
    assert np.isnan(calibration["values"]["model"]["value"])
    assert calibration["model_minus"] == {}
    assert told["reliability"] == []


def test_probes_tell_the_share_passed_the_effect_and_how_many_count(told: dict[str, Any]) -> None:
    frozen = told["probes"]["frozen"]
    assert frozen["results"]["model"] == {
        "value": 1.0, "low": pytest.approx(0.025 ** (1 / 6)), "high": 1.0,
        "episodes": 6, "effect": 0.0,
    }  # fmt: skip
    assert frozen["results"]["clock"]["effect"] == 1.0
    nowhere = told["probes"]["wrong_object"]["results"]["model"]
    assert nowhere["episodes"] == 0
    assert np.isnan(nowhere["value"])


def test_a_single_episode_has_figures_and_no_intervals() -> None:
    prober = Prober(estimators={"model": bright.seeing()}, probes={}, period_s=0.4)
    prober.ask(bright.case([0.0, 0.5, 1.0]))
    alone = results(prober.findings(), {}, draws=10, seed=0)["figures"]["mae"]["values"]["model"]
    assert alone["value"] < 0.01
    assert np.isnan([alone["low"], alone["high"]]).all()


def test_only_pairs_of_which_both_were_asked_are_told(told: dict[str, Any]) -> None:
    assert set(told["pairs"]) == {"paraphrase", "without_front", "without_side"}
    assert told["pairs"]["without_front"]["partner"] == "reversed"
    assert told["pairs"]["without_front"]["results"]["clock"]["value"] == 0.0


def test_all_of_it_is_json(told: dict[str, Any]) -> None:
    assert json.dumps(finite(told), allow_nan=False)


def test_the_table_names_every_figure_and_probe(
    told: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_table(told)
    printed = capsys.readouterr().out
    assert set(TITLES) == set(FIGURES)
    for title in TITLES.values():
        assert title in printed
    for name in PROBES:
        assert f"passed: {name} (" in printed
    assert "pair: without_front + reversed (6)" in printed
    assert "tau_a (at most .800)" in printed
    assert "–" in printed
    assert "−1.000" in printed, "the clock's VOC reversed"
