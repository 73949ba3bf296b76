"""Rollouts: a policy plays episodes in many environments, a decision of all at a time.

Letters: N decisions of an episode, C actions of a chunk, k of them carried out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robo_reward.acting import Floats, Situation, Trace
from robo_reward.errors import InputError, RoboRewardError
from robo_reward.shaping import Decisions, decision_reward
from sim.chunks import ChunkedEnv
from sim.lanes import Advanced
from sim.workforce import TRIES, WorkerError

type Choose = Callable[[Situation], tuple[Floats, Trace]]
"""What a policy does in B situations: chunks (B, C, A), and what is needed to score them."""


class ReplayError(RoboRewardError):
    """Actions lead elsewhere than they did."""


class Bar(Protocol):
    """Told of every episode that ends."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """Advance."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Where an episode begins."""

    seed: int
    """What it depends on: layout, goal and look."""
    group: int
    """Episodes of one group begin alike, and are compared."""
    played: Floats | None = None
    """(t, A) actions that come before the first decision: they lead to the state of an earlier
    episode, if the environment is deterministic."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One episode of a policy: N decisions, N + 1 observations."""

    start: Start
    instruction: str
    views: dict[str, NDArray[np.uint8]]
    """Name → (N + 1, H, W, 3), the final observation last."""
    state: Floats
    """(N + 1, n)."""
    chunks: Floats
    """(N, C, A) what was predicted; of each the first ``decisions.steps`` were carried out."""
    trace: Trace
    """(N, …) by name: what scores the chunks."""
    decisions: Decisions
    reward: NDArray[np.float64]
    """(N,) the task reward of each decision, discounted within it."""
    success: bool
    lost: bool
    """Whether the process that played it was lost: how it would have ended is not known."""
    truth: NDArray[np.float64]
    """(N + 1,) true progress, NaN where the simulator does not tell."""
    fps: float
    by: int = 0
    """Number of the process that played it; the others know neither views nor trace."""

    def __len__(self) -> int:
        """Return N."""
        return len(self.decisions)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(N + 1,) when each observation was made, since the first."""
        return np.append(0.0, np.cumsum(self.decisions.steps)) / self.fps

    def played(self, decisions: int) -> Floats:
        """Return (t, A) the actions that were carried out in the first decisions."""
        steps = self.decisions.steps[:decisions]
        parts = [chunk[:k] for chunk, k in zip(self.chunks, steps, strict=False)]
        before = [] if self.start.played is None else [self.start.played]
        return np.concatenate([*before, *parts])

    def situation(self) -> Situation:
        """Return what was seen at the N decisions."""
        count = len(self)
        return Situation(
            views={name: images[:count] for name, images in self.views.items()},
            state=self.state[:count],
            instructions=[self.instruction] * count,
        )

    def final(self) -> Situation:
        """Return what was seen at the end."""
        return Situation(
            views={name: images[-1:] for name, images in self.views.items()},
            state=self.state[-1:],
            instructions=[self.instruction],
        )


@dataclass(kw_only=True)
class _Playing:
    """An episode that is going on."""

    start: Start
    instruction: str
    seen: list[dict[str, Any]]
    truth: list[float]
    chunks: list[Floats] = field(default_factory=list)
    traces: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    told: list[Advanced] = field(default_factory=list)


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
        self, choose: Choose, starts: Sequence[Start], bar: Bar = lambda *_, **__: None
    ) -> list[Trial]:
        """Return a trial for each start, in their order.

        Which environment plays which does not depend on processes, so neither do the trials.

        Raises:
            InputError: If a chunk is shorter than ``replan``.
            WorkerError: If a process is lost again and again.
        """
        waiting = list(enumerate(starts))[::-1]
        active: dict[int, tuple[int, _Playing]] = {}
        done: dict[int, Trial] = {}
        while waiting or active:
            free = [row for row in range(self.env.num_envs) if row not in active]
            if chosen := {row: waiting.pop() for row in free[: len(waiting)]}:
                self._begin(active, chosen)
            for row in self._decide(choose, {row: episode for row, (_, episode) in active.items()}):
                number, episode = active.pop(row)
                done[number] = self._trial(episode)
                bar(1)
        return [done[number] for number in range(len(starts))]

    def _begin(
        self, active: dict[int, tuple[int, _Playing]], chosen: dict[int, tuple[int, Start]]
    ) -> None:
        """Begin episodes; those whose process is lost on the way to their start begin again.

        Raises:
            WorkerError: If a process is lost again and again.
        """
        why = ""
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
                active[row] = (
                    number,
                    _Playing(start=start, instruction=words, seen=seen, truth=truth),
                )
            if not chosen:
                return
            why = infos[next(iter(chosen))]["worker_error"]
        raise WorkerError(f"{why}, {TRIES} times in a row: look at the machine's memory")

    def _decide(self, choose: Choose, active: dict[int, _Playing]) -> list[int]:
        """Let every episode make a decision; return the environments whose episode ended."""
        rows, episodes = list(active), list(active.values())
        chunks, trace = choose(_situation(episodes))
        if chunks.shape[1] < self.replan:
            raise InputError(
                f"the policy predicts {chunks.shape[1]} actions and replan_steps is {self.replan}; "
                "carry out no more than it predicts"
            )
        wanted = {row: chunks[i, : self.replan] for i, row in enumerate(rows)}
        shown, told = self.env.advance(wanted)
        for i, (row, episode) in enumerate(zip(rows, episodes, strict=True)):
            lost = told[row].info.get("lost", False)
            episode.told.append(told[row])
            episode.chunks.append(chunks[i])
            episode.traces.append({name: part[i] for name, part in trace.items()})
            episode.seen.append(episode.seen[-1] if lost else _row(shown, row))
            episode.truth.append(episode.truth[-1] if lost else told[row].info["progress"])
        return [row for row in rows if told[row].terminated or told[row].truncated]

    def _trial(self, playing: _Playing) -> Trial:
        told, views = playing.told, playing.seen[0].get("pixels", {})
        lost = bool(told[-1].info.get("lost", False))
        rewards = [one.rewards or [0.0] for one in told]
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
                truncated=np.array([one.truncated and not one.terminated for one in told]),
            ),
            reward=np.array([decision_reward(paid, self.gamma) for paid in rewards]),
            success=not lost and bool(told[-1].info["is_success"]),
            lost=lost,
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
