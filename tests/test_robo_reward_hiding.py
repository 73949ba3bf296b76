"""Frames that show nothing: what they look like, and what pairs of them teach."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from test_robo_reward_plan import Pixels, goal, keys, plans, sampler

from robo_reward.bins import BINS, expectation
from robo_reward.hiding import KINDS
from robo_reward.losses import known_targets, loss_terms
from robo_reward.network import Readout
from robo_reward.packing import NOTHING, pack
from robo_reward.progress import Anchors, fuse_step
from robo_reward.unseen import unseen

TWINS = {0: (goal("bin"),), 1: (goal("bin"),)}


def test_what_shows_nothing_is_black_or_even_or_noise_in_every_view() -> None:
    rng = np.random.default_rng(0)
    kinds = {"black": 0, "even": 0, "noise": 0}
    for _ in range(300):
        images = unseen(3, 20, rng)
        assert images.shape == (3, 20, 20, 3)
        assert images.dtype == np.uint8
        even = np.ptp(images.astype(int), axis=(1, 2)).max() == 0
        kinds["black" if not images.any() else "even" if even else "noise"] += 1
    assert min(kinds.values()) > 70


def test_about_the_share_that_was_asked_for_is_hidden_and_the_same_every_time() -> None:
    drawn = sampler(TWINS, unseen=0.2)
    some = plans(drawn, 10)
    hidden = sum(len(plan.untold) for plan in some) / sum(len(plan.pairs) for plan in some)
    assert hidden == pytest.approx(0.2, abs=0.05)
    assert [plan.pairs for plan in some] == [plan.pairs for plan in plans(drawn, 10)]
    assert not any(plan.untold for plan in plans(sampler(TWINS, unseen=0.0), 5))


def test_without_after_nothing_can_be_told_and_without_before_only_what_was_between() -> None:
    both = set()
    plain, some = (plans(sampler(TWINS, unseen=share), 10) for share in (0.0, 0.3))
    for plan, before_it in zip(some, plain, strict=True):
        named = keys(plan)
        for pair, untold in plan.untold.items():
            _, before, after, _ = plan.pairs[pair]
            shown = [(named[number] or (0, 0))[0] != NOTHING for number in (before, after)]
            assert shown.count(False) == 1
            both.add(untold)
            was, told = before_it.targets[pair], plan.targets[pair]
            if shown[0]:
                assert untold == (True, True, True)
                assert told[3] == 0.0, "the task is not seen to be done"
                assert math.isnan(told[4])
            else:
                assert untold == (True, False, False)
                assert told[1:] == pytest.approx(was[1:], nan_ok=True)
    assert len(both) == 2


def test_packed_frames_that_show_nothing_have_every_view() -> None:
    some = plans(sampler(TWINS, unseen=0.5), 6)
    packed = [pack(plan, Pixels(), ("front", "wrist")) for plan in some]
    plan, batch = some[0], packed[0]
    assert batch.untold.sum(axis=1).tolist() == [
        sum(plan.untold.get(pair, ())) for pair in range(len(plan.pairs))
    ]
    blanks = [number for (episode, _), number in plan.frames.items() if episode == NOTHING]
    assert blanks
    assert (batch.frames[blanks] >= 0).all()
    assert len(blanks) <= KINDS
    assert any((one.images == 0).all(axis=(1, 2, 3)).any() for one in packed), "some are black"
    again = pack(plan, Pixels(), ("front", "wrist"))
    assert np.array_equal(batch.images, again.images)


def test_an_even_answer_costs_least_where_nothing_can_be_told() -> None:
    row = tiny.part(tiny.batch(), [0])
    row = replace(row, untold=np.ones((1, 3), np.bool_))
    even = Readout(torch.zeros(1, 3, BINS), torch.zeros(1), torch.zeros(1))
    sure = replace(even, hops=torch.nn.functional.one_hot(torch.full((1, 3), 40), BINS) * 9.0)
    least, more = (float(loss_terms(said, row)["bins"]) for said in (even, sure))
    assert least == pytest.approx(math.log(BINS))
    assert more > least + 1.0
    assert float(loss_terms(even, row)["value"]) == pytest.approx(0.0, abs=1e-6)
    assert known_targets(row, ["bins"]) == [3.0]


def test_fusion_keeps_what_it_had_when_the_answers_are_even() -> None:
    hop = float(expectation(torch.zeros(1, BINS))[0])
    spread = math.sqrt(sum(((i - 25) / 25) ** 2 for i in range(BINS)) / BINS)
    for before in (0.05, 0.5, 0.95):
        two = Anchors(forward=hop, backward=1.0 + hop, hop_previous=hop)
        one = replace(two, backward=math.nan, spread_forward=spread)
        for now in (two, one):
            assert fuse_step(before, now)[0] == pytest.approx(before, abs=0.01)
