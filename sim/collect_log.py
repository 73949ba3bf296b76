"""The log of a collection, a line an episode: beside the dataset, since times never repeat.

Each piece has a log of its own, written when the piece is whole; the log of the collection is
made of those anew whenever one is added. So no episode is told twice, however often a
collection was interrupted.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robo_reward.files import write_atomically

from .rollouts import SimEpisode

type Line = dict[str, Any]
"""One line of a log; lines of episodes have an ``episode``."""


def log_path(dataset: Path) -> Path:
    """Return where the log of a dataset, or of a piece, is: beside it."""
    return dataset.with_name(f"{dataset.name}.jsonl")


def describe_episode(episode: SimEpisode, *, number: int, seconds: float) -> Line:
    """Return what the log tells of an episode.

    Args:
        episode: It.
        number: Its number in the collection.
        seconds: How long it took to play and to write.
    """
    columns = episode.columns
    return {
        "episode": number,
        "seed": columns["seed"],
        "instruction": episode.task,
        "behaviour": columns["behaviour"],
        "success": any(bool(row["next.success"]) for row in episode.rows),
        "failure_mode": columns["failure_mode"],
        "onset": columns["onset_frame"],
        "steps": len(episode.rows) - 1,
        "seconds": round(seconds, 3),
    }


def write_log(path: Path, lines: Sequence[Line]) -> None:
    """Write a log; it appears whole or not at all.

    Raises:
        OSError: If it cannot be written.
    """
    write_atomically(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())


def join_logs(pieces: Sequence[Path], root: Path, *, episodes: int) -> None:
    """Write the log of a collection, with a line of totals once no episode is missing.

    Args:
        pieces: Where its pieces are to be; those without a log are not there yet.
        root: Where its dataset is to be.
        episodes: How many it is to have.

    Raises:
        OSError: If it cannot be written.
    """
    logs = [log_path(piece) for piece in pieces if log_path(piece).is_file()]
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    write_log(log_path(root), [*lines, *([_totals(lines)] if len(lines) == episodes else [])])


def _totals(lines: Sequence[Line]) -> Line:
    return {
        "episodes": len(lines),
        "successes": sum(line["success"] for line in lines),
        "failure_modes": dict(sorted(Counter(line["failure_mode"] for line in lines).items())),
        "steps": sum(line["steps"] for line in lines),
        "seconds": round(sum(line["seconds"] for line in lines), 3),
    }
