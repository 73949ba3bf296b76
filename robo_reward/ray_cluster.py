"""A Ray cluster: one that is there, or one started on this machine, for this machine alone."""

import logging
import os
import socket
from typing import Any, Self

from .errors import InputError, ServerError

LOCAL = "local"
"""Address of a cluster that is started here, and ends with what started it."""
REACH_S = 10.0
"""Seconds that the address of a cluster has to take a connection."""
ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}
"""Variables for a cluster on this machine: it does not listen to the network (the name is that of
systems where this is so by default), and actors do not give way to everything else."""
JOINED = {"RAY_NUM_REDIS_GET_RETRIES": "2"}
"""Those for a cluster that is there: one that does not answer is asked twice, for 40 s each."""


class RayCluster:
    """A connection to a Ray cluster, for a ``with`` statement, which ends it.

    A cluster that was started here ends with it.
    """

    def __init__(self, address: str = "", *, workers: int | None = None) -> None:
        """Connect, or start a cluster on this machine, which listens to this machine alone.

        Args:
            address: host:port of a cluster of which this machine is a node; empty: that in the
                variable RAY_ADDRESS, and without it one is started here. Where this process is
                connected to a cluster already, it is that one.
            workers: Actors; None is one per CPU of the cluster.

        Raises:
            InputError: If Ray is not installed, or the number cannot be had.
            ServerError: If there is no cluster at that address.
        """
        self.address = address or os.environ.get("RAY_ADDRESS") or LOCAL
        """Of the cluster, or `LOCAL`."""
        if workers is not None and workers < 1:
            raise InputError(f"workers is {workers}; with Ray it must be 1 or more")
        if ":" in self.address:
            _reach(self.address)
        ray = _ray(ALONE if self.address == LOCAL else JOINED)
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(ray, self.address, workers)
        cpus = int(ray.cluster_resources().get("CPU", 0))
        if (workers or 1) > cpus:
            self.close()
            raise InputError(
                f"{workers or 1} Ray actors need as many CPUs, and the cluster {self.address} has "
                f"{cpus}: ask for fewer workers, or let more machines join it (ray start)"
            )
        self.workers = workers or cpus
        """Actors at most."""

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the connection."""
        self.close()

    def close(self) -> None:
        """End the connection, if it was made here."""
        if self._ours:
            import ray

            ray.shutdown()


def _ray(variables: dict[str, str]) -> Any:
    """Return the package, which reads variables when it is imported; those that are set stay.

    Raises:
        InputError: If it is not installed.
    """
    os.environ.update({name: value for name, value in variables.items() if name not in os.environ})
    try:
        import ray
    except ImportError:
        raise InputError(
            "Ray actors need a package that is not installed: pip install 'robo-reward[ray]', or "
            "leave --launcher ray out"
        ) from None
    return ray


def _connect(ray: Any, address: str, workers: int | None) -> None:
    """Connect to a cluster, or start one with a CPU for each worker.

    Raises:
        ServerError: If that fails.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        options |= {"include_dashboard": False, "num_cpus": workers}
    try:
        ray.init(address=address, **options)
    except Exception as error:  # Ray raises bare ones too
        ray.shutdown()
        raise _absent(address, error) from None


def _reach(address: str) -> None:
    """Check that somebody listens: Ray itself would try for long, and then end the process.

    Raises:
        ServerError: If nobody does, or it is not host:port.
    """
    host, _, port = address.rpartition(":")
    try:
        if "/" in address or not port.isdigit():
            raise ValueError("this is not host:port")
        with socket.create_connection((host, int(port)), timeout=REACH_S):
            pass
    except (OSError, ValueError) as error:
        raise _absent(address, error) from None


def _absent(address: str, error: Exception) -> ServerError:
    """Return what to tell of a cluster that does not answer."""
    cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    if address == LOCAL:
        return ServerError(
            f"no Ray cluster could be started ({cause}): look at the machine's load and memory, "
            "then repeat the command"
        )
    return ServerError(
        f"no Ray cluster answers at {address} ({cause}); give host:port of one that this machine "
        "has joined (ray start --address=…), or leave --ray-address and RAY_ADDRESS out to start "
        "one here"
    )
