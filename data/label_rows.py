"""From the verdicts on an episode to the rows of the sidecar."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from robo_reward.model import Asked, Labels, QueryModel

    from .episodes import Episode, Views
    from .references import ReferenceFinder

_FROM_LABELS = {
    "progress_sparse": "progress",
    "progress_forward": "forward",
    "progress_backward": "backward",
    "progress_incremental": "incremental",
    "confidence": "confidence",
    "progress_lower": "lower",
    "success_prob": "success_prob",
    "match_prob": "match_prob",
}
_ONLY_VALID = {"progress_sparse", "progress_lower", "time_to_go"}
"""Columns that say nothing where the behaviour does not match the instruction."""


def asked(
    episode: "Episode", model: "QueryModel", finder: "ReferenceFinder", frames: "Iterable[Views]"
) -> "Asked":
    """Return what is asked of a model about an episode, given the frames that are queried.

    Raises:
        DatasetError: If its references cannot be read.
    """
    import numpy as np

    from robo_reward.model import Asked

    return Asked(
        frames,
        episode.instructions[0],
        finder.find(episode.index).references,
        np.arange(episode.length) // model.stride(episode.fps),
    )


def schema(further: tuple[str, ...]) -> "pa.Schema":
    """Return the columns: those of every model, and ``further`` that this one fills."""
    import pyarrow as pa

    numbers = [(name, pa.int64()) for name in ("index", "episode_index", "frame_index")]
    values = [(name, pa.float32()) for name in (*_FROM_LABELS, "reward", *further)]
    return pa.schema([*numbers, *values, ("valid", pa.bool_())])


def episode_rows(
    episode: "Episode", labels: "Labels", further: tuple[str, ...], gamma: float
) -> "pa.Table":
    """Return the rows of an episode; where the verdict is invalid, Φ, bound and time are NaN."""
    import numpy as np

    from .rewards import ends_done, row_rewards

    done = ends_done(episode)
    paid = row_rewards(labels.progress, labels.valid, done=done, gamma=gamma).astype("f4")
    columns: dict[str, Any] = {"reward": paid, "valid": labels.valid}
    told = (*_FROM_LABELS, *further)
    columns |= {name: getattr(labels, _FROM_LABELS.get(name, name)) for name in told}
    for name in _ONLY_VALID & columns.keys():
        columns[name] = np.where(labels.valid, columns[name], np.nan).astype(np.float32)
    return _table(episode, columns, further)


def unread_rows(episode: "Episode", further: tuple[str, ...]) -> "pa.Table":
    """Return the rows of an episode that cannot be read: nothing is known, nothing is valid."""
    import numpy as np

    nothing = np.full(episode.length, np.nan, np.float32)
    columns = dict.fromkeys((*_FROM_LABELS, "reward", *further), nothing)
    return _table(episode, columns | {"valid": np.zeros(episode.length, np.bool_)}, further)


def _table(episode: "Episode", columns: dict[str, Any], further: tuple[str, ...]) -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    frames = np.arange(episode.length, dtype=np.int64)
    places = {
        "index": episode.first_row + frames,
        "episode_index": np.full(episode.length, episode.index, dtype=np.int64),
        "frame_index": frames,
    }
    return pa.table(places | columns, schema=schema(further))
