"""``robo-reward train``: a progress reward model from datasets of episodes."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from robo_reward.config import CompactConfig, HfConfig, TrainingConfig, at_least
from robo_reward.errors import InputError
from robo_reward.plan import SamplingConfig
from robo_reward.targets import Budget
from robo_reward.tracker import Fusion

type Unannotated = Literal["segments", "time"]


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a progress reward model on one or more datasets of episodes.

    Example: robo-reward train --dataset outputs/sim --out outputs/model
    With a pretrained model: … --hf.base Qwen/Qwen3-VL-2B-Instruct
    """

    dataset: tuple[str, ...]
    """LeRobotDataset v3.0, one or several: directories or hub ids."""
    out: Path
    """Directory for best/, last/, the log and the state of the run."""
    weights: tuple[float, ...] = ()
    """Shares of the datasets in the episodes drawn, one each; none: as many as each has."""
    views: tuple[str, ...] = ()
    """Cameras to train on, of each dataset; none: all that it has."""
    start: Path | None = None
    """Model whose weights training begins with, instead of random ones."""
    seed: int = 0
    """Seed of weights, split and every draw."""
    validation: float = 0.1
    """Share of episodes kept back to choose the best checkpoint and to calibrate on."""
    withhold: tuple[str, ...] = ()
    """Blocks of frames that training never sees, each EPISODE:START:STOP; the episodes of several
    datasets are numbered one after another."""
    query_period: float = 0.4
    """Seconds between the frames that the model is asked about."""
    view_disagreement: bool = False
    """Let confidence look at how far progress moves when a view is left out: judging then takes
    a pass more for each view."""
    fusion: Fusion = "filter"
    """How progress is made of the three hops: by a filter over their distributions, or by weights
    that fall as start and goal disagree."""
    budget: Budget = "stepwise"
    """How annotated subtasks share the whole: equally, or by their length within bounds."""
    unannotated: Unannotated = "segments"
    """How successes without annotation or truth are taken to progress: by what changes in the
    images, within segments that are found in them, or by the clock."""
    evaluate_every: int = 300
    """Steps between validations; each may renew the best checkpoint."""
    cache: Path = Path("outputs/cache")
    """Where decoded frames are kept between runs."""
    cache_gb: float = 8.0
    """Most disk that ``--cache`` may take, in GB, the frames of other runs there included."""
    resume: bool = False
    """Go on with the run that is in ``--out``."""
    overwrite: bool = False
    """Replace what is in ``--out``."""
    dry_run: bool = False
    """Say what would be done, and stop."""
    backbone: Annotated[CompactConfig, tyro.conf.arg(name="")] = field(
        default_factory=lambda: CompactConfig(belief=True)
    )
    hf: HfConfig = field(default_factory=HfConfig)
    """A pretrained vision-language model in place of the compact network: give ``--hf.base``."""
    training: Annotated[TrainingConfig, tyro.conf.arg(name="")] = field(
        default_factory=TrainingConfig
    )
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        if not self.dataset:
            raise InputError("--dataset names nothing; give a directory or a hub id")
        if self.resume and self.overwrite:
            raise InputError("--resume goes on with a run, --overwrite discards it: choose one")
        if self.hf.base and self.backbone.time_to_go:
            raise InputError(
                "--time-to-go is for the compact network; with --hf.base say --hf.time-to-go"
            )
        at_least(1, "--evaluate-every", self.evaluate_every)
        at_least(0, "--seed", self.seed)
        if not 0.0 < self.query_period < math.inf:
            raise InputError(f"--query-period must be seconds above 0, got {self.query_period}")
        if not self.hf.base and self.hf != HfConfig():
            raise InputError("--hf.* says how a pretrained model is used; say which by --hf.base")

    @property
    def shape(self) -> CompactConfig | HfConfig:
        """The backbone that was asked for."""
        return self.hf if self.hf.base else self.backbone

    @property
    def schedule(self) -> TrainingConfig:
        """How that backbone is trained."""
        if not self.hf.base:
            return self.training
        return replace(self.training, learning_rate=self.hf.learning_rate)

    def run(self) -> None:
        """Train, and print where the model is and how well it does.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        from robo_reward.processes import launched

        from .training_run import TrainingRun

        processes = launched()
        with processes.quiet():
            run = TrainingRun(self, processes)
            print(run.plan())
            if not self.dry_run:
                print(run.train())
        processes.close()
