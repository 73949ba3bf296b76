"""What the benches share: timing in turn, counting multiply-adds, a table and a JSON file."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from robo_reward.errors import InputError, RoboRewardError

from .places import try_out

if TYPE_CHECKING:
    import torch

AGREE = 1e-4
"""Most by which two ways of doing the same work may differ."""

SQUARE = {"cpu": (2048, 4), "cuda": (8192, 20)}
"""Side of the matrices whose product tells the matmul rate, and how many products."""


class DisagreementError(RoboRewardError):
    """Two ways of doing the same work gave different answers: their speeds cannot be compared."""


class Row(NamedTuple):
    """One line of the table: a quantity done in both ways."""

    quantity: str
    fast: float
    slow: float
    ratio: float


def check_flags(repeats: int, path: Path | None, **sizes: int) -> None:
    """Refuse what cannot be measured or written, before the work.

    Raises:
        InputError: If there is nothing to repeat or a size is below 1.
        OutputError: If the JSON file cannot be written.
    """
    for name, value in {"repeats": repeats, **sizes}.items():
        if value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    if path is not None:
        try_out(path.parent)


def check_agreement(what: str, difference: float, most: float = AGREE) -> None:
    """Refuse to compare two ways that differ by more than ``most``.

    Raises:
        DisagreementError: If they do.
    """
    if not difference <= most:
        raise DisagreementError(
            f"{what} of both ways differ by {difference:.2g}, more than {most:g}: they do not do "
            "the same work, so their speeds are not compared; report this as a fault"
        )


def in_turn(
    *works: Callable[[], object], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[float, ...]:
    """Return the median seconds of each by a clock, timed A B A B …; do all once before.

    Work on a GPU must end with something on the CPU, which waits for it.
    """
    seconds: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, taken in zip(works, seconds, strict=True):
            begun = clock()
            work()
            taken.append(clock() - begun)
    return tuple(median(taken) for taken in seconds)


def thread_time() -> float:
    """Return the CPU time of this process in seconds, shared among the threads of torch.

    What else runs on the machine hardly changes it. Where threads idle it is less than what a
    clock on the wall says, so serial work looks quicker than it is.
    """
    import torch

    return time.process_time() / torch.get_num_threads()


def multiply_adds(work: Callable[[], object]) -> int:
    """Return the multiply-adds of matrix products and convolutions that ``work`` does."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return int(counter.get_total_flops()) // 2


def square_products(device: "torch.device", dtype: str) -> tuple[Callable[[], object], int]:
    """Return products of large square matrices, and the floating-point operations they take.

    Args:
        device: Where they are taken.
        dtype: ``fp32`` or ``bf16``.
    """
    import torch

    side, times = SQUARE[device.type]
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    one = torch.randn(side, side, device=device).to(kind)
    out = torch.empty_like(one)

    def multiply() -> float:
        for _ in range(times):
            torch.mm(one, one, out=out)
        return float(out[0, 0])

    return multiply, 2 * side**3 * times


def report(title: str, ways: tuple[str, str], rows: list[Row]) -> None:
    """Print a table of both ways, a ratio above 1 being in favour of the first."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", *ways, "ratio", title=title, title_justify="left")
    for row in rows:
        table.add_row(row.quantity, f"{row.fast:,.1f}", f"{row.slow:,.1f}", f"{row.ratio:.2f}")
    Console().print(table)


def write_figures(path: Path | None, figures: Mapping[str, float]) -> None:
    """Write the figures as JSON, NaN as null, and say where; nothing without a path.

    Raises:
        OutputError: If the file cannot be written.
    """
    if path is None:
        return
    from robo_reward.files import finite, write_atomically

    from .places import written

    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(finite(figures), indent=1) + "\n").encode())
    print(f"figures: {path}")
