"""One pass over many pairs says what each pair on its own would be told."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from robo_reward.fake_backbone import FakeBackbone
from robo_reward.network import ProgressNetwork, gather
from robo_reward.testing import HARD_TEXTS


@pytest.fixture(scope="module", params=[0, 2])
def history(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_shapes_of_the_readout(history: int) -> None:
    readout = tiny.forward(tiny.network(history=history), tiny.batch(history=history))
    assert readout.hops.shape == (10, 3, 51)
    assert readout.success.shape == readout.match.shape == (10,)


def test_shared_encoding_reads_as_each_pair_on_its_own(history: int) -> None:
    network, whole = tiny.network(history=history), tiny.batch(history=history)
    together = tiny.forward(network, whole)
    for i in range(len(whole)):
        number = int(whole.prefix[i])
        row = slice(number, number + 1)
        alone = replace(
            tiny.part(whole, [i]),
            instructions=whole.instructions[row],
            start=whole.start[row],
            goal=whole.goal[row],
            visible=whole.visible[row],
            replay=whole.replay[row],
            replay_belief=whole.replay_belief[row],
            prefix=np.zeros(1, np.int64),
        )
        got = tiny.forward(network, alone)
        for name in ("hops", "success", "match"):
            expected = getattr(together, name)[i : i + 1]
            assert torch.allclose(getattr(got, name), expected, atol=1e-5), name


def test_packing_does_not_matter_in_bfloat16() -> None:
    network, whole = tiny.network().bfloat16(), tiny.batch()
    together = tiny.forward(network, whole)
    for chosen in ([3], [0, 5, 9]):
        got = tiny.forward(network, tiny.part(whole, chosen))
        rows = replace(
            together,
            hops=together.hops[chosen],
            success=together.success[chosen],
            match=together.match[chosen],
        )
        assert tiny.gap(got, rows) <= 5e-3


def test_the_order_of_images_and_frames_does_not_matter() -> None:
    network, whole = tiny.network(), tiny.batch()
    order = np.random.default_rng(1).permutation(18)
    place = np.argsort(order)
    moved = replace(
        whole,
        images=whole.images[order],
        jitter=whole.jitter[order],
        frames=np.where(whole.frames >= 0, place[whole.frames], -1),
    )
    assert tiny.gap(tiny.forward(network, moved), tiny.forward(network, whole)) <= 1e-5


def test_a_view_that_may_not_be_looked_at_is_as_if_it_were_not_there() -> None:
    network, whole = tiny.network(), tiny.batch()
    hidden = replace(whole, visible=whole.visible & np.array([True, False, True]))
    absent = replace(hidden, frames=np.where([True, False, True], whole.frames, -1))
    without = replace(
        whole, views=("front", "wrist"), frames=whole.frames[:, ::2], visible=whole.visible[:, ::2]
    )
    expected = tiny.forward(network, hidden)
    assert tiny.gap(tiny.forward(network, absent), expected) <= 1e-5
    assert tiny.gap(tiny.forward(network, without), expected) <= 1e-5


def test_a_missing_view_is_not_a_copy_of_another() -> None:
    network, whole = tiny.network(), tiny.batch()
    missing = replace(whole, frames=np.where([True, True, False], whole.frames, -1))
    copied = replace(whole, frames=whole.frames[:, [0, 1, 1]])
    gap = tiny.gap(tiny.forward(network, missing), tiny.forward(network, copied))
    assert gap > 1e-3


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_no_instruction_reaches_the_pairs_of_another(text: str) -> None:
    network, whole = tiny.network(), tiny.batch()
    other = replace(whole, instructions=(text, *whole.instructions[1:]))
    one, two = tiny.forward(network, whole), tiny.forward(network, other)
    away = whole.prefix != 0
    assert bool(two.hops.isfinite().all())
    for name in ("hops", "success", "match"):
        assert torch.allclose(getattr(one, name)[away], getattr(two, name)[away], atol=1e-5)


def test_the_instruction_and_the_references_are_read() -> None:
    network, whole = tiny.network(), tiny.batch()
    expected = tiny.forward(network, whole)
    for changed in (
        replace(whole, instructions=("wave", *whole.instructions[1:])),
        replace(whole, start=np.array([2, 1, -1])),
        replace(whole, goal=np.array([2, -1, 4])),
        replace(whole, goal=np.array([-1, -1, 4])),
    ):
        assert tiny.gap(tiny.forward(network, changed), expected) > 1e-4


def test_the_head_trains_through_any_backbone() -> None:
    network = ProgressNetwork(FakeBackbone(), 8)
    given = tiny.batch()
    readout = network(given, torch.from_numpy(given.images))
    readout.hops.logsumexp(-1).sum().backward()
    assert network.backbone.pixels.grad.abs().max() > 0


def test_gather_marks_what_is_not_there() -> None:
    tokens = torch.arange(4.0).view(4, 1, 1)  # three images and the blank
    frames = np.array([[0, 1], [2, -1]])
    visible = np.array([[True, True], [False, True]])
    panel = gather(tokens, frames, np.array([[0, -1], [1, 0]]), visible)
    there = [[[True, True], [False, False]], [[False, False], [False, True]]]
    assert panel.there.tolist() == there
    assert panel.tokens[..., 0, 0].tolist() == [[[0, 1], [3, 3]], [[3, 3], [3, 1]]]
