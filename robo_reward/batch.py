"""`PairBatch`: what one training step is made of, as plain arrays.

Letters: N images, F frames, V named views, P prefixes, B pairs, H history frames.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

type Ints = NDArray[np.int64]
type Floats = NDArray[np.float32]
type Bools = NDArray[np.bool_]

TARGETS = ("hop_previous", "hop_start", "hop_goal", "success", "match", "time_to_go")
"""What pairs are trained on."""


@dataclass(frozen=True, kw_only=True)
class PairBatch:
    """Frames encoded once, prefixes built once, and the pairs that share them.

    Every index that stands for something absent is −1 (a pair always has its prefix, before and
    after); every target that is not to be trained on is NaN. Views are ordered by name,
    whatever the order of the source.
    """

    views: tuple[str, ...]
    """V view names, sorted."""
    images: NDArray[np.uint8]
    """(N, S, S, 3), each image once."""
    jitter: Ints
    """(N,) images of one number are shifted and brightened alike when augmenting."""
    frames: Ints
    """(F, V) which image shows a frame from a view, −1 where the view is missing."""
    instructions: tuple[str, ...]
    """P instructions, one a prefix."""
    start: Ints
    """(P,) frame that shows the start, −1 for none."""
    goal: Ints
    """(P,) frame that shows the goal, −1 for none."""
    visible: Bools
    """(P, V) views that the pairs of a prefix may look at (view dropout)."""
    prefix: Ints
    """(B,) which prefix a pair belongs to."""
    before: Ints
    """(B,) frame before."""
    after: Ints
    """(B,) frame after."""
    history: Ints
    """(B, H) frames of earlier queries, see `robo_reward.history`, −1 for none."""
    belief: Floats
    """(B, 2) what was judged before, see `robo_reward.belief`, NaN for unknown."""
    replay: Ints
    """(P, R) frames of the episode in order, −1 for none, that the network judges one after the
    other, so that pairs can be told what it says itself; R is 0 where no pair is."""
    replay_belief: Floats
    """(P, 2) what was judged before the first of them."""
    own: Ints
    """(B,) the step of ``replay`` whose verdict a pair is told instead of ``belief``, −1 for
    none."""
    hop_previous: Floats
    """(B,) target hop before → after."""
    hop_start: Floats
    """(B,) target hop start → after, = Φ of after."""
    hop_goal: Floats
    """(B,) target hop goal → after, = Φ of after − 1."""
    success: Floats
    """(B,) 1 if the task is done in ``after``, else 0."""
    match: Floats
    """(B,) 1 if the behaviour pursues the instruction, else 0."""
    time_to_go: Floats
    """(B,) seconds from ``after`` until success."""
    untold: Bools
    """(B, 3) hops that the images cannot tell, since a frame shows nothing: to be even over
    [−1, 1], which is hop 0 and makes the anchors disagree, so that fusion keeps what it had."""

    def __post_init__(self) -> None:
        """Check the shapes against each other and the indices against what they point to."""
        if self.images.ndim != 4 or self.images.dtype != np.uint8 or self.images.shape[3] != 3:
            raise InputError(f"images must be (N, S, S, 3) uint8, got {self.images.shape}")
        if tuple(sorted(self.views)) != self.views:
            raise InputError(f"views must be sorted by name, got {self.views}")
        pairs, prefixes, views = len(self.prefix), len(self.instructions), len(self.views)
        shapes = {"jitter": (len(self.images),), "frames": (len(self.frames), views)}
        shapes |= {"start": (prefixes,), "goal": (prefixes,), "visible": (prefixes, views)}
        shapes |= {"history": (pairs, self.history.shape[-1])}
        shapes |= {"belief": (pairs, 2), "untold": (pairs, 3)}
        shapes |= {"replay": (prefixes, self.replay.shape[-1]), "replay_belief": (prefixes, 2)}
        for field in fields(self):
            if field.name in ("views", "images", "instructions"):
                continue
            expected = shapes.get(field.name, (pairs,))
            if getattr(self, field.name).shape != expected:
                got = getattr(self, field.name).shape
                raise InputError(f"{field.name} must have shape {expected}, got {got}")
        self._check_indices()

    def _check_indices(self) -> None:
        count = len(self.frames)
        for name, least, most in (
            ("frames", -1, len(self.images)),
            ("start", -1, count),
            ("goal", -1, count),
            ("before", 0, count),
            ("after", 0, count),
            ("history", -1, count),
            ("replay", -1, count),
            ("own", -1, self.replay.shape[1]),
            ("prefix", 0, len(self.instructions)),
        ):
            values = getattr(self, name)
            if values.size and (values.max() >= most or values.min() < least):
                raise InputError(f"{name} points outside its {most} targets")

    def share(self, number: int, count: int) -> "PairBatch":
        """Return the part of a batch that one of several processes works on.

        Prefixes are dealt in a row, each with its pairs; frames that several parts show are in
        each of them.

        Raises:
            InputError: If there are fewer prefixes than processes.
        """
        mine = np.array_split(np.arange(len(self.instructions)), count)[number]
        if len(self.instructions) < count:
            raise InputError(
                f"a step of {len(self.instructions)} prefixes cannot be shared by {count} "
                "processes; raise --sampling.episodes or start fewer"
            )
        pairs = np.flatnonzero(np.isin(self.prefix, mine))
        shown = [getattr(self, name)[mine].ravel() for name in ("start", "goal", "replay")]
        shown += [getattr(self, name)[pairs].ravel() for name in ("before", "after", "history")]
        frames = np.unique(np.concatenate(shown))
        frames = frames[frames >= 0]
        images = np.unique(self.frames[frames])
        images = images[images >= 0]
        changed = {
            "images": self.images[images],
            "jitter": self.jitter[images],
            "frames": _renumbered(self.frames[frames], images),
            "instructions": tuple(self.instructions[row] for row in mine),
            "visible": self.visible[mine],
            "replay_belief": self.replay_belief[mine],
            "prefix": _renumbered(self.prefix[pairs], mine),
        }
        for name in ("start", "goal", "replay"):
            changed[name] = _renumbered(getattr(self, name)[mine], frames)
        for name in ("before", "after", "history"):
            changed[name] = _renumbered(getattr(self, name)[pairs], frames)
        told = ("belief", "own", "untold", *TARGETS)
        changed |= {name: getattr(self, name)[pairs] for name in told}
        return replace(self, **changed)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.prefix)


def _renumbered(numbers: Ints, kept: Ints) -> Ints:
    """Return the places of numbers among those that are kept; −1 stays −1."""
    places: Ints = np.where(numbers < 0, -1, np.searchsorted(kept, np.maximum(numbers, 0)))
    return places
