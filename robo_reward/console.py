"""What a run shows while it works: a bar on a terminal, and the same as JSON lines on disk."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from .files import finite


class Bar(Protocol):
    """Advances a progress bar by some steps, with a short note beside it."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Advance."""


@contextmanager
def progress_bar(title: str, total: int, unit: str) -> Iterator[Bar]:
    """Show a bar with rate and time left; quiet where there is no terminal.

    Without a terminal one line is printed at the end: what was done, and how fast.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    start, done = time.monotonic(), 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total, rate="", note="")

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal done
            done += steps
            rate = done / max(time.monotonic() - start, 1e-9)
            progress.update(task, advance=steps, rate=f"{rate:.1f} {unit}/s", note=note)

        yield advance
    if not console.is_terminal:
        seconds = time.monotonic() - start
        console.print(f"{title}: {done} {unit} in {seconds:.1f} s", highlight=False)


class RunLog:
    """Appends one JSON object a line to a file, flushed at once, each with seconds since start."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for appending, making its folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._start = time.monotonic()

    def write(self, **values: Any) -> None:
        """Append one line; NaN becomes null."""
        line = {**values, "seconds": round(time.monotonic() - self._start, 3)}
        self._file.write(json.dumps(finite(line), allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
