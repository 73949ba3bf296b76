"""The report as one HTML page that needs nothing else: no server, no network.

The page holds a small summary of all episodes, read when it opens, and per episode one inert
block of curves and one of pictures, read when that episode is chosen. Every text from the
dataset travels as JSON without ``<``, ``>`` and ``&``, and is set as text; a content security
policy lets no script run but the page's own.
"""

import base64
import html
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .episodes import EpisodeDataset
from .pages import asset, fill, inline_hash, script
from .report_curves import LabelledEpisode, labelled_episodes, metadata_of
from .report_media import encode_media
from .report_suspicion import Curve

if TYPE_CHECKING:
    import pyarrow as pa

SPARK_POINTS = 48
"""Points of the small curve in the list of episodes."""


def build_report(
    dataset: EpisodeDataset,
    labels: "pa.Table",
    *,
    episodes: Sequence[int] | None = None,
    image_size: int = 160,
    max_media: int = 100,
    media_mb: float = 40.0,
    on_media: Callable[[int], None] | None = None,
) -> str:
    """Return the report of a labelled dataset as the text of one HTML file.

    Args:
        dataset: The episodes.
        labels: Their labels, a row per frame, with metadata in the schema.
        episodes: Which episodes; all that have labels if None.
        image_size: Side of the square pictures in pixels.
        max_media: How many episodes get pictures, the most suspicious first.
        media_mb: How much they may take, shared evenly, in millions of characters; where that is
            too little, pictures are coarser.
        on_media: Called with the characters used by each episode's pictures.

    Raises:
        InputError: If a wanted episode is not there or has no labels.
        DatasetError: If an episode has not exactly one row per frame.
    """
    found = labelled_episodes(dataset, labels, episodes)
    blocks = [_block(f"curves-{one.episode.index}", curve_block(one)) for one in found]
    pictured = sorted(one.episode.index for one in found[:max_media])
    most = 1e6 * media_mb / max(1, len(pictured))
    for number in pictured:
        media = encode_media(dataset, dataset.episode(number), image_size, most=most)
        blocks.append(_block(f"media-{number}", media))
        if on_media is not None:
            on_media(len(blocks[-1]))
    summary = summarize(dataset, metadata_of(labels), found, set(pictured))
    return _fill(dataset.root.name, [_block("summary", summary), *blocks])


def summarize(
    dataset: EpisodeDataset,
    metadata: dict[str, str],
    found: list[LabelledEpisode],
    pictured: set[int],
) -> dict[str, Any]:
    """Return what a list of episodes shows of each, for JSON.

    Args:
        dataset: The episodes.
        metadata: What the labels say about their making.
        found: The labelled episodes, in their order.
        pictured: Numbers of those with pictures.
    """
    texts = {text: None for one in found for text in one.episode.instructions[:1]}
    place = {text: number for number, text in enumerate(texts)}
    return {
        "dataset": dataset.root.name,
        "episodes_in_dataset": len(dataset),
        "rows": sum(one.episode.length for one in found),
        "invalid": sum(int((~one.valid).sum()) for one in found),
        "metadata": metadata,
        "instructions": list(texts),
        "episodes": [_row(one, place, pictured) for one in found],
    }


def _row(one: LabelledEpisode, place: dict[str, int], pictured: set[int]) -> dict[str, Any]:
    episode, phi = one.episode, one.curves["progress_sparse"]
    usable = phi[one.valid & np.isfinite(phi)]
    return {
        "index": episode.index,
        "length": episode.length,
        "fps": episode.fps,
        "instruction": place[episode.instructions[0]],
        "behaviour": episode.behaviour,
        "outcome": episode.outcome,
        "score": round(one.suspicion.score, 4),
        "values": {name: round(value, 4) for name, value in one.suspicion.values.items()},
        "reasons": list(one.suspicion.reasons),
        "end": round(float(usable[-1]), 4) if len(usable) else None,
        "spark": _spark(phi),
        "media": episode.index in pictured,
        "error": _error(one),
    }


def _spark(phi: Curve) -> list[int | None]:
    places = np.unique(np.linspace(0, len(phi) - 1, min(SPARK_POINTS, len(phi))).round())
    values = phi[places.astype(np.int64)]
    return [round(100 * float(value)) if np.isfinite(value) else None for value in values]


def _error(one: LabelledEpisode) -> float | None:
    """Return the mean of abs(Φ − truth) over the frames that have both, else None."""
    if one.episode.truth is None:
        return None
    errors = np.abs(one.curves["progress_sparse"] - one.episode.truth)
    finite = errors[np.isfinite(errors)]
    return round(float(finite.mean()), 4) if len(finite) else None


def curve_block(one: LabelledEpisode) -> dict[str, Any]:
    """Return the curves of an episode for JSON, each by `curve_of`, with flags and subtasks."""
    curves = {name: curve_of(values) for name, values in one.curves.items()}
    if one.episode.truth is not None:
        curves["truth"] = curve_of(one.episode.truth)
    subtasks = [[part.name, part.start, part.end] for part in one.episode.subtasks]
    return {"curves": curves, "valid": base64_of(one.valid, "u1"), "subtasks": subtasks}


def curve_of(values: NDArray[Any]) -> str | list[str]:
    """Return a curve for JSON: base64 of its float32 numbers.

    One that holds its values for long, as labels do between two queries, is two of them: the
    frames (uint32) where a value begins, and those values.
    """
    numbers = values.astype("<f4")
    bits = numbers.view("<u4")
    starts = np.flatnonzero(np.concatenate([[True], bits[1:] != bits[:-1]]))
    if 2 * len(starts) >= len(numbers):
        return base64_of(numbers, "<f4")
    return [base64_of(starts, "<u4"), base64_of(numbers[starts], "<f4")]


def base64_of(values: NDArray[Any], dtype: str) -> str:
    """Return an array's numbers as text, in a type such as ``<f4``."""
    return base64.b64encode(values.astype(dtype).tobytes()).decode()


def _block(name: str, value: Any) -> str:
    """Return an inert block of JSON that no text in it can close or leave."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>\n'


def _fill(name: str, blocks: list[str]) -> str:
    parts = {
        "title": html.escape(name),
        "style": asset("report_style.css"),
        "script": script("page_parts.js", "page_chart.js", "report_script.js"),
        "blocks": "".join(blocks),
    }
    parts["script_hash"] = inline_hash(parts["script"])
    return fill(asset("report_template.html"), parts)
