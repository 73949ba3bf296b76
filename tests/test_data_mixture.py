"""Training on several datasets at once: numbers, views, shares, and what never mixes."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import grey, write_dataset
from test_robo_reward_plan import CALM, LENGTH, PERIOD, episodes_of_prefixes, goal, keys, plans

from data.lerobot_dataset import open_dataset
from data.mixture import MixedFrames, Mixture
from data.train import Train
from robo_reward.errors import InputError, RoboRewardError
from robo_reward.goals import Goal
from robo_reward.plan import Known, PairSampler, SamplingConfig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "other", "images", episodes=5)


@pytest.fixture
def mixture(tiny_dataset: Path, other: Path) -> Mixture:
    """Three episodes of both views, then five of the front view alone."""
    return Mixture([open_dataset(tiny_dataset), open_dataset(other, views=("front",))])


def test_episodes_follow_one_another_and_views_are_those_of_any(mixture: Mixture) -> None:
    assert len(mixture) == 8
    assert mixture.views == ("front", "wrist")
    assert [mixture.source(number) for number in range(8)] == [0, 0, 0, 1, 1, 1, 1, 1]
    assert [mixture.inner(number) for number in range(8)] == [0, 1, 2, 0, 1, 2, 3, 4]
    assert mixture.episode(4).views == ("front",)
    assert mixture.episode(4).index == 1
    number, views = next(iter(mixture.frames(5, views=("front",), size=8)))
    assert (number, sorted(views)) == (0, ["front"])


@pytest.mark.parametrize("number", [-1, 8])
def test_an_episode_that_is_not_there_is_refused(mixture: Mixture, number: int) -> None:
    with pytest.raises(InputError, match=re.escape(f"no episode {number}; there are 0 to 7")):
        mixture.source(number)


def test_one_dataset_alone_keeps_its_fingerprint(tiny_dataset: Path, mixture: Mixture) -> None:
    alone = open_dataset(tiny_dataset)
    assert Mixture([alone]).fingerprint == alone.fingerprint
    turned = Mixture(mixture.datasets[::-1])
    assert len({mixture.fingerprint, turned.fingerprint, alone.fingerprint}) == 3


def test_every_dataset_gives_its_share_to_validation(mixture: Mixture) -> None:
    training, validation = mixture.split(0.2, seed=0)
    assert sorted(training + validation) == list(range(8))
    assert [mixture.source(number) for number in validation] == [0, 1]
    assert mixture.split(0.0, seed=0) == (list(range(8)), [])


def test_weights_are_shares_of_datasets_whatever_their_size(mixture: Mixture) -> None:
    assert mixture.chances(()) == [1.0, 1.0]
    assert mixture.chances((3.0, 1.0)) == [1.0, 0.2]


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, -2.0), (1.0, float("nan"))])
def test_unusable_weights_are_refused(mixture: Mixture, weights: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="one number above 0 for each of the 2 datasets"):
        mixture.chances(weights)


def test_frames_come_from_their_own_dataset_and_a_view_that_it_lacks_is_absent(
    mixture: Mixture, tmp_path: Path
) -> None:
    frames = MixedFrames(mixture, tmp_path, size=8, cap_gb=1.0)
    frames.fill()
    assert frames.present(2).tolist() == [True, True]
    assert frames.present(3).tolist() == [True, False]
    both, front = frames.read(2, [4, 7]), frames.read(4, [4])
    assert both.shape == (2, 2, 8, 8, 3)
    assert both[1, 1, 0, 0].tolist() == pytest.approx([grey("wrist", 7, 2)] * 3, abs=2)
    assert front[0, 0, 0, 0].tolist() == pytest.approx([grey("front", 4, 1)] * 3, abs=2)
    assert not np.any(front[0, 1])


def test_a_dataset_is_decoded_once_whatever_it_is_mixed_with(
    mixture: Mixture, tmp_path: Path
) -> None:
    MixedFrames(mixture, tmp_path, size=8, cap_gb=1.0).fill()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/episode_*")}
    turned = Mixture(mixture.datasets[::-1])
    MixedFrames(turned, tmp_path, size=8, cap_gb=1.0).fill()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/episode_*")} == before
    assert len(before) == 8


def test_datasets_may_have_caches_of_their_own(mixture: Mixture, tmp_path: Path) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    frames = MixedFrames(mixture, roots, size=8, cap_gb=1.0)
    frames.fill()
    assert [len(list(root.glob("*/episode_*"))) for root in roots] == [3, 5]
    shared = MixedFrames(mixture, tmp_path / "both", size=8, cap_gb=1.0)
    shared.fill()
    assert all(np.array_equal(frames.read(n, [4]), shared.read(n, [4])) for n in range(8))


def test_training_on_two_datasets_of_other_cameras_makes_one_model(
    train_command: Train, tiny_dataset: Path, other: Path, tmp_path: Path, copy: Path
) -> None:
    from conftest import change_info

    drop_camera(copy)
    change_info(copy, lambda info: info["features"].pop("observation.images.wrist"))
    both = replace(
        train_command, dataset=(str(tiny_dataset), str(copy)), weights=(1.0, 2.0), validation=0.34
    )
    both.run()
    told = json.loads((both.out / "best" / "config.json").read_text())["training"]
    assert told["views"] == ["front", "wrist"]
    assert told["weights"] == [1.0, 2.0]
    assert np.isfinite(told["validation"]["mae"])
    with pytest.raises(RoboRewardError, match="another weights"):
        replace(both, weights=(2.0, 1.0), resume=True).run()


def drop_camera(root: Path) -> None:
    """Remove the wrist camera from a copy of the tiny dataset."""
    from conftest import data_file, rewrite

    rewrite(data_file(root), lambda table: table.drop_columns(["observation.images.wrist"]))


def mixed(goals: dict[int, tuple[Goal, ...]], **changes: Any) -> PairSampler:
    """Return a sampler of two datasets: episodes below 10 have one view, the others both."""
    known = {
        number: Known(
            goals=several,
            usable=np.arange(LENGTH),
            period=PERIOD,
            present=np.array([True, number >= 10]),
            source=int(number >= 10),
            chance=9.0 if number >= 10 else 1.0,
        )
        for number, several in goals.items()
    }
    sizes = {"episodes": 1, "frames": 4, "prefixes": 4, "pairs": 4}
    return PairSampler(known, SamplingConfig(**(sizes | CALM | changes)))


def test_references_never_come_from_another_dataset() -> None:
    same_words = {number: (goal("bin"),) for number in (0, 1, 10, 11)}
    for plan in plans(mixed(same_words, swap=1.0), 30):
        name = keys(plan)
        own = episodes_of_prefixes(plan)[0] >= 10
        shown = {name[number] for number in (*plan.start, *plan.goal)}
        assert {key[0] >= 10 for key in shown if key} == {own}


def test_at_least_one_view_that_the_episode_has_is_shown() -> None:
    for plan in plans(mixed({0: (goal("bin"),)}, drop_views=0.9), 30):
        assert all(visible[0] for visible in plan.visible)


def test_datasets_are_drawn_by_their_chances() -> None:
    four = {number: (goal("bin"),) for number in (0, 1, 10, 11)}
    drawn = [episodes_of_prefixes(plan)[0] >= 10 for plan in plans(mixed(four, prefixes=1), 400)]
    assert np.mean(drawn) == pytest.approx(0.9, abs=0.05)


def test_the_same_goal_in_other_words_is_not_foreign() -> None:
    one = replace(goal("put it in the bin"), instructions=("put it in the bin", "bin it"))
    same = replace(goal("bin it"), instructions=("bin it", "into the bin with it"))
    drawn = mixed({0: (one,), 10: (same,), 11: (goal("press the button"),)})
    assert drawn.foreign == {
        0: ["press the button"],
        10: ["press the button"],
        11: ["bin it", "put it in the bin"],
    }
