"""The figures of an evaluation on one screen."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .by_dataset import SHOWN
from .estimators import MODEL

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {
    "voc_forward": "VOC forward",
    "voc_reversed": "VOC reversed",
    "voc_harmonic": "VOC, harmonic mean",
    "order_successes": "order by truth, successes",
    "order_others": "order by truth, failed/noisy",
    "mae": "mean |error| ↓",
    "ccc": "CCC with truth",
    "constant_max": "largest Φ, nothing done ↓",
    "concordance": "concordance of outcomes",
    "tau_a": "tau_a",
    "tau_a_within": "tau_a within an instruction",
    "grade_mae": "grade 1–5, mean |error| ↓",
    "completion": "completion judged right",
    "success_auroc": "success AUROC",
    "success_f1": "success F1",
    "success_mcc": "success MCC",
    "success_recall": "successes declared",
    "false_positive_rate": "false positives ↓",
    "premature_frames": "frames declared too early ↓",
    "calibration_error": "calibration error (ECE) ↓",
    "starc_distance": "STARC distance ↓",
    "valid_share": "frames valid",
}
"""Figure → its name for people; ↓ where lower is better."""
SHORT = {"constant_hop": "const. hop", "pixel_distance": "pixels", "embedding_distance": "embedd."}
WIDTH, WIDEST = 120, 200
"""Least and most columns of text that the table takes."""
_LEGEND = """↓: the lower, the better. In parentheses: how many episodes count.
[95 %]: of figures by paired bootstrap over episodes, of shares of episodes exact (binomial).
≈: by the paired bootstrap, there may be no difference to the model."""


def print_table(told: Mapping[str, Any]) -> None:
    """Print figures and probes of `results`, the model beside the baselines and the truth."""
    from rich.console import Console
    from rich.table import Table

    names = list(told["figures"]["mae"]["values"])
    counts = ", ".join(f"{count} {name}" for name, count in told["outcomes"].items())
    table = Table(title=f"{told['episodes']} episodes: {counts}")
    table.add_column("", no_wrap=True)
    table.add_column("model  [95 %]", justify="right", no_wrap=True)
    for name in names[1:]:
        table.add_column(SHORT.get(name, name), justify="right")
    for name, figure in told["figures"].items():
        title = TITLES[name]
        if name == "tau_a":
            title += f" (at most {cell(told['tau_a_ceiling'])})"
        table.add_row(title, _spread(figure["values"][MODEL]), *_others(figure, names[1:]))
    _add_probes(table, told, names)
    console = Console(width=WIDEST)
    console.width = max(WIDTH, console.measure(table).maximum)
    console.print(table)
    if told["by_dataset"]["datasets"]:
        console.print(_each_dataset(told["by_dataset"]))
    console.print(_LEGEND, highlight=False)


def _add_probes(table: "Table", told: Mapping[str, Any], names: list[str]) -> None:
    groups = {"passed": told["probes"], "pair": told["pairs"]}
    for word, group in groups.items():
        table.add_section()
        for name, probe in group.items():
            results = probe["results"]
            counted = results[MODEL]["episodes"]
            title = f"{word}: {name}" + (f" + {probe['partner']}" if word == "pair" else "")
            cells = [cell(results[one]["value"]) for one in names[1:]]
            table.add_row(f"{title} ({counted})", _spread(results[MODEL]), *cells)


def _each_dataset(told: Mapping[str, Any]) -> "Table":
    """Return the model's figures on each dataset, their mean and the worst."""
    from rich.table import Table

    table = Table(title="the model on each dataset")
    table.add_column("", no_wrap=True)
    for title in SHOWN:
        table.add_column(TITLES[title], justify="right")
    for name, rows in each_row(told).items():
        table.add_row(name, *rows)
    return table


def each_row(told: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the cells of `SHOWN` for each dataset, for their mean and for the worst."""
    rows = {
        f"{name} ({found['episodes']})": [cell(found["figures"][title][MODEL]) for title in SHOWN]
        for name, found in told["datasets"].items()
    }
    ends = {
        kind: [cell(told["model"][title][kind]) for title in SHOWN] for kind in ("mean", "worst")
    }
    return rows | ends


def _others(figure: Mapping[str, Any], names: list[str]) -> list[str]:
    cells = []
    for name in names:
        gap = figure["model_minus"].get(name, {"low": math.nan, "high": math.nan})
        alike = gap["low"] <= 0.0 <= gap["high"]
        cells.append(cell(figure["values"][name]["value"]) + (" ≈" if alike else "  "))
    return cells


def _spread(told: Mapping[str, float]) -> str:
    if math.isnan(told["value"]):
        return "–"
    if math.isnan(told["low"]):
        return f"{cell(told['value'])}  [–]"
    return f"{cell(told['value'])}  [{cell(told['low'])}, {cell(told['high'])}]"


def cell(value: float) -> str:
    """Return a share or a difference in three digits, a dash where it is unknown."""
    if math.isnan(value):
        return "–"
    text = f"{abs(value):.3f}".removeprefix("0")
    return f"−{text}" if value < -0.0005 else text
