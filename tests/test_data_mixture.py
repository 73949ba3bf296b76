"""Training on several datasets at once: numbers, views, shares, and what never mixes."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import grey, write_dataset

from data.lerobot_dataset import open_dataset
from data.mixture import MixedFrames, Mixture
from data.train import Train
from robo_reward.errors import InputError, RoboRewardError

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
