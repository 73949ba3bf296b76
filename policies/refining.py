"""One refinement run: what it plays with, its updates, and how it stops and goes on."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from torch import nn

from data.places import written
from robo_reward.acting import Floats, Policy, Situation, Trace
from robo_reward.errors import OutputError, RoboRewardError
from robo_reward.meeting import Meeting
from sim.seeds import seeds

from .algorithms import find_algorithm
from .batch import rollouts_of, said_of
from .carrying import refresh
from .clock import Clock
from .config import Limits
from .credit import LambdaSchedule, Rules
from .evaluation import Success, evaluate, summed_up
from .groups import groups_to_refill, usable_groups
from .keeping import keep_rollouts
from .learner import Learner, Scores
from .lockstep import Losses, begin_together
from .monitors import Alarm, alarms
from .observing import observed
from .patience import Patience
from .planning import planned
from .potential_fit import fitted
from .refine_log import NoLog, RefineLog
from .refreshing import Refresher, kept_place
from .reward_models import forget
from .rollout import Rollout
from .run_state import RunState
from .scoring import Potentials
from .setting import MODEL_SIZE, Setting
from .sharing import CHANCE, all_played, all_trials, check_shareable, generator, share
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

    def __init__(self, command: "Refine", meeting: Meeting | None = None) -> None:
        """Open policy, environment and reward model; nothing is written or played.

        Args:
            command: What is asked for.
            meeting: Where several processes that refine together meet; None: it is alone.

        Raises:
            RoboRewardError: If they are not usable, or do not go together.
        """
        self.command = command
        self.algorithm = find_algorithm(command.algorithm)
        grouped = self.algorithm.needs_groups
        self.starts = Starts(config=command.starts, size=command.starts.group if grouped else 1)
        groups = command.starts.rollouts // self.starts.size
        self.meeting = meeting or Meeting()
        self.processes = self.meeting.processes
        check_shareable(
            self.processes,
            groups=groups,
            ray=command.uses_ray,
            refreshes=command.refresh_every > 0,
        )
        self.setting = Setting(command, self.algorithm, self.processes)
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
            meeting=self.meeting,
        )
        self.state = RunState(reward=self.setting.reward_fingerprint)
        self.refresher = Refresher(command, self.setting) if command.refresh_every else None
        self.clock = Clock()
        self.losses = Losses(self.meeting)
        self.chance: np.random.Generator
        """What actions of this update are drawn from."""
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

    @property
    def limits(self) -> Limits:
        """When monitors speak: of false positives as expected of the model that judges now."""
        limits = self.command.monitors
        if limits.false_positive_rate is None:
            limits = replace(limits, false_positive_rate=self.setting.false_positive_rate)
        return limits

    def plan(self) -> str:
        """Return what will be done, in a few lines."""
        return "\n".join(planned(self))

    def run(self) -> str:
        """Refine to the end of the budget; return where everything is and what was reached.

        Raises:
            RoboRewardError: If nothing can be learnt any more, or the output not written.
        """
        out = self.command.out
        begin_together(self)
        with written(out):
            kind = RefineLog if self.processes.first else NoLog
            log = kind(out, resumed=self.state.updates > 0, patient=self.command.patience == 0)
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
        self.chance = generator(self.processes, rng, [command.seed, state.updates, CHANCE])
        if self.setting.model is not None:  # a run that goes on from here remembers nothing either
            forget(self.setting.model)
        trials, judged = self._play(rng)
        with clock("learner"):
            scores = self.learner.score(trials)
        rollouts = rollouts_of(trials, judged, scores, critic=self.algorithm.needs_critic)
        rules = Rules(gamma=command.gamma, lam=self.lam.at(state.updates), fit=state.fit)
        given = self.algorithm.credit(rollouts, rules)
        with clock("learner"):
            told = self.learner.update(trials, scores, given)
        every = 1 if command.refresh_every else command.keep_rollouts
        if self.processes.first and every and state.updates % every == 0:
            self._keep(trials, judged, scores)
        if self.algorithm.needs_fit:
            state.fit = fitted(rollouts, state.fit, gamma=command.gamma)
        self.starts.remember(trials, judged)
        told |= said_of(trials, judged) | {
            "steps_saved": float(sum(map(self.setting.spared, trials))),
            "lam": rules.lam,
        }
        state.updates += 1
        log.update(state, summed_up(trials), told, clock.shares())
        log.lost(state, self.losses.tell(self.setting.env.losses))
        alarmed = self._watch(log, rollouts, judged, told["kl_reference"])
        if self.refresher is not None and state.updates % command.refresh_every == 0:
            refresh(self, log, trials, judged, rollouts)
        if alarmed and command.stop_on_alarm:
            self._save()
            self.meeting.wait("save before all stop")
            raise AlarmError(
                f"stopped after update {state.updates} by the alarm {alarmed[0].name}: "
                f"{alarmed[0].says}"
            )

    def _watch(
        self, log: RefineLog, rollouts: list[Rollout], judged: list[Potentials], kl: float
    ) -> list[Alarm]:
        """Tell what the monitors see, and return their alarms."""
        apart = np.array([found.apart.mean() for found in judged])
        self.state.observed.append(observed(rollouts, apart, kl))
        found = alarms(self.state.observed, self.limits)
        log.alarms(self.state, found)
        return found

    def _play(self, rng: np.random.Generator) -> Played:
        """Return the episodes of an update; groups that teach nothing are played anew."""
        trials, judged = self._played(self.starts.draw(rng))
        if not (self.algorithm.needs_groups and self.algorithm.invariant):
            return trials, judged
        tries = self.command.starts.tries
        for tried in range(1, tries + 1):
            empty = [Scores.none(len(trial)) for trial in trials]
            rollouts = rollouts_of(trials, judged, empty)
            again = groups_to_refill(rollouts, tried=tried, tries=tries)
            teach = set(usable_groups(rollouts))
            keep = [i for i, trial in enumerate(trials) if trial.start.group in teach]
            trials, judged = [trials[i] for i in keep], [judged[i] for i in keep]
            if not again:
                break
            more = self._played(self.starts.draw(rng, groups=len(again)))
            trials, judged = trials + more[0], judged + more[1]
        return trials, judged

    def _played(self, starts: list[Start]) -> Played:
        """Return the episodes of all processes; each plays and judges its share."""
        clock, update = self.clock, self.state.updates
        judging, patience = self.setting.scorer.begin(), Patience(self.command.patience)

        def choose(seen: Situation) -> tuple[Floats, Trace]:
            with clock("policy"):
                return self.policy.sample(seen, self.chance)

        def watch(moments: Sequence[Moment]) -> set[int]:
            with clock("reward"):
                return patience.hopeless(judging.see(moments))

        mine = share(starts, self.processes, size=self.starts.size)
        with clock("environment"):
            trials = self.setting.player.play(choose, mine, watch=watch)
        with clock("reward"):
            judged = judging.potentials(trials)
        to = f"share the rollouts of update {update + 1}"
        everyone = all_played(self.meeting, trials, judged, to)
        self.state.rollouts += len(everyone)
        return [trial for trial, _ in everyone], [found for _, found in everyone]

    def _keep(self, trials: list[Trial], judged: list[Potentials], scores: list[Scores]) -> None:
        place = kept_place(self.command.out, self.state.updates)
        size = self.setting.image_size or MODEL_SIZE
        count = keep_rollouts(place, self.setting.bed, trials, judged, scores, image_size=size)
        print(f"{count} rollouts are kept in {place}", flush=True)

    def _evaluate(self, log: RefineLog) -> None:
        chosen = seeds("validation", self.command.evaluate)
        mine = evaluate(self.policy, self.setting.player, share(chosen, self.processes))
        found = summed_up(all_trials(self.meeting, mine, "share an evaluation"))
        log.lost(self.state, self.losses.tell(self.setting.env.losses))
        best = max((one.rate for _, one in self.state.evaluations), default=-1.0)
        self.state.evaluations.append((self.state.rollouts, found))
        log.evaluation(self.state)
        if found.rate > best:
            self._store(self.command.out / "best", found)

    def _save(self) -> None:
        self._store(self.command.out / "policy", self.state.evaluations[-1][1])
        if self.processes.first:
            self.state.save(self)

    def _store(self, place: Path, found: Success) -> None:
        if self.processes.first:
            save_policy(self.learner.policy, place, self.setting.about(self.state, found))

    def _summary(self) -> str:
        (_, first), (rollouts, last) = self.state.evaluations[0], self.state.evaluations[-1]
        return (
            f"success {first} at the start, {last} after {rollouts} rollouts\n"
            f"policy: {self.command.out / 'policy'}; best of the evaluations: "
            f"{self.command.out / 'best'}\ncurve: {self.command.out / 'curve.png'}"
        )
