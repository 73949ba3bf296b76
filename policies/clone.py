"""``robo-reward clone``: a policy from demonstrations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from robo_reward.config import at_least
from robo_reward.errors import InputError

from .cloning_config import CloneShape, CloningConfig


@dataclass(frozen=True, kw_only=True)
class Clone:
    """Clone a policy from the successful episodes of one or more datasets of a robot.

    Example: robo-reward clone --dataset outputs/pick --out outputs/pick-policy

    If it is interrupted, the same command goes on.
    """

    goes_on: ClassVar[bool] = True
    """What `robo_reward.cli` says of it when it is interrupted."""

    dataset: tuple[str, ...]
    """LeRobotDataset v3.0, one or several of one robot: directories or hub ids."""
    out: Path
    """Directory for the policy, its log, and the state of the run."""
    episodes: int | None = None
    """How many demonstrations to use, drawn by the seed; all if not given."""
    behaviour: tuple[str, ...] = ()
    """Behaviours to use, where the dataset records them; none: all."""
    failures: bool = False
    """Clone failed episodes too; only with ``--weights`` is that likely to be of use."""
    weights: tuple[Path, ...] = ()
    """For each dataset the folder that ``label`` wrote, or a parquet file: how much each frame
    counts."""
    weight_column: str = "progress_sparse"
    """Column of ``--weights``: progress, whose rise becomes weights as in LeRobot's RA-BC, or the
    name of a column that holds weights."""
    views: tuple[str, ...] = ()
    """Cameras that the policy sees; none: all."""
    replan_steps: int | None = None
    """Actions of a chunk that are executed before the next is predicted; half a chunk if not
    given."""
    seed: int = 0
    """Seed of weights, choice and every draw."""
    save_every: int = 250
    """Steps between two states that the run can go on from."""
    cache: Path = Path("outputs/cache")
    """Where decoded frames are kept between runs."""
    cache_gb: float = 8.0
    """Most disk that ``--cache`` may take, in GB, the frames of other runs there included."""
    overwrite: bool = False
    """Replace what is in ``--out``."""
    dry_run: bool = False
    """Say what would be done, and stop."""
    shape: Annotated[CloneShape, tyro.conf.arg(name="")] = field(default_factory=CloneShape)
    cloning: Annotated[CloningConfig, tyro.conf.arg(name="")] = field(default_factory=CloningConfig)

    def __post_init__(self) -> None:
        """Refuse settings that leave nothing to do."""
        if not self.dataset:
            raise InputError("--dataset names nothing; give a directory or a hub id")
        at_least(0, "--seed", self.seed)
        at_least(1, "--save-every", self.save_every)
        if self.episodes is not None:
            at_least(1, "--episodes", self.episodes)
        if not 1 <= self.executed <= self.shape.chunk:
            raise InputError(
                f"--replan-steps must be between 1 and --chunk {self.shape.chunk}, got "
                f"{self.executed}"
            )

    @property
    def executed(self) -> int:
        """Actions that are executed of each chunk."""
        return (self.shape.chunk + 1) // 2 if self.replan_steps is None else self.replan_steps

    def run(self) -> None:
        """Clone, and print where the policy is.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        from .cloning_run import CloningRun

        run = CloningRun(self)
        print(run.plan())
        if not self.dry_run:
            print(run.clone())
