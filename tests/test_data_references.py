"""Where the pictures of start and goal come from."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import grey, write_dataset

from data.episodes import Views
from data.lerobot_dataset import LeRobotEpisodes, open_dataset
from data.references import ReferenceFinder, read_directory
from robo_reward.errors import InputError


@pytest.fixture
def dataset(tiny_dataset: Path) -> LeRobotEpisodes:
    return open_dataset(tiny_dataset)


def greys(views: Views) -> dict[str, int]:
    return {name: int(image[0, 0, 0]) for name, image in views.items()}


def shown(episode: int, number: int) -> dict[str, int]:
    return {view: grey(view, number, episode) for view in ("front", "wrist")}


@pytest.mark.parametrize(("index", "other"), [(0, 2), (1, 0), (2, 0)])
def test_auto_shows_the_ends_of_the_first_other_success(
    dataset: LeRobotEpisodes, index: int, other: int
) -> None:
    found = ReferenceFinder(dataset, "auto", size=16).find(index)
    assert found.source == f"episode {other}"
    assert greys(found.references.start) == shown(other, 0)
    assert greys(found.references.goal) == shown(other, 11)
    assert {image.shape for image in found.references.goal.values()} == {(16, 16, 3)}


def test_auto_without_another_success_masks_the_goal_and_says_so(tmp_path: Path) -> None:
    alone = open_dataset(write_dataset(tmp_path / "alone", "images", episodes=2))
    found = ReferenceFinder(alone, "auto").find(0)
    assert found.source == "own first frame, no goal"
    assert greys(found.references.start) == shown(0, 0)
    assert found.references.goal == {}


def test_none_shows_the_own_start_and_no_goal(dataset: LeRobotEpisodes) -> None:
    finder = ReferenceFinder(dataset, "none")
    found = finder.find(2)
    assert greys(found.references.start) == shown(2, 0)
    assert found.references.goal == {}
    assert not finder.looks_ahead


def test_a_number_is_an_episode_for_all_but_itself(dataset: LeRobotEpisodes) -> None:
    """Its own end would look ahead, and the labels say that they do not."""
    finder = ReferenceFinder(dataset, "01")
    own = "own first frame, no goal"
    assert [finder.find(index).source for index in range(3)] == ["episode 1", own, "episode 1"]
    assert greys(finder.find(0).references.goal) == shown(1, 11)
    assert finder.find(1).references.goal == {}
    assert greys(finder.find(1).references.start) == shown(1, 0)


def test_pictures_of_other_episodes_are_kept_and_own_ends_are_not(
    dataset: LeRobotEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    plain = LeRobotEpisodes.frames

    def counted(self: LeRobotEpisodes, index: int, **options: Any) -> Any:
        read.append(index)
        return plain(self, index, **options)

    monkeypatch.setattr(LeRobotEpisodes, "frames", counted)
    other = ReferenceFinder(dataset, "auto")
    assert other.find(1).references is other.find(1).references
    own = ReferenceFinder(dataset, "own-last-frame")
    assert own.find(1).references is not own.find(1).references
    assert read == [0, 1, 1]


def test_own_last_frame_is_said_to_look_ahead(dataset: LeRobotEpisodes) -> None:
    finder = ReferenceFinder(dataset, "own-last-frame")
    found = finder.find(1)
    assert finder.looks_ahead
    assert found.source == "own-last-frame (non-causal)"
    assert greys(found.references.goal) == shown(1, 11)


def test_a_directory_holds_a_png_for_each_view(dataset: LeRobotEpisodes, tmp_path: Path) -> None:
    red_last = np.full((6, 6, 3), (30, 20, 10), np.uint8)
    for role, view in (("start", "front"), ("goal", "front"), ("goal", "wrist")):
        (tmp_path / role).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / role / f"{view}.png"), red_last)
    found = ReferenceFinder(dataset, str(tmp_path)).find(0)
    assert found.source == f"directory {tmp_path}"
    assert sorted(found.references.start) == ["front"]
    assert sorted(found.references.goal) == ["front", "wrist"]
    assert found.references.goal["wrist"][0, 0].tolist() == [10, 20, 30]


def test_a_picture_of_a_view_that_is_not_there_is_refused(
    dataset: LeRobotEpisodes, tmp_path: Path
) -> None:
    (tmp_path / "goal").mkdir()
    for name in ("fornt", "wrist"):
        cv2.imwrite(str(tmp_path / f"goal/{name}.png"), np.zeros((4, 4, 3), np.uint8))
    words = r"shows fornt, but the views looked at are front, wrist; name each picture"
    with pytest.raises(InputError, match=words):
        ReferenceFinder(dataset, str(tmp_path))


def test_what_is_not_there_is_refused(dataset: LeRobotEpisodes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--reference 3: .* has episodes 0 to 2"):
        ReferenceFinder(dataset, "3")
    with pytest.raises(InputError, match=r"--reference nowhere: no start/<view>\.png"):
        ReferenceFinder(dataset, "nowhere")
    (tmp_path / "goal").mkdir()
    (tmp_path / "goal/front.png").write_text("no picture")
    with pytest.raises(InputError, match=r"front\.png holds no readable image"):
        read_directory(tmp_path)
