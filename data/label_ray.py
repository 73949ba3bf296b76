"""The workers of a labelling run as Ray actors, on this machine or on others that see the place."""

import os
import time
from collections.abc import Callable
from typing import Any

from robo_reward.errors import OutputError, RoboRewardError
from robo_reward.ray_cluster import RayCluster

from .label_workers import LOOK_S, MOST_STARTS, Task, hopeless


class Actor:
    """What runs in the actor's process: a worker."""

    def work(self, task: Task, told: Any, number: int) -> list[str] | RoboRewardError:
        """Do the task; return remarks for the user, or what it raised."""
        try:
            return task(told, number)
        except RoboRewardError as error:
            return error

    def pid(self) -> int:
        """Return the number of this process."""
        return os.getpid()


class RayCrew:
    """Actors that do a task; one that dies is replaced, and what it was at is taken over."""

    def __init__(self, task: Task, told: Any, *, gpus: float = 0.0) -> None:
        """Prepare a crew.

        Args:
            task: A function of a module, called in each actor.
            told: Its first argument; the second is the number of the worker.
            gpus: GPUs that each takes.
        """
        self.task, self.told, self.gpus = task, told, gpus
        self.actors: dict[int, Any] = {}
        """Number → Ray's handle of the actor."""

    def run(self, count: int, *, done: Callable[[], int], on_look: Callable[[], None]) -> list[str]:
        """Let ``count`` actors do the task until all have ended; return their remarks.

        Args:
            count: How many.
            done: Says how many units are published by now.
            on_look: Called several times a second.

        Raises:
            RoboRewardError: The first that a worker raised, once all have ended.
            OutputError: If actors die again and again and nothing gets done.
        """
        import ray

        waiting = {self._start(number): number for number in range(count)}
        ends: list[list[str] | RoboRewardError] = []
        deaths, before = 0, done()
        while waiting:
            ended, _ = ray.wait(list(waiting), num_returns=1, timeout=LOOK_S)
            on_look()
            for told in ended:
                number = waiting.pop(told)
                try:
                    ends.append(ray.get(told))
                except ray.exceptions.RayError as error:
                    now = done()
                    deaths, before = (0, now) if now != before else (deaths + 1, before)
                    if deaths >= MOST_STARTS * count:
                        cause = str(error).strip().splitlines()[-1]
                        raise OutputError(hopeless(deaths, cause)) from error
                    time.sleep(LOOK_S)
                    waiting[self._start(number)] = number
        for end in ends:
            if isinstance(end, RoboRewardError):
                raise end
        return list(dict.fromkeys(line for end in ends if isinstance(end, list) for line in end))

    def _start(self, number: int) -> Any:
        import ray

        made = ray.remote(num_cpus=1, num_gpus=self.gpus, max_restarts=0, max_task_retries=0)(Actor)
        self.actors[number] = made.remote()
        return self.actors[number].work.remote(self.task, self.told, number)


def run_in_ray(
    task: Task,
    told: Any,
    *,
    count: int,
    address: str,
    done: Callable[[], int],
    on_look: Callable[[], None],
) -> list[str]:
    """Connect to a cluster, or start one, and do a task there; see `RayCrew.run`.

    Raises:
        InputError: If Ray is not installed, or has too few CPUs.
        ServerError: If there is no cluster at that address.
        RoboRewardError: As `RayCrew.run` does.
    """
    with RayCluster(address, workers=count):
        import ray

        gpus = 1.0 if ray.cluster_resources().get("GPU", 0) >= count else 0.0
        return RayCrew(task, told, gpus=gpus).run(count, done=done, on_look=on_look)
