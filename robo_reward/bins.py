"""A number as a distribution over bins: two-hot targets, expectation and spread.

C51's projection (Bellemare et al., arXiv 1707.06887) with a fixed support: a value between
two bins puts its weight on both, so that the expectation is exact. Seconds lie on bins that are
even in symlog (DreamerV3, arXiv 2301.04104, eq. 1 and section "Critic learning"): near ones are
told finely and far ones roughly.
"""

import math

import torch
from torch import Tensor

BINS = 51
LOW, HIGH = -1.0, 1.0
_WIDTH = (HIGH - LOW) / (BINS - 1)
MOST_S = 1000.0
"""Most seconds that can be told."""
_FAR = math.log1p(MOST_S)


def centres(like: Tensor, low: float = LOW, high: float = HIGH) -> Tensor:
    """Return the bin centres low … high, shape (51,), on the device and in the type of ``like``."""
    return torch.linspace(low, high, BINS, device=like.device, dtype=like.dtype)


def two_hot(values: Tensor, low: float = LOW, high: float = HIGH) -> Tensor:
    """Return distributions (…, 51) whose expectation is ``values`` (…), clamped to [low, high]."""
    position = (values.clamp(low, high) - low) / ((high - low) / (BINS - 1))
    lower = position.floor().clamp(0, BINS - 2).long()
    upper_weight = (position - lower).unsqueeze(-1)
    out = torch.zeros(*values.shape, BINS, device=values.device, dtype=values.dtype)
    out.scatter_(-1, lower.unsqueeze(-1), 1.0 - upper_weight)
    return out.scatter_(-1, lower.unsqueeze(-1) + 1, upper_weight)


def expectation(logits: Tensor, low: float = LOW, high: float = HIGH) -> Tensor:
    """Return the expected value (…) of distributions given by logits (…, 51)."""
    return (logits.softmax(-1) * centres(logits, low, high)).sum(-1)


def symlog(values: Tensor) -> Tensor:
    """Return sign(x) · ln(1 + |x|)."""
    return values.sign() * values.abs().log1p()


def symexp(values: Tensor) -> Tensor:
    """Return sign(x) · (e^|x| − 1), the inverse of `symlog`."""
    return values.sign() * values.abs().expm1()


def seconds_two_hot(seconds: Tensor) -> Tensor:
    """Return distributions (…, 51) over symlog seconds, clamped to [0, `MOST_S`]."""
    return two_hot(symlog(seconds), 0.0, _FAR)


def expected_seconds(logits: Tensor) -> Tensor:
    """Return symexp of the expected symlog seconds (…) of distributions given by logits (…, 51)."""
    return symexp(expectation(logits, 0.0, _FAR))


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
