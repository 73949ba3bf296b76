"""What a client knows of one episode."""

from dataclasses import astuple, dataclass, field

import numpy as np

from ..protocols import Verdict
from .answers import Answer, Scored
from .connection import Connection


@dataclass(eq=False, kw_only=True)
class ServedSession:
    """What a client knows of one episode; the rest is with the server."""

    number: int
    """Which session it is there."""
    connection: Connection = field(repr=False)
    """It ends with this."""
    verdict: Verdict | None = None
    """The last one."""

    def keep(self, answer: Answer) -> Answer:
        """Return an answer; a verdict that is only repeated is the same object again."""
        if not isinstance(answer, Scored):
            return answer
        if answer.held and self.verdict and _same(self.verdict, answer.verdict):
            return Scored(verdict=self.verdict, held=True)
        self.verdict = answer.verdict
        return answer


def _same(one: Verdict, two: Verdict) -> bool:
    first, second = (np.array(astuple(verdict), np.float64) for verdict in (one, two))
    return np.array_equal(first, second, equal_nan=True)
