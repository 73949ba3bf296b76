"""Reconstruction and fusion: hand-computed numbers, causality, and the drop that must show."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_reward.errors import InputError
from robo_reward.progress import (
    Anchors,
    Disagreement,
    backward_progress,
    forward_progress,
    fuse_step,
    incremental_progress,
    mean_fusion,
)
from robo_reward.targets import hop

NOTHING = float("nan")
readings = st.builds(
    Anchors,
    forward=st.floats(0, 1) | st.just(NOTHING),
    backward=st.floats(0, 1) | st.just(NOTHING),
    hop_previous=st.floats(-1, 1) | st.just(NOTHING),
    spread_forward=st.floats(0, 1),
    spread_backward=st.floats(0, 1),
)


def fuse(anchors: list[Anchors], **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (Φ, w) of a whole episode: `fuse_step` from query to query."""
    steps = [(NOTHING, NOTHING)]
    for now in anchors:
        steps.append(fuse_step(steps[-1][0], now, **options))
    phi, weight = np.array(steps[1:]).T
    return phi, weight


def dropped(disagreement: Disagreement, gap: float, queries: int = 5) -> np.ndarray:
    """Return Φ at the queries after an object falls from .8 to .05, the anchors ``gap`` apart."""
    before = [Anchors(forward=0.8, backward=0.8, hop_previous=0.0)] * 3
    low, high = 0.05 - gap / 2, 0.05 + gap / 2
    falling = [
        Anchors(forward=low, backward=high, hop_previous=float(hop(0.8, 0.05)) if t == 0 else 0.0)
        for t in range(queries)
    ]
    phi, _ = fuse(before + falling, disagreement=disagreement)
    assert phi[2] == pytest.approx(0.8)
    return phi[3:]


def test_a_drop_shows_within_five_queries_though_the_anchors_differ_by_a_tenth() -> None:
    assert dropped("scaled", 0.1)[-1] < 0.15


def test_the_published_weight_hides_the_same_drop() -> None:
    assert dropped("published", 0.1)[-1] == pytest.approx(0.8, abs=1e-6)


def test_the_published_weight_hides_a_drop_for_ever_at_a_difference_of_four_hundredths() -> None:
    assert dropped("published", 0.04, queries=1000)[-1] > 0.79
    assert dropped("scaled", 0.04, queries=5)[-1] < 0.06


def test_one_step_of_fusion_by_hand() -> None:
    # Φ̄ = .5, gap .1, d = .1/.5 = .2, w = exp(−20·.04) = exp(−.8);
    # ΔΦ = (1 − .4)·.25 = .15; Φ = .4 + w/2·((.5 − .4) + .15)
    now = Anchors(forward=0.45, backward=0.55, hop_previous=0.25)
    phi, weight = fuse_step(0.4, now)
    assert weight == pytest.approx(math.exp(-0.8))
    assert phi == pytest.approx(0.4 + math.exp(-0.8) / 2 * 0.25)


@pytest.mark.parametrize(
    ("forward", "backward", "scaled", "published"),
    [
        (0.0, 0.2, 0.2 / 0.9, 0.2 / 0.1),
        (0.4, 0.6, 0.2 / 0.5, 0.2 / 0.5),
        (0.8, 1.0, 0.2 / 0.9, 0.2 / 0.9),
    ],
)
def test_both_measures_of_disagreement(
    forward: float, backward: float, scaled: float, published: float
) -> None:
    now = Anchors(forward=forward, backward=backward, hop_previous=0.0)
    for name, d in (("scaled", scaled), ("published", published)):
        _, weight = fuse_step(0.5, now, disagreement=name)  # type: ignore[arg-type]
        assert weight == pytest.approx(math.exp(-20 * d * d), rel=1e-3)


def test_the_first_query_takes_the_mean_of_the_anchors() -> None:
    phi, _ = fuse_step(NOTHING, Anchors(forward=0.1, backward=0.3, hop_previous=0.9))
    assert phi == pytest.approx(0.2)


def test_with_one_anchor_the_other_and_its_own_spread_decide() -> None:
    # d = .05/max(.6, .4, .25); Φ = .5 + w/2·(.6 − .5)
    for missing in ("forward", "backward"):
        here = {"forward": 0.6, "backward": 0.6, missing: NOTHING}
        now = Anchors(**here, hop_previous=0.0, spread_forward=0.05, spread_backward=0.05)
        phi, weight = fuse_step(0.5, now)
        assert weight == pytest.approx(math.exp(-20 * (0.05 / 0.6) ** 2))
        assert phi == pytest.approx(0.5 + weight / 2 * 0.1)


def test_without_anchors_the_hops_alone_move_progress_from_zero() -> None:
    nothing = [Anchors(forward=NOTHING, backward=NOTHING, hop_previous=h) for h in (0, 0.5, -0.5)]
    phi, weight = fuse(nothing)
    assert phi.tolist() == [0.0, 0.5, 0.25]
    assert weight.tolist() == [0.0, 0.0, 0.0]


def test_an_unknown_hop_moves_nothing() -> None:
    now = Anchors(forward=NOTHING, backward=NOTHING, hop_previous=NOTHING)
    assert fuse_step(0.3, now) == (pytest.approx(0.3), 0.0)
    assert incremental_progress([0.5, NOTHING, 0.5]).tolist() == [0.5, 0.5, 0.75]


def test_reconstructions_by_hand() -> None:
    assert forward_progress([-0.2, 0.3, 1.4]).tolist() == [0.0, 0.3, 1.0]
    assert backward_progress([-1.5, -0.25, 0.5]).tolist() == [0.0, 0.75, 1.0]
    # 0 + .5; .5 + .5·.5; .75 − .75·.2
    assert incremental_progress([0.5, 0.5, -0.2]) == pytest.approx([0.5, 0.75, 0.6])


def test_the_mean_is_over_what_is_known() -> None:
    got = mean_fusion([0.2, 0.2, NOTHING], [0.5, NOTHING, NOTHING], [0.8, 0.4, NOTHING])
    assert got[:2] == pytest.approx([0.5, 0.3])
    assert math.isnan(got[2])


def test_an_unknown_disagreement_is_refused() -> None:
    now = Anchors(forward=0.1, backward=0.1, hop_previous=0.0)
    with pytest.raises(InputError, match="published"):
        fuse_step(0.5, now, disagreement="other")  # type: ignore[arg-type]


@settings(max_examples=80, deadline=None)
@given(st.lists(readings, min_size=1, max_size=12), st.sampled_from(["scaled", "published"]))
def test_fused_progress_stays_in_range_and_never_looks_ahead(
    seen: list[Anchors], disagreement: Disagreement
) -> None:
    phi, weight = fuse(seen, disagreement=disagreement)
    assert np.all((phi >= 0) & (phi <= 1))
    assert np.all((weight >= 0) & (weight <= 1))
    for count in range(1, len(seen)):
        cut, _ = fuse(seen[:count], disagreement=disagreement)
        assert np.array_equal(cut, phi[:count])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_consistent_anchors_are_followed_exactly(progress: list[float]) -> None:
    phi = np.array(progress)
    hops = hop(np.concatenate([phi[:1], phi[:-1]]), phi)
    told = [
        Anchors(forward=p, backward=p, hop_previous=h)
        for p, h in zip(phi.tolist(), hops.tolist(), strict=True)
    ]
    assert fuse(told)[0] == pytest.approx(phi, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=20))
def test_reconstructions_stay_in_range_for_any_hops(hops: list[float]) -> None:
    for reconstruct in (forward_progress, backward_progress, incremental_progress):
        values = reconstruct(hops)
        assert np.all((values >= 0) & (values <= 1))
