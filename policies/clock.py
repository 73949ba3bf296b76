"""Where the time of an update goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = ("environment", "policy", "reward", "learner")
"""What is told apart; the rest is overhead."""


class Clock:
    """Sums up seconds by part; what is timed within another part is not counted there."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._began = time.perf_counter()
        self._open: list[str] = []
        self._since = self._began

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count what happens here to a part."""
        self._settle()
        self._open.append(part)
        try:
            yield
        finally:
            self._settle()
            self._open.pop()

    def _settle(self) -> None:
        """Count the time since the last change to the innermost part that is open."""
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def shares(self) -> dict[str, float]:
        """Return the seconds since the beginning, in all and by part, ``overhead`` the rest."""
        whole = time.perf_counter() - self._began
        return {"wall": whole, **self.seconds, "overhead": whole - sum(self.seconds.values())}
