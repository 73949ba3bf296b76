"""A collection as a plan of pieces: each a small dataset, made whole or not at all."""

import json
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from data.layout import DatasetLayout, Storage
from data.places import written
from data.writer import DatasetWriter
from robo_reward.errors import InputError
from robo_reward.files import write_atomically

from .beds import Bed, find_bed
from .collect_log import Line, describe_episode, log_path, write_log
from .rollouts import features, run_episode
from .variety import VARIETY

LEAST, MOST = 5, 64
"""Episodes in a piece at least; pieces in a collection at most."""
PLAN = "plan.json"
"""File beside the pieces that says what they are pieces of."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that the episodes of a collection depend on."""

    task: str
    """Name of the task."""
    robot: str = ""
    """Name of the robot; empty for the default one."""
    variety: tuple[str, ...] | None = None
    """What varies beside the layout; None for the default."""
    mix: str
    """Shares of the behaviours, as they were asked for."""
    behaviours: tuple[str, ...]
    """One of `sim.experts.BEHAVIOURS` per episode."""
    seed: int
    """Seed of the first episode; the next ones count up."""
    image_size: int
    """Width and height of the views in pixels."""
    storage: Storage
    """How images are kept."""

    def bed(self) -> Bed:
        """Return where its episodes are played.

        Raises:
            InputError: If task, robot and variety do not go together.
        """
        return find_bed(self.task, robot=self.robot, variety=self.variety)

    @property
    def length(self) -> int:
        """Episodes in a piece; it depends on nothing but how many there are in all."""
        return max(LEAST, -(-len(self.behaviours) // MOST))

    @property
    def count(self) -> int:
        """How many pieces there are."""
        return -(-len(self.behaviours) // self.length)

    def episodes(self, piece: int) -> range:
        """Return the numbers of the episodes in a piece."""
        begin = piece * self.length
        return range(begin, min(begin + self.length, len(self.behaviours)))


class Job(NamedTuple):
    """One piece to be made; what a worker gets."""

    plan: Plan
    folder: Path
    piece: int

    def __repr__(self) -> str:
        """Name the piece and its seeds, for messages."""
        numbers = self.plan.episodes(self.piece)
        first, last = self.plan.seed + numbers[0], self.plan.seed + numbers[-1]
        return f"piece {self.piece} of {self.folder} (seeds {first} to {last})"


def piece_path(folder: Path, piece: int) -> Path:
    """Return where a piece is."""
    return folder / f"piece-{piece:05d}"


def claim(folder: Path, plan: Plan) -> list[int]:
    """Make the folder for the pieces of a plan; return the pieces that are still missing.

    Raises:
        InputError: If it holds the pieces of another plan.
        OSError: If it cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mine, path = json.loads(json.dumps(asdict(plan))), folder / PLAN
    if path.is_file():
        theirs = json.loads(path.read_text())
        other = sorted(name for name in mine if theirs.get(name) != mine[name])
        if other:
            raise InputError(
                f"{folder} holds an interrupted collection with another {', '.join(other)}: "
                "repeat its flags to go on with it, or pass --overwrite to drop it"
            )
    else:
        write_atomically(path, json.dumps(mine).encode())
    return [n for n in range(plan.count) if not log_path(piece_path(folder, n)).is_file()]


def make_piece(job: Job) -> int:
    """Play and write the episodes of a piece, then its log; return how many of them succeeded.

    A piece without a log was interrupted between the two, and is made again.

    Raises:
        OutputError: If it cannot be written.
        RenderError: If images cannot be drawn on this machine.
    """
    plan = job.plan
    bed, env = plan.bed(), _environment(plan.task, plan.robot, plan.variety, plan.image_size)
    root = piece_path(job.folder, job.piece)
    lines: list[Line] = []
    layout = DatasetLayout(
        fps=bed.fps,
        image_shapes=dict.fromkeys(bed.views, (plan.image_size, plan.image_size, 3)),
        features=features(bed),
        robot_type=bed.robot,
        storage=plan.storage,
    )
    with DatasetWriter(root, layout, overwrite=True, description=describe(plan)) as writer:
        for number in plan.episodes(job.piece):
            begin, behaviour = time.monotonic(), plan.behaviours[number]
            episode = run_episode(env, behaviour, plan.seed + number, expert=bed.expert)
            writer.add_episode(episode.rows, task=episode.task, columns=episode.columns)
            told = describe_episode(episode, number=number, seconds=time.monotonic() - begin)
            lines.append({**told, "task": plan.task, "robot": bed.robot})
    with written(root):
        write_log(log_path(root), lines)
    return sum(line["success"] for line in lines)


@cache
def _environment(task: str, robot: str, variety: tuple[str, ...] | None, image_size: int) -> Any:
    return find_bed(task, robot=robot, variety=variety).make(image_size=image_size)


@cache
def describe(plan: Plan) -> dict[str, Any]:
    """Return what is worth keeping about a collection."""
    told = {"task": plan.task, "variety": plan.variety or VARIETY}
    return describe_bed(plan.bed()) | told | {"seed": plan.seed, "mix": plan.mix}


def describe_bed(bed: Bed) -> dict[str, Any]:
    """Return what is worth keeping about where episodes were played."""
    from importlib.metadata import version

    from .render import graphics_version

    rules = bed.rules
    wordings = {goal: rules.wordings(goal) for goal in rules.goals}
    versions = {name: version(name) for name in ("robo-reward", "mujoco", "numpy")}
    return {
        "goals": {goal: texts[0] for goal, texts in wordings.items()},
        "paraphrases": {texts[0]: list(texts[1:]) for texts in wordings.values()},
        "versions": versions | {"graphics": graphics_version()},
    }
