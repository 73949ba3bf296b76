"""Rollouts as a LeRobotDataset: played again frame by frame, with what was said of them beside.

The environment is deterministic, so the same actions show every frame of an episode of which the
policy saw only those at its decisions. The datasets are like those of ``robo-reward collect``:
``label``, ``train`` and ``clone`` read them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.layout import DatasetLayout
from data.writer import DatasetWriter
from sim.beds import Bed
from sim.pieces import describe_bed
from sim.rollouts import features, run_episode

from .learner import Scores
from .playing import ReplayError
from .scoring import Potentials
from .trials import Trial

BEHAVIOUR = "policy"
COLUMNS = ("refine.potential", "refine.log_prob", "refine.decision")
"""Φ at the decision that a row belongs to, the log-density of its chunk, and whether the row is
where it was made."""


class _Again:
    """An expert that repeats actions."""

    def __init__(self, actions: NDArray[np.float32]) -> None:
        self._actions = actions

    def actions(self) -> Iterator[NDArray[np.float32]]:
        """Yield them."""
        yield from self._actions


def keep_rollouts(
    place: Path,
    bed: Bed,
    trials: Sequence[Trial],
    judged: Sequence[Potentials],
    scores: Sequence[Scores],
    *,
    image_size: int,
) -> int:
    """Write the rollouts of an update as a dataset; return how many there are: all but lost ones.

    Args:
        place: Directory to make; a dataset that is there is replaced.
        bed: Where they were played.
        trials: What was played.
        judged: What was said of its progress.
        scores: What the learner said of its decisions.
        image_size: Side of the images, in pixels.

    Raises:
        ReplayError: If the same actions lead elsewhere.
        OutputError: If the dataset cannot be written.
    """
    env = bed.make(image_size=image_size)
    layout = DatasetLayout(
        fps=bed.fps,
        image_shapes=dict.fromkeys(bed.views, (image_size, image_size, 3)),
        features=features(bed) | _features(),
        robot_type=bed.robot,
    )
    known = [rollout for rollout in zip(trials, judged, scores, strict=True) if not rollout[0].lost]
    description = describe_bed(bed) | {"task": bed.task}
    with DatasetWriter(place, layout, overwrite=True, description=description) as writer:
        for trial, found, said in known:
            actions = trial.played(len(trial))
            episode = run_episode(
                env, BEHAVIOUR, trial.start.seed, expert=lambda *_, a=actions, **__: _Again(a)
            )
            rows = list(_rows(episode.rows, trial, found, said))
            columns = episode.columns | {
                "group": trial.start.group,
                "success": trial.success,
                "given_up": trial.given_up,
                "declared": found.declared,
                "potential_end": float(found.progress[-1]),
            }
            writer.add_episode(rows, task=episode.task, columns=columns)
    env.close()
    return len(known)


def _rows(
    rows: Sequence[dict[str, Any]], trial: Trial, found: Potentials, said: Scores
) -> Iterator[dict[str, Any]]:
    """Yield the rows of an episode with what was said at the decision each belongs to."""
    before = 0 if trial.start.played is None else len(trial.start.played)
    edges = before + np.append(0, np.cumsum(trial.decisions.steps))
    for n, edge in enumerate(edges):
        if not np.array_equal(rows[edge]["observation.state"], trial.state[n]):
            raise ReplayError(
                f"the rollout of seed {trial.start.seed} cannot be shown again: at step {edge} its "
                "actions lead elsewhere; leave --keep-rollouts and --refresh-every out for "
                "environments that are not deterministic"
            )
    potential = np.append(np.nan, found.progress)  # first what comes before any decision
    log_prob = np.concatenate([[np.nan], said.log_prob, [np.nan]])
    decision = np.searchsorted(edges, np.arange(len(rows)), side="right")
    for number, (row, n) in enumerate(zip(rows, decision, strict=True)):
        yield row | {
            "refine.potential": potential[n],
            "refine.log_prob": log_prob[n],
            "refine.decision": number in edges,
        }


def _features() -> dict[str, dict[str, Any]]:
    kinds = dict(zip(COLUMNS, ("float32", "float32", "bool"), strict=True))
    return {name: {"dtype": kind, "shape": (1,), "names": None} for name, kind in kinds.items()}
