"""What decoding in processes of its own may cost, and what such a process is asked."""

import os
import signal
import sys
from dataclasses import dataclass

from robo_reward.errors import InputError

_AT_ONCE = 4
"""So many processes are started unless told, if there are twice as many cores."""

_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_", "LD_", "PYTHON", "ROBO_REWARD_MAX_")
"""How the names of variables begin that a decoder is given: no key or token is among them."""


def _usual() -> int:
    if not hasattr(os, "memfd_create"):
        return 0
    return max(1, min(_AT_ONCE, len(os.sched_getaffinity(0)) // 2))


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How episodes are decoded ahead of the model, and what decoding may cost."""

    processes: int | None = None
    """Processes that decode ahead; 0: this one, unprotected; unless told one for each two cores, at
    most 4 (0 where there is no Linux)."""
    ahead_mb: int = 512
    """Megabytes of decoded frames that wait for the model, over all processes."""
    timeout_s: float = 120.0
    """Seconds without a decoded frame after which a process counts as hung and is replaced."""
    memory_mb: int = 2048
    """Megabytes that decoding may take in each process, beside the program itself."""
    cpu_s: int = 3600
    """Seconds of processor time that an episode may take."""

    def count(self) -> int:
        """Return the number of processes.

        Raises:
            InputError: If a setting makes no sense.
        """
        for name, least in (("ahead_mb", 1), ("timeout_s", 1), ("memory_mb", 64), ("cpu_s", 1)):
            if not getattr(self, name) >= least:
                flag = f"--decode.{name.replace('_', '-')}"
                raise InputError(f"{flag} is {getattr(self, name)}; give {least} or more")
        if self.processes is not None and self.processes < 0:
            raise InputError(f"--decode.processes is {self.processes}; give 0 or more")
        return _usual() if self.processes is None else self.processes


@dataclass(frozen=True, kw_only=True)
class Job:
    """Frames of an episode to decode: what `EpisodeDataset.frames` is asked."""

    episode: int
    views: tuple[str, ...]
    size: int | None
    stride: int = 1


def environment() -> dict[str, str]:
    """Return the environment of a process that decodes: it imports what this one does."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    return kept | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",  # each arena takes 64 MB of address space, which is limited
        "CUDA_VISIBLE_DEVICES": "",
    }


def why_lost(config: DecodeConfig, status: int | None, said: str) -> str:
    """Return in words why a process was lost.

    Args:
        config: What it was allowed.
        status: How it ended: its exit status, or less than 0 the signal; None if it hung.
        said: The last line that it wrote.
    """
    if status is None:
        return f"made no progress for {config.timeout_s:g} s (--decode.timeout-s) and was killed"
    if status == -signal.SIGXCPU:
        return f"used more than {config.cpu_s} s of processor time (--decode.cpu-s)"
    if status == -signal.SIGKILL:
        return "was killed, by somebody or by the system for want of memory"
    if status < 0:
        return (
            f"crashed ({signal.Signals(-status).name}), by a damaged file or for want of memory "
            f"(--decode.memory-mb {config.memory_mb})"
        )
    return f"ended ({said or f'status {status}'})"
