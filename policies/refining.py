"""One refinement run: what it plays with, its updates, and how it stops and goes on."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from torch import nn

from data.places import written
from robo_reward.acting import Floats, Policy, Situation, Trace
from robo_reward.errors import OutputError, RoboRewardError
from sim.seeds import seeds

from .algorithms import find_algorithm
from .clock import Clock
from .credit import LambdaSchedule, Rules
from .evaluation import Success, evaluate, summed_up
from .groups import groups_to_refill, usable_groups
from .keeping import keep_rollouts
from .learner import Learner, Scores
from .monitors import alarms, observed
from .patience import Patience
from .potential_fit import fitted
from .refine_log import RefineLog
from .rollout import Rollout
from .run_state import RunState, begin_or_resume, forget
from .scoring import Potentials
from .setting import MODEL_SIZE, Setting
from .starts import Starts
from .storing import save_policy
from .trials import Moment, Start, Trial

if TYPE_CHECKING:
    from .refine import Refine

type Played = tuple[list[Trial], list[Potentials]]


class AlarmError(RoboRewardError):
    """A monitor saw something to look at before going on."""


class Refinement:
    """Refines one policy; use it in a ``with`` statement, which ends its processes."""

    def __init__(self, command: "Refine") -> None:
        """Open policy, environment and reward model; nothing is written or played.

        Raises:
            RoboRewardError: If they are not usable, or do not go together.
        """
        self.command = command
        self.algorithm = find_algorithm(command.algorithm)
        self.setting = Setting(command, self.algorithm)
        self.rounds = -(-command.rollouts // command.starts.rollouts)
        self.lam = LambdaSchedule(
            start=command.lam[0], end=command.lam[1], updates=max(1, self.rounds)
        )
        module = cast(nn.Module, self.setting.stored.policy)
        self.learner = Learner(
            module,
            command.learner,
            seed=command.seed,
            clones=self.algorithm.clones,
            shown=self.setting.showing,
        )
        grouped = self.algorithm.needs_groups
        self.starts = Starts(config=command.starts, size=command.starts.group if grouped else 1)
        self.state = RunState()
        self.clock = Clock()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Return the run."""
        self._stack.callback(self.setting.close)
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes that play."""
        self._stack.close()

    @property
    def policy(self) -> Policy:
        """The policy that learns."""
        return cast(Policy, self.learner.policy)

    def plan(self) -> str:
        """Return what will be done, in a few lines."""
        command, setting = self.command, self.setting
        weights = sum(p.numel() for p in self.learner.policy.parameters())
        return "\n".join(
            [
                f"{command.algorithm} ({self.algorithm.says}) on {command.env}: "
                f"{command.rollouts} rollouts in {self.rounds} updates of "
                f"{command.starts.rollouts}, {command.envs} environments",
                f"policy {command.policy}: {weights / 1e6:.2f} M weights, {setting.replan} of "
                f"{setting.stored.policy.chunk} actions carried out, up to {setting.horizon} steps",
                *setting.remarks(),
            ]
        )

    def run(self) -> str:
        """Refine to the end of the budget; return where everything is and what was reached.

        Raises:
            RoboRewardError: If nothing can be learnt any more, or the output not written.
        """
        out = self.command.out
        if self.command.overwrite:
            with written(out):
                forget(out)
        begin_or_resume(self)
        if self.setting.showing is not None:
            self.setting.showing.fill()
        with written(out):
            log = RefineLog(out, resumed=self.state.updates > 0, patient=self.command.patience == 0)
            self._stack.enter_context(log)
        try:
            if not self.state.evaluations:
                self._evaluate(log)
            while self.state.rollouts < self.command.rollouts:
                self._update(log)
                last = self.state.rollouts >= self.command.rollouts
                if last or self.state.updates % self.command.evaluate_every == 0:
                    self._evaluate(log)
                self._save()
            log.draw(self.state)
        except OSError as error:
            raise OutputError(
                f"cannot write to {out} ({error.strerror}); free some space, then repeat the "
                "command: it goes on where it stopped"
            ) from error
        return self._summary()

    def _update(self, log: RefineLog) -> None:
        state, command = self.state, self.command
        self.clock = clock = Clock()
        rng = np.random.default_rng([command.seed, state.updates, 0])
        trials, judged = self._play(rng)
        with clock("learner"):
            scores = self.learner.score(trials)
        rollouts = self._rollouts(trials, judged, scores)
        rules = Rules(gamma=command.gamma, lam=self.lam.at(state.updates), fit=state.fit)
        given = self.algorithm.credit(rollouts, rules)
        with clock("learner"):
            told = self.learner.update(trials, scores, given)
        if command.keep_rollouts and state.updates % command.keep_rollouts == 0:
            self._keep(trials, judged, scores)
        if self.algorithm.needs_fit:
            state.fit = fitted(rollouts, state.fit, gamma=command.gamma)
        self.starts.remember(trials, judged)
        told = self._told(judged, trials) | told
        state.updates += 1
        log.update(state, summed_up(trials), told, clock.shares())
        log.lost(state, self.setting.env.losses)
        self._watch(log, rollouts, judged, told["kl_reference"])

    def _watch(
        self, log: RefineLog, rollouts: list[Rollout], judged: list[Potentials], kl: float
    ) -> None:
        """Tell what the monitors see.

        Raises:
            AlarmError: If an alarm is to end the run.
        """
        apart = np.array([found.apart.mean() for found in judged])
        self.state.observed.append(observed(rollouts, apart, kl))
        found = alarms(self.state.observed, self.command.monitors)
        log.alarms(self.state, found)
        if found and self.command.stop_on_alarm:
            self._save()
            raise AlarmError(
                f"stopped after update {self.state.updates} by the alarm {found[0].name}: "
                f"{found[0].says}"
            )

    def _play(self, rng: np.random.Generator) -> Played:
        """Return the episodes of an update; groups that teach nothing are played anew."""
        trials, judged = self._played(self.starts.draw(rng), rng)
        if not (self.algorithm.needs_groups and self.algorithm.invariant):
            return trials, judged
        tries = self.command.starts.tries
        for tried in range(1, tries + 1):
            empty = [Scores.none(len(trial)) for trial in trials]
            rollouts = self._rollouts(trials, judged, empty)
            again = groups_to_refill(rollouts, tried=tried, tries=tries)
            teach = set(usable_groups(rollouts))
            keep = [i for i, trial in enumerate(trials) if trial.start.group in teach]
            trials, judged = [trials[i] for i in keep], [judged[i] for i in keep]
            if not again:
                break
            more = self._played(self.starts.draw(rng, groups=len(again)), rng)
            trials, judged = trials + more[0], judged + more[1]
        return trials, judged

    def _played(self, starts: list[Start], rng: np.random.Generator) -> Played:
        clock, judging = self.clock, self.setting.scorer.begin()
        patience = Patience(self.command.patience)

        def choose(seen: Situation) -> tuple[Floats, Trace]:
            with clock("policy"):
                return self.policy.sample(seen, rng)

        def watch(moments: Sequence[Moment]) -> set[int]:
            with clock("reward"):
                return patience.hopeless(judging.see(moments))

        with clock("environment"):
            trials = self.setting.player.play(choose, starts, watch=watch)
        self.state.rollouts += len(trials)
        with clock("reward"):
            return trials, judging.potentials(trials)

    def _keep(self, trials: list[Trial], judged: list[Potentials], scores: list[Scores]) -> None:
        place = self.command.out / "rollouts" / f"{self.state.updates:04d}"
        size = self.setting.image_size or MODEL_SIZE
        count = keep_rollouts(place, self.setting.bed, trials, judged, scores, image_size=size)
        print(f"{count} rollouts are kept in {place}", flush=True)

    def _rollouts(
        self, trials: list[Trial], judged: list[Potentials], scores: list[Scores]
    ) -> list[Rollout]:
        critic = float(self.algorithm.needs_critic)
        return [
            Rollout(
                decisions=trial.decisions,
                reward=trial.reward,
                potential=found.progress[:-1],
                final_potential=float(found.progress[-1]),
                residual=critic * said.residual[:-1],
                final_residual=critic * float(said.residual[-1]),
                group=trial.start.group,
                success=trial.success,
                lost=trial.lost,
            )
            for trial, found, said in zip(trials, judged, scores, strict=True)
        ]

    def _told(self, judged: list[Potentials], trials: list[Trial]) -> dict[str, float]:
        """Return what the reward model said of an update, and how often it said nothing."""
        ends = np.array([found.progress[-1] for found in judged])
        failed = np.array([not trial.success for trial in trials])
        return {
            "potential_end": float(ends.mean()),
            "potential_end_failed": float(ends[failed].mean()) if failed.any() else float("nan"),
            "missing": float(sum(found.missing for found in judged)),
            "invalid": float(sum(found.invalid for found in judged)),
            "lost": float(sum(trial.lost for trial in trials)),
            "given_up": float(sum(trial.given_up for trial in trials)),
            "steps_saved": float(sum(self.setting.spared(trial) for trial in trials)),
            "env_steps": float(sum(trial.decisions.steps.sum() for trial in trials)),
            "lam": self.lam.at(self.state.updates),
        }

    def _evaluate(self, log: RefineLog) -> None:
        chosen = seeds("validation", self.command.evaluate)
        found = summed_up(evaluate(self.policy, self.setting.player, chosen))
        log.lost(self.state, self.setting.env.losses)
        best = max((one.rate for _, one in self.state.evaluations), default=-1.0)
        self.state.evaluations.append((self.state.rollouts, found))
        log.evaluation(self.state)
        if found.rate > best:
            self._store(self.command.out / "best", found)

    def _save(self) -> None:
        self._store(self.command.out / "policy", self.state.evaluations[-1][1])
        self.state.save(self)

    def _store(self, place: Path, found: Success) -> None:
        about = self.setting.about(self.state, found)
        save_policy(self.learner.policy, place, about)

    def _summary(self) -> str:
        (_, first), (rollouts, last) = self.state.evaluations[0], self.state.evaluations[-1]
        return (
            f"success {first} at the start, {last} after {rollouts} rollouts\n"
            f"policy: {self.command.out / 'policy'}; best of the evaluations: "
            f"{self.command.out / 'best'}\ncurve: {self.command.out / 'curve.png'}"
        )
