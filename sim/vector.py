"""A Gymnasium vector environment: few processes, several environments in each, shared pixels."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .crew import Crew, Lost, Member, Setup, SharedBlocks, answers, local_crew
from .env import TabletopEnv
from .lanes import Outcome, nested, parts
from .workforce import TRIES, WorkerError

type Observations = dict[str, Any]
"""An observation of all environments: arrays (N, ...)."""


class SimVectorEnv(VectorEnv[Observations, NDArray[Any], NDArray[Any]]):
    """N environments in a few processes; the episodes do not depend on how they are spread.

    A process that dies or hangs costs its episodes and no more: they end as truncated, their
    ``info`` has ``lost`` true and names the process in ``worker_error``, and others begin.
    """

    def __init__(
        self,
        make: Callable[[], gym.Env[Any, Any]],
        num_envs: int,
        *,
        workers: int | Crew | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        deadline: float = 60.0,
        max_steps: int | None = None,
    ) -> None:
        """Make one environment here to learn its spaces; the others are made when first asked.

        Args:
            make: Returns a new environment, such as ``partial(TabletopEnv, "stack_two")``.
            num_envs: How many, N.
            workers: Processes; 0 is this one, None is one per core. Or who plays instead, such as
                `sim.crew_ray.Cluster`.
            autoreset_mode: ``SAME_STEP``, ``NEXT_STEP`` or ``DISABLED``, as in Gymnasium.
            deadline: Seconds that a process has for an answer.
            max_steps: Steps after which an episode is truncated; None: the environment's own.

        Raises:
            InputError: If a number is out of range.
        """
        if num_envs < 1:
            raise InputError(f"num_envs is {num_envs}; it must be 1 or more")
        self.num_envs, self._deadline = num_envs, deadline
        mode = AutoresetMode(autoreset_mode)
        setup = Setup(make=make, mode=mode, limit=max_steps)
        self._describe(make(), mode)
        space = dict(parts(self.single_observation_space))
        self._shared = SharedBlocks(space, num_envs)
        crew = workers if callable(workers) else partial(local_crew, workers=workers)
        self._workers = list(crew(setup, self._shared, num_envs))
        self.lost_episodes = 0
        """Episodes that processes took with them so far."""
        self.losses: list[str] = []
        """Why processes were lost so far, one after another."""
        self._gone: dict[int, str] = {}
        """Environment whose episode went with its process, unnoticed by who plays it → why."""
        self._last = nested(self._shared.blocks(), copy=True)
        self._spare = np.random.default_rng()

    def _describe(self, env: gym.Env[Any, Any], mode: AutoresetMode) -> None:
        self.metadata = {**env.metadata, "autoreset_mode": mode}
        self.render_mode = env.render_mode
        self.horizon: float = getattr(env.unwrapped, "_max_episode_steps", None) or math.inf
        """Steps after which an episode is truncated, if nothing else was asked for."""
        self.single_observation_space = env.observation_space
        self.single_action_space = env.action_space
        self.observation_space = batch_space(env.observation_space, self.num_envs)
        self.action_space = batch_space(env.action_space, self.num_envs)
        env.close()

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin new episodes in all environments, or those of ``options["reset_mask"]`` (N,).

        Args:
            seed: One for each, or the first of N that count up.
            options: Given to every environment, beside ``reset_mask``.

        Raises:
            InputError: If there are not N seeds, or the mask has another shape.
            WorkerError: If a process cannot be started.
        """
        options = dict(options or {})
        rows = self._rows(options.pop("reset_mask", None))
        if seed is None or isinstance(seed, int):
            begin = seed
            seeds = [None if begin is None else begin + n for n in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise InputError(f"{len(seeds)} seeds for {self.num_envs} environments; give one each")
        self._spare = np.random.default_rng(None if seeds[0] is None else seeds[0])
        infos: dict[str, Any] = {}
        for row, info in self._begin(rows, seeds, options or None).items():
            infos = self._add_info(infos, info, row)
        return self._observations(), infos

    def _rows(self, mask: Any) -> list[int]:
        if mask is None:
            return list(range(self.num_envs))
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise InputError(
                f"reset_mask is {mask.dtype} {mask.shape}; it must be bool ({self.num_envs},)"
            )
        return [int(row) for row in np.flatnonzero(mask)]

    def _begin(
        self,
        rows: Sequence[int],
        seeds: Sequence[int | None],
        options: dict[str, Any] | None,
        *,
        method: str = "reset",
    ) -> dict[int, dict[str, Any]]:
        """Reset some environments; return row → ``info``.

        Raises:
            WorkerError: If a process is lost again and again.
        """
        found: dict[int, dict[str, Any]] = {}
        reason = ""
        for _ in range(TRIES):
            left = {row for row in rows if row not in found}
            mine = {w: [r for r in range(w.begin, w.end) if r in left] for w in self._workers}
            asked = [worker for worker in self._workers if mine[worker]]
            for w in asked:
                w.ask(method, [r - w.begin for r in mine[w]], [seeds[r] for r in mine[w]], options)
            for worker, told in zip(asked, self._answers(asked), strict=True):
                if isinstance(told, Lost):
                    reason = told.reason
                else:
                    found |= dict(zip(mine[worker], told, strict=True))
            if len(found) == len(rows):
                self._gone = {row: why for row, why in self._gone.items() if row not in found}
                return found
        raise WorkerError(f"{reason}, {TRIES} times in a row: look at the machine's memory")

    def _answers(self, asked: Sequence[Member]) -> list[Any]:
        """Return the answers, `Lost` for some; all environments of those have no episode then."""
        told = answers(asked, self._deadline)
        for worker, answer in zip(asked, told, strict=True):
            if isinstance(answer, Lost):
                self.losses.append(answer.reason)
                self._gone |= dict.fromkeys(range(worker.begin, worker.end), answer.reason)
        return told

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[
        Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """Apply actions (N, A); see Gymnasium for the autoreset modes.

        Raises:
            InputError: If there are not N actions, or an episode ended and was not reset.
        """
        actions = np.asarray(actions)
        if len(actions) != self.num_envs:
            raise InputError(f"{len(actions)} actions for {self.num_envs} environments")
        outcomes = self._outcomes(actions)
        infos: dict[str, Any] = {}
        for row, outcome in enumerate(outcomes):
            if outcome.final_obs is not None:
                final = {"final_obs": outcome.final_obs, "final_info": outcome.final_info}
                infos = self._add_info(infos, final, row)
            infos = self._add_info(infos, outcome.info, row)
        rewards = np.array([outcome.reward for outcome in outcomes])
        ends = np.array([(o.terminated, o.truncated) for o in outcomes], np.bool_)
        return self._observations(), rewards, ends[:, 0], ends[:, 1], infos

    def _outcomes(self, actions: NDArray[Any]) -> list[Outcome]:
        asked = [worker for worker in self._workers if not self._reason(worker)]
        for worker in asked:
            worker.ask("step", actions[worker.begin : worker.end])
        told = dict(zip(asked, self._answers(asked), strict=True))
        outcomes: list[Outcome] = []
        for worker in self._workers:
            reason = self._reason(worker)
            outcomes += self._mourn(worker, reason) if reason else told[worker]
        return outcomes

    def _reason(self, worker: Member) -> str:
        """Return why a worker has environments without an episode; empty if none was lost."""
        rows = range(worker.begin, worker.end)
        return next((self._gone[row] for row in rows if row in self._gone), "")

    def _mourn(self, worker: Member, reason: str) -> list[Outcome]:
        """Begin other episodes in a new process; return how the old ones ended."""
        rows = range(worker.begin, worker.end)
        self.lost_episodes += len(rows)
        seeds = [int(self._spare.integers(2**31)) for _ in range(self.num_envs)]
        begun = self._begin(rows, seeds, None)
        same = self.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        marked = {"lost": True, "worker_error": reason}
        outcomes = []
        for row in rows:
            final = _row(self._last, row) if same else None
            info = {**begun[row], **marked}
            outcomes.append(Outcome(0.0, False, True, info, final, marked if same else None))
        return outcomes

    def restore(self, snapshots: Mapping[int, Any]) -> tuple[Observations, dict[str, Any]]:
        """Bring environments to snapshots, number → snapshot: a group from one start state.

        Raises:
            InputError: If a snapshot is of another task.
            WorkerError: If a process is lost meanwhile.
        """
        infos: dict[str, Any] = {}
        for w in self._workers:
            mine = {n - w.begin: s for n, s in snapshots.items() if w.begin <= n < w.end}
            for row, info in self._demand(w, "restore", mine).items():
                infos = self._add_info(infos, info, w.begin + row)
                self._gone.pop(w.begin + row, None)
        return self._observations(), infos

    def draw(self) -> Observations:
        """Return the observations with images drawn now, whatever ``render_every`` is."""
        for worker in self._workers:
            self._demand(worker, "draw")
        return self._observations()

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return what a method, or an attribute, of each environment gives."""
        return tuple(
            value
            for worker in self._workers
            for value in self._demand(worker, "call", name, *args, **kwargs)
        )

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of each environment."""
        return self.call(name)

    def _demand(self, worker: Member, method: str, *args: Any, **kwargs: Any) -> Any:
        worker.ask(method, *args, **kwargs)
        (told,) = self._answers([worker])
        if isinstance(told, Lost):
            raise WorkerError(told.reason)
        return told

    def pids(self) -> list[int]:
        """Return the numbers of the worker processes that run."""
        return [worker.pid for worker in self._workers if worker.pid]

    def close_extras(self, **_: Any) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.stop()

    def _observations(self) -> Observations:
        self._last = nested(self._shared.blocks(), copy=True)
        return self._last


def _row(observations: Observations, row: int) -> dict[str, Any]:
    """Return the observation of one environment."""
    return {
        name: _row(value, row) if isinstance(value, dict) else value[row]
        for name, value in observations.items()
    }


def make_vector(num_envs: int, **options: Any) -> SimVectorEnv:
    """Return a vector environment of a table-top task: what ``gymnasium.make_vec`` calls.

    Args:
        num_envs: How many environments.
        options: Of `SimVectorEnv`, and of `sim.env.TabletopEnv`.
    """
    options["max_steps"] = options.pop("max_episode_steps", options.get("max_steps"))
    mine = ("workers", "autoreset_mode", "deadline", "max_steps")
    ours = {name: options.pop(name) for name in mine if name in options}
    return SimVectorEnv(partial(TabletopEnv, **options), num_envs, **ours)
