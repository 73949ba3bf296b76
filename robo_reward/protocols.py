"""The seams: what a backbone and a progress model must offer, and what passes between them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

type Views = Mapping[str, NDArray[np.uint8]]
"""Images of one frame by view name, each uint8 (H, W, 3); a missing view is absent."""


@dataclass(frozen=True, kw_only=True)
class References:
    """What the start and the goal look like; either may lack views, or be empty."""

    start: Views = field(default_factory=dict)
    goal: Views = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a progress model says of one frame; NaN where it cannot say."""

    progress: float
    """Fused Φ in [0, 1]; NaN, and ``valid`` false, where the model gave no answer."""
    forward: float
    """Φ_F, progress from the start reference; NaN without one."""
    backward: float
    """Φ_B, progress from the goal reference; NaN without one."""
    incremental: float
    """Φ_I, the hops since the first frame applied in turn; NaN where the last was not answered."""
    confidence: float
    """Calibrated probability that Φ is within .1 of the truth."""
    lower: float
    """Lower bound on the true progress, as `robo_reward.calibration.fit_margin` promises; NaN
    where validation was too small to tell."""
    success_prob: float
    """Probability that the task is done, and where Φ is filtered that it is .9 or more: the lower
    of this query's and the last one's; NaN where the model says nothing of it."""
    match_prob: float
    """Probability that what happens pursues the instruction; NaN where the model says nothing."""
    success: bool
    """Whether success is declared: ``success_prob`` is above the threshold."""
    valid: bool
    """False where the behaviour does not match the instruction, or there is no answer: Φ is then
    not to be used."""
    time_to_go: float = math.nan
    """Seconds until success, as this query alone tells them; NaN from a model that does not."""
    view_disagreement: float = math.nan
    """How far Φ moves when a view is left out; NaN from a model that does not try."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Tokens of some frames, each seen by the same named views, and which of them are there."""

    tokens: "Tensor"
    """(B, G, V, K, D): G frames in a fixed order of roles."""
    there: "Tensor"
    """(B, G, V) bool."""


class Backbone(Protocol):
    """Turns views into tokens, and tokens after a shared prefix into read-out slots.

    Letters: N images, K tokens an image, D width, P prefixes, V views, B queries, R slots.
    """

    def encode(self, images: "Tensor") -> "Tensor":
        """Return tokens (N, K, D) of uint8 images (N, H, W, 3)."""

    def prefix(self, instructions: Sequence[str], views: Sequence[str], panel: Panel) -> Any:
        """Return what queries share: instruction, start views, goal views (panel (P, 2, …))."""

    def stack(self, prefixes: Sequence[Any]) -> Any:
        """Return one prefix that holds those of several `prefix` calls, in order."""

    def read(
        self, prefix: Any, index: "Tensor", panel: Panel, told: "Tensor | None" = None
    ) -> "Tensor":
        """Return slots (B, R, D) for suffixes [history …, before, after] on prefix ``index``.

        What is ``told`` (B, D) beside what is shown is added to every slot before it reads.
        """


class ProgressModel(Protocol):
    """Judges progress frame by frame; a session holds what one episode remembers."""

    def begin(self, instruction: str, references: References) -> Any:
        """Return a new session: nothing has been seen yet."""

    def score(self, session: Any, views: Views, time: float) -> Verdict:
        """Return the verdict on a frame at ``time`` in seconds, and remember it.

        Frames that come before the next query is due get the last verdict again.

        Raises:
            InputError: If the frame shows nothing, or is older than the newest of its session.
        """

    def score_many(
        self, sessions: Sequence[Any], views: Sequence[Views], times: Sequence[float]
    ) -> list[Verdict]:
        """Return `score` of several sessions at once, in one pass where that is possible."""
