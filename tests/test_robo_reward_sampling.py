"""Which frames and pairs a step is made of."""

import numpy as np
import pytest

from robo_reward.errors import InputError
from robo_reward.sampling import GAP_BINS, HOP_BINS, sample_frames, sample_pairs, strata


def test_frames_are_drawn_once_each_sorted_and_only_where_allowed() -> None:
    usable = np.arange(3, 90, 2)
    chosen = sample_frames(usable, 16, 4, np.random.default_rng(0))
    assert len(chosen) == 16
    assert np.all(np.diff(chosen) > 0)
    assert np.isin(chosen, usable).all()


def test_about_half_of_the_frames_follow_another_by_one_query_period() -> None:
    rng = np.random.default_rng(0)
    usable = np.arange(400)
    for _ in range(10):
        chosen = sample_frames(usable, 16, 7, rng)
        assert np.isin(chosen + 7, chosen).sum() >= 7


def test_a_short_episode_gives_all_its_frames() -> None:
    assert sample_frames(np.array([2, 5, 6]), 16, 4, np.random.default_rng(0)).tolist() == [2, 5, 6]


@pytest.mark.parametrize(("usable", "count"), [(0, 16), (5, 1)])
def test_nothing_to_draw_is_refused(usable: int, count: int) -> None:
    with pytest.raises(InputError, match="at least 2"):
        sample_frames(np.arange(usable), count, 4, np.random.default_rng(0))


def test_strata_by_hand() -> None:
    # period 1: gaps up to 1.5 are bin 0; to 10 there remain 8.5 in thirds: 4.33…, 7.17…, beyond
    progress, times = np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 10.0])
    got = strata(progress, times, 1.0)
    # hop 0 → .5 is .5: bin ⌊.75·25⌋ = 18, gap 1: bin 0
    assert got[0, 1] == 18 * GAP_BINS
    # hop .5 → 0 is −1: bin 0
    assert got[1, 0] == 0
    # hop 0 → 1 is 1: the last bin, gap 10: bin 3
    assert got[0, 2] == (HOP_BINS - 1) * GAP_BINS + 3
    # hop 1 → .5 is −.5: bin ⌊.25·25⌋ = 6, gap 9: bin 3
    assert got[2, 1] == 6 * GAP_BINS + 3


def test_where_progress_is_unknown_the_direction_in_time_stratifies() -> None:
    got = strata(np.array([np.nan, np.nan]), np.array([0.0, 1.0]), 1.0) // GAP_BINS
    assert got[0, 1] == 18
    assert got[1, 0] == 6


def test_rare_losses_are_drawn_as_often_as_common_gains() -> None:
    progress = np.concatenate([np.linspace(0, 1, 40), [0.0]])
    times = np.arange(41.0)
    before, after = sample_pairs(progress, times, 2000, 1.0, np.random.default_rng(0))
    cells = strata(progress, times, 1.0)
    moving = before != after
    counts = np.bincount(cells[before[moving], after[moving]])
    present = np.unique(cells[~np.eye(41, dtype=bool)])
    assert counts[present].min() >= 0.5 * counts.max()


def test_a_twentieth_of_the_pairs_compares_a_frame_with_itself() -> None:
    progress = np.linspace(0, 1, 16)
    before, after = sample_pairs(progress, np.arange(16.0), 4000, 1.0, np.random.default_rng(1))
    assert np.mean(before == after) == pytest.approx(0.05, abs=0.015)


def test_pairs_run_both_ways_in_time() -> None:
    progress = np.linspace(0, 1, 16)
    before, after = sample_pairs(progress, np.arange(16.0), 500, 1.0, np.random.default_rng(1))
    assert 0.3 < np.mean(after > before) < 0.7


def test_a_single_frame_pairs_with_itself() -> None:
    before, after = sample_pairs(np.ones(1), np.zeros(1), 5, 1.0, np.random.default_rng(0))
    assert before.tolist() == after.tolist() == [0] * 5


def test_unknown_progress_can_be_sampled() -> None:
    before, _ = sample_pairs(np.full(6, np.nan), np.arange(6.0), 50, 1.0, np.random.default_rng(0))
    assert len(np.unique(before)) > 3


def test_one_seed_gives_one_draw() -> None:
    def draw(seed: int) -> list[int]:
        rng = np.random.default_rng(seed)
        frames = sample_frames(np.arange(100), 16, 4, rng)
        pairs = sample_pairs(frames / 100, frames.astype(float), 24, 4.0, rng)
        return [*frames, *pairs[0], *pairs[1]]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)
