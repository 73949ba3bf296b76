"""The figures of an evaluation as one HTML page without scripts. Pure."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .by_dataset import SHOWN
from .estimators import MODEL
from .eval_table import SHORT, TITLES, cell, each_row
from .pages import asset, fill

SIDE, EDGE = 280, 34
"""Side of the drawing of reliability, and the room for its numbers, in pixels."""
MOST_NAMED = 8
"""Failed episodes that are named."""


def build_page(told: Mapping[str, Any]) -> str:
    """Return `results`, and what they were measured on, as the text of one HTML file."""
    names = list(told["figures"]["mae"]["values"])
    parts = {
        "title": html.escape(str(told.get("dataset", ""))),
        "style": asset("report_style.css") + asset("eval_style.css"),
        "facts": _facts(told),
        "figures": _figures(told, names),
        "each": _each_dataset(told["by_dataset"]),
        "probes": _probes(told["probes"], names),
        "pairs": _pairs(told["pairs"], names),
        "reliability": _reliability(told["reliability"]),
    }
    return fill(asset("eval_template.html"), parts)


def _facts(told: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in told["outcomes"].items())
    facts = {
        "model": told.get("model", ""),
        "fingerprint": str(told.get("model_fingerprint", ""))[:12],
        "episodes": f"{told['episodes']} ({counts})",
        "truth": ", ".join(told.get("truth", {})),
        "references": told.get("reference", ""),
        "seed": told.get("seed", ""),
    }
    return "".join(
        f"<div><dt>{name}</dt><dd>{html.escape(str(value))}</dd></div>"
        for name, value in facts.items()
    )


def _figures(told: Mapping[str, Any], names: Sequence[str]) -> str:
    body = []
    for name, figure in told["figures"].items():
        title = TITLES[name]
        if name == "tau_a":
            title += f" (at most {cell(told['tau_a_ceiling'])})"
        others = [_other(figure, one) for one in names[1:]]
        body.append(_row([_td(html.escape(title)), _td(_spread(figure["values"][MODEL])), *others]))
    return _table(["figure", *names], body)


def _other(figure: Mapping[str, Any], name: str) -> str:
    """Return the cell of a baseline, coloured by whether the model is better than it."""
    gap = figure["model_minus"].get(name)
    kind = "same"
    if gap and not math.isnan(gap["low"]) and not gap["low"] <= 0.0 <= gap["high"]:
        kind = "better" if (gap["low"] > 0.0) == (figure["better"] == "higher") else "worse"
    text = _spread(figure["values"][name])
    return _td(text, kind)


def _each_dataset(told: Mapping[str, Any]) -> str:
    if not told["datasets"]:
        return ""
    body = [
        _row([_td(html.escape(name)), *map(_td, cells)]) for name, cells in each_row(told).items()
    ]
    heads = ["dataset", *(TITLES[title] for title in SHOWN)]
    return f"<h2>The model on each dataset</h2>{_table(heads, body)}"


def _probes(probes: Mapping[str, Any], names: Sequence[str]) -> str:
    body = []
    for name, probe in probes.items():
        results, failed = probe["results"], probe["failed"]
        some = ", ".join(failed[:MOST_NAMED]) + (", …" if len(failed) > MOST_NAMED else "")
        cells = [
            _td(f"{html.escape(name)} <small>{probe['kind']}</small>"),
            _td(html.escape(probe["says"]), "says"),
            _td(str(results[MODEL]["episodes"])),
            *(_td(_spread(results[one])) for one in names),
            _td(html.escape(some), "says"),
        ]
        body.append(_row(cells))
    heads = ["probe", "what must happen", "episodes", *names, "failed by the model"]
    return _table(heads, body) if body else "<p>None was asked.</p>"


def _pairs(pairs: Mapping[str, Any], names: Sequence[str]) -> str:
    body = [
        _row(
            [
                _td(html.escape(f"{name} + {pair['partner']}")),
                _td(str(pair["results"][MODEL]["episodes"])),
                *(_td(_spread(pair["results"][one])) for one in names),
            ]
        )
        for name, pair in pairs.items()
    ]
    return _table(["pair", "episodes", *names], body) if body else "<p>None was asked.</p>"


def _reliability(curve: Sequence[Mapping[str, float]]) -> str:
    """Return a drawing: confidence to the right, how often it is right upwards."""
    if not curve:
        return "<p>The model tells no confidence, or the truth is unknown.</p>"
    most = max(point["count"] for point in curve)
    size = SIDE + 2 * EDGE
    lines = [_line("ideal", 0, 0, 1, 1)]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        lines += [_line("grid", tick, 0, tick, 1), _line("grid", 0, tick, 1, tick)]
        lines += [_text(tick, -0.07, cell(tick)), _text(-0.07, tick, cell(tick))]
    marks = [
        f'<circle class="mark" cx="{_x(point["confidence"]):.1f}" cy="{_y(point["right"]):.1f}" '
        f'r="{3 + 9 * math.sqrt(point["count"] / most):.1f}"><title>{point["count"]} queries: '
        f"confidence {cell(point['confidence'])}, right {cell(point['right'])}</title></circle>"
        for point in curve
    ]
    return (
        f'<svg viewBox="0 0 {size} {size}" width="{size}" height="{size}" role="img" '
        f'aria-label="Reliability of the confidence">{"".join(lines + marks)}'
        f"{_text(0.5, -0.11, 'told confidence that Φ is within .1 of the truth')}</svg>"
    )


def _x(share: float) -> float:
    return EDGE + SIDE * share


def _y(share: float) -> float:
    return EDGE + SIDE * (1 - share)


def _line(kind: str, x: float, y: float, x2: float, y2: float) -> str:
    ends = f'x1="{_x(x)}" y1="{_y(y)}" x2="{_x(x2)}" y2="{_y(y2)}"'
    return f'<line class="{kind}" {ends}/>'


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{_x(x):.1f}" y="{_y(y) + 4:.1f}" text-anchor="middle">{text}</text>'


def _spread(told: Mapping[str, float]) -> str:
    if math.isnan(told["value"]):
        return "–"
    bounds = f"[{cell(told['low'])}, {cell(told['high'])}]"
    return cell(told["value"]) + (f" <small>{bounds}</small>" if told["low"] < told["high"] else "")


def _table(heads: Sequence[str], body: Sequence[str]) -> str:
    kinds = {head: ' class="says"' if " " in head else "" for head in heads}
    told = "".join(f"<th{kinds[head]}>{html.escape(SHORT.get(head, head))}</th>" for head in heads)
    return f"<table><thead><tr>{told}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _td(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"
