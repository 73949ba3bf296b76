"""Answers queries by asking a server: a request for each anchor, several on their way at once."""

import base64
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ServerError
from ..images import checked, pixel_hash
from ..protocols import Views
from ..queries import Query, Seen
from ..tracker import Reading
from .client import Client, Reply
from .prompt import Prompt

COUNTED = ("number", "unparsable", "refused", "failed")
"""What becomes of a request: its answer has a number, or has none; it is refused; none comes."""


@dataclass(frozen=True)
class _Question:
    query: int
    anchor: str
    messages: list[dict[str, Any]]


class RemoteReader:
    """A `robo_reward.queries.QueryReader` over a server; counts what becomes of its requests."""

    def __init__(
        self,
        client: Client,
        prompt: Prompt,
        *,
        model: str,
        longest_side: int,
        in_flight: int,
        give_up_after: int,
    ) -> None:
        self.client, self.prompt, self.model = client, prompt, model
        self.longest_side, self.in_flight = longest_side, in_flight
        self.give_up_after = give_up_after
        self.counts: Counter[str] = Counter()
        self.example = ""
        """The first answer that could not be read."""
        self._unanswered = 0  # requests in a row

    def see(self, many: Sequence[Views]) -> list[Seen]:
        """Return frames as PNG data URLs, the larger images shrunk.

        Raises:
            InputError: If an image is not uint8 (H, W, 3).
        """
        return [self._see(views) for views in many]

    def _see(self, views: Views) -> Seen:
        images = {name: checked(name, views[name]) for name in sorted(views)}
        urls = {name: _data_url(image, self.longest_side) for name, image in images.items()}
        return Seen(urls, tuple((name, pixel_hash(image)) for name, image in images.items()))

    def read(self, queries: Sequence[Query]) -> list[Reading]:
        """Return the reading of every query; NaN for each anchor without a usable answer.

        Raises:
            InputError: If a query's frame has no view at all.
            ServerError: If the server refuses us, or `give_up_after` requests in a row had no
                answer.
        """
        questions = [question for place in enumerate(queries) for question in self._ask(*place)]
        numbers: list[dict[str, float]] = [{} for _ in queries]
        for question, number in zip(questions, self._answers(questions), strict=True):
            numbers[question.query][question.anchor] = number
        return [self._reading(*place) for place in zip(queries, numbers, strict=True)]

    def _ask(self, place: int, query: Query) -> Iterator[_Question]:
        """Yield the questions about one query; what needs a missing picture is not asked."""
        if not query.frame.tokens:
            raise InputError("a frame without any view cannot be judged; give at least one")
        for anchor, pictures in self._pictures(query).items():
            messages = self.prompt.messages(query.instruction, pictures)
            if messages is not None:
                yield _Question(place, anchor, messages)

    def _pictures(self, query: Query) -> dict[str, Mapping[str, Mapping[str, str]]]:
        """Return anchor → the pictures that its question may show."""
        shown = {
            "start": query.start.tokens,
            "goal": query.goal.tokens,
            "after": query.frame.tokens,
        }
        if self.prompt.answer == "progress":
            return {"progress": shown}
        before = {"start": query.start.tokens, "goal": query.goal.tokens}
        if query.past:
            before = {"previous": query.past[-1].tokens, **before}
        return {anchor: {**shown, "before": tokens} for anchor, tokens in before.items()}

    def _answers(self, questions: Sequence[_Question]) -> list[float]:
        """Return what each question's answer states; counted in the order of the questions."""
        pool = ThreadPoolExecutor(self.in_flight)
        with self.client.connect() as http:
            try:
                sent = [pool.submit(self.client.ask, http, self._body(q)) for q in questions]
                return [self._number(future.result()) for future in sent]
            finally:
                pool.shutdown(cancel_futures=True)

    def _body(self, question: _Question) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": question.messages,
            "temperature": 0,
            "max_tokens": self.prompt.max_tokens,
        }

    def _number(self, reply: Reply) -> float:
        """Return what a reply states, and count it; NaN if nothing."""
        self._unanswered = 0 if reply.kind == "text" else self._unanswered + 1
        number = self.prompt.number(reply.text) if reply.kind == "text" else math.nan
        kind = "unparsable" if reply.kind == "text" else reply.kind
        self.counts["number" if not math.isnan(number) else kind] += 1
        if math.isnan(number):
            self.example = self.example or reply.text or "an empty text"
        if self._unanswered >= self.give_up_after:
            raise ServerError(
                f"{self.client.url} gave no answer to {self._unanswered} requests in a row (the "
                f"last: {reply.text}); see what ails the server, and repeat the command"
            )
        return number

    def _reading(self, query: Query, numbers: Mapping[str, float]) -> Reading:
        if self.prompt.answer == "progress":
            return self._outright(query, numbers.get("progress", math.nan))
        start, goal = numbers.get("start", math.nan), numbers.get("goal", math.nan)
        previous = numbers.get("previous", math.nan)
        failed = bool(numbers) and math.isnan(start) and math.isnan(goal)
        if not query.past and not failed and self.prompt.shown({"after": query.frame.tokens}):
            previous = 0.0  # nothing came before
        return _plain(previous, start, goal, math.nan)

    def _outright(self, query: Query, progress: float) -> Reading:
        """Return the reading of a stated Φ, seen from the references that its prompt shows."""
        shown = self.prompt.shown(self._pictures(query)["progress"])
        start = progress if "start" in shown else math.nan
        goal = progress - 1.0 if "goal" in shown else math.nan
        return _plain(math.nan, start, goal, progress)


def _plain(previous: float, start: float, goal: float, progress: float) -> Reading:
    """Return a reading of numbers stated without spread, success or match."""
    return Reading(
        hop_previous=previous,
        hop_start=start,
        hop_goal=goal,
        spread_previous=0.0,
        spread_start=0.0,
        spread_goal=0.0,
        success=math.nan,
        match=math.nan,
        progress=progress,
    )


def _data_url(image: NDArray[np.uint8], longest_side: int) -> str:
    """Return an image (H, W, 3) as a PNG data URL; a larger one is shrunk, its shape kept."""
    height, width = image.shape[:2]
    scale = longest_side / max(height, width)
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
    return "data:image/png;base64," + base64.b64encode(encoded.tobytes()).decode()
