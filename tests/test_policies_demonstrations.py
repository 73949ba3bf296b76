"""What is cloned: which episodes, which frames, and which actions count."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import change_info
from demos import DONE, FEATURES, LENGTH, VIEWS, write_demos

from data.lerobot_dataset import open_dataset
from policies.demonstrations import Choice, Demonstrations, choose, last_frame
from robo_reward.episodes import Episode
from robo_reward.errors import DatasetError, InputError


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Episodes 0, 1 and 3 succeed. Do not change it."""
    return write_demos(tmp_path_factory.mktemp("demos") / "turning")


def shown(*roots: Path, chunk: int = 4, **choice: Any) -> Demonstrations:
    return Demonstrations([open_dataset(root) for root in roots], Choice(**choice), chunk=chunk)


def episode(outcome: bool | None, behaviour: str | None = None, **more: Any) -> Episode:
    return Episode(
        index=0,
        length=5,
        fps=10.0,
        views=("front",),
        instructions=("go",),
        outcome=outcome,
        behaviour=behaviour,
        **more,
    )


def test_successes_are_cloned_up_to_where_they_stay_done(demos: Path) -> None:
    found = shown(demos)
    assert found.chosen == [0, 1, 3]
    assert found.left_out == {"failed": 1}
    assert found.rows.tolist() == [[e, t] for e in (0, 1, 3) for t in range(DONE + 1)]
    assert found.views == VIEWS
    assert (found.names("action"), found.names("observation.state")) == (("dx", "dy"), ("x", "y"))


def test_failures_come_whole_when_they_are_asked_for_but_for_the_row_after_the_end(
    demos: Path,
) -> None:
    found = shown(demos, failures=True)
    mine = found.rows[found.rows[:, 0] == 2, 1]
    assert mine.tolist() == list(range(LENGTH - 1))
    assert not found.left_out


def test_a_chunk_is_what_was_done_next_and_only_what_was_done_counts(demos: Path) -> None:
    actions, known = shown(demos).chunks(np.array([[1, 2], [3, DONE]]))
    assert np.allclose(actions[0], [[-0.1, -0.2], [-0.1, -0.3], [-0.1, -0.4], [-0.1, -0.5]])
    assert known.tolist() == [[True] * 4, [True, True, False, False]]
    assert np.allclose(actions[1], [[-0.3, -0.7], [-0.3, -0.8], [-0.3, -0.8], [-0.3, -0.8]])


def test_moments_are_those_of_the_statistics_and_several_datasets_are_pooled(
    demos: Path, tmp_path: Path
) -> None:
    other = write_demos(tmp_path / "other", (True,))
    whole = np.concatenate(
        [
            open_dataset(root).columns(n, ["action"])["action"]
            for root, count in ((demos, 4), (other, 1))
            for n in range(count)
        ]
    )
    mean, std = shown(demos, other).moments("action")
    assert mean == pytest.approx(whole.mean(axis=0), abs=1e-6)
    assert std == pytest.approx(whole.std(axis=0), abs=1e-6)


def test_a_robot_that_feels_nothing_has_an_empty_state(tmp_path: Path) -> None:
    blind = {name: f for name, f in FEATURES.items() if name != "observation.state"}
    found = shown(write_demos(tmp_path / "blind", features=blind))
    assert found.states[0].shape == (LENGTH, 0)
    assert [part.shape for part in found.moments("observation.state")] == [(0,), (0,)]


def test_who_is_chosen_among_many_is_drawn_by_the_seed_and_fewer_are_among_more() -> None:
    many = [episode(True)] * 20
    few = choose(many, Choice(episodes=3, seed=1))
    assert few == choose(many, Choice(episodes=3, seed=1))
    assert few[1] == {"beyond --episodes": 17}
    assert few[0] != choose(many, Choice(episodes=3, seed=2))[0]
    assert set(few[0]) < set(choose(many, Choice(episodes=9, seed=1))[0])


def test_an_episode_that_does_not_say_how_it_ended_is_taken() -> None:
    assert choose([episode(None), episode(False), episode(True)], Choice())[0] == [0, 2]


def test_behaviours_are_chosen_by_name() -> None:
    mixed = [episode(True, "expert"), episode(True, "detour"), episode(False, "expert")]
    kept, left_out = choose(mixed, Choice(behaviours=("expert",)))
    assert kept == [0]
    assert left_out == {"of other behaviours": 1, "failed": 1}
    with pytest.raises(InputError, match=r"--behaviour dance does not occur .*detour, expert"):
        choose(mixed, Choice(behaviours=("dance",)))
    with pytest.raises(InputError, match="there are: none is recorded"):
        choose([episode(True)], Choice(behaviours=("expert",)))


def test_too_few_demonstrations_are_told_with_what_was_left_out() -> None:
    told = r"3 demonstrations were asked for and there are 1 of 2 episodes \(1 failed left out\)"
    with pytest.raises(InputError, match=told):
        choose([episode(True), episode(False)], Choice(episodes=3))
    with pytest.raises(InputError, match=r"no demonstrations .* there are 0"):
        choose([episode(False)], Choice())


@pytest.mark.parametrize(
    ("success", "last"),
    [
        ([0, 0, 1, 1, 1], 2),
        ([0, 1, 0, 1, 1], 3),  # done, undone, done again
        ([1, 1, 1, 1, 1], 0),
        ([0, 1, 1, 1, 0], 4),  # undone at the end
        (None, 4),
    ],
)
def test_the_last_frame_is_the_one_from_which_it_stays_done(
    success: list[int] | None, last: int
) -> None:
    told = None if success is None else np.array(success, np.bool_)
    assert last_frame(episode(True, success=told)) == last


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"robot": "so101"}, "differs from .* in its robot: so101, not panda"),
        ({"views": ("front",)}, "in its cameras: "),
    ],
)
def test_datasets_of_different_robots_do_not_go_together(
    demos: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    other = write_demos(tmp_path / "other", **changes)
    with pytest.raises(DatasetError, match=told):
        shown(demos, other)


def test_a_dataset_without_actions_or_statistics_is_refused(tmp_path: Path) -> None:
    root = write_demos(tmp_path / "damaged")
    path = root / "meta/stats.json"
    told = json.loads(path.read_text())
    told["action"]["std"] = [1.0, float("nan")]
    path.write_text(json.dumps(told))
    with pytest.raises(DatasetError, match="those of action are not finite"):
        shown(root).moments("action")
    path.unlink()
    with pytest.raises(DatasetError, match="no mean and std of action; write it anew"):
        shown(root).moments("action")
    change_info(root, lambda info: info["features"].pop("action"))
    with pytest.raises(DatasetError, match="has no column action"):
        shown(root)


def test_images_are_as_large_as_they_were_stored(demos: Path, tmp_path: Path) -> None:
    assert shown(demos).image_sizes() == dict.fromkeys(VIEWS, (16, 16))
    turned = write_demos(tmp_path / "turned")

    def channels_first(info: dict[str, Any]) -> None:
        feature = info["features"]["observation.images.front"]
        feature |= {"shape": [3, 20, 30], "names": ["channels", "height", "width"]}

    change_info(turned, channels_first)
    assert open_dataset(turned).image_sizes() == {"front": (20, 30), "wrist": (16, 16)}
