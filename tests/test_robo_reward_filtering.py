"""The filter over Φ: numbers by hand, what it must follow, and what must leave it as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import zeros

from robo_reward import bins
from robo_reward.errors import InputError
from robo_reward.filtering import (
    BINS,
    FLOOR,
    GRID,
    anchor_density,
    filter_step,
    hop_kernel,
    mass,
    median,
)
from robo_reward.targets import hop

MISSING = np.full(BINS, np.nan)
EVEN = np.full(BINS, 1.0 / BINS)


def bin_of(value: float) -> np.ndarray:
    """Return the two-hot distribution of a hop."""
    return np.maximum(1.0 - np.abs(value - np.linspace(-1.0, 1.0, BINS)) * 25, 0.0)


def told(start: float, goal: float | None = None, step: float = 0.0) -> np.ndarray:
    """Return the hops (3, 51) of sure anchors at Φ = start, goal."""
    end = start if goal is None else goal
    return np.stack([bin_of(step), bin_of(start), bin_of(end - 1.0)])


def torn(share: float, step: float = 0.0) -> np.ndarray:
    """Return the hops of anchors that give Φ = 1 this share, and Φ = 0 the rest."""
    return share * told(1.0, step=step) + (1.0 - share) * told(0.0, step=step)


def followed(seen: list[np.ndarray]) -> np.ndarray:
    """Return Φ at every query."""
    states, phi = None, []
    for hops in seen:
        states = filter_step(states, hops)
        phi.append(median(states))
    return np.array(phi)


def episode(truth: list[float]) -> list[np.ndarray]:
    """Return sure hops of an episode of this progress."""
    steps = hop(np.array([truth[0], *truth[:-1]]), np.array(truth))
    return [told(phi, step=float(step)) for phi, step in zip(truth, steps, strict=True)]


def test_the_bins_are_those_of_the_heads() -> None:
    assert bins.BINS == BINS
    assert bins.centres(zeros(1).double()).numpy() == pytest.approx(np.linspace(-1, 1, BINS))


def test_a_sure_hop_leads_from_every_state_where_it_leads() -> None:
    assert hop_kernel(bin_of(0.0)) == pytest.approx(np.eye(BINS))
    half = hop_kernel(bin_of(0.48))
    assert half[0, 24] == pytest.approx(1.0)  # 0 + .48
    assert half[25, 37] == pytest.approx(1.0)  # .5 + .5 · .48
    assert hop_kernel(bin_of(-1.0))[:, 0] == pytest.approx(1.0)


def test_an_even_hop_prefers_small_changes_and_rises() -> None:
    row = hop_kernel(EVEN)[25]
    assert row.argmax() == 25
    assert row[26:].sum() > row[:25].sum() > 0.1
    assert row[40] < row[30] < row[26]


@pytest.mark.parametrize(("start", "goal"), [(0.52, None), (0.52, 0.52), (None, 0.52)])
def test_what_a_sure_anchor_says_lies_on_three_states(
    start: float | None, goal: float | None
) -> None:
    forward = MISSING if start is None else bin_of(start)
    backward = MISSING if goal is None else bin_of(goal - 1.0)
    found = anchor_density(forward, backward)
    assert found is not None
    density, nothing = found
    assert density[[25, 26, 27]] == pytest.approx([0.25, 0.5, 0.25])
    assert density.sum() == pytest.approx(1.0)
    assert nothing == pytest.approx(0.0, abs=1e-12)


def test_mass_where_no_progress_is_tells_how_far_nothing_is_shown() -> None:
    half = 0.5 * bin_of(0.2) + 0.5 * bin_of(-0.6)
    assert anchor_density(half, MISSING)[1] == pytest.approx(1.0)  # type: ignore[index]
    assert anchor_density(half, bin_of(-0.5))[1] == pytest.approx(0.5)  # type: ignore[index]
    assert anchor_density(EVEN, EVEN)[1] == pytest.approx(50 / 51)  # type: ignore[index]
    assert anchor_density(MISSING, MISSING) is None


def test_the_first_query_weighs_states_by_the_square_of_the_anchors() -> None:
    states = filter_step(None, torn(0.2))
    # densities at 1 and 0 are as .2 to .8, and each is beside the largest
    expected = ((0.25 + FLOOR) / (1.0 + FLOOR)) ** 2
    assert states[-1] / states[0] == pytest.approx(expected)
    assert states.sum() == pytest.approx(1.0)


def test_without_anchors_the_hops_alone_move_progress_from_zero() -> None:
    seen = [np.stack([bin_of(step), MISSING, MISSING]) for step in (0.9, 0.48, -0.48)]
    # the hop of the first query is not read; .48; .48 − .48 · .48, between two states
    assert followed(seen) == pytest.approx([0.0, 0.48, 0.25], abs=0.01)


def test_an_unknown_hop_leaves_the_anchors_to_decide() -> None:
    states = filter_step(None, told(0.2))
    after = filter_step(states, np.stack([MISSING, bin_of(0.6), bin_of(-0.4)]))
    assert median(after) == pytest.approx(0.6, abs=0.02)


def test_one_anchor_is_enough() -> None:
    rising = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    for row in (1, 2):
        seen = episode(rising)
        for hops in seen:
            hops[row] = np.nan
        assert followed(seen) == pytest.approx(rising, abs=0.02)


def test_what_is_sure_is_followed_forwards_backwards_and_over_jumps() -> None:
    for truth in ([0.0, 0.1, 0.3, 0.6, 1.0], [1.0, 0.6, 0.3, 0.1, 0.0], [0.1, 0.9, 0.2, 1.0, 0.0]):
        assert followed(episode(truth)) == pytest.approx(truth, abs=0.02)


def test_an_end_that_looks_like_the_start_is_told_by_what_led_there() -> None:
    end = [torn(0.4)] * 10
    risen = [*episode([0.0, 0.3, 0.6, 0.9]), torn(0.4, step=1.0), *end]
    fallen = [*episode([0.9, 0.6, 0.3, 0.1]), torn(0.4, step=-1.0), *end]
    assert followed(risen)[4:].min() > 0.9
    assert followed(fallen)[4:].max() < 0.1
    assert end[0][1] @ np.linspace(-1.0, 1.0, BINS) == pytest.approx(0.4)  # the mean tells neither


@pytest.mark.parametrize("step", [bin_of(float(hop(0.8, 0.05))), EVEN, MISSING])
def test_a_drop_shows_within_five_queries_though_the_anchors_differ_by_a_tenth(
    step: np.ndarray,
) -> None:
    held = [told(0.8)] * 3
    fallen = [told(0.0, 0.1) for _ in range(5)]
    fallen[0][0] = step
    phi = followed([*held, *fallen])
    assert phi[2] == pytest.approx(0.8, abs=0.02)
    assert phi[-1] < 0.15


def test_a_drop_that_the_hops_deny_shows_too() -> None:
    phi = followed([*[told(0.8)] * 3, *[told(0.0, 0.1)] * 10])
    assert phi[4] > 0.5
    assert phi[-1] < 0.15


def test_a_frame_that_shows_nothing_changes_next_to_nothing() -> None:
    hidden = np.stack([EVEN, EVEN, EVEN])
    for before in (0.2, 0.5, 0.8):
        phi = followed([told(before), *[hidden] * 20])
        assert np.abs(phi - before).max() < 0.1


def test_looking_at_one_doubtful_frame_for_long_does_not_make_sure_of_it() -> None:
    phi = followed([torn(0.5, step=0.0)] * 40)
    assert np.ptp(phi) < 0.1
    assert 0.4 < phi[-1] < 0.6


def test_the_median_is_within_the_cell_of_its_state() -> None:
    one = np.zeros(BINS)
    one[10] = 1.0
    assert median(one) == pytest.approx(0.2)
    assert median(np.eye(BINS)[0]) == pytest.approx(0.005)  # half of a cell that ends at 0
    assert median(np.full(BINS, 1.0 / BINS)) == pytest.approx(0.5)
    uneven = np.zeros(BINS)
    uneven[[10, 11]] = 0.75, 0.25
    assert median(uneven) == pytest.approx(0.19 + 0.02 * 0.5 / 0.75)


def test_mass_counts_both_ends() -> None:
    states = np.zeros(BINS)
    states[[44, 45, 50]] = 0.5, 0.2, 0.3
    assert mass(states, 0.9, 1.0) == pytest.approx(0.5)
    assert mass(states, 0.88, 0.9) == pytest.approx(0.7)


def test_another_number_of_bins_is_refused() -> None:
    with pytest.raises(InputError, match=r"three hops over 51 bins, got \(3, 50\)"):
        filter_step(None, np.full((3, 50), 0.02))


distributions = st.integers(0, 999).map(
    lambda seed: np.random.default_rng(seed).dirichlet(np.full(BINS, 0.1))
)
rows = distributions | st.just(MISSING) | st.floats(-1, 1).map(bin_of)
queries = st.tuples(rows, rows, rows).map(np.stack)


@settings(max_examples=40, deadline=None)
@given(st.lists(queries, min_size=1, max_size=8))
def test_any_answers_give_a_distribution_and_never_look_ahead(seen: list[np.ndarray]) -> None:
    states = None
    for hops in seen:
        states = filter_step(states, hops)
        assert states.sum() == pytest.approx(1.0)
        assert states.min() >= 0.0
    phi = followed(seen)
    assert np.all((phi >= GRID[0]) & (phi <= GRID[-1]))
    assert all(np.array_equal(followed(seen[:n]), phi[:n]) for n in range(1, len(seen)))
