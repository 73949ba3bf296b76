"""The page of an evaluation: whole, inert, and right about who is better."""

import re
from typing import Any

import pytest

from data.eval_page import build_page
from data.figures import FIGURES

NAN = float("nan")
NAMES = ("model", "clock", "constant_hop", "truth")


def told(value: float, low: float = NAN, high: float = NAN) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def evaluation(**changes: Any) -> dict[str, Any]:
    figure = {
        "better": "higher",
        "values": {name: told(0.5, 0.4, 0.6) for name in NAMES},
        "model_minus": {name: told(0.0, -0.1, 0.1) for name in NAMES[1:]},
    }
    shares = {name: told(0.75, 0.5, 1.0) | {"episodes": 8, "effect": 0.1} for name in NAMES}
    says = "Φ < 1 & stays"
    probe = {"kind": "invariance", "says": says, "results": shares, "failed": []}
    plain = {
        "dataset": "outputs/<b>held-out</b>",
        "model": "m",
        "model_fingerprint": "0123456789abcdef",
        "reference": "auto",
        "seed": 0,
        "episodes": 8,
        "outcomes": {"failure": 3, "partial": 1, "success": 4},
        "tau_a_ceiling": 0.6,
        "figures": {name: figure for name in FIGURES},
        "by_dataset": {"datasets": {}, "model": {}},
        "reliability": [{"count": 5, "confidence": 0.75, "right": 0.5}],
        "probes": {"frozen": probe},
        "pairs": {"grain": {"partner": "shuffled", "results": shares}},
    }
    return plain | changes


def test_it_needs_nothing_else_and_runs_nothing() -> None:
    page = build_page(evaluation())
    assert page.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "{{" not in page


def test_texts_cannot_become_markup() -> None:
    page = build_page(evaluation())
    assert "<b>held-out" not in page
    assert "&lt;b&gt;held-out" in page
    assert "Φ &lt; 1 &amp; stays" in page


@pytest.mark.parametrize(
    ("better", "gap", "kind"),
    [
        ("higher", (0.1, 0.3), "better"),
        ("higher", (-0.3, -0.1), "worse"),
        ("lower", (-0.3, -0.1), "better"),
        ("lower", (0.1, 0.3), "worse"),
        ("lower", (-0.1, 0.3), "same"),
        ("higher", (NAN, NAN), "same"),
    ],
)
def test_a_colour_says_who_is_better_where_the_interval_does(
    better: str, gap: tuple[float, float], kind: str
) -> None:
    whole = evaluation()
    clock = {"clock": told(sum(gap) / 2, *gap)}
    whole["figures"]["mae"] = whole["figures"]["mae"] | {"better": better, "model_minus": clock}
    row = next(row for row in build_page(whole).split("<tr>") if row.startswith("<td>mean |error|"))
    kinds = re.findall(r'<td class="(\w+)">', row)
    assert kinds[0] == kind
    assert kinds[1:] == ["same", "same"], "nothing is known of the others"


def test_what_is_unknown_is_a_dash_and_what_never_varies_has_no_bracket() -> None:
    whole = evaluation()
    values = {name: told(NAN) for name in NAMES} | {"clock": told(1.0, 1.0, 1.0)}
    whole["figures"]["ccc"] = {"better": "higher", "values": values, "model_minus": {}}
    row = next(row for row in build_page(whole).split("<tr>") if row.startswith("<td>CCC"))
    assert "<td>–</td>" in row
    assert '<td class="same">1.000</td>' in row


def test_failed_episodes_are_named_and_not_too_many() -> None:
    whole = evaluation()
    failed = [f"episode {number}" for number in range(20)]
    whole["probes"]["frozen"] = whole["probes"]["frozen"] | {"failed": failed}
    page = build_page(whole)
    assert "episode 7, …" in page
    assert "episode 8" not in page


def test_reliability_is_drawn_where_there_is_any() -> None:
    page = build_page(evaluation())
    assert page.count("<circle") == 1
    assert "5 queries: confidence .750, right .500" in page
    assert "tells no confidence" in build_page(evaluation(reliability=[]))


def test_without_probes_the_page_says_so() -> None:
    assert build_page(evaluation(probes={}, pairs={})).count("None was asked") == 2
