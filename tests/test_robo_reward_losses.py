"""The loss by hand, and nothing asked where the target is unknown."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from robo_reward.bins import BINS, seconds_two_hot, two_hot
from robo_reward.config import LossWeights
from robo_reward.losses import loss_terms, total
from robo_reward.network import Readout

NOTHING = float("nan")


def readout(hops: list[list[float]], success: list[float], match: list[float]) -> Readout:
    """Return heads that are certain of hops (B, 3) and give these logits."""
    logits = two_hot(torch.tensor(hops)).clamp_min(1e-12).log()
    return Readout(logits, torch.tensor(success), torch.tensor(match))


def targets(hops: list[list[float]], success: list[float], match: list[float]) -> object:
    columns = np.array(hops, np.float32).T
    return replace(
        tiny.part(tiny.batch(), list(range(len(hops)))),
        hop_previous=columns[0],
        hop_start=columns[1],
        hop_goal=columns[2],
        success=np.array(success, np.float32),
        match=np.array(match, np.float32),
    )


def terms(said: Readout, asked: object) -> dict[str, float]:
    return {name: float(term) for name, term in loss_terms(said, asked).items()}  # type: ignore[arg-type]


def test_the_terms_of_one_pair_by_hand() -> None:
    said = readout([[0.0, 0.4, -0.6]], [0.0], [math.log(3)])
    got = terms(said, targets([[0.5, 0.4, -0.56]], [1.0], [1.0]))
    # smooth L1 of .5 is .5 − .05, of 0 is 0, of .04 is .04²/.2
    assert got["value"] == pytest.approx((0.45 + 0 + 0.008) / 3, abs=1e-4)
    assert got["success"] == pytest.approx(math.log(2))
    assert got["match"] == pytest.approx(math.log(4 / 3))


def test_the_cross_entropy_of_an_even_head_is_the_logarithm_of_the_bins() -> None:
    even = Readout(torch.zeros(1, 3, BINS), torch.zeros(1), torch.zeros(1))
    got = terms(even, targets([[0.1, 0.2, -0.3]], [0.0], [0.0]))
    assert got["bins"] == pytest.approx(math.log(51))


def test_unknown_targets_are_left_out_of_the_means() -> None:
    said = readout([[0.0, 0.4, -0.6], [0.3, 0.3, -0.7]], [0.0, 5.0], [0.0, 5.0])
    some = targets([[0.5, NOTHING, NOTHING], [NOTHING] * 3], [1.0, NOTHING], [NOTHING, 1.0])
    got = terms(said, some)
    assert got["value"] == pytest.approx(0.45, abs=1e-4)
    assert got["success"] == pytest.approx(math.log(2))
    assert got["match"] == pytest.approx(math.log1p(math.exp(-5)))


def test_nothing_known_costs_nothing() -> None:
    said = readout([[0.0, 0.4, -0.6]], [0.0], [0.0])
    asked = targets([[NOTHING] * 3], [NOTHING], [NOTHING])
    assert set(terms(said, asked).values()) == {0.0}


def test_no_gradient_flows_from_unknown_targets() -> None:
    network, given = tiny.network(), tiny.batch()
    nothing = np.full(10, NOTHING, np.float32)
    given = replace(given, hop_previous=nothing, success=nothing, match=nothing)
    said = network(given, torch.from_numpy(given.images))
    total(loss_terms(said, given), LossWeights()).backward()
    silent = (network.hop_heads[0], network.success_head, network.match_head)
    for head in silent:
        assert head.weight.grad is None or float(head.weight.grad.abs().max()) == 0.0
    assert float(network.hop_heads[1].weight.grad.abs().max()) > 0
    for parameter in network.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())


def test_the_total_weighs_the_terms() -> None:
    parts = {name: torch.tensor(1.0) for name in ("bins", "value", "success", "match")}
    weights = LossWeights(bins=1.0, value=2.0, success=4.0, match=8.0)
    assert float(total(parts, weights)) == 15.0


def test_seconds_are_asked_for_where_they_are_known_and_the_model_tells_them() -> None:
    plain = readout([[0.0, 0.4, -0.6]] * 3, [0.0] * 3, [0.0] * 3)
    asked = replace(
        targets([[0.5, 0.4, -0.56]] * 3, [1.0] * 3, [1.0] * 3),  # type: ignore[type-var]
        time_to_go=np.array([2.0, NOTHING, 30.0], np.float32),
    )
    assert "time_to_go" not in terms(plain, asked)
    sure = seconds_two_hot(torch.tensor([2.0, 7.0, 30.0])).clamp_min(1e-12).log()
    told = terms(replace(plain, time_to_go=torch.stack([sure[0], sure[1], sure[2] * 0])), asked)
    own = -(sure[0].exp() * sure[0]).sum().item()  # the entropy of the target, and ln 51
    assert told["time_to_go"] == pytest.approx((own + math.log(BINS)) / 2, rel=1e-5)
    assert {name: told[name] for name in terms(plain, asked)} == terms(plain, asked)


def test_the_weight_of_seconds_is_beside_the_others() -> None:
    told = {"bins": torch.tensor(1.0), "time_to_go": torch.tensor(4.0)}
    assert float(total(told, LossWeights(bins=2.0, time_to_go=0.5))) == 4.0
