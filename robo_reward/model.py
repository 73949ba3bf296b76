"""`ProgressModel`s that are asked in queries: sessions, and labels of whole episodes."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibration import FEATURES
from .errors import DatasetError, InputError
from .history import kept
from .network import ProgressNetwork
from .protocols import References, Verdict, Views
from .queries import QueryReader, Seen
from .reader import Reader
from .times import check_times
from .together import Judge, Judged, Session, judge_together
from .tracker import Tracker, TrackerSettings

type Ints = NDArray[np.int64]

EARLY_S = 1e-3
"""A query may come this many seconds before its period is over: clocks are not exact."""


def query_stride(period_s: float, fps: float) -> int:
    """Return how many frames lie between two queries: the first that is due, at least 1."""
    return max(1, math.ceil((period_s - EARLY_S) * fps))


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """What the model needs beside its weights; part of the checkpoint."""

    image_size: int | None
    """Side that every view is resized to, in pixels; None: views are judged as recorded."""
    history: int = 0
    """Earlier queries shown with each."""
    belief: bool = False
    """Whether each query is told what was judged before."""
    query_period_s: float = 0.4
    """Seconds between queries."""
    view_disagreement: bool = False
    """Whether confidence also looks at how far Φ moves when a view is left out."""
    tracker: TrackerSettings = field(default_factory=TrackerSettings)
    """From readings to verdicts."""

    def __post_init__(self) -> None:
        """Refuse a period that is no time."""
        if not 0.0 < self.query_period_s < math.inf:
            raise InputError(f"query_period_s must be positive, got {self.query_period_s}")
        fitted = self.tracker.calibration
        if fitted and len(fitted.slopes) != FEATURES + self.view_disagreement:
            raise InputError(
                f"confidence was calibrated with {len(fitted.slopes)} features, and "
                f"view_disagreement is {self.view_disagreement}; copy the model again"
            )


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Verdicts on the T frames of an episode; rows between queries hold the last verdict.

    Every field but the last is (T,), and means what the field of `Verdict` means.
    """

    progress: NDArray[np.float32]
    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
    incremental: NDArray[np.float32]
    confidence: NDArray[np.float32]
    lower: NDArray[np.float32]
    success_prob: NDArray[np.float32]
    match_prob: NDArray[np.float32]
    success: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    time_to_go: NDArray[np.float32]
    view_disagreement: NDArray[np.float32]
    features: NDArray[np.float64]
    """(T, 5 or 6) what confidence is made of."""


@dataclass(frozen=True)
class Asked:
    """An episode to label, of which only the frames that are queried were decoded."""

    queried: Iterable[Views]
    """The views of every query in order: frames 0, `QueryModel.stride`, 2 · stride, …"""
    instruction: str
    references: References
    query: Ints
    """(T,) for each frame the number of the query whose verdict it holds."""


class QueryModel:
    """The `ProgressModel` over a reader; one instance may hold any number of sessions."""

    def __init__(self, reader: QueryReader, settings: ModelSettings, *, fingerprint: str) -> None:
        self.reader, self.settings, self.fingerprint = reader, settings, fingerprint

    def check_views(self, views: Sequence[str]) -> None:
        """Check that the model can judge frames of these views.

        Raises:
            InputError: If it cannot.
        """

    def about(self) -> dict[str, str]:
        """Return what labels should say of the model beside its fingerprint, by key."""
        return {}

    def counted(self) -> dict[str, dict[str, int]]:
        """Return what has been counted of the answers so far: key → end → how many."""
        return {}

    def remarks(self) -> list[str]:
        """Return what the user should know of the answers so far, in lines."""
        return []

    @property
    def further(self) -> tuple[str, ...]:
        """Return the fields of a verdict that only some models fill, and this one does."""
        return ()

    def begin(self, instruction: str, references: References) -> Session:
        """Return a new session; references may lack views or be empty.

        Raises:
            InputError: If an image is not uint8 (H, W, 3).
        """
        start, goal = self.reader.see([references.start, references.goal])
        tracker = Tracker(self.settings.tracker)
        return Session(instruction=instruction, start=start, goal=goal, tracker=tracker)

    def score(self, session: Session, views: Views, time: float) -> Verdict:
        """Return the verdict on a frame; see `ProgressModel.score`."""
        return self.score_many([session], [views], [time])[0]

    def score_many(
        self, sessions: Sequence[Session], views: Sequence[Views], times: Sequence[float]
    ) -> list[Verdict]:
        """Return the verdicts of several sessions; those that are due share one pass.

        Raises:
            InputError: If a frame shows nothing, an image is malformed, or time is not finite or
                goes back.
        """
        check_times(times, [session.shown for session in sessions])
        period = self.settings.query_period_s - EARLY_S
        stated = list(zip(sessions, views, times, strict=True))
        due = [item for item in stated if item[2] >= item[0].asked + period]
        seen = self.reader.see([shown for _, shown, _ in due])
        queries = [session.query(frame) for (session, _, _), frame in zip(due, seen, strict=True)]
        readings = self.reader.read(queries)
        for (session, _, time), frame, reading in zip(due, seen, readings, strict=True):
            session.verdict = session.tracker.update(reading)
            session.past, session.asked = self._kept(session.past, frame), time
        for session, _, time in stated:
            session.shown = time
        return [session.verdict for session in sessions if session.verdict is not None]

    def label(
        self, frames: Iterable[Views], instruction: str, references: References, *, fps: float
    ) -> Labels:
        """Return labels of every frame of an episode, streamed: only queried frames are kept.

        The label of a frame never depends on later frames.

        Args:
            frames: The episode's views in order.
            instruction: What the robot should do.
            references: What start and goal look like.
            fps: Frames per second, to turn the query period into frames.

        Raises:
            InputError: If there is no frame, or one is malformed.
        """
        every, count = self.stride(fps), 0

        def queried() -> Iterator[Views]:
            nonlocal count
            for views in frames:
                if count % every == 0:
                    yield views
                count += 1

        judged = self._judge([self.begin(instruction, references)], [queried()])[0]
        return _held(judged, np.arange(count) // every)

    def label_queries(
        self, queried: Iterable[Views], instruction: str, references: References, *, query: Ints
    ) -> Labels:
        """Return the labels of frames of which only those that are queried were decoded.

        Args:
            queried: The views of every query in order: frames 0, `stride`, 2 · `stride`, …
            instruction: What the robot should do.
            references: What start and goal look like.
            query: (T,) for each frame the number of the query whose verdict it holds.

        Raises:
            InputError: If there is no frame, one is malformed, or ``query`` asks for another.
        """
        return _held(self._judge([self.begin(instruction, references)], [queried])[0], query)

    def label_together(self, episodes: "Sequence[Asked]") -> "list[Labels | DatasetError]":
        """Return the labels of several episodes, whose queries share passes.

        They differ from those of each alone as `robo_reward.together.judge_together` says. An
        episode whose frames cannot be read gets its error instead.

        Raises:
            InputError: If one has no frame, an image is malformed, or ``query`` asks for another.
        """
        sessions = [self.begin(one.instruction, one.references) for one in episodes]
        told = self._judge(sessions, [one.queried for one in episodes])
        pairs = zip(episodes, told, strict=True)
        return [judged.error or _held(judged, one.query) for one, judged in pairs]

    def stride(self, fps: float) -> int:
        """Return the query period in frames, at least 1."""
        return query_stride(self.settings.query_period_s, fps)

    def _judge(
        self, sessions: Sequence[Session], queried: Sequence[Iterable[Views]]
    ) -> list[Judged]:
        judge = Judge(
            see=self.reader.see,
            read=self.reader.read,
            kept=self._kept,
            in_order=self.settings.belief,
        )
        return judge_together(judge, sessions, queried)

    def _kept(self, past: tuple[Seen, ...], frame: Seen) -> tuple[Seen, ...]:
        return kept(past, frame, self.settings.history)


class Model(QueryModel):
    """The `ProgressModel` over a network."""

    reader: Reader

    def __init__(
        self, network: ProgressNetwork, settings: ModelSettings, *, fingerprint: str
    ) -> None:
        """Ask ``network``, which is put into evaluation mode.

        Raises:
            InputError: If the settings name no image size: a network needs one.
        """
        if settings.image_size is None:
            raise InputError("a network judges images of one size; give settings.image_size")
        reader = Reader(
            network,
            image_size=settings.image_size,
            history=settings.history,
            compare_views=settings.view_disagreement,
        )
        super().__init__(reader, settings, fingerprint=fingerprint)
        self.network = network

    @property
    def further(self) -> tuple[str, ...]:
        """Return the fields of a verdict that only some models fill, and this one does."""
        filled = {
            "time_to_go": self.network.time_head is not None,
            "view_disagreement": self.settings.view_disagreement,
        }
        return tuple(name for name, there in filled.items() if there)


def _held(judged: Judged, query: NDArray[np.int64]) -> Labels:
    """Return the labels of frames whose verdict is that of query number ``query`` (T,).

    Raises:
        DatasetError: If the frames could not be read on.
        InputError: If there is no verdict, or not that of every query.
    """
    if judged.error is not None:
        raise judged.error
    if not judged.verdicts:
        raise InputError("there is no frame to label; check the recording")
    if len(query) == 0 or query.min() < 0 or query.max() >= len(judged.verdicts):
        raise InputError(f"query must number the {len(judged.verdicts)} queries that were given")
    columns: dict[str, Any] = {}
    for column in fields(Verdict):
        values = np.array([getattr(verdict, column.name) for verdict in judged.verdicts])[query]
        columns[column.name] = values if values.dtype == bool else values.astype(np.float32)
    return Labels(**columns, features=np.array(judged.features)[query])
