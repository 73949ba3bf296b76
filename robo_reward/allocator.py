"""The C library's memory: kept when freed, since training asks for the same again each step."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of glibc's mallopt(3)."""
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let freed memory stay with this process, and return whether the C library can do so.

    A training step on a CPU allocates and frees gigabytes in large pieces. glibc gives each back to
    the system at once, and the system has to clear it again for the next step. Kept, the process
    holds the memory of its largest step until it ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS and Windows have no mallopt
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(_TRIM_THRESHOLD, _MOST))
