"""What monitors see of episodes, by hand, and that it can be stored."""

import json
from dataclasses import fields

import numpy as np
import pytest
from rollouts import rollout

from policies.observing import Observed, cycles, hovers, observed
from robo_reward.errors import InputError


def test_an_episode_hovers_that_is_near_for_half_of_its_time_and_fails() -> None:
    phi, steps = np.array([0.1, 0.7, 0.6]), np.array([4, 2, 2])
    assert hovers(phi, steps, success=False)
    assert not hovers(phi, steps, success=True)
    assert not hovers(phi, np.array([5, 2, 2]), success=False)


def test_what_leads_nowhere_is_variation_less_the_net_change() -> None:
    assert cycles(np.array([0.0, 0.4, 1.0])) == pytest.approx(0.0)
    assert cycles(np.array([0.0, 0.4, 0.1, 0.5])) == pytest.approx(1.1 - 0.5)
    assert cycles(np.array([0.8, 0.2])) == pytest.approx(0.0)


def test_an_update_is_summed_up_by_its_episodes_of_known_outcome() -> None:
    batch = [
        rollout([0.1, 0.7], final=0.9),
        rollout([0.1, 0.2], final=0.95, success=True),
        rollout([0.1], final=0.5, truncated=True, lost=True),
    ]
    got = observed(batch, disagreement=np.array([0.1, 0.2, 0.3]), kl=1.5)
    assert got.success.tolist() == [0.0, 1.0]
    assert got.final.tolist() == [0.9, 0.95]
    assert got.peak.tolist() == [0.9, 0.95]
    assert got.hovering.tolist() == [1.0, 0.0]
    assert got.cycling == pytest.approx([0.0, 0.0])
    assert got.disagreement.tolist() == [0.1, 0.2]
    assert got.kl == 1.5
    assert np.isnan(observed(batch).disagreement).all()
    assert observed([rollout([0.1, 0.7], final=0.4)]).peak.tolist() == [0.7]
    assert observed([]).final.shape == (0,)
    with pytest.raises(InputError, match="need a disagreement for each of 3"):
        observed(batch, disagreement=np.zeros(2))


def test_a_record_can_be_stored() -> None:
    seen = observed([rollout([0.1, 0.7], final=0.9)], disagreement=np.array([0.1]), kl=1.5)
    kept = json.loads(json.dumps(seen.state()))
    again = Observed.from_state(kept)
    for field in fields(Observed):
        assert np.array_equal(getattr(again, field.name), getattr(seen, field.name))
    for broken in ({"kl": 1.0}, {**kept, "more": [1.0]}, {**kept, "final": "much"}):
        with pytest.raises(InputError, match="not a record of an update"):
            Observed.from_state(broken)
