"""Memory that training frees stays with the process."""

import ctypes
import subprocess
import sys
from types import SimpleNamespace

import pytest

from robo_reward.allocator import keep_freed_memory

PROBE = """
import ctypes, sys
from pathlib import Path
if sys.argv[1] == "kept":
    from robo_reward.allocator import keep_freed_memory
    assert keep_freed_memory()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
library = ctypes.CDLL(None)
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
block = library.malloc(100_000_000)
ctypes.memset(block, 1, 100_000_000)
before = resident()
library.free(block)
print(before - resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library without mallopt")
def test_freed_memory_goes_back_to_the_system_unless_it_is_kept() -> None:
    """A large block is given back at once by default, and not at all when kept."""
    given_back = {
        mode: int(
            subprocess.run(
                [sys.executable, "-c", PROBE, mode],
                capture_output=True, text=True, check=True, timeout=60,
            ).stdout
        )
        for mode in ("default", "kept")
    }  # fmt: skip
    assert given_back["default"] > 90_000_000
    assert given_back["kept"] < 10_000_000


def test_a_c_library_without_it_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing breaks where there is no mallopt."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert not keep_freed_memory()
