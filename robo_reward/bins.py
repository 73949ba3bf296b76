"""A number as a distribution over bins: two-hot targets, expectation and spread.

C51's projection (Bellemare et al., arXiv 1707.06887) with a fixed support: a value between
two bins puts its weight on both, so that the expectation is exact.
"""

import torch
from torch import Tensor

BINS = 51
LOW, HIGH = -1.0, 1.0
_WIDTH = (HIGH - LOW) / (BINS - 1)


def centres(like: Tensor) -> Tensor:
    """Return the bin centres −1 … 1, shape (51,), on the device and in the type of ``like``."""
    return torch.linspace(LOW, HIGH, BINS, device=like.device, dtype=like.dtype)


def two_hot(values: Tensor) -> Tensor:
    """Return distributions (…, 51) whose expectation is ``values`` (…), clamped to [−1, 1]."""
    position = (values.clamp(LOW, HIGH) - LOW) / _WIDTH
    lower = position.floor().clamp(0, BINS - 2).long()
    upper_weight = (position - lower).unsqueeze(-1)
    out = torch.zeros(*values.shape, BINS, device=values.device, dtype=values.dtype)
    out.scatter_(-1, lower.unsqueeze(-1), 1.0 - upper_weight)
    return out.scatter_(-1, lower.unsqueeze(-1) + 1, upper_weight)


def expectation(logits: Tensor) -> Tensor:
    """Return the expected value (…) of distributions given by logits (…, 51)."""
    return (logits.softmax(-1) * centres(logits)).sum(-1)


def spread(logits: Tensor) -> Tensor:
    """Return the standard deviation (…) beyond what the bins force on any value.

    A value at share f between two bins has variance f(1 − f)·width² even when certain; that
    floor is taken off, so a certain head has spread 0 wherever its value lies.
    """
    probs = logits.softmax(-1)
    grid = centres(logits)
    mean = (probs * grid).sum(-1)
    variance = (probs * (grid - mean.unsqueeze(-1)) ** 2).sum(-1)
    share = ((mean - LOW) / _WIDTH).remainder(1.0)
    floor = share * (1.0 - share) * _WIDTH**2
    return (variance - floor).clamp(min=0.0).sqrt()
