"""Where rollouts begin: seeds that never repeat, groups, and states that were reached."""

import numpy as np
import pytest
from policy_fixtures import played_in, starts, wave

from policies.config import StartConfig
from policies.scoring import Potentials
from policies.starts import PASSED_OVER, Starts
from policies.trials import Trial
from robo_reward.errors import InputError


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def trial() -> Trial:
    with played_in() as player:
        return player.play(wave, starts(3))[0]


def judged(*progress: float) -> Potentials:
    return Potentials(progress=np.array(progress), apart=np.full(len(progress), np.nan))


def test_every_episode_has_a_seed_of_its_own_that_no_demonstration_has() -> None:
    drawn = Starts(config=StartConfig(rollouts=4, group=2), size=1)
    found = drawn.draw(rng()) + drawn.draw(rng())
    assert [start.seed for start in found] == [PASSED_OVER + n for n in range(8)]
    assert [start.group for start in found] == list(range(8))
    assert all(start.played is None for start in found)


def test_groups_share_a_start_and_can_be_drawn_again_alone() -> None:
    drawn = Starts(config=StartConfig(rollouts=6, group=3), size=3)
    found = drawn.draw(rng())
    assert [start.group for start in found] == [0, 0, 0, 1, 1, 1]
    assert len({start.seed for start in found}) == 2
    again = drawn.draw(rng(), groups=1)
    assert [start.group for start in again] == [2, 2, 2]
    assert again[0].seed not in {start.seed for start in found}


def test_the_furthest_state_that_went_on_is_remembered(trial: Trial) -> None:
    drawn = Starts(config=StartConfig(rollouts=4, group=1, restarts=0.9), size=1)
    assert all(start.played is None for start in drawn.draw(rng()))  # nothing is known yet
    drawn.remember([trial], [judged(0.0, 0.2, 0.7, 0.4, 0.3, 1.0)])
    (reached,) = drawn.reached
    assert (reached.seed, reached.progress) == (3, 0.7)
    assert np.array_equal(reached.played, trial.played(2))
    found = [start for start in drawn.draw(rng(), groups=40) if start.played is not None]
    assert 20 < len(found) <= 40
    assert {start.seed for start in found} == {3}


def test_further_states_are_likelier(trial: Trial) -> None:
    drawn = Starts(config=StartConfig(rollouts=1, group=1, restarts=0.99), size=1)
    drawn.remember([trial], [judged(0, 0.1, 0, 0, 0, 0)])
    drawn.remember([trial], [judged(0, 0, 0.8, 0, 0, 0)])
    lengths = [len(s.played) for s in drawn.draw(rng(), groups=300) if s.played is not None]
    assert lengths.count(8) > 5 * lengths.count(4)


def test_impossible_shares_and_groups_are_refused() -> None:
    with pytest.raises(InputError, match="must be a multiple of"):
        StartConfig(rollouts=4, group=3)
    with pytest.raises(InputError, match="some episodes must begin at the beginning"):
        StartConfig(restarts=1.0)
