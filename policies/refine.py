"""``robo-reward refine``: a policy gets better at a simulated task by its own rollouts."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from robo_reward.config import at_least
from robo_reward.errors import InputError
from robo_reward.meeting import Meeting
from robo_reward.processes import launched
from robo_reward.serving.address import is_address

from .config import LearnerConfig, Limits, RefreshConfig, StartConfig

TRUTH, SPARSE = "truth", "sparse"
LONGEST_S = 1e7
"""Most seconds that processes may wait for one another."""


@dataclass(frozen=True, kw_only=True)
class Refine:
    """Refine a policy in simulation by PPO or group-relative updates with a progress potential.

    Example: robo-reward refine --policy outputs/clone --env pick_to_bin --reward outputs/model
    --references outputs/demonstrations --out outputs/refined
    """

    policy: Path
    """Policy to begin with: a directory that ``robo-reward clone`` made, or a LeRobot ACT,
    SmolVLA or MultiTaskDiT (flow matching), a directory or a hub id."""
    env: str
    """Simulated task: a name of ours, or metaworld/ and one of Meta-World's."""
    out: Path
    """Directory for policy/, best/, the log, the curve and the state of the run."""
    reward: str = SPARSE
    """Potential Φ: a reward model, its directory or the address of its server (``robo-reward
    serve``), truth (the simulator's progress), or sparse (none). Success always comes from the
    environment."""
    references: str = ""
    """What start and goal look like to the reward model: a dataset with a success under the same
    instruction, or a directory with start/<view>.png and goal/<view>.png."""
    demonstrations: tuple[str, ...] = ()
    """Datasets whose successes are imitated along with it, by ``--learner.objective.bc-weight``."""
    algorithm: str = "phi-ppo"
    """phi-ppo, ppo, grpo, rloo, phi-rloo, awr, or one that is not sound (unsound-…)."""
    rollouts: int = 960
    """Episodes to learn from, in all."""
    gamma: float = 0.99
    """Discount per control step: the more steps a second, the nearer to 1 it must be."""
    replan_steps: int = 0
    """Actions of a chunk that are carried out; 0: as the policy was made for."""
    max_steps: int = 0
    """Control steps after which an episode is cut off; 0: the environment's own."""
    patience: int = 0
    """Decisions without a rise of Φ after which an episode is given up, to save steps; 0: never.
    It is cut off, not failed: what would have come counts as Φ and the critic say."""
    robot: str = ""
    """Robot, of those that play the task."""
    variety: tuple[str, ...] | None = None
    """What varies from episode to episode; not given: the policy's dataset's, or everything."""
    envs: int = 16
    """Environments that are played at once, by each learner."""
    workers: int | None = None
    """Processes for them; 0: this one; not given: one per core, of the cluster with Ray; several
    learners share the cores."""
    launcher: Literal["processes", "ray"] = "processes"
    """Where they are played: processes of this machine, or actors of a Ray cluster."""
    ray_address: str = ""
    """host:port of the cluster, which this machine has joined; not given: RAY_ADDRESS, and without
    it a cluster on this machine alone."""
    deadline: float = 60.0
    """Seconds that a process has for an answer before it is replaced, and a reward server."""
    peer_deadline: float = 1800.0
    """Seconds that several learners (``accelerate launch``) wait for one another before all end."""
    evaluate_every: int = 5
    """Updates between evaluations."""
    evaluate: int = 50
    """Episodes of an evaluation, always the same ones, without chance."""
    keep_rollouts: int = 0
    """Updates between those whose rollouts are kept as a LeRobotDataset; 0: none."""
    refresh_every: int = 0
    """Updates between refreshes of the reward model by the rollouts since the last one; 0: never.
    All rollouts are kept then."""
    seed: int = 0
    """Of every draw."""
    stop_on_alarm: bool = False
    """End the run where a monitor sees that Φ and success part ways."""
    overwrite: bool = False
    """Replace what is in ``--out``. Without it the run there goes on where it stopped."""
    dry_run: bool = False
    """Say what would be done, and stop."""
    cache: Path = Path("outputs/cache")
    """Where decoded frames of demonstrations are kept between runs."""
    cache_gb: float = 8.0
    """Most disk that ``--cache`` may take, in GB, the frames of other runs there included."""
    lam: tuple[float, float] = (0.8, 0.95)
    """λ per decision, of the first update and of the last: how little Φ is trusted."""
    starts: StartConfig = field(default_factory=StartConfig)
    learner: LearnerConfig = field(default_factory=LearnerConfig)
    refresh: RefreshConfig = field(default_factory=RefreshConfig)
    monitors: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse settings that leave nothing to do."""
        for name in ("rollouts", "envs", "evaluate_every", "evaluate"):
            at_least(1, f"--{name.replace('_', '-')}", getattr(self, name))
        zero = ("replan_steps", "max_steps", "patience", "seed", "keep_rollouts", "refresh_every")
        for name in zero:
            at_least(0, f"--{name.replace('_', '-')}", getattr(self, name))
        if not 0.0 < self.gamma <= 1.0:
            raise InputError(f"--gamma must be in (0, 1], got {self.gamma}")
        if not 0.0 < self.peer_deadline <= LONGEST_S:
            raise InputError(
                f"--peer-deadline must be seconds, above 0 and up to {LONGEST_S:g}, got "
                f"{self.peer_deadline}"
            )
        if self.ray_address and not self.uses_ray:
            raise InputError("--ray-address is for --launcher ray: give both, or neither")
        self._check_refresh()
        weight = self.learner.objective.bc_weight
        if self.demonstrations and not weight:
            raise InputError(
                "--demonstrations are given and count nothing: give "
                "--learner.objective.bc-weight, such as 0.1"
            )
        if weight and not self.demonstrations:
            raise InputError(
                f"--learner.objective.bc-weight {weight} needs something to imitate: give "
                "--demonstrations DATASET"
            )

    def _check_refresh(self) -> None:
        plain = self.reward in (TRUTH, SPARSE) or is_address(self.reward)
        if self.refresh_every and plain:
            raise InputError(
                f"--refresh-every {self.refresh_every} trains a reward model further, and --reward "
                f"is {self.reward}: give a reward model's directory, or leave --refresh-every out"
            )
        if self.refresh_every and self.patience:
            raise InputError(
                "--refresh-every learns from how episodes ended, and --patience ends them before "
                "that is known; leave one of them out"
            )
        if (
            self.overwrite
            and (self.out / "reward").resolve() in Path(self.reward).resolve().parents
        ):
            raise InputError(
                f"--overwrite removes what is in {self.out}, and --reward {self.reward} is there: "
                "copy it first, or give another --out"
            )
        if self.refresh != RefreshConfig() and not self.refresh_every:
            raise InputError(
                "--refresh.* says how the reward model is refreshed; say when by --refresh-every"
            )

    @property
    def uses_ray(self) -> bool:
        """Whether environments are played by Ray actors."""
        return self.launcher == "ray"

    def run(self) -> None:
        """Refine to the end of the budget and print where everything is.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        processes = launched(timedelta(seconds=self.peer_deadline))
        meeting = Meeting(processes, patience=self.peer_deadline)
        with meeting.ending(), processes.quiet():
            self._refine(meeting)
            meeting.wait("end")
        processes.close()

    def _refine(self, meeting: Meeting) -> None:
        from .refining import Refinement

        with Refinement(self, meeting) as refinement:
            print(refinement.plan())
            if not self.dry_run:
                print(refinement.run())
