"""What a policy is cloned from: which episodes, which of their frames, and what was done there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.episodes import Episode
from data.lerobot_dataset import LeRobotEpisodes
from data.mixture import Mixture
from robo_reward.acting import Bools, Floats
from robo_reward.errors import DatasetError, InputError
from robo_reward.lerobot_rows import read_json

type Ints = NDArray[np.int64]

type Moments = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Mean and standard deviation (n,)."""

STATISTICS = Path("meta/stats.json")
"""Where LeRobot keeps what it knows of columns."""
ACTION, STATE, FINAL = "action", "observation.state", "truth.is_final"
"""Columns of a dataset; the last marks a row that repeats an action after the last step."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which episodes are cloned."""

    episodes: int | None = None
    """How many, drawn by ``seed``; fewer are among more. None: all."""
    behaviours: tuple[str, ...] = ()
    """Behaviours that are wanted, where a dataset records them; none: all."""
    failures: bool = False
    """Whether failed episodes are cloned too."""
    seed: int = 0
    """Of the draw."""


def choose(episodes: Sequence[Episode], choice: Choice) -> tuple[list[int], dict[str, int]]:
    """Return the numbers of the chosen episodes, sorted, and how many were left out and why.

    Raises:
        InputError: If a behaviour does not occur, or fewer are left than were asked for.
    """
    known = sorted({episode.behaviour for episode in episodes if episode.behaviour})
    for name in choice.behaviours:
        if name not in known:
            listed = ", ".join(known) or "none is recorded"
            raise InputError(f"--behaviour {name} does not occur in the data; there are: {listed}")
    left_out: Counter[str] = Counter()
    kept: list[int] = []
    for number, episode in enumerate(episodes):
        if choice.behaviours and episode.behaviour not in choice.behaviours:
            left_out["of other behaviours"] += 1
        elif episode.outcome is False and not choice.failures:
            left_out["failed"] += 1
        else:
            kept.append(number)
    wanted = len(kept) if choice.episodes is None else choice.episodes
    if not kept or wanted > len(kept):
        told = ", ".join(f"{count} {why}" for why, count in left_out.items())
        raise InputError(
            f"{wanted or 'no'} demonstrations were asked for and there are {len(kept)} of "
            f"{len(episodes)} episodes{f' ({told} left out)' if told else ''}; lower --episodes or "
            "collect more"
        )
    order = np.random.default_rng([choice.seed, len(kept)]).permutation(len(kept))
    if wanted < len(kept):
        left_out["beyond --episodes"] += len(kept) - wanted
    return sorted(kept[place] for place in order[:wanted].tolist()), dict(left_out)


def last_frame(episode: Episode) -> int:
    """Return the first frame from which the task stays done to the end, else the last frame.

    What is done after that is no part of the task.
    """
    if episode.success is None or not episode.success[-1]:
        return episode.length - 1
    undone = np.flatnonzero(~episode.success)
    return int(undone[-1]) + 1 if len(undone) else 0


class Demonstrations:
    """The chosen episodes of one or more datasets of the same robot: states, actions, frames."""

    def __init__(self, datasets: Sequence[LeRobotEpisodes], choice: Choice, *, chunk: int) -> None:
        """Read all but the images.

        Raises:
            DatasetError: If the datasets do not fit together, or a column is absent or damaged.
            InputError: If the choice leaves nothing, or too little.
        """
        _check_alike(datasets)
        self.datasets, self.chunk = tuple(datasets), chunk
        self.mixture = Mixture(datasets)
        self.episodes = [self.mixture.episode(i) for i in range(len(self.mixture))]
        self.chosen, self.left_out = choose(self.episodes, choice)
        self.states: dict[int, Floats] = {}
        self.actions: dict[int, Floats] = {}
        rows: list[Ints] = []
        for number in self.chosen:
            self._read(number)
            stop = min(last_frame(self.episodes[number]) + 1, len(self.actions[number]))
            frames = np.arange(stop)
            rows.append(np.stack([np.full(stop, number), frames], axis=1))
        self.rows: Ints = np.concatenate(rows)
        """(n, 2) episode and frame of everything that can be drawn."""

    def _read(self, number: int) -> None:
        dataset = self.datasets[self.mixture.source(number)]
        there = dataset.facts.info["features"]
        wanted = [ACTION, *(name for name in (STATE, FINAL) if name in there)]
        found = dataset.columns(self.mixture.inner(number), wanted)
        final = found.get(FINAL, np.zeros((len(found[ACTION]), 1), np.bool_))[:, 0]
        actions = found[ACTION].astype(np.float32)
        self.actions[number] = actions[: len(actions) - int(bool(final[-1]))]
        state = found.get(STATE, np.zeros((len(actions), 0), np.float32))
        self.states[number] = state.astype(np.float32)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the cameras, sorted."""
        return self.mixture.views

    def names(self, feature: str) -> tuple[str, ...]:
        """Return the names of a column's numbers, or their places where none are given."""
        return _names(self.datasets[0], feature)

    def moments(self, feature: str) -> Moments:
        """Return mean and standard deviation (n,) of a column, from LeRobot's statistics.

        Of several datasets: over all their rows, those of episodes that are not cloned included.

        Raises:
            DatasetError: If a dataset has no statistics of it.
        """
        size = len(self.names(feature))
        if not size:
            return np.zeros(0), np.zeros(0)
        told = np.stack([_statistics(dataset, feature, size) for dataset in self.datasets])
        mean, square, share = told[:, 0], told[:, 1] ** 2 + told[:, 0] ** 2, told[:, 2]
        share = share / share.sum(axis=0)
        whole = (share * mean).sum(axis=0)
        return whole, np.sqrt(np.maximum((share * square).sum(axis=0) - whole**2, 0.0))

    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """Return view → (H, W) of the images of the first dataset."""
        return self.datasets[0].image_sizes()

    def chunks(self, rows: Ints) -> tuple[Floats, Bools]:
        """Return actions (B, C, A) from rows (B, 2) on, and which of them were done (B, C).

        Past the end of an episode the last action is repeated, and is not one that was done.
        """
        made = [self._chunk(episode, frame) for episode, frame in rows.tolist()]
        return np.stack([actions for actions, _ in made]), np.stack([known for _, known in made])

    def _chunk(self, episode: int, frame: int) -> tuple[Floats, Bools]:
        done = self.actions[episode]
        wanted = np.arange(frame, frame + self.chunk)
        return done[np.minimum(wanted, len(done) - 1)], wanted < len(done)


def _names(dataset: LeRobotEpisodes, feature: str) -> tuple[str, ...]:
    told = dataset.facts.info["features"].get(feature)
    if told is None:
        return ()
    names = told.get("names")
    if isinstance(names, dict):  # LeRobot allows {"motors": [...]} too
        names = [name for part in names.values() for name in part]
    return tuple(map(str, names or range(int(np.prod(told["shape"])))))


def _statistics(dataset: LeRobotEpisodes, feature: str, size: int) -> NDArray[np.float64]:
    """Return (3, n): mean, standard deviation and count of a column of a dataset."""
    try:
        told = read_json(dataset.root / STATISTICS)[feature]
        mean, std = (np.array(told[name], np.float64).reshape(size) for name in ("mean", "std"))
        found = np.stack([mean, std, np.full(size, float(np.max(told["count"])))])
    except (DatasetError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{dataset.root / STATISTICS} has no mean and std of {feature}; write it anew with "
            "LeRobot's lerobot-edit-dataset (recompute_stats)"
        ) from error
    if not np.isfinite(found).all():
        raise DatasetError(f"{dataset.root / STATISTICS}: those of {feature} are not finite")
    return found


def _check_alike(datasets: Sequence[LeRobotEpisodes]) -> None:
    """Check that one policy can learn from all datasets.

    Raises:
        DatasetError: If one has another robot, camera, speed, or other numbers than the first.
    """
    first = datasets[0]
    for other in datasets:
        for what, mine, theirs in (
            ("robot", *(d.facts.info.get("robot_type") or "" for d in (first, other))),
            ("cameras", first.views, other.views),
            ("frames per second", *(d.facts.info["fps"] for d in (first, other))),
            (ACTION, *(_names(d, ACTION) for d in (first, other))),
            (STATE, *(_names(d, STATE) for d in (first, other))),
        ):
            if mine != theirs:
                raise DatasetError(
                    f"{other.root} differs from {first.root} in its {what}: {theirs}, not {mine}; "
                    "clone from datasets of one robot, and choose common cameras with --views"
                )
