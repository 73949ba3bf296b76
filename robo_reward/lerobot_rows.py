"""What the rows of one LeRobot episode say about it: subtasks, success, true progress.

Pure functions on columns, for whoever reads the files. Row t of ``next.*`` is about the step
after frame t; row t of ``truth.*`` is about frame t itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .episodes import Episode, Subtask
from .errors import DatasetError

PREFIX = "observation.images."
"""What LeRobot puts before the name of a view."""
OWN_FILE = Path("meta/robo_reward.json")
"""Where a dataset keeps what LeRobot has no place for: paraphrases, goals."""
DONE = 1.0 - 1e-6
"""True progress from which on a frame counts as done."""
COLUMNS = (
    "task_index",
    "next.success",
    "next.reward",
    "truth.progress",
    "truth.goals",
    "language_persistent",
)
"""Columns of the data files that describe an episode."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a dataset says once for all of its episodes."""

    name: str
    """What messages call it."""
    fps: float
    """Frames per second."""
    views: tuple[str, ...]
    """Names of its cameras, sorted."""
    tasks: Mapping[int, str]
    """``task_index`` → task text."""
    goals: Sequence[str] = ()
    """What each of the columns of ``truth.goals`` is called."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """``meta/robo_reward.json``; empty where a dataset was made by others."""


def array(name: str, column: Any) -> NDArray[Any]:
    """Return one of `COLUMNS`, a pyarrow column of the T rows of an episode, for `episode`."""
    if name == "language_persistent":
        entries = np.empty(1, dtype=object)
        entries[0] = column[0].as_py()
        return entries
    if name == "truth.goals":
        goals = np.asarray(column.to_pylist(), dtype=np.float32)
        return goals.reshape(len(goals), -1)
    kinds = {"task_index": np.int64, "next.success": np.bool_}
    return np.asarray(column.to_pylist(), dtype=kinds.get(name, np.float32)).reshape(-1)


def episode(row: Mapping[str, Any], columns: Mapping[str, NDArray[Any]], source: Source) -> Episode:
    """Return what is known of an episode.

    Args:
        row: Its row of ``meta/episodes``.
        columns: Those of `COLUMNS` that the dataset has, each by `array`.
        source: The dataset.

    Raises:
        DatasetError: If rows are missing, there is no task text, or annotations are damaged.
    """
    index, length, count = int(row["episode_index"]), int(row["length"]), len(columns["task_index"])
    if count != length:
        raise DatasetError(
            f"episode {index} of {source.name} has {count} rows, but meta/episodes claims "
            f"{length}; the dataset was not finalized or a file is cut off: copy it again"
        )
    task = source.tasks.get(int(columns["task_index"][0]))
    if task is None or not task.strip():
        raise DatasetError(
            f"episode {index} of {source.name} has no task text; set it with LeRobot's "
            "lerobot-edit-dataset (modify_tasks)"
        )
    subtasks = sarm_subtasks(row, length)
    if not subtasks and "language_persistent" in columns:
        subtasks = language_subtasks(columns["language_persistent"][0] or [], length, source.fps)
    others = {}
    if "truth.goals" in columns:
        others = other_goals(columns["truth.goals"], source.goals, source.own, task)
    ended_well = outcome(columns, subtasks)
    return Episode(
        index=index,
        length=length,
        fps=source.fps,
        views=source.views,
        instructions=phrasings(task, source.own),
        first_row=int(row["dataset_from_index"]),
        subtasks=subtasks,
        outcome=ended_well,
        success=success(columns, subtasks, ended_well),
        truth=columns.get("truth.progress"),
        other_goals=others,
        behaviour=row.get("behaviour"),
    )


def sarm_subtasks(row: Mapping[str, Any], length: int) -> tuple[Subtask, ...]:
    """Return the subtasks of SARM's per-episode columns, the dense ones if there are both.

    Args:
        row: One row of ``meta/episodes``.
        length: Frames of the episode; an end at or beyond it means the last frame.

    Raises:
        DatasetError: If names, starts and ends differ in number, or run backwards.
    """
    for kind in ("dense", "sparse"):
        names = row.get(f"{kind}_subtask_names")
        if names:
            starts = row.get(f"{kind}_subtask_start_frames") or []
            ends = row.get(f"{kind}_subtask_end_frames") or []
            where = f"the {kind} subtasks of episode {row['episode_index']}"
            if not len(names) == len(starts) == len(ends):
                raise DatasetError(
                    f"{where} have {len(names)} names, {len(starts)} starts and {len(ends)} ends; "
                    "annotate the episode again"
                )
            return _spans(where, list(zip(names, starts, ends, strict=True)), length)
    return ()


def language_subtasks(
    entries: Sequence[Mapping[str, Any]], length: int, fps: float
) -> tuple[Subtask, ...]:
    """Return the subtasks of LeRobot's ``language_persistent`` entries.

    Each lasts until the next one starts, and the last one until the last frame.
    """
    found = sorted(
        (round(float(entry["timestamp"]) * fps), entry.get("content") or "")
        for entry in entries
        if entry.get("style") == "subtask"
    )
    ends = [start for start, _ in found[1:]] + [length - 1]
    spans = [(name, start, end) for (start, name), end in zip(found, ends, strict=True)]
    return _spans("the language_persistent subtasks", spans, length)


def _spans(where: str, spans: list[tuple[str, int, int]], length: int) -> tuple[Subtask, ...]:
    """Return the subtasks, less those that end where the one before did: no time is theirs."""
    subtasks = tuple(
        Subtask(name=str(name), start=int(start), end=min(int(end), length - 1))
        for name, start, end in spans
    )
    edges = [edge for subtask in subtasks for edge in (subtask.start, subtask.end)]
    if edges != sorted(edges) or (edges and not 0 <= edges[0] <= edges[-1] < length):
        raise DatasetError(
            f"{where} overlap, run backwards or leave its {length} frames; annotate it again"
        )
    kept: list[Subtask] = []
    for subtask in subtasks:
        if subtask.end > (kept[-1].end if kept else subtask.start):
            kept.append(subtask)
    return tuple(kept)


def outcome(columns: Mapping[str, NDArray[Any]], subtasks: tuple[Subtask, ...]) -> bool | None:
    """Return whether the episode ended in success, None where nothing says so.

    In this order: any ``next.success``; a positive last ``next.reward``; annotated subtasks,
    the last of which ends in the episode.
    """
    if "next.success" in columns:
        return bool(columns["next.success"].any())
    if "next.reward" in columns:
        return bool(columns["next.reward"][-1] > 0)
    return True if subtasks else None


def success(
    columns: Mapping[str, NDArray[Any]], subtasks: tuple[Subtask, ...], ended_well: bool | None
) -> NDArray[np.bool_] | None:
    """Return (T,) whether the task is done at each frame, None where nothing says so.

    In this order: true progress; in an annotated success, the frames from the last keyframe
    on; the frames after a row with ``next.success``. A success that only its last row tells has
    no frame after it, so its moment is unknown.
    """
    length = len(columns["task_index"])
    if "truth.progress" in columns:
        return np.asarray(columns["truth.progress"] >= DONE)
    if subtasks and ended_well:
        return np.arange(length) >= subtasks[-1].end
    if "next.success" in columns:
        before = np.concatenate([[False], columns["next.success"][:-1]])
        done = np.logical_or.accumulate(before)
        return done if done.any() or not ended_well else None
    return None


def phrasings(task: str, own_file: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a task's text, then its paraphrases from ``meta/robo_reward.json``."""
    return tuple(dict.fromkeys([task, *own_file.get("paraphrases", {}).get(task, [])]))


def other_goals(
    values: NDArray[np.float32], names: Sequence[str], own_file: Mapping[str, Any], own: str
) -> dict[tuple[str, ...], NDArray[np.float32]]:
    """Return phrasings → (T,) true progress for the goals of a scene other than its own.

    Args:
        values: (T, G) column ``truth.goals``.
        names: Goal of each of the G columns.
        own_file: ``meta/robo_reward.json``; its ``goals`` say the task text of each goal.
        own: The episode's own task text, which is left out.

    Raises:
        DatasetError: If a goal has no text.
    """
    texts: Mapping[str, str] = own_file.get("goals", {})
    lacking = [name for name in names if name not in texts]
    if lacking or len(names) != values.shape[1]:
        raise DatasetError(
            f"truth.goals has {values.shape[1]} columns named {list(names)}, but "
            f"meta/robo_reward.json has no text for {lacking}; write its 'goals' again"
        )
    return {
        phrasings(texts[name], own_file): values[:, column]
        for column, name in enumerate(names)
        if texts[name] != own
    }


def own_facts(root: Path) -> dict[str, Any]:
    """Return what a dataset keeps in `OWN_FILE`; nothing if it has none.

    Raises:
        DatasetError: If the file is damaged.
    """
    return read_json(root / OWN_FILE) if (root / OWN_FILE).is_file() else {}


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file.

    Raises:
        DatasetError: If the file is damaged or holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read as JSON ({error}); copy the dataset again"
        ) from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path} must hold a JSON object; copy the dataset again")
    return value
