"""The training loss: what each head is asked, with which weight, and where nothing is asked."""

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .batch import PairBatch
from .bins import BINS, expectation, seconds_two_hot, two_hot
from .config import LossWeights
from .network import HOPS, Readout


def loss_terms(readout: Readout, batch: PairBatch) -> dict[str, Tensor]:
    """Return the unweighted terms by name, each a scalar; 0 where no target is known."""
    device = readout.success.device
    terms: dict[str, Tensor] = {}
    targets = np.stack([getattr(batch, name) for name in HOPS], axis=1)
    known, values = _known(np.where(batch.untold, np.float32(0.0), targets), device)
    logits = readout.hops[known]
    even = torch.as_tensor(batch.untold, device=device)[known]
    wanted = two_hot(values).masked_fill(even[:, None], 1.0 / BINS)
    terms["bins"] = _mean(_cross(wanted, logits))
    terms["value"] = _mean(
        functional.smooth_l1_loss(expectation(logits), values, beta=0.1, reduction="none")
    )
    for name in ("success", "match"):
        known, values = _known(getattr(batch, name), device)
        terms[name] = _mean(
            functional.binary_cross_entropy_with_logits(
                getattr(readout, name)[known], values, reduction="none"
            )
        )
    if readout.time_to_go is not None:
        known, values = _known(batch.time_to_go, device)
        terms["time_to_go"] = _mean(_cross(seconds_two_hot(values), readout.time_to_go[known]))
    return terms


def known_targets(batch: PairBatch, terms: Iterable[str]) -> list[float]:
    """Return for each term how many targets it is a mean over."""
    targets = np.stack([getattr(batch, name) for name in HOPS], axis=1)
    hops = int((batch.untold | ~np.isnan(targets)).sum())
    of_hops = {"bins": hops, "value": hops}
    return [
        float(of_hops[name] if name in of_hops else (~np.isnan(getattr(batch, name))).sum())
        for name in terms
    ]


def total(terms: dict[str, Tensor], weights: LossWeights) -> Tensor:
    """Return the weighted sum of the terms."""
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()


def _known(targets: NDArray[np.float32], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return (where a target is known, the known targets)."""
    values = torch.as_tensor(targets, device=device)
    known = ~values.isnan()
    return known, values[known]


def _cross(targets: Tensor, logits: Tensor) -> Tensor:
    """Return the cross-entropy (n,) of distributions given by logits (n, 51)."""
    return -(targets * logits.log_softmax(-1)).sum(-1)


def _mean(values: Tensor) -> Tensor:
    return values.mean() if values.numel() else values.sum()
