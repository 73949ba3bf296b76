"""One process or several, as ``accelerate launch`` started them: which one this is, and sums.

Every process makes the same plan of a step and takes its share of it; what they find is summed.
With FSDP2 each holds a part of every weight besides.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

PATIENCE = timedelta(days=2)
"""How long processes wait for one another: one may decode videos while the others wait."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """The processes of a run; alone unless said otherwise."""

    number: int = 0
    """Which one this is."""
    count: int = 1
    """How many there are."""
    device: str = ""
    """Where this one computes; empty: a GPU if there is one."""
    sharded: bool = False
    """Whether each holds only a part of every weight (FSDP2)."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.number == 0

    def workers(self, asked: int | None, *, most: int) -> int | None:
        """Return how many helpers to start: what is asked for, or a share of the cores.

        None where it is alone and nothing is asked for: whoever starts them then decides.
        """
        if asked is not None or self.count == 1:
            return asked
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", self.count))
        return max(1, min(most, len(os.sched_getaffinity(0)) // beside))

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Let only the first process print."""
        with ExitStack() as stack:
            if not self.first:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(nowhere))
                stack.enter_context(redirect_stderr(nowhere))
            yield

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums of these numbers over all processes."""
        if self.count == 1:
            return list(values)
        import torch
        from torch import distributed

        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        told: list[float] = summed.tolist()
        return told

    def wait(self) -> None:
        """Wait until all processes have come here."""
        self.total([0.0])

    def place(self, network: "nn.Module") -> None:
        """Put a network where this process computes: whole, or its part of every weight."""
        import torch

        if self.sharded:
            self._shard(network)
        network.to(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def _shard(self, network: "nn.Module") -> None:
        """Spread the weights: those of a layer are put together only while it is at work."""
        from torch import nn
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(self.device.partition(":")[0], (self.count,))
        for module in reversed(list(network.modules())):
            if isinstance(module, nn.ModuleList):
                for layer in module:
                    fully_shard(layer, mesh=mesh)
        fully_shard(network, mesh=mesh)

    @contextmanager
    def judging(self, network: "nn.Module") -> Iterator[None]:
        """Put the weights outside the layers together, so that parts of a network can be called."""
        if not self.sharded:
            yield
            return
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the optimiser may still be writing them
        made: Any = network
        made.unshard()
        yield
        made.reshard()

    def add_gradients(self, parameters: "Iterable[nn.Parameter]") -> None:
        """Replace gradients by their sums; one that is nowhere stays absent.

        With FSDP2 the backward pass has done so, but for a factor: see `loss_scale`.
        """
        if self.count == 1 or self.sharded:
            return
        import torch
        from torch import distributed

        trained = [p for p in parameters if p.requires_grad]
        there = self.total([float(p.grad is not None) for p in trained])
        for parameter, known in zip(trained, there, strict=True):
            if known:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                distributed.all_reduce(parameter.grad)

    @property
    def loss_scale(self) -> float:
        """What a loss is multiplied with before the backward pass: FSDP2 takes means, not sums."""
        return float(self.count) if self.sharded else 1.0

    def close(self) -> None:
        """Leave the group of processes."""
        if self.count > 1:
            from torch import distributed

            distributed.destroy_process_group()


ALONE = Processes()


def launched(patience: timedelta = PATIENCE) -> Processes:
    """Return the processes that this one was started with; alone without a launcher.

    Args:
        patience: How long they wait for one another within a step.

    Raises:
        InputError: If they were started in a way that is not known here.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        return ALONE
    if _flag("ACCELERATE_USE_DEEPSPEED") or _flag("ACCELERATE_USE_MEGATRON_LM"):
        raise InputError(
            "several processes train as copies or by FSDP2; start them with 'accelerate launch' "
            "without DeepSpeed and Megatron-LM"
        )
    sharded = _flag("ACCELERATE_USE_FSDP")
    if sharded and os.environ.get("FSDP_VERSION", "1") != "2":
        raise InputError("FSDP 1 is not supported; add --fsdp_version 2 to 'accelerate launch'")
    # with FSDP the launcher asks transformers to read weights in one process alone and leave
    # those of the others empty; here each reads the base itself
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
    from accelerate import PartialState

    state = PartialState(cpu=_flag("ACCELERATE_USE_CPU"), timeout=patience)
    return Processes(
        number=state.process_index,
        count=state.num_processes,
        device="cpu" if state.device.type == "cpu" else str(state.device),
        sharded=sharded,
    )


def tells() -> bool:
    """Whether this process tells what all find alike, before they know of each other."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return not several or os.environ.get("RANK", "0") == "0"


def _flag(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("true", "1", "yes")


def whole(tensor: "Tensor") -> "Tensor":
    """Return a tensor put together from its parts; every process must ask for it."""
    made: Any = tensor
    put_together: Tensor = made.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return put_together


def spread_like(tensor: "Tensor", model: "Tensor") -> "Tensor":
    """Return a whole tensor spread over the processes as another one is; every process must ask."""
    if not hasattr(model, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    made: Any = model
    placed = tensor.to(made.to_local().device)
    spread: Tensor = distribute_tensor(placed, made.device_mesh, made.placements)
    return spread
