"""Environments that carry out whole chunks of actions: one message a decision, not one a step."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .crew import Crew, Lost, Member
from .lanes import Advanced
from .vector import Observations, SimVectorEnv


class ChunkedEnv(SimVectorEnv):
    """N environments in a few processes, each at its own decision of its own episode.

    Only those that are named do anything; the others wait, and need no episode.
    """

    def __init__(
        self,
        make: Callable[[], gym.Env[Any, Any]],
        num_envs: int,
        *,
        workers: int | Crew | None = None,
        deadline: float = 60.0,
        max_steps: int | None = None,
    ) -> None:
        """See `SimVectorEnv`.

        Raises:
            InputError: If a number is out of range.
        """
        super().__init__(
            make,
            num_envs,
            workers=workers,
            autoreset_mode=AutoresetMode.DISABLED,
            deadline=deadline,
            max_steps=max_steps,
        )
        self._sent: set[int] = set()
        self._asked: list[Member] = []

    def begin(self, seeds: Mapping[int, int]) -> tuple[Observations, dict[int, dict[str, Any]]]:
        """Begin episodes, environment → seed.

        Returns:
            The observations of all, and environment → ``info``, which holds the ``instruction``.

        Raises:
            WorkerError: If a process is lost again and again.
        """
        every = [seeds.get(row) for row in range(self.num_envs)]
        infos = self._begin(sorted(seeds), every, None, method="begin")
        return self._observations(), infos

    def advance(
        self, chunks: Mapping[int, NDArray[Any]]
    ) -> tuple[Observations, dict[int, Advanced]]:
        """Carry out chunks: `send` and `receive` at once."""
        self.send(chunks)
        return self.receive()

    def send(self, chunks: Mapping[int, NDArray[Any]]) -> None:
        """Let chunks be carried out, environment → actions (k, A), as far as each episode goes.

        Processes do it while this one goes on; what is played in this one is over on return.
        `receive` is the next that may be asked.

        Raises:
            InputError: If an action has another shape, an episode of this process has ended, or
                what was sent before was not received.
        """
        if self._sent:
            raise InputError(f"environments {sorted(self._sent)} were sent chunks: receive first")
        left = {row: chunk for row, chunk in chunks.items() if row not in self._gone}
        mine = {w: _shares(w, left) for w in self._workers}
        asked = [worker for worker in self._workers if mine[worker]]
        for worker in asked:
            worker.ask("advance", mine[worker])
        self._asked, self._sent = asked, set(chunks)

    def receive(self) -> tuple[Observations, dict[int, Advanced]]:
        """Wait until what was sent is carried out.

        Returns:
            The observations of all after their last step, and environment → what it answered. Where
            a process was lost since the last chunk, that is a truncation without a step, and
            ``info`` says why (``worker_error``); its observation is not to be used.

        Raises:
            InputError: If an episode had ended.
        """
        asked, rows, self._sent = self._asked, self._sent, set()
        told: dict[int, Advanced] = {}
        for worker, answer in zip(asked, self._answers(asked), strict=True):
            if not isinstance(answer, Lost):
                told |= {row + worker.begin: result for row, result in answer.items()}
        return self._observations(), told | {row: self._cut_off(row) for row in rows - set(told)}

    def _cut_off(self, row: int) -> Advanced:
        """Return how an episode ended that went with its process."""
        self.lost_episodes += 1
        info = {"lost": True, "worker_error": self._gone.pop(row)}
        return Advanced([], False, True, info)


def _shares(worker: Member, chunks: Mapping[int, NDArray[Any]]) -> dict[int, NDArray[Any]]:
    """Return the chunks of a worker's environments, numbered as it numbers them.

    Raises:
        InputError: If a chunk holds no action.
    """
    rows = range(worker.begin, worker.end)
    mine = {row - worker.begin: np.asarray(chunks[row]) for row in rows if row in chunks}
    empty = [row for row, chunk in mine.items() if chunk.ndim != 2 or len(chunk) == 0]
    if empty:
        raise InputError(f"a chunk is (k, A) with k at least 1, got {mine[empty[0]].shape}")
    return mine
