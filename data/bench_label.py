"""``robo-reward bench label``: what one cached pass for all three anchors is worth."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import batched
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from numpy.typing import NDArray

from robo_reward.config import CompactConfig, HfConfig
from robo_reward.errors import InputError
from robo_reward.history import recalled

from .bench_timing import Row, check_agreement, check_flags, in_turn, multiply_adds, report

if TYPE_CHECKING:
    from robo_reward.model import Labels, Model
    from robo_reward.network import ProgressNetwork
    from robo_reward.protocols import References

    from .episodes import Views

TASK = "put the red cube in the bin"
type Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BenchLabel:
    """Measure labelling: one pass for the three anchors against a pass for each.

    Example: robo-reward bench label --json outputs/bench-label.json

    One pass is what 'label' does: views are encoded once, the prefix is kept. The three passes
    encode start, goal, before and after anew for every query. Both judge the same made-up
    episode with the same network and batch size, in turn, on the CPU; before that they are
    checked to say the same.
    """

    json: Path | None = None
    """File that receives the figures."""
    seed: int = 0
    """Seed of weights and pixels."""
    queries: int = 128
    """Frames of the episode, each of them asked about."""
    views: int = 3
    """Cameras."""
    repeats: int = 3
    """Timed rounds of each way; the median counts."""
    backbone: Annotated[CompactConfig, tyro.conf.arg(name="")] = field(
        default_factory=CompactConfig
    )
    hf: HfConfig = field(default_factory=HfConfig)
    """A pretrained model in place of the compact network: give ``--hf.base``."""

    @property
    def shape(self) -> CompactConfig | HfConfig:
        """The backbone that was asked for."""
        return self.hf if self.hf.base else self.backbone

    def run(self) -> None:
        """Measure, print a table, and write the figures where asked.

        Raises:
            RoboRewardError: If a flag is unusable, or the two ways disagree.
        """
        check_flags(self.repeats, self.json, queries=self.queries, views=self.views)
        if self.shape.belief:
            raise InputError(
                "bench label compares with passes that keep nothing between queries; leave "
                "--belief out"
            )
        from .bench_timing import write_figures

        figures = self.measure()
        frames = (figures["one_pass_frames_per_s"], figures["three_pass_frames_per_s"])
        one, three = figures["one_pass_macs_per_frame"], figures["three_pass_macs_per_frame"]
        report(
            f"labels of {self.queries} queries on {figures['threads']:.0f} threads",
            ("one pass", "three passes"),
            [
                Row("frames/s", *frames, figures["ratio"]),
                Row("10⁶ multiply-adds a frame", one / 1e6, three / 1e6, figures["macs_ratio"]),
            ],
        )
        write_figures(self.json, figures)

    def measure(self) -> dict[str, float]:
        """Return the figures of both ways of judging one episode.

        Raises:
            DisagreementError: If they do not say the same.
        """
        import torch

        from robo_reward.checkpoint import build

        torch.manual_seed(self.seed)
        network = build(self.shape).eval()
        episode = self.episode()
        again = ThreePasses(network, episode, self.shape.history)
        check_agreement("the readings", difference(self._model(network), episode, again.hops()))

        def once() -> "Labels":
            return label(self._model(network), episode)

        macs, three_macs = multiply_adds(once), multiply_adds(again.hops)
        seconds, three_seconds = in_turn(once, again.hops, repeats=self.repeats)
        return {
            "one_pass_frames_per_s": self.queries / seconds,
            "three_pass_frames_per_s": self.queries / three_seconds,
            "ratio": three_seconds / seconds,
            "one_pass_macs_per_frame": macs / self.queries,
            "three_pass_macs_per_frame": three_macs / self.queries,
            "macs_ratio": three_macs / macs,
            "queries": self.queries,
            "image_size": self.shape.image_size,
            "threads": torch.get_num_threads(),
        }

    def episode(self) -> "MadeUp":
        """Return what both ways judge."""
        size = self.shape.image_size
        return made_up_episode(seed=self.seed, size=size, queries=self.queries, views=self.views)

    def _model(self, network: "ProgressNetwork") -> "Model":
        """Return a model that has seen nothing yet."""
        from robo_reward.model import Model, ModelSettings

        size, history = self.shape.image_size, self.shape.history
        return Model(network, ModelSettings(image_size=size, history=history), fingerprint="")


@dataclass(frozen=True)
class MadeUp:
    """An episode of random pixels at the size of the model, with references."""

    frames: "list[Views]"
    references: "References"


def made_up_episode(*, seed: int, size: int, queries: int, views: int) -> MadeUp:
    """Return random frames, start and goal."""
    from robo_reward.protocols import References

    rng = np.random.default_rng(seed)
    names = [f"view_{number:03d}" for number in range(views)]

    def shown() -> "Views":
        return {name: rng.integers(0, 256, (size, size, 3), np.uint8) for name in names}

    frames = [shown() for _ in range(queries)]
    return MadeUp(frames, References(start=shown(), goal=shown()))


def label(model: "Model", episode: MadeUp) -> "Labels":
    """Return the labels of the episode, every frame a query."""
    query = np.arange(len(episode.frames))
    return model.label_queries(episode.frames, TASK, episode.references, query=query)


def difference(
    model: "Model", episode: MadeUp, scores: Floats, rows: Sequence[int] | None = None
) -> float:
    """Return by how much a model's readings and labels differ from scores at most.

    Args:
        model: Answers by caches and packed passes.
        episode: What it is asked about, every frame a query.
        scores: (n, 3) hops, or (n, 5) with success and match beside them.
        rows: The n queries that they are of; None: all.
    """
    chosen = slice(None) if rows is None else list(rows)
    told = readings(model, episode)[chosen, : scores.shape[1]]
    labels = label(model, episode)
    shown = np.column_stack([labels.forward, labels.backward])[chosen]
    expected = np.clip(scores[:, 1:3] + [0.0, 1.0], 0.0, 1.0)
    return float(max(np.abs(told - scores).max(), np.abs(shown - expected).max()))


def readings(model: "Model", episode: MadeUp) -> Floats:
    """Return (Q, 5) what the model reads: three hops, success, match."""
    from robo_reward.queries import Query

    start, goal = model.reader.see([episode.references.start, episode.references.goal])
    seen = model.reader.see(episode.frames)
    queries = [
        Query(
            instruction=TASK,
            start=start,
            goal=goal,
            past=tuple(seen[:number]),
            frame=frame,
        )
        for number, frame in enumerate(seen)
    ]
    told = model.reader.read(queries)
    return np.array([[r.hop_previous, r.hop_start, r.hop_goal, r.success, r.match] for r in told])


class ThreePasses:
    """Judges an episode with a forward pass for each anchor, keeping and sharing nothing."""

    def __init__(self, network: "ProgressNetwork", episode: MadeUp, history: int) -> None:
        """Lay out the images of references and frames."""
        self.network, self.history = network, history
        self.views = tuple(episode.frames[0])
        references = episode.references
        shown = [references.start, references.goal, *episode.frames]
        self.images = np.stack([[frame[name] for name in self.views] for frame in shown])

    def hops(self) -> Floats:
        """Return (Q, 3): each column from its own pass; the first query has no previous."""
        columns = [self._one_anchor(anchor) for anchor in range(3)]
        columns[0][0] = 0.0
        return np.column_stack(columns)

    def _one_anchor(self, anchor: int) -> Floats:
        from robo_reward.together import QUERIES_A_PASS

        queries = range(len(self.images) - 2)
        passes = [self._read(list(some))[:, anchor] for some in batched(queries, QUERIES_A_PASS)]
        return np.concatenate(passes)

    def _read(self, queries: list[int]) -> Floats:
        """Return the hops (B, 3) of some queries, every image of each encoded for it alone."""
        import torch

        from robo_reward.bins import expectation
        from robo_reward.protocols import Panel

        roles = np.array([self._roles(number) for number in queries])
        chosen = np.maximum(roles, 0)
        pixels = torch.from_numpy(self.images[chosen])
        with torch.inference_mode():
            tokens = self.network.seam.encode(pixels.flatten(0, 2))
            tokens = tokens.view(*pixels.shape[:3], *tokens.shape[1:])
            there = torch.from_numpy(roles >= 0)[:, :, None].expand(*pixels.shape[:3])
            texts = [TASK] * len(queries)
            prefix = self.network.seam.prefix(
                texts, self.views, Panel(tokens=tokens[:, :2], there=there[:, :2])
            )
            suffix = Panel(tokens=tokens[:, 2:], there=there[:, 2:])
            slots = self.network.seam.read(prefix, torch.arange(len(queries)), suffix)
            values = expectation(self.network.heads(slots).hops)
        return np.asarray(values.double().numpy())

    def _roles(self, query: int) -> list[int]:
        """Return the rows of [start, goal, history …, before, after]; −1 for none."""
        earlier = [-1 if n is None else n + 2 for n in recalled(range(query), self.history)]
        return [0, 1, *earlier, max(query - 1, 0) + 2, query + 2]
