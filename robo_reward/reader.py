"""Asks the network: encodes each view once, keeps prefixes, and reads many queries in a pass."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .bins import expectation, expected_seconds, spread
from .errors import InputError
from .history import recalled
from .images import checked, pixel_hash, resize
from .network import ProgressNetwork, Readout
from .protocols import Panel, Views
from .queries import Query, Seen
from .tracker import Reading, anchored

_FEATURES_KEPT = 4096
_FEATURE_BYTES = 2 << 30
_PREFIXES_KEPT = 64
_PREFIX_BYTES = 4 << 30


class Reader:
    """The network with its caches of view features and of prefixes."""

    def __init__(
        self,
        network: ProgressNetwork,
        *,
        image_size: int,
        history: int,
        compare_views: bool = False,
    ) -> None:
        """Put a network into evaluation mode.

        Args:
            network: What is asked.
            image_size: Side that views are resized to, in pixels.
            history: Earlier queries shown with each.
            compare_views: Ask again without each view, and tell how far Φ moves.
        """
        self.network = network.eval()
        self.image_size, self.history = image_size, history
        self.compare_views = compare_views
        self._most: int | None = None  # queries in a pass, once more have been too many
        self._features: OrderedDict[str, Tensor] = OrderedDict()
        self._prefixes: OrderedDict[Any, Any] = OrderedDict()

    @property
    def device(self) -> torch.device:
        """The device that the network lives on."""
        return next(self.network.parameters()).device

    def forget(self) -> None:
        """Drop all tokens and prefixes that are kept.

        What is kept was made in batches that came before, and a batch of another size may round
        otherwise: who must repeat answers to the bit forgets where the repetition begins.
        """
        self._features.clear()
        self._prefixes.clear()

    def see(self, many: Sequence[Views]) -> list[Seen]:
        """Return frames as tokens, encoding only pixels that were not encoded before.

        Raises:
            InputError: If an image is not uint8 (H, W, 3).
        """
        keys: list[tuple[tuple[str, str], ...]] = []
        new: dict[str, NDArray[np.uint8]] = {}
        for views in many:
            named = [(name, checked(name, views[name])) for name in sorted(views)]
            hashed = [(name, pixel_hash(image)) for name, image in named]
            keys.append(tuple(hashed))
            for (_, image), (_, key) in zip(named, hashed, strict=True):
                if key not in self._features and key not in new:
                    new[key] = resize(image, self.image_size)
        if new:
            images = torch.from_numpy(np.stack(list(new.values()))).to(self.device)
            with torch.inference_mode():
                self._features.update(zip(new, self.network.seam.encode(images), strict=True))
        seen = [Seen({name: self._features[key] for name, key in row}, row) for row in keys]
        one = next(iter(self._features.values())).nbytes if self._features else 1
        while len(self._features) > min(_FEATURES_KEPT, max(1, _FEATURE_BYTES // one)):
            self._features.popitem(last=False)
        return seen

    def read(self, queries: Sequence[Query]) -> list[Reading]:
        """Return the reading of every query: one pass for each set of view names.

        A pass that does not fit the device's memory is made in halves, and so are those after it.

        Raises:
            InputError: If a query's frame has no view at all, or a lone query does not fit.
        """
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, query in enumerate(queries):
            if not query.frame.tokens:
                raise InputError("a frame without any view cannot be judged; give at least one")
            seen = (query.start, query.goal, *query.past, query.frame)
            names = tuple(sorted({name for one in seen for name in one.tokens}))
            groups.setdefault(names, []).append(i)
        readings: dict[int, Reading] = {}
        for names, members in groups.items():
            asked = [queries[i] for i in members]
            told = self._passes(names, asked)
            if self.compare_views:
                told = self._compared(names, asked, told)
            readings.update(zip(members, told, strict=True))
        return [readings[i] for i in range(len(queries))]

    def _compared(
        self, names: tuple[str, ...], queries: Sequence[Query], readings: Sequence[Reading]
    ) -> list[Reading]:
        """Return the readings with their view disagreement: one pass more for each view.

        It is the root mean square, over the views that a frame shows, of how far Φ̄ moves when
        that view is masked in references and frames alike; 0 where there is one view alone.
        """
        moves: list[list[float]] = [[] for _ in queries]
        for name in names:
            rows = [i for i, query in enumerate(queries) if _spares(query, name)]
            less = self._passes(names, [queries[i].without(name) for i in rows]) if rows else []
            for i, reading in zip(rows, less, strict=True):
                moves[i].append(anchored(reading) - anchored(readings[i]))
        return [
            replace(reading, view_disagreement=_root_mean_square(moved))
            for reading, moved in zip(readings, moves, strict=True)
        ]

    def _passes(self, names: tuple[str, ...], queries: Sequence[Query]) -> list[Reading]:
        if len(queries) <= (self._most or len(queries)):
            try:
                with torch.inference_mode():
                    return _readings(self._pass(names, queries), queries)
            except torch.OutOfMemoryError as error:
                if len(queries) == 1:
                    raise InputError(
                        "one query does not fit the device's memory; use a larger device, "
                        "device='cpu', or a model of smaller images"
                    ) from error
            self._most = (len(queries) + 1) // 2
        most = self._most or len(queries)
        parts = [queries[i : i + most] for i in range(0, len(queries), most)]
        return [reading for part in parts for reading in self._passes(names, part)]

    def _pass(self, names: tuple[str, ...], queries: Sequence[Query]) -> Readout:
        numbers: dict[Any, int] = {}
        prefixes: list[Any] = []
        index: list[int] = []
        for query in queries:
            key = (names, query.instruction, query.start.keys, query.goal.keys)
            if key not in numbers:
                numbers[key] = len(prefixes)
                prefixes.append(self._prefix(key, query))
            index.append(numbers[key])
        seam = self.network.seam
        panel = self._panel([self._suffix(query) for query in queries], names)
        prefix = prefixes[0] if len(prefixes) == 1 else seam.stack(prefixes)
        told = self.network.told(
            torch.tensor([query.belief for query in queries], device=self.device)
        )
        slots = seam.read(prefix, torch.tensor(index, device=self.device), panel, told)
        return self.network.heads(slots)

    def _prefix(self, key: Any, query: Query) -> Any:
        if key not in self._prefixes:
            panel = self._panel([[query.start, query.goal]], key[0])
            prefix = self.network.seam.prefix([query.instruction], key[0], panel)
            self._prefixes[key] = prefix
            self._forget_prefixes()
        return self._prefixes[key]

    def _forget_prefixes(self) -> None:
        spare = _PREFIX_BYTES - sum(_bytes(prefix) for prefix in self._prefixes.values())
        while len(self._prefixes) > 1 and (len(self._prefixes) > _PREFIXES_KEPT or spare < 0):
            spare += _bytes(self._prefixes.popitem(last=False)[1])

    def _suffix(self, query: Query) -> list[Seen]:
        """Return [history …, before, after]; the first query compares its frame with itself."""
        before = query.past[-1] if query.past else query.frame
        earlier = [seen or Seen() for seen in recalled(query.past, self.history)]
        return [*earlier, before, query.frame]

    def _panel(self, rows: Sequence[Sequence[Seen]], names: tuple[str, ...]) -> Panel:
        cells = [seen.tokens.get(name) for row in rows for seen in row for name in names]
        known = next((cell for cell in cells if cell is not None), None)
        empty = torch.zeros_like(self._blank() if known is None else known)
        tokens = torch.stack([empty if cell is None else cell for cell in cells])
        there = torch.tensor([cell is not None for cell in cells], device=self.device)
        shape = (len(rows), len(rows[0]), len(names))
        return Panel(tokens=tokens.view(*shape, *empty.shape), there=there.view(shape))

    def _blank(self) -> Tensor:
        """Return a token of the right shape where no reference is there to tell it."""
        shape = (1, self.image_size, self.image_size, 3)
        blank = torch.zeros(shape, dtype=torch.uint8, device=self.device)
        return self.network.seam.encode(blank)[0]


def _spares(query: Query, view: str) -> bool:
    """Return whether a frame shows this view and another one."""
    return view in query.frame.tokens and len(query.frame.tokens) > 1


def _root_mean_square(moves: Sequence[float]) -> float:
    """Return √(mean of squares), of what is known; 0 of nothing."""
    known = [move * move for move in moves if not math.isnan(move)]
    return math.sqrt(sum(known) / len(known)) if known else 0.0


def _bytes(value: Any) -> int:
    """Return the bytes of the tensors in a value, whatever a backbone's prefix is made of."""
    if isinstance(value, Tensor):
        return value.nbytes
    if is_dataclass(value):
        return sum(_bytes(getattr(value, item.name)) for item in fields(value))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0


def _readings(readout: Readout, queries: Sequence[Query]) -> list[Reading]:
    hops = readout.hops.double().cpu()
    told = hops.softmax(-1).numpy()
    values, spreads = expectation(hops).numpy(), spread(hops).numpy()
    success = readout.success.double().sigmoid().cpu().numpy()
    match = readout.match.double().sigmoid().cpu().numpy()
    seconds = [math.nan] * len(queries)
    if readout.time_to_go is not None:
        seconds = expected_seconds(readout.time_to_go.double().cpu()).tolist()
    readings = []
    for i, query in enumerate(queries):
        start = 0.0 if query.start.tokens else math.nan
        goal = 0.0 if query.goal.tokens else math.nan
        previous = 0.0 if query.past else math.nan
        readings.append(
            Reading(
                hop_previous=float(values[i, 0]) if query.past else 0.0,
                hop_start=float(values[i, 1]) + start,
                hop_goal=float(values[i, 2]) + goal,
                spread_previous=float(spreads[i, 0]),
                spread_start=float(spreads[i, 1]) + start,
                spread_goal=float(spreads[i, 2]) + goal,
                success=float(success[i]),
                match=float(match[i]),
                time_to_go=seconds[i],
                hops=told[i] + np.array([[previous], [start], [goal]]),
            )
        )
    return readings
