"""What a model is told of its own earlier verdicts: drawn in training, told in use."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from test_robo_reward_plan import PERIOD, goal, keys, plans, sampler
from test_robo_reward_tracker import READING

from robo_reward.batch import PairBatch
from robo_reward.belief import SPREAD, UNKNOWN, WRONG, drawn_belief
from robo_reward.bins import expectation, spread
from robo_reward.checkpoint import ModelConfig, build, load, save
from robo_reward.model import Model, ModelSettings
from robo_reward.network import ProgressNetwork
from robo_reward.testing import check_progress_model
from robo_reward.tracker import Tracker, TrackerSettings

RAMP = np.linspace(0.0, 1.0, 101)
TEXT = "put the cube in the bin"
BELIEVING = replace(tiny.SHAPE, belief=True)


def draws(progress: np.ndarray, after: int, period: int = 10, count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([drawn_belief(progress, after, period, rng) for _ in range(count)])


def test_what_is_believed_is_the_truth_one_query_before_for_the_most_part() -> None:
    rise_and_fall = np.concatenate([RAMP, RAMP[::-1]])
    drawn = draws(rise_and_fall, after=160)  # before: .51 at 150, the largest 1.0 at 100
    assert drawn.min() >= 0.0
    assert drawn.max() <= 1.0
    assert (drawn[:, 0] <= drawn[:, 1]).all()
    assert np.median(drawn[:, 0]) == pytest.approx(0.5, abs=0.05)
    assert np.median(drawn[:, 1]) > 0.9


def test_some_beliefs_are_wrong_and_some_are_of_the_recording_backwards() -> None:
    drawn = draws(np.where(np.arange(101) < 50, 0.0, 1.0), after=45)
    fair = (drawn[:, 1] < 4 * SPREAD).mean()
    backwards = (drawn[:, 0] > 1 - 4 * SPREAD).mean()
    assert 0.6 < fair < 0.85
    assert 0.1 < backwards < 0.15 + WRONG


def test_at_the_first_query_and_without_truth_nothing_is_believed() -> None:
    assert all(math.isnan(x) for x in UNKNOWN)
    forward = draws(RAMP, after=5)
    assert np.isnan(forward[:, 0]).mean() > 0.7, "but for recordings played backwards"
    assert np.isnan(draws(np.full(101, np.nan), after=50)).all()


def test_a_model_without_belief_is_told_nothing_and_replays_nothing() -> None:
    twins = {0: (goal("a"),), 1: (goal("b"),)}
    plain = plans(sampler(twins, unseen=0.0), 3)
    for plan in plain:
        assert np.isnan(plan.beliefs).all()
        assert not any(plan.replays)
        assert set(plan.own) == {-1}
    told = plans(sampler(twins, belief=True, drop_belief=0.0, unseen=0.0), 3)
    assert not np.isnan([plan.beliefs for plan in told]).all()


def test_a_foreign_instruction_is_not_given_away_by_what_is_believed() -> None:
    twins = {0: (goal("a"),), 1: (goal("b"),)}
    drawn = sampler(twins, belief=True, drop_belief=0.0, foreign=1.0, unseen=0.0)
    known = ~np.isnan(np.concatenate([plan.beliefs for plan in plans(drawn)]))
    assert known.mean() > 0.8


def test_a_pair_is_told_the_networks_own_verdict_on_the_frame_one_query_before() -> None:
    drawn = sampler({0: (goal("a"),), 1: (goal("a"),)}, belief=True, own_belief=1.0, unseen=0.0)
    told = 0
    for plan in plans(drawn, 5):
        named = keys(plan)
        for (prefix, _, after, _), step in zip(plan.pairs, plan.own, strict=True):
            replay = [named[number] for number in plan.replays[prefix]]
            episode, frame = named[after] or (-1, -1)
            if step >= 0:
                assert replay[step] == (episode, frame - PERIOD)
                told += 1
            else:
                assert (episode, frame - PERIOD) not in replay
    assert told > 50


def network(seed: int = 0) -> ProgressNetwork:
    """A network that does listen: where it starts, the way in is closed."""
    torch.manual_seed(seed)
    made = build(BELIEVING).eval()
    assert made.believe is not None
    torch.nn.init.normal_(made.believe[2].weight, std=1.0)
    with torch.no_grad():
        for head in made.hop_heads:
            head.weight.mul_(30.0)  # and that is sure of what it says
    return made


def model(**settings: object) -> Model:
    chosen = ModelSettings(image_size=tiny.SIZE, belief=True, **settings)  # type: ignore[arg-type]
    return Model(network(), chosen, fingerprint="tiny")


def hops(made: ProgressNetwork, belief: list[list[float]]) -> torch.Tensor:
    whole = tiny.batch()
    told = np.array((belief * len(whole))[: len(whole)], np.float32)
    return tiny.forward(made, replace(whole, belief=told)).hops


def test_what_is_not_known_is_not_told_whatever_stands_in_its_place() -> None:
    made, unknown = network(), [math.nan, math.nan]
    deaf = network()
    deaf.believe = None
    assert torch.equal(hops(made, [unknown]), hops(deaf, [[0.3, 0.4]]))
    assert torch.equal(hops(made, [unknown]), hops(made, [[0.5, math.nan]]))
    assert not torch.allclose(hops(made, [unknown]), hops(made, [[0.5, 0.5]]), atol=1e-3)
    mixed, known = hops(made, [unknown, [0.2, 0.9]]), hops(made, [[0.2, 0.9]])
    assert torch.allclose(mixed[1::2], known[1::2], atol=1e-6)


def test_a_network_begins_as_one_that_is_told_nothing() -> None:
    torch.manual_seed(0)
    made = build(BELIEVING).eval()
    assert torch.equal(hops(made, [[0.1, 0.2]]), hops(made, [[0.8, 0.9]]))


def test_the_replay_is_what_a_session_would_say() -> None:
    """Frames 0 to 4 in order under each prefix, against queries asked one by one."""
    made, whole = network(), tiny.batch(pairs=3)
    order = np.tile(np.arange(5), (3, 1))
    first = np.array([[0.2, 0.3], [math.nan] * 2, [0.6, 0.6]], np.float32)
    own = {"own": np.array([4, 4, 4]), "prefix": np.arange(3)}
    got = tiny.forward(made, replace(whole, replay=order, replay_belief=first, **own))
    belief = first
    for step in range(5):
        pairs = {"before": np.full(3, max(step - 1, 0)), "after": np.full(3, step)}
        said = tiny.forward(made, replace(whole, belief=belief, prefix=np.arange(3), **pairs))
        belief = np.array([_believed(whole, said.hops, row, belief[row]) for row in range(3)])
    expected = tiny.forward(made, replace(whole, belief=belief, prefix=np.arange(3)))
    assert torch.allclose(got.hops, expected.hops, atol=1e-5)


def _believed(
    whole: PairBatch, hops: torch.Tensor, row: int, before: np.ndarray
) -> tuple[float, float]:
    """Return what a tracker that believed ``before`` makes of an answer."""
    values, spreads = expectation(hops[row]).tolist(), spread(hops[row]).tolist()
    start, goal = (
        0.0 if number >= 0 else math.nan for number in (whole.start[row], whole.goal[row])
    )
    reading = replace(
        READING,
        hop_start=values[1] + start,
        hop_goal=values[2] + goal,
        spread_start=spreads[1] + start,
        spread_goal=spreads[2] + goal,
    )
    tracker = Tracker(TrackerSettings())
    tracker.update(reading)
    last, _ = tracker.belief
    return tuple(before) if math.isnan(last) else (last, float(np.fmax(before[1], last)))


def test_no_gradient_flows_through_what_the_network_said_itself() -> None:
    made, whole = network(), tiny.batch(pairs=3)
    told = replace(whole, replay=np.tile(np.arange(5), (3, 1)), own=np.array([4, 4, 4]))
    fixed = replace(whole, belief=_own_beliefs(made, told))
    grads = []
    for given in (told, fixed):
        made.zero_grad()
        made(given, torch.from_numpy(given.images)).hops.square().sum().backward()
        grads.append(made.backbone.slots.grad.clone())
    assert torch.allclose(grads[0], grads[1], rtol=1e-4, atol=1e-4)


def _own_beliefs(made: ProgressNetwork, told: PairBatch) -> np.ndarray:
    heard: list[torch.Tensor] = []
    assert made.believe is not None
    hook = made.believe.register_forward_pre_hook(lambda _, given: heard.append(given[0]))
    tiny.forward(made, told)
    hook.remove()
    scaled, known = heard[-1][:, :2], heard[-1][:, 2:]
    return torch.where(known > 0, (scaled + 1.0) / 2.0, torch.nan).numpy()


def test_a_model_that_believes_keeps_its_promises() -> None:
    made = model()
    check_progress_model(made, tiny.episode(6), tiny.references(), query_period_s=0.4)


def test_labels_are_the_verdicts_of_a_session_and_causal() -> None:
    frames, made = tiny.episode(12), model()
    whole = made.label(frames, TEXT, tiny.references(), fps=2.5)
    session = model().begin(TEXT, tiny.references())
    told = [model().score(session, views, 0.4 * i).progress for i, views in enumerate(frames)]
    assert whole.progress == pytest.approx(np.array(told), abs=1e-6)
    cut = made.label(frames[:7], TEXT, tiny.references(), fps=2.5)
    assert cut.progress == pytest.approx(whole.progress[:7], abs=1e-6)


def test_what_was_judged_reaches_the_next_query() -> None:
    """The same two frames after another past are judged otherwise."""
    given = tiny.episode(6)
    start = replace(tiny.references(), goal={})

    def moved(made: Model) -> float:
        one = made.label(given, TEXT, start, fps=2.5)
        two = made.label([given[5], given[3], *given[4:]], TEXT, start, fps=2.5)
        return float(abs(one.features[5, 3] - two.features[3, 3]))

    assert moved(model()) > 1e-4
    assert moved(tiny.model()) < 1e-6


def test_the_tracker_believes_its_anchors_not_the_slower_fusion() -> None:
    tracker = Tracker(TrackerSettings())
    assert all(math.isnan(x) for x in tracker.belief)
    tracker.update(replace(READING, hop_start=0.2, hop_goal=-0.8))
    tracker.update(replace(READING, hop_start=0.9, hop_goal=-0.1))
    assert tracker.belief == pytest.approx((0.9, 0.9))
    tracker.update(replace(READING, hop_start=0.4, hop_goal=math.nan))
    assert tracker.belief == pytest.approx((0.4, 0.9))
    silent = dict.fromkeys(("hop_previous", "hop_start", "hop_goal"), math.nan)
    tracker.update(replace(READING, **silent))
    assert tracker.belief == pytest.approx((0.4, 0.9)), "nothing was said: nothing changes"
    blank = {"hop_start": 0.0, "hop_goal": 0.0, "spread_start": 0.58, "spread_goal": 0.58}
    for lacks in ({}, {"hop_start": math.nan, "spread_start": math.nan}):
        tracker.update(replace(READING, **blank | lacks))
        assert tracker.belief == pytest.approx((0.4, 0.9)), "nor is what shows nothing believed"


def test_a_checkpoint_remembers_that_its_model_believes(tmp_path: Path) -> None:
    made = model()
    config = ModelConfig(backbone=BELIEVING, settings=made.settings)
    save(tmp_path / "m", made.network, config)
    again = load(tmp_path / "m", device="cpu")
    assert again.settings.belief
    given = (tiny.episode(6), TEXT, tiny.references())
    assert np.array_equal(
        again.label(*given, fps=2.5).progress, made.label(*given, fps=2.5).progress
    )
