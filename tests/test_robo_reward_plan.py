"""Training steps: what is drawn, what is masked, and which targets the pairs get."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from robo_reward.errors import InputError
from robo_reward.goals import Goal
from robo_reward.packing import Key, Plan, pack
from robo_reward.plan import Known, PairSampler, SamplingConfig

LENGTH, PERIOD, FPS = 41, 4, 5.0
RAMP = np.linspace(0.0, 1.0, LENGTH)
SLOW = RAMP / 4
CALM = {
    "other_goal": 0.0,
    "foreign": 0.0,
    "other_picture": 0.0,
    "drop_start": 0.0,
    "drop_goal": 0.0,
    "drop_views": 0.0,
    "unseen": 0.0,
}


def goal(text: str, progress: np.ndarray = RAMP, match: float = 1.0) -> Goal:
    success = (progress >= 1).astype(np.float64)
    return Goal(instructions=(text,), progress=progress, success=success, match=match)


def sampler(
    goals: dict[int, tuple[Goal, ...]],
    usable: dict[int, np.ndarray] | None = None,
    history: int = 0,
    belief: bool = False,
    **changes: Any,
) -> PairSampler:
    """Return a sampler that always draws the recorded goal, all views and both references."""
    frames = dict.fromkeys(goals, np.arange(LENGTH)) | (usable or {})
    sizes = {"episodes": 2, "frames": 10, "prefixes": 4, "pairs": 10}
    config = SamplingConfig(**(sizes | CALM | changes))
    both = np.ones(2, np.bool_)
    known = {
        number: Known(goals=several, usable=frames[number], period=PERIOD, present=both, fps=FPS)
        for number, several in goals.items()
    }
    return PairSampler(known, config, history=history, belief=belief)


def plans(drawn: PairSampler, count: int = 20) -> list[Plan]:
    return [drawn.plan(np.random.default_rng([7, number])) for number in range(count)]


def keys(plan: Plan) -> dict[int, Key | None]:
    return {-1: None} | {number: key for key, number in plan.frames.items()}


def episodes_of_prefixes(plan: Plan) -> list[int]:
    """Return the episode whose pairs each prefix judges."""
    shown = {number: keys(plan)[before] for number, before, _, _ in plan.pairs}
    return [key[0] for _, key in sorted(shown.items()) if key is not None]


TWINS = {0: (goal("bin"),), 1: (goal("bin"),)}
STRANGERS = {0: (goal("bin"),), 1: (goal("button"),)}


def test_a_seed_decides_the_whole_plan() -> None:
    drawn = sampler(TWINS, drop_views=0.5, drop_goal=0.5)
    one, same = (repr(drawn.plan(np.random.default_rng(1))) for _ in range(2))
    assert one == same
    assert repr(sampler(TWINS, drop_views=0.5, drop_goal=0.5).plan(np.random.default_rng(1))) == one
    assert repr(drawn.plan(np.random.default_rng(2))) != one


def test_a_step_has_the_pairs_and_prefixes_that_were_asked_for() -> None:
    plan = plans(sampler(TWINS, episodes=5))[0]
    assert len(plan.instructions) == len(plan.visible) == 20
    assert len(plan.pairs) == len(plan.targets) == 200


def test_targets_are_the_hops_between_the_true_progresses() -> None:
    for plan in plans(sampler(TWINS), 5):
        name = keys(plan)
        for (_, before, after, _), target in zip(plan.pairs, plan.targets, strict=True):
            p, q = (RAMP[(name[number] or (0, 0))[1]] for number in (before, after))
            moved = 0.0 if p == q else (q - p) / (1 - p) if q > p else (q - p) / p
            assert target[:5] == pytest.approx((moved, q, q - 1, float(q >= 1), 1.0))


def test_references_are_the_start_and_one_of_the_last_done_frames() -> None:
    held = np.minimum(RAMP * 2, 1.0)  # done from frame 20 on
    drawn = sampler({0: (goal("bin", held),), 1: (goal("bin", held),)})
    for plan in plans(drawn):
        assert {(keys(plan)[n] or (0, -1))[1] for n in plan.start} == {0}
        assert {(keys(plan)[n] or (0, -1))[1] for n in plan.goal} <= {38, 39, 40}


@pytest.mark.parametrize(("swap", "least", "most"), [(0.75, 0.7, 0.8), (1, 1, 1), (0, 0, 0)])
def test_references_come_from_another_episode_with_that_probability(
    swap: float, least: float, most: float
) -> None:
    foreign = []
    for plan in plans(sampler(TWINS, swap=swap, prefixes=20, pairs=1, frames=2), 40):
        for role in (plan.start, plan.goal):
            shown = [(keys(plan)[number] or (-1, 0))[0] for number in role]
            foreign += [a != b for a, b in zip(shown, episodes_of_prefixes(plan), strict=True)]
    assert len(foreign) == 3200
    assert least <= np.mean(foreign) <= most


def test_the_only_success_of_a_task_may_show_its_own_goal() -> None:
    drawn = sampler({0: (goal("bin"),)}, swap=1.0)
    assert {(keys(plan)[n] or (-1, 0))[0] for plan in plans(drawn) for n in plan.goal} == {0}


def test_a_goal_that_nobody_reached_is_masked_and_untrained() -> None:
    plan = plans(sampler({0: (goal("bin", SLOW, match=float("nan")),)}))[0]
    assert set(plan.goal) == {-1}
    assert np.isnan([target[2] for target in plan.targets]).all()
    assert not np.isnan([target[1] for target in plan.targets]).any()


@pytest.mark.parametrize(("drop", "role", "column"), [("start", "start", 1), ("goal", "goal", 2)])
def test_a_dropped_reference_is_masked_and_its_hop_untrained(
    drop: str, role: str, column: int
) -> None:
    for plan in plans(sampler(TWINS, **{f"drop_{drop}": 1.0}), 3):
        assert set(getattr(plan, role)) == {-1}
        assert np.isnan([target[column] for target in plan.targets]).all()
        assert not np.isnan([target[3 - column] for target in plan.targets]).any()


def test_references_are_dropped_as_often_as_was_asked() -> None:
    some = sampler(TWINS, drop_start=0.3, drop_goal=0.6, prefixes=20, pairs=1, frames=2)
    drawn = plans(some, 30)
    assert np.mean([n == -1 for p in drawn for n in p.start]) == pytest.approx(0.3, abs=0.05)
    assert np.mean([n == -1 for p in drawn for n in p.goal]) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize(("drop", "whole"), [(0.0, 1.0), (0.5, 0.625), (1.0, 0.0)])
def test_views_are_dropped_but_never_all(drop: float, whole: float) -> None:
    """With .5, both views stay where none is dropped (.5) or both survive (.5 · .25)."""
    drawn = sampler(TWINS, drop_views=drop, prefixes=20, pairs=1, frames=2)
    masks = np.array([mask for plan in plans(drawn, 30) for mask in plan.visible])
    assert masks.any(axis=1).all()
    assert masks.all(axis=1).mean() == pytest.approx(whole, abs=0.05 if 0 < drop < 1 else 0)


def test_a_foreign_instruction_trains_only_that_it_does_not_match() -> None:
    still = 0
    for plan in plans(sampler(STRANGERS, foreign=1.0, pairs=40), 5):
        own = episodes_of_prefixes(plan)
        assert plan.instructions == [("button", "bin")[episode] for episode in own]
        for (_, before, after, _), target in zip(plan.pairs, plan.targets, strict=True):
            assert np.isnan(target[1:4]).all()
            assert target[4] == 0.0
            assert target[0] == 0.0 if before == after else np.isnan(target[0])
            still += before == after
    assert still > 20


def test_no_foreign_instruction_where_there_is_but_one_task() -> None:
    assert {text for plan in plans(sampler(TWINS, foreign=1.0)) for text in plan.instructions} == {
        "bin"
    }


TWO_GOALS = {
    0: (goal("bin"), goal("button", SLOW, match=0.0)),
    1: (goal("button"), goal("bin", SLOW, match=0.0)),
}


def test_another_goal_of_the_scene_is_judged_by_its_own_truth() -> None:
    for plan in plans(sampler(TWO_GOALS, other_goal=1.0), 5):
        own = episodes_of_prefixes(plan)
        assert plan.instructions == [("button", "bin")[episode] for episode in own]
        for (_, _, after, _), target in zip(plan.pairs, plan.targets, strict=True):
            q = SLOW[(keys(plan)[after] or (0, 0))[1]]
            assert target[1:5] == pytest.approx((q, q - 1, 0.0, 0.0))


def test_contradicting_pictures_show_another_goal_and_the_words_decide() -> None:
    for plan in plans(sampler(TWO_GOALS, other_picture=1.0), 5):
        shown = [keys(plan)[number] for number in plan.goal]
        for text, picture in zip(plan.instructions, shown, strict=True):
            assert picture is not None
            assert picture[0] == {"bin": 1, "button": 0}[text]  # the one that did the other
        for (_, _, after, _), target in zip(plan.pairs, plan.targets, strict=True):
            q = RAMP[(keys(plan)[after] or (0, 0))[1]]
            assert target[1:3] == pytest.approx((q, q - 1))


def test_withheld_frames_are_never_drawn_not_even_as_reference_or_history() -> None:
    usable = np.setdiff1d(np.arange(LENGTH), np.arange(10, 20))
    drawn = sampler(TWINS, dict.fromkeys(TWINS, usable), history=3)
    seen = {frame for plan in plans(drawn, 30) for _, frame in plan.frames}
    assert seen == set(usable.tolist())


def test_an_episode_whose_start_is_withheld_shows_no_start() -> None:
    late = {0: np.arange(10, LENGTH)}
    shown = {keys(plan)[n] for plan in plans(sampler(TWINS, late)) for n in plan.start}
    assert shown == {(1, 0)}
    alone = sampler({0: TWINS[0]}, late)
    assert {n for plan in plans(alone) for n in plan.start} == {-1}


def test_history_shows_frames_that_the_step_encodes_anyway_and_the_first() -> None:
    """No slot costs an image: each shows a drawn frame of the same episode, or its frame 0."""
    shown = 0
    for plan in plans(sampler(TWINS, history=3, drop_history=0.0), 5):
        name = keys(plan)
        for _, _, after, history in plan.pairs:
            episode, frame = name[after] or (0, 0)
            *lagging, first = (name[n] for n in history)
            assert first == ((episode, 0) if frame > PERIOD else None)
            for lag, key in zip((1, 2), lagging, strict=True):
                if key is not None:
                    assert key[0] == episode
                    assert 0.7 < (frame - key[1]) / ((lag + 1) * PERIOD) < 1.42
                    shown += 1
        assert len(plan.frames) <= 2 * (10 + 1 + 8)  # drawn, the first, references
    assert shown > 50


def test_history_is_now_and_then_forgotten_whole() -> None:
    plan = plans(sampler(TWINS, history=3, drop_history=1.0), 1)[0]
    assert {n for *_, history in plan.pairs for n in history} == {-1}


def test_without_an_episode_there_is_nothing_to_draw() -> None:
    with pytest.raises(InputError, match="no episode to train on"):
        sampler({})


@dataclass
class Pixels:
    """A frame reader whose images tell episode, frame and view; episode 1 lacks view 1."""

    asked: list[Key] = field(default_factory=list)

    def read(self, episode: int, frames: np.ndarray) -> np.ndarray:
        self.asked += [(episode, int(frame)) for frame in frames]
        images = np.zeros((len(frames), 2, 4, 4, 3), np.uint8)
        images[..., 0] = episode
        images[..., 1] = np.asarray(frames)[:, None, None, None]
        images[:, 1, ..., 2] = 1
        return images

    def present(self, episode: int) -> np.ndarray:
        return np.array([True, episode != 1])


def test_packing_reads_and_holds_each_frame_once_however_many_pairs_show_it() -> None:
    plan, reader = plans(sampler(TWINS))[0], Pixels()
    batch = pack(plan, reader, ("front", "wrist"))
    assert sorted(reader.asked) == sorted(plan.frames)
    whole = sum(1 if episode == 1 else 2 for episode, _ in plan.frames)
    assert len(batch.images) == whole
    assert len({image.tobytes() for image in batch.images}) == whole
    assert len(batch) == 80
    assert batch.history.shape == (80, 0)


def test_packed_frames_show_their_own_images_in_the_order_of_the_views() -> None:
    plan = plans(sampler(TWINS))[0]
    batch = pack(plan, Pixels(), ("front", "wrist"))
    for (episode, frame), number in plan.frames.items():
        for view, image in enumerate(batch.frames[number]):
            if (episode, view) == (1, 1):
                assert image == -1
            else:
                assert batch.images[image, 0, 0].tolist() == [episode, frame, view]
                assert batch.jitter[image] == 2 * episode + view
    assert batch.before.tolist() == [before for _, before, _, _ in plan.pairs]
    assert batch.hop_goal == pytest.approx([target[2] for target in plan.targets])


def test_seconds_are_told_to_pairs_of_successes_alone() -> None:
    drawn = sampler({0: (goal("bin"),), 1: (goal("bin", SLOW, match=1.0),)})
    for plan in plans(drawn, 3):
        for (_, _, after, _), target in zip(plan.pairs, plan.targets, strict=True):
            episode, frame = keys(plan)[after] or (-1, 0)
            left = (int(np.argmax(RAMP >= 1)) - frame) / FPS if episode == 0 else np.nan
            assert target[5] == pytest.approx(max(left, 0.0) if episode == 0 else left, nan_ok=True)
