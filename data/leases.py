"""Leases: who is at work on which unit, so that no two do the same and a dead one's is taken over.

A lease saves work and nothing more: that no row is doubled is the store's doing, which gives each
unit its content once. So a lease may be lost, or held twice for a moment, without harm.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Self

from robo_reward.errors import InputError, OutputError

from .label_store import Store, is_dead, this_process

FOLDER = "leases"
TIMEOUT_S = 60.0
"""Seconds without a heartbeat after which a worker on another machine counts as dead."""
LONGEST_S = 1e6


@dataclass(frozen=True, kw_only=True)
class Lease:
    """Who has a unit."""

    process: str
    """The process, as `data.label_store.this_process` names it."""
    token: str
    """Tells this holder from any other."""
    beat: int = 0
    """Rises as long as the holder lives."""
    begun: bool = False
    """Whether the holder is at work on it, and did not only put it by."""
    deaths: int = 0
    """How many holders died at work on this unit before."""

    @property
    def content(self) -> bytes:
        """The lease as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, content: bytes) -> "Lease":
        """Return the lease in a file; a damaged one belongs to nobody."""
        try:
            return cls(**json.loads(content))
        except (ValueError, TypeError):
            return cls(process="", token="")


class Leases:
    """The leases of one worker; a context that sends heartbeats while it is open.

    Heartbeats are counted, not timed: a lease is dead if its count stands still for ``timeout_s``
    of the watcher's own clock, so clocks of machines need not agree. A process of the same machine
    is known to be dead at once.
    """

    def __init__(
        self,
        store: Store,
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Hold leases in a store.

        Raises:
            InputError: If the timeout is no positive time.
        """
        if not 0.0 < timeout_s < LONGEST_S:
            raise InputError(
                f"--lease-timeout must be seconds above 0 and below {LONGEST_S:.0f}, "
                f"got {timeout_s}"
            )
        self.store, self.timeout_s, self.clock = store, timeout_s, clock
        self.token = secrets.token_hex(8)
        self.held: dict[str, Lease] = {}
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._beat_on, daemon=True)

    def __enter__(self) -> Self:
        """Begin to send heartbeats."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop, and give back what is held."""
        self._closed.set()
        self._thread.join()
        for unit in list(self.held):
            self.release(unit)

    def claim(self, unit: str) -> Lease | None:
        """Return the lease of a unit, now one's own; None while another holds it."""
        mine = Lease(process=this_process(), token=self.token)
        if self.store.create(_name(unit), mine.content, lasting=False):
            return self._keep(unit, mine)
        content = self.store.read(_name(unit))
        if content is None or not self._is_over(unit, content):
            return None
        theirs = Lease.parse(content)
        mine = replace(mine, deaths=theirs.deaths + theirs.begun)
        self.store.replace(_name(unit), mine.content, lasting=False)
        now = self.store.read(_name(unit))
        return self._keep(unit, mine) if now == mine.content else None

    def begin(self, unit: str) -> None:
        """Say that the work on a unit begins: if the holder dies now, the unit may be why."""
        with self._lock:
            if unit in self.held:
                self.held[unit] = replace(self.held[unit], begun=True)
                self.store.replace(_name(unit), self.held[unit].content, lasting=False)

    def release(self, unit: str) -> None:
        """Give a unit back; one that was taken over is left to whoever has it now."""
        with self._lock:
            self.held.pop(unit, None)
            content = self.store.read(_name(unit))
            if content is not None and Lease.parse(content).token == self.token:
                self.store.remove(_name(unit))

    def beat(self) -> None:
        """Send a heartbeat for all that is held; what was taken over is let go."""
        with self._lock:
            for unit, lease in list(self.held.items()):
                content = self.store.read(_name(unit))
                if content is None or Lease.parse(content).token != self.token:
                    del self.held[unit]
                    continue
                self.held[unit] = replace(lease, beat=lease.beat + 1)
                self.store.replace(_name(unit), self.held[unit].content, lasting=False)

    def _keep(self, unit: str, lease: Lease) -> Lease:
        with self._lock:
            self.held[unit] = lease
            self._seen.pop(unit, None)
        return lease

    def _is_over(self, unit: str, content: bytes) -> bool:
        """Whether the holder is dead: known to be, or silent for too long."""
        if is_dead(Lease.parse(content).process):
            return True
        known, since = self._seen.get(unit, (b"", 0.0))
        if known != content:
            self._seen[unit] = (content, self.clock())
            return False
        return self.clock() - since > self.timeout_s

    def _beat_on(self) -> None:
        while not self._closed.wait(self.timeout_s / 4):
            try:
                self.beat()
            except OutputError:
                continue  # the disk is full or away for a while: who writes labels will tell


def holders(store: Store) -> dict[str, Lease]:
    """Return unit → lease of all that are held."""
    found = {unit: store.read(_name(unit)) for unit in store.names(FOLDER)}
    return {unit: Lease.parse(content) for unit, content in found.items() if content is not None}


def _name(unit: str) -> str:
    return f"{FOLDER}/{unit}"
