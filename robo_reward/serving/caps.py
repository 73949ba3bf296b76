"""How much a reward server takes on."""

from dataclasses import dataclass

from ..config import at_least
from ..errors import InputError


@dataclass(frozen=True, kw_only=True)
class Caps:
    """How much a server takes on."""

    connections: int = 64
    """Connections at once."""
    sessions: int = 1024
    """Sessions at once."""
    sessions_each: int = 256
    """Sessions of one connection."""
    idle: float = 600.0
    """Seconds after which a session that is not asked about ends."""
    rate: float = 500.0
    """Requests a second of one connection."""
    together: int = 64
    """Requests of one pass."""
    gather: float = 0.003
    """Seconds that a pass waits for as many requests as took part in the last one."""
    waiting_mb: int = 512
    """MB of images that wait, of all connections: frames, and those that sessions begin with."""

    def __post_init__(self) -> None:
        """Refuse caps that let nothing through."""
        for name in ("connections", "sessions", "sessions_each", "together", "waiting_mb"):
            at_least(1, f"--caps.{name.replace('_', '-')}", getattr(self, name))
        if not (self.idle > 0 and self.rate >= 1 and 0 <= self.gather <= 1):
            raise InputError(
                "--caps.idle must be above 0, --caps.rate at least 1 and --caps.gather in [0, 1], "
                f"got {self.idle}, {self.rate} and {self.gather}"
            )
