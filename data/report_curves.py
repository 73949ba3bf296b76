"""The labels of each episode, taken from the table that ``robo-reward label`` writes."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import DatasetError, InputError

from .episodes import Episode, EpisodeDataset
from .report_suspicion import Suspicion, suspicion

if TYPE_CHECKING:
    import pyarrow as pa

CURVES = (
    "progress_sparse",
    "progress_forward",
    "progress_backward",
    "progress_incremental",
    "confidence",
    "success_prob",
    "match_prob",
)
"""The label columns that are drawn."""
COLUMNS = ("index", "episode_index", "frame_index", *CURVES, "valid")
"""Every column that a table of labels must have."""


@dataclass(frozen=True, kw_only=True)
class LabelledEpisode:
    """One episode beside its labels, a row per frame."""

    episode: Episode
    curves: dict[str, NDArray[np.float32]]
    """Name in `CURVES` → (length,)."""
    valid: NDArray[np.bool_]
    """(length,) whether the frame has a label."""
    suspicion: Suspicion
    """How much it deserves a look."""


def metadata_of(labels: "pa.Table") -> dict[str, str]:
    """Return what the labels say about their making, by key in alphabetical order."""
    found: dict[bytes, bytes] = labels.schema.metadata or {}
    texts = {key.decode(errors="replace"): found[key].decode(errors="replace") for key in found}
    return dict(sorted(texts.items()))


def check_labels(dataset: EpisodeDataset, labels: "pa.Table", where: str) -> None:
    """Refuse a table that lacks columns or was made from other episodes.

    Raises:
        DatasetError: What is wrong with the table at ``where``, and what to do.
    """
    missing = [name for name in COLUMNS if name not in labels.column_names]
    again = f"run 'robo-reward label --dataset {dataset.root}' again into a new folder"
    if missing:
        raise DatasetError(f"{where} lacks the columns {', '.join(missing)}, so no curve; {again}")
    made_from = metadata_of(labels).get("dataset_fingerprint")
    if made_from != dataset.fingerprint:
        raise DatasetError(
            f"{where} labels a dataset with fingerprint {made_from}, but {dataset.root} has "
            f"{dataset.fingerprint}: its rows would stand beside the wrong frames; "
            f"name the dataset that was labelled, or {again}"
        )


def labelled_episodes(
    dataset: EpisodeDataset, labels: "pa.Table", episodes: Sequence[int] | None
) -> list[LabelledEpisode]:
    """Return the wanted episodes (all that have labels if None), the most suspicious first.

    Raises:
        InputError: If a wanted episode is not in the dataset, or has no labels.
        DatasetError: If an episode has not exactly one row per frame.
    """
    rows = rows_by_episode(labels)
    columns = {name: labels[name].to_numpy() for name in ("frame_index", *CURVES, "valid")}
    wanted = sorted(rows) if episodes is None else list(dict.fromkeys(episodes))
    _check_wanted(dataset, wanted, rows.keys())
    found = [
        _labelled(dataset.episode(number), {name: columns[name][rows[number]] for name in columns})
        for number in wanted
    ]
    # rounded as a page shows it, so that both have the same order
    return sorted(found, key=lambda one: (-round(one.suspicion.score, 4), one.episode.index))


def rows_by_episode(labels: "pa.Table") -> dict[int, NDArray[np.int64]]:
    """Return episode → the places of its rows in a table of labels, in the order of frames."""
    numbers = labels["episode_index"].to_numpy()
    order = np.lexsort((labels["frame_index"].to_numpy(), numbers))
    present, starts = np.unique(numbers[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(order) else []
    return {int(number): part for number, part in zip(present, parts, strict=True)}


def _check_wanted(dataset: EpisodeDataset, wanted: list[int], labelled: Set[int]) -> None:
    count = len(dataset)
    if not wanted:
        raise DatasetError(f"no episode of {dataset.root} has labels yet; let 'label' run first")
    for number in wanted:
        if not 0 <= number < count:
            raise InputError(
                f"there is no episode {number}: {dataset.root} has the episodes 0 to {count - 1}"
            )
        if number not in labelled:
            raise InputError(
                f"episode {number} of {dataset.root} has no labels; label it, or leave it out of "
                "--episodes"
            )


def _labelled(episode: Episode, columns: dict[str, NDArray[np.generic]]) -> LabelledEpisode:
    if not np.array_equal(columns["frame_index"], np.arange(episode.length)):
        raise DatasetError(
            f"episode {episode.index} has {episode.length} frames, but its labels are "
            f"{len(columns['frame_index'])} rows that do not number them 0 to "
            f"{episode.length - 1} once each; label it again"
        )
    curves = {name: columns[name].astype(np.float32) for name in CURVES}
    valid = columns["valid"].astype(np.bool_)
    verdict = suspicion(
        curves["progress_sparse"],
        forward=curves["progress_forward"],
        backward=curves["progress_backward"],
        confidence=curves["confidence"],
        valid=valid,
        outcome=episode.outcome,
    )
    return LabelledEpisode(episode=episode, curves=curves, valid=valid, suspicion=verdict)
