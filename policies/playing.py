"""Rollouts: a policy plays episodes in many environments, a decision of all at a time.

Letters: B episodes, C actions of a chunk, A numbers of an action.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.acting import Floats, Situation, Trace
from robo_reward.errors import InputError, RoboRewardError
from robo_reward.shaping import Decisions, decision_reward
from sim.chunks import ChunkedEnv
from sim.lanes import Advanced
from sim.workforce import TRIES, WorkerError

from .trials import Moment, Start, Trial

type Choose = Callable[[Situation], tuple[Floats, Trace]]
"""What a policy does in B situations: chunks (B, C, A), and what is needed to score them."""
type Watch = Callable[[Sequence[Moment]], Collection[int]]
"""Looks at moments while chunks are carried out; returns the numbers of episodes to give up."""


class ReplayError(RoboRewardError):
    """Actions lead elsewhere than they did."""


class Bar(Protocol):
    """Told of every episode that ends."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Advance."""


@dataclass(kw_only=True)
class _Playing:
    """An episode that is going on."""

    number: int
    start: Start
    instruction: str
    seen: list[dict[str, Any]]
    truth: list[float]
    chunks: list[Floats] = field(default_factory=list)
    traces: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    told: list[Advanced] = field(default_factory=list)
    given_up: bool = False

    @property
    def over(self) -> bool:
        """Whether it has ended by itself."""
        return bool(self.told) and (self.told[-1].terminated or self.told[-1].truncated)

    @property
    def rewards(self) -> list[list[float]]:
        """What each decision was paid, step by step; one that a process took with it: 0 once."""
        return [one.rewards or [0.0] for one in self.told]

    def newest(self, fps: float) -> Moment:
        """Return what it shows now."""
        return Moment(
            number=self.number,
            instruction=self.instruction,
            views=self.seen[-1].get("pixels", {}),
            seconds=sum(map(len, self.rewards)) / fps,
            truth=self.truth[-1],
        )


class Player:
    """Plays episodes in a `ChunkedEnv`, ``replan`` actions of each chunk."""

    def __init__(self, env: ChunkedEnv, *, replan: int, gamma: float) -> None:
        """Play in an environment.

        Args:
            env: It; it may be shared, but not by two that play at once.
            replan: Actions carried out before the policy predicts again.
            gamma: Discount per step.

        Raises:
            InputError: If ``replan`` is not at least 1.
        """
        if replan < 1:
            raise InputError(f"replan_steps must be at least 1, got {replan}")
        self.env, self.replan, self.gamma = env, replan, gamma
        self.fps = float(env.metadata["render_fps"])

    def play(
        self,
        choose: Choose,
        starts: Sequence[Start],
        bar: Bar = lambda *_, **__: None,
        watch: Watch = lambda _: (),
    ) -> list[Trial]:
        """Return a trial for each start, in their order.

        Which environment plays which does not depend on processes, so neither do the trials, nor
        what is watched together.

        Args:
            choose: What the policy does.
            starts: Where episodes begin.
            bar: Told of every episode that ends.
            watch: Sees every observation of an episode once, in their order: those at decisions
                while the chunks that were decided are carried out, the last one with the next
                decisions of others. An episode that it gives up is truncated after its chunk.

        Raises:
            InputError: If a chunk is shorter than ``replan``.
            WorkerError: If a process is lost again and again.
        """
        waiting = list(enumerate(starts))[::-1]
        active: dict[int, _Playing] = {}
        done: dict[int, Trial] = {}
        fresh: list[Moment] = []
        while waiting or active:
            free = [row for row in range(self.env.num_envs) if row not in active]
            if chosen := {row: waiting.pop() for row in free[: len(waiting)]}:
                begun = self._begin(chosen)
                fresh += [episode.newest(self.fps) for episode in begun.values()]
                active |= begun
            self._decide(choose, active, partial(watch, fresh))
            fresh = [episode.newest(self.fps) for episode in active.values()]
            for row in [row for row, one in active.items() if one.over or one.given_up]:
                episode = active.pop(row)
                done[episode.number] = self._trial(episode)
                bar(1)
        watch(fresh)
        return [done[number] for number in range(len(starts))]

    def _begin(self, chosen: dict[int, tuple[int, Start]]) -> dict[int, _Playing]:
        """Begin episodes; those whose process is lost on the way to their start begin again.

        Raises:
            WorkerError: If a process is lost again and again.
        """
        why, begun = "", dict[int, _Playing]()
        for _ in range(TRIES):
            starts = {row: start for row, (_, start) in chosen.items()}
            shown, infos = self.env.begin({row: start.seed for row, start in starts.items()})
            earlier = {row: s.played for row, s in starts.items() if s.played is not None}
            if earlier:
                shown, told = self.env.advance(earlier)
                infos |= {row: infos[row] | one.info for row, one in told.items()}
                _check_replay(starts, told)
            for row in [row for row in starts if not infos[row].get("lost")]:
                number, start = chosen.pop(row)
                words, truth = infos[row]["instruction"], [infos[row]["progress"]]
                seen = [_row(shown, row)]
                begun[row] = _Playing(
                    number=number, start=start, instruction=words, seen=seen, truth=truth
                )
            if not chosen:
                return begun
            why = infos[next(iter(chosen))]["worker_error"]
        raise WorkerError(f"{why}, {TRIES} times in a row: look at the machine's memory")

    def _decide(
        self, choose: Choose, active: Mapping[int, _Playing], watch: Callable[[], Collection[int]]
    ) -> None:
        """Let every episode make a decision, and carry out its chunk."""
        rows, episodes = list(active), list(active.values())
        chunks, trace = choose(_situation(episodes))
        if chunks.shape[1] < self.replan:
            raise InputError(
                f"the policy predicts {chunks.shape[1]} actions and replan_steps is {self.replan}; "
                "carry out no more than it predicts"
            )
        wanted = {row: chunks[i, : self.replan] for i, row in enumerate(rows)}
        self.env.send(wanted)
        hopeless = watch()
        shown, told = self.env.receive()
        for i, (row, episode) in enumerate(zip(rows, episodes, strict=True)):
            lost = told[row].info.get("lost", False)
            episode.told.append(told[row])
            episode.chunks.append(chunks[i])
            episode.traces.append({name: part[i] for name, part in trace.items()})
            episode.seen.append(episode.seen[-1] if lost else _row(shown, row))
            episode.truth.append(episode.truth[-1] if lost else told[row].info["progress"])
            episode.given_up = episode.number in hopeless and not episode.over

    def _trial(self, playing: _Playing) -> Trial:
        told, views = playing.told, playing.seen[0].get("pixels", {})
        lost = bool(told[-1].info.get("lost", False))
        rewards = playing.rewards
        truncated = np.array([one.truncated and not one.terminated for one in told])
        truncated[-1] |= playing.given_up
        return Trial(
            start=playing.start,
            instruction=playing.instruction,
            views={
                name: np.stack([seen["pixels"][name] for seen in playing.seen]) for name in views
            },
            state=np.stack([seen["agent_pos"] for seen in playing.seen]).astype(np.float32),
            chunks=np.stack(playing.chunks),
            trace=_stacked(playing.traces),
            decisions=Decisions(
                steps=np.array([len(paid) for paid in rewards], np.int64),
                terminated=np.array([one.terminated for one in told], np.bool_),
                truncated=truncated,
            ),
            reward=np.array([decision_reward(paid, self.gamma) for paid in rewards]),
            success=not lost and bool(told[-1].info["is_success"]),
            lost=lost,
            given_up=playing.given_up,
            truth=np.array(playing.truth, np.float64),
            fps=self.fps,
        )


def _check_replay(starts: Mapping[int, Start], told: Mapping[int, Advanced]) -> None:
    """Check that the episodes that went on from earlier actions did not end on the way.

    Raises:
        ReplayError: If one did, and not because its process was lost.
    """
    for row, one in told.items():
        if (one.terminated or one.truncated) and not one.info.get("lost"):
            raise ReplayError(
                f"seed {starts[row].seed} does not lead where it led before: the episode ended on "
                "the way; set --starts.restarts 0 for environments that are not deterministic"
            )


def _situation(episodes: Sequence[_Playing]) -> Situation:
    """Return what episodes show now."""
    now = [episode.seen[-1] for episode in episodes]
    views = now[0].get("pixels", {})
    return Situation(
        views={name: np.stack([seen["pixels"][name] for seen in now]) for name in views},
        state=np.stack([seen["agent_pos"] for seen in now]).astype(np.float32),
        instructions=[episode.instruction for episode in episodes],
    )


def _row(observations: dict[str, Any], row: int) -> dict[str, Any]:
    return {
        name: _row(value, row) if isinstance(value, dict) else value[row]
        for name, value in observations.items()
    }


def _stacked(traces: Sequence[dict[str, NDArray[Any]]]) -> Trace:
    return {name: np.stack([trace[name] for trace in traces]) for name in traces[0]}
