"""Threads that a video encoder made real-time ones, put back among the others."""

import os
from contextlib import suppress

_REAL_TIME = {getattr(os, name) for name in ("SCHED_FIFO", "SCHED_RR") if hasattr(os, name)}


def take_back_real_time() -> int:
    """Give the threads of this process, those of encoders too, their usual place; return how many.

    SVT-AV1 takes the highest real-time priority for its threads, and for the one that opens it,
    where it runs as root, as it does in most containers. On a machine with few cores nothing else
    then runs until it waits.
    """
    if not _REAL_TIME or os.geteuid() != 0:
        return 0
    taken = 0
    for thread in map(int, os.listdir("/proc/self/task")):
        with suppress(OSError):  # it has ended meanwhile
            if os.sched_getscheduler(thread) in _REAL_TIME:
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
                taken += 1
    return taken
