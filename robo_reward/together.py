"""Several episodes judged at once: their queries share passes, whatever they remember."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import batched, count

from .errors import DatasetError
from .protocols import Verdict, Views
from .queries import Query, Seen
from .tracker import Reading, Tracker

QUERIES_A_PASS = 64
"""Frames that are encoded, and queries that are read, in one pass at most."""


@dataclass(kw_only=True)
class Session:
    """What one episode remembers."""

    instruction: str
    start: Seen
    goal: Seen
    tracker: Tracker
    past: tuple[Seen, ...] = ()
    """Frames of the last queries, latest last."""
    asked: float = float("-inf")
    """Time of the last query, in seconds."""
    shown: float = float("-inf")
    """Time of the newest frame, in seconds."""
    verdict: Verdict | None = None

    def query(self, frame: Seen) -> Query:
        """Return the question about ``frame``."""
        return Query(
            instruction=self.instruction,
            start=self.start,
            goal=self.goal,
            past=self.past,
            frame=frame,
            belief=self.tracker.belief,
        )


@dataclass(kw_only=True)
class Judged:
    """What was said of an episode: a verdict and the features of confidence a query."""

    verdicts: list[Verdict] = field(default_factory=list)
    features: list[list[float]] = field(default_factory=list)
    error: DatasetError | None = None
    """Why its frames could not be read on, if so."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """How queries are answered."""

    see: Callable[[Sequence[Views]], list[Seen]]
    read: Callable[[list[Query]], list[Reading]]
    kept: Callable[[tuple[Seen, ...], Seen], tuple[Seen, ...]]
    """Says which frames a session keeps."""
    in_order: bool
    """Whether a query needs the verdict on the one before: a pass then has one of each episode."""


def judge_together(
    judge: Judge, sessions: Sequence[Session], queried: Sequence[Iterable[Views]]
) -> list[Judged]:
    """Return the verdicts on several episodes, all of whose frames are queries.

    What shares a pass rounds alike but not always the same: an answer may differ by some 1e-6 from
    that of the episode alone, and is the same to the bit for the same episodes together.

    Args:
        judge: Who answers.
        sessions: A new one for each episode.
        queried: The frames of each, read in blocks; one that raises a `DatasetError` ends there.
    """
    block = max(1, QUERIES_A_PASS // max(1, len(sessions)))
    told = [Judged() for _ in sessions]
    streams = {number: batched(frames, block) for number, frames in enumerate(queried)}
    while streams:
        shown: dict[int, tuple[Views, ...]] = {}
        for number, stream in list(streams.items()):
            try:
                shown[number] = next(stream, ())
            except DatasetError as error:
                told[number].error = error
            if not shown.get(number):
                del streams[number]
                shown.pop(number, None)
        seen = iter(judge.see([views for block in shown.values() for views in block]))
        frames = {number: [next(seen) for _ in block] for number, block in shown.items()}
        _read_blocks(judge, sessions, frames, told)
    return told


def _read_blocks(
    judge: Judge,
    sessions: Sequence[Session],
    frames: dict[int, list[Seen]],
    told: list[Judged],
) -> None:
    """Read the queries of a block of each episode: all in a pass, or one of each at a time."""
    if not judge.in_order:
        _read(judge, sessions, [(n, frame) for n, block in frames.items() for frame in block], told)
        return
    for place in count():
        due = [(number, block[place]) for number, block in frames.items() if place < len(block)]
        if not due:
            return
        _read(judge, sessions, due, told)


def _read(
    judge: Judge,
    sessions: Sequence[Session],
    due: list[tuple[int, Seen]],
    told: list[Judged],
) -> None:
    queries = []
    for number, frame in due:
        session = sessions[number]
        queries.append(session.query(frame))
        session.past = judge.kept(session.past, frame)
    if not queries:
        return
    for (number, _), reading in zip(due, judge.read(queries), strict=True):
        tracker = sessions[number].tracker
        told[number].verdicts.append(tracker.update(reading))
        told[number].features.append(tracker.features)
