"""What a refinement run plays with: the policy, its environments, and who says how far it got."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.errors import InputError
from robo_reward.processes import ALONE, Processes
from robo_reward.protocols import References
from robo_reward.shaped_env import SHAPED

from .about import About
from .algorithms import Algorithm
from .evaluation import Success
from .fitting import check_fit
from .playing import Player
from .refine import SPARSE, TRUTH
from .reward_models import (
    Training,
    check_trained_on,
    claims_of,
    image_size,
    instructions,
    open_reward,
)
from .scoring import FindReferences, Judged, Plain, Scorer
from .showing import Showing, show_to
from .storing import load_policy
from .trials import Trial

if TYPE_CHECKING:
    from sim.crew_ray import Cluster

    from .refine import Refine
    from .reward_models import RewardModel
    from .run_state import RunState


MODEL_SIZE = 128
"""Side of the images for a reward model that judges them as they are."""


class Setting:
    """Policy, environments and reward of a run, checked against each other."""

    def __init__(
        self, command: "Refine", algorithm: Algorithm, processes: Processes = ALONE
    ) -> None:
        """Open all of it.

        Args:
            command: What is asked for.
            algorithm: What gives credit.
            processes: Which of several this is: where it computes.

        Raises:
            RoboRewardError: If something cannot be opened, or does not go with the rest.
        """
        from sim.beds import find_bed
        from sim.chunks import ChunkedEnv

        self.command = command
        self.bed = find_bed(command.env, robot=command.robot, variety=command.variety)
        self.processes = processes
        self.stored = load_policy(command.policy, device=processes.device or None)
        self.replan = command.replan_steps or self.stored.about.replan_steps
        check_fit(self.stored, self.bed)
        if self.replan > self.stored.policy.chunk:
            raise InputError(
                f"--replan-steps {self.replan}: this policy predicts {self.stored.policy.chunk} "
                "actions at once; carry out no more than that"
            )
        self._check_reward(algorithm)
        self.showing = self._showing()
        self.model: RewardModel | None = None
        self.references: FindReferences = lambda _: References()
        self.scorer: Scorer = self._scorer()
        workers = processes.workers(command.workers, most=command.envs)
        make = partial(self.bed.make, terminate_on_success=True, **self._drawing())
        with ExitStack() as opened:
            self.cluster = opened.enter_context(_cluster(command)) if command.uses_ray else None
            self.env = ChunkedEnv(
                make,
                command.envs,
                workers=self.cluster or workers,
                deadline=command.deadline,
                max_steps=command.max_steps or None,
            )
            opened.callback(self.env.close)
            if self.env.metadata.get(SHAPED):
                raise InputError(
                    f"{command.env} pays a shaped reward already; refine shapes it itself"
                )
            self.player = Player(self.env, replan=self.replan, gamma=command.gamma)
            self.horizon = self._horizon()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """End the processes."""
        self._opened.close()

    def about(self, state: "RunState", found: Success) -> About:
        """Return what is to be known of the policy as it is now."""
        about, command = self.stored.about, self.command
        training = {
            **about.training,
            "refined": {
                "from": self.stored.fingerprint,
                "algorithm": command.algorithm,
                "env": command.env,
                "reward": command.reward,
                "reward_fingerprint": self.reward_fingerprint,
                "rollouts": state.rollouts,
                "success": found.rate,
            },
        }
        if not about.named:
            about = replace(
                about,
                fps=self.bed.fps,
                state_names=self.bed.state_names,
                action_names=self.bed.action_names,
                named=True,
                robot=self.bed.robot,
                task=self.command.env,
            )
        return replace(about, replan_steps=self.replan, training=training)

    @property
    def image_size(self) -> int:
        """Side of the images, in pixels, as large as anybody looks at; 0 if nobody does."""
        sizes = [height for height, _ in self.stored.about.images.values()]
        if self.model is not None:
            sizes.append(image_size(self.model) or MODEL_SIZE)
        return max(sizes, default=0)

    def spared(self, trial: Trial) -> int:
        """Return how many control steps were spared at most by giving up an episode."""
        before = 0 if trial.start.played is None else len(trial.start.played)
        played = before + int(trial.decisions.steps.sum())
        return self.horizon - played if trial.given_up else 0

    @property
    def reward_fingerprint(self) -> str:
        """Which reward model judges; empty for none."""
        return "" if self.model is None else self.model.fingerprint

    @property
    def false_positive_rate(self) -> float | None:
        """How often Φ is known to claim success of a failure; None where nobody counted."""
        if self.model is None:  # the truth never does
            return 0.0 if self.command.reward == TRUTH else None
        return self._claims

    def _check_reward(self, algorithm: Algorithm) -> None:
        reward, name = self.command.reward, self.command.algorithm
        if name.startswith("phi-") and reward == SPARSE:
            raise InputError(
                f"{name} learns from a potential and --reward is {SPARSE}: give a reward model's "
                f"directory or {TRUTH}, or choose --algorithm ppo"
            )
        if self.command.patience and not algorithm.counts_on_the_rest:
            raise InputError(
                f"--patience: {name} needs to know how every episode ends, and one that was given "
                "up might have succeeded; choose phi-ppo, ppo, phi-rloo or awr, or leave it out"
            )
        if self.command.patience and reward == SPARSE:
            raise InputError(
                f"--patience gives up where Φ does not rise, and --reward is {SPARSE}: give a "
                f"reward model's directory or {TRUTH}, or leave it out"
            )
        if algorithm.needs_groups and self.command.starts.group < 2:
            raise InputError(
                f"{name} compares episodes that began alike: --starts.group must be at least 2"
            )

    def _showing(self) -> Showing | None:
        command = self.command
        if not command.demonstrations:
            return None
        return show_to(
            self.stored, command.demonstrations, cache=command.cache, cache_gb=command.cache_gb
        )

    def _drawing(self) -> dict[str, Any]:
        """Return how environments draw: as large as anybody needs, only when somebody looks."""
        from sim.render import require_backend

        if not self.image_size:
            return {"pixels": False}
        require_backend()
        return {"image_size": self.image_size, "render_every": self.replan}

    def _horizon(self) -> int:
        horizon = int(self.command.max_steps or self.env.horizon)
        if self.replan > horizon:
            raise InputError(
                f"an episode has {horizon} steps and {self.replan} actions are carried out at "
                "once: no second decision is made; raise --max-steps or lower --replan-steps"
            )
        return horizon

    def _scorer(self) -> Scorer:
        reward = self.command.reward
        if reward in (TRUTH, SPARSE):
            return Plain(truth=reward == TRUTH)
        device, deadline_s = self.processes.device or None, self.command.deadline
        model, training = open_reward(reward, device=device, deadline_s=deadline_s)
        check_trained_on(training, self.bed, reward)
        self.references = _references(self.command, instructions(self.bed))
        return self.judge_by(model, training)

    def judge_by(self, model: "RewardModel", training: Training) -> Scorer:
        """Let a model, of which this is known, judge from now on; return the scorer."""
        self.model, self.scorer = model, Judged(model, self.references)
        self._claims = claims_of(training)
        return self.scorer


def _cluster(command: "Refine") -> "Cluster":
    from sim.crew_ray import Cluster

    return Cluster(command.ray_address, workers=command.workers)


def _references(command: "Refine", instructions: Sequence[str]) -> FindReferences:
    """Return what finds the references of each of these instructions.

    Raises:
        InputError: If none are given, or they cannot be read.
    """
    from data.lerobot_dataset import open_dataset
    from data.references import AUTO, ReferenceFinder, read_directory

    if not command.references:
        raise InputError(
            "a reward model is shown start and goal: give --references, a dataset with a success "
            "of this task or a directory with start/<view>.png and goal/<view>.png"
        )
    place = Path(command.references)
    if (place / "start").is_dir() or (place / "goal").is_dir():
        given = read_directory(place)
        return lambda _: given
    dataset = open_dataset(command.references)
    finder = ReferenceFinder(dataset, AUTO)
    shown = {text: finder.success(text, other_than=-1) for text in instructions}
    unknown = [text for text, number in shown.items() if number is None]
    if unknown:
        raise InputError(
            f"--references {place} has no success under {unknown[0]!r}; collect or record one"
        )
    known = {text: number for text, number in shown.items() if number is not None}
    return lambda instruction: finder.ends(known[instruction])
