"""Asks every estimator about every episode, plain, backwards and under every probe."""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.model import query_stride

from .estimators import CLOCK, Estimator, Track
from .evaluate import Case
from .figures import Rows, row, table
from .probe_changes import at_queries, backwards
from .probes import REVERSED, Probe, Shown

type Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What was found on n episodes."""

    rows: dict[str, Rows]
    """Estimator → a row an episode."""
    effects: dict[str, dict[str, Floats]]
    """Probe → estimator → (n,) what was measured; NaN where it does not apply."""
    names: list[str]
    """Of the episodes."""
    datasets: list[str]
    """Of each episode."""


@dataclass(kw_only=True)
class Prober:
    """Gathers findings, one episode at a time, so that only its frames are in memory."""

    estimators: Mapping[str, Estimator]
    probes: Mapping[str, Probe]
    period_s: float
    """Seconds between queries."""
    seed: int = 0
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _effects: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    _told: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, instruction and dataset of each episode."""

    def ask(self, case: Case) -> None:
        """Add what is found on an episode.

        Raises:
            RoboRewardError: If its frames cannot be read or judged.
        """
        every = query_stride(self.period_s, case.fps)
        frames = list(case.frames(every))
        held = replace(case, frames=lambda stride: iter(frames))
        plain = at_queries(case, frames, every)
        tracks = {name: estimate(held) for name, estimate in self.estimators.items()}
        asked = {name: track.at_queries() for name, track in tracks.items()}
        reverse = backwards(plain, self._rng(REVERSED))
        reversed_tracks = self._tracks(reverse)
        for name, track in tracks.items():
            found = row(case, track, reversed_tracks[name])
            self._rows.setdefault(name, []).append(found)
        for name, probe in self.probes.items():
            changed = reverse if name == REVERSED else probe.change(plain, self._rng(name))
            told = reversed_tracks if name == REVERSED else self._tracks(changed)
            self._measure(probe, (plain, changed), asked, told)
        self._told.append((case.name, case.instruction, case.dataset))

    def findings(self) -> Findings:
        """Return what was found so far."""
        names, texts, datasets = map(list, zip(*self._told, strict=True))
        rows = {name: table(found, texts) for name, found in self._rows.items()}
        effects = {
            probe: {name: np.array(values, np.float64) for name, values in found.items()}
            for probe, found in self._effects.items()
        }
        return Findings(rows=rows, effects=effects, names=names, datasets=datasets)

    def _measure(
        self,
        probe: Probe,
        cases: tuple[Case, Case | None],
        asked: Mapping[str, Track],
        told: Mapping[str, Track],
    ) -> None:
        effects = self._effects.setdefault(probe.name, {})
        before, changed = cases
        for name, plain in asked.items():
            value = float("nan")
            if changed is not None:
                value = probe.measure(
                    Shown(before=before, case=changed, plain=plain, changed=told[name])
                )
            effects.setdefault(name, []).append(value)

    def _tracks(self, case: Case | None) -> dict[str, Track]:
        if case is None:
            return {}
        return {name: estimate(case) for name, estimate in self.estimators.items()}

    def _rng(self, probe: str) -> np.random.Generator:
        """Return the generator of a probe on the next episode, whatever other probes there are."""
        return np.random.default_rng([self.seed, len(self._told), zlib.crc32(probe.encode())])


def pair_passes(
    probe: Probe, probes: Mapping[str, Probe], effects: Mapping[str, Mapping[str, Floats]], of: str
) -> Floats:
    """Return (n,) 1 where an estimator passes a pair of probes, 0 where not.

    NaN where the pair does not count: one of the two does not apply, or the clock passes both.
    """

    def both(estimator: str) -> Floats:
        first = probe.passes(effects[probe.name][estimator])
        second = probes[probe.partner].passes(effects[probe.partner][estimator])
        return first * second

    return np.where(both(CLOCK) == 1.0, np.nan, both(of))


def pairs(probes: Iterable[Probe], asked: Sequence[str]) -> list[Probe]:
    """Return the invariance probes whose partner was asked too."""
    return [probe for probe in probes if probe.partner and probe.partner in asked]
