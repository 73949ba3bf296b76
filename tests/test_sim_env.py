"""The environment: Gymnasium's contract, seeds, and what it reports."""

import pickle
from collections.abc import Callable, Iterator

import gymnasium as gym
import numpy as np
import pytest

from robo_reward.errors import InputError
from sim import IDS
from sim.env import FPS, TabletopEnv
from sim.experts import Expert
from sim.scene import CAMERAS, World
from sim.seeding import generators
from sim.tasks.pick_to_bin import COLOURS
from sim.variety import ALL, Variation

STILL = np.zeros(5, np.float32)


@pytest.fixture(scope="module")
def blind() -> Iterator[TabletopEnv]:
    """Without images, going on past success."""
    env = TabletopEnv(pixels=False, terminate_on_success=False)
    yield env
    env.close()


@pytest.fixture(scope="module")
def seeing() -> Iterator[TabletopEnv]:
    env = TabletopEnv(image_size=32)
    yield env
    env.close()


def test_the_gymnasium_checker_finds_nothing_to_complain_about() -> None:
    from gymnasium.utils.env_checker import check_env

    for options in ({"image_size": 16, "render_mode": "rgb_array"}, {"pixels": False}):
        check_env(gym.make(IDS["pick_to_bin"], **options).unwrapped)


def test_the_id_makes_an_environment_that_is_truncated_after_200_steps() -> None:
    env = gym.make(IDS["pick_to_bin"], pixels=False)
    env.reset(seed=0)
    ends = [env.step(STILL)[2:4] for _ in range(200)]
    assert ends[-1] == (False, True)
    assert not any(terminated or truncated for terminated, truncated in ends[:-1])


def test_observations_have_the_shape_that_lerobot_expects(seeing: TabletopEnv) -> None:
    observation, info = seeing.reset(seed=0)
    assert tuple(observation["pixels"]) == CAMERAS == ("front", "side", "wrist")
    for image in observation["pixels"].values():
        assert image.shape == (32, 32, 3)
        assert image.dtype == np.uint8
        assert image.std() > 10
    assert observation["agent_pos"].shape == (11,)
    assert observation["agent_pos"].dtype == np.float32
    assert seeing.task == "pick_to_bin"
    assert seeing.task_description == f"put the {info['goal']} cube into the bin"
    assert seeing._max_episode_steps == 200
    assert FPS == 20


def test_the_same_seed_gives_the_same_frames_and_states(seeing: TabletopEnv) -> None:
    runs = []
    for _ in range(2):
        observation, _ = seeing.reset(seed=11)
        actions = [np.full(5, 0.2 * number - 0.4, np.float32) for number in range(5)]
        runs.append([observation] + [seeing.step(action)[0] for action in actions])
    for first, again in zip(*runs, strict=True):
        assert np.array_equal(first["agent_pos"], again["agent_pos"])
        for view in CAMERAS:
            assert np.array_equal(first["pixels"][view], again["pixels"][view])


def test_another_seed_gives_another_layout(blind: TabletopEnv) -> None:
    places = []
    for seed in (0, 1):
        blind.reset(seed=seed)
        places.append([blind.world.position(name) for name in COLOURS])
    assert np.abs(np.subtract(*places)).max() > 0.01


LOOKS: dict[str, Callable[[World], object]] = {
    "colour": lambda world: world.model.geom_rgba[: world.model.geom("stick").id],
    "light": lambda world: (world.model.light_diffuse, world.model.light_dir),
    "camera": lambda world: world.model.cam_pos,
    "texture": lambda world: world.model.geom_matid,
    "distractors": lambda world: world.data.mocap_pos,
    "height": lambda world: world.model.body_pos,
}


@pytest.mark.parametrize("off", ALL)
def test_turning_one_variation_off_moves_nothing_else(off: Variation) -> None:
    full = TabletopEnv(image_size=64, variety=ALL)
    less = TabletopEnv(image_size=64, variety=[name for name in ALL if name != off])
    moved, seen = {name: 0 for name in ALL}, 0
    for seed in range(5):
        first, info = full.reset(seed=seed)
        second, other = less.reset(seed=seed)
        for name in COLOURS:
            assert np.array_equal(full.world.position(name), less.world.position(name))
        if off != "height":
            assert np.array_equal(full.world.data.qpos, less.world.data.qpos)
        assert info["goal"] == other["goal"]
        for name, read in LOOKS.items():
            moved[name] += not _same(read(full.world), read(less.world))
        seen += not np.array_equal(first["pixels"]["front"], second["pixels"]["front"])
    assert seen >= 2
    assert {name for name, count in moved.items() if count} == {off}


def _same(first: object, second: object) -> bool:
    return pickle.dumps(first) == pickle.dumps(second)


def test_an_unknown_variation_is_refused_with_a_list_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no variation 'smell'.*colour, light, camera"):
        TabletopEnv(variety=["smell"])


def test_all_four_goals_are_drawn_and_each_can_be_asked_for(blind: TabletopEnv) -> None:
    drawn = {blind.reset(seed=seed)[1]["goal"] for seed in range(30)}
    assert drawn == set(COLOURS)
    for goal in COLOURS:
        blind.reset(seed=0, options={"goal": goal})
        assert blind.task_description == f"put the {goal} cube into the bin"
        wordings = blind.rules.wordings(goal)
        assert len(set(wordings)) == 7
        assert all(goal in wording for wording in wordings)


def test_the_tool_starts_at_least_25_cm_from_every_cube(blind: TabletopEnv) -> None:
    for seed in range(50):
        _, info = blind.reset(seed=seed)
        for name in COLOURS:
            assert np.linalg.norm(blind.world.tool() - blind.world.position(name)) >= 0.25
        assert info["goals"].max() < 0.05
        assert info["stage_name"] == "reach"


def test_an_action_of_one_moves_the_tool_3_cm_and_zero_holds_it(blind: TabletopEnv) -> None:
    blind.reset(seed=0)
    for _ in range(10):
        blind.step(STILL)
    before = blind.world.tool()
    blind.step(np.array((1, 0, 0, 0, 1), np.float32))
    for _ in range(20):
        blind.step(np.array((0, 0, 0, 0, 1), np.float32))
    assert np.allclose(blind.world.tool() - before, (0.03, 0, 0), atol=1e-3)
    assert blind.world.jaw() == pytest.approx(0.08, abs=2e-3)


def test_before_a_reset_there_is_nothing_to_step_or_to_keep() -> None:
    env = TabletopEnv(pixels=False)
    for call in (lambda: env.step(STILL), env.snapshot):
        with pytest.raises(InputError, match=r"no episode of pick_to_bin has begun; call reset"):
            call()


@pytest.mark.parametrize("action", [np.zeros(4), np.zeros((1, 5))])
def test_actions_of_another_shape_are_refused(blind: TabletopEnv, action: np.ndarray) -> None:
    blind.reset(seed=0)
    with pytest.raises(InputError, match="an action is 5 numbers"):
        blind.step(action)


def test_an_action_that_is_not_finite_holds_the_arm_and_truncates(blind: TabletopEnv) -> None:
    blind.reset(seed=0)
    for _ in range(8):
        _, _, _, truncated, info = blind.step(STILL)
        assert (truncated, info["rejected"]) == (False, "")
    before = blind.world.tool()
    action = np.array((0.5, np.nan, 0, np.inf, 1))
    _, reward, terminated, truncated, info = blind.step(action)
    assert (reward, terminated, truncated) == (0.0, False, True)
    told = "at step 8 dy is nan, dyaw is inf: actions must be finite"
    assert info["rejected"] == told
    assert np.allclose(blind.world.tool(), before, atol=1e-3)


def test_images_are_drawn_every_third_step_and_at_the_end_of_an_episode() -> None:
    env = TabletopEnv(image_size=16, render_every=3)
    first, info = env.reset(seed=0)
    assert info["pixels_age"] == 0
    ages, fresh = [], []
    for number in range(7):
        observation, *_, info = env.step(np.full(5, 0.3, np.float32))
        ages.append(info["pixels_age"])
        fresh.append(np.array_equal(observation["pixels"]["front"], env.draw()["front"]))
        assert number > 1 or np.array_equal(observation["pixels"]["side"], first["pixels"]["side"])
    assert ages == [1, 2, 0, 1, 2, 0, 1]
    assert fresh == [False, False, True, False, False, True, False]
    env.reset(seed=0)
    ends = [env.step(STILL)[4]["pixels_age"] for _ in range(200)]
    assert ends[-2:] == [1, 0]


def test_a_snapshot_restored_elsewhere_goes_on_in_the_same_way(blind: TabletopEnv) -> None:
    other = TabletopEnv(pixels=False, terminate_on_success=False)
    other.reset(seed=99)
    blind.reset(seed=5)
    streams = generators(5)
    expert = Expert(blind, "expert", rng=streams["expert"], noise_rng=streams["noise"])
    steps = []
    for number, action in enumerate(expert.actions()):
        if number == 30:
            taken = blind.snapshot()
        observation, reward, *_, info = blind.step(action)
        if number >= 30:
            steps.append((action, observation["agent_pos"], reward, info["goals"]))
    observation, info = other.restore(pickle.loads(pickle.dumps(taken)))
    assert (info["goal"], other.task_description) == (blind.goal, blind.task_description)
    for action, state, reward, goals in steps:
        observation, again, *_, info = other.step(action)
        assert np.array_equal(observation["agent_pos"], state)
        assert again == reward
        assert np.array_equal(info["goals"], goals)
    assert info["is_success"]


def test_a_snapshot_of_another_task_is_refused(blind: TabletopEnv) -> None:
    other = TabletopEnv("stack_two", pixels=False)
    other.reset(seed=0)
    with pytest.raises(
        InputError, match="is of stack_two with panda and this environment plays pick_to_bin"
    ):
        blind.restore(other.snapshot())


@pytest.mark.parametrize("steps", [0, -3])
def test_drawing_less_than_every_step_is_refused(steps: int) -> None:
    with pytest.raises(InputError, match=r"render_every is .*must be 1 or more"):
        TabletopEnv(render_every=steps)


@pytest.mark.parametrize("options", [{"goal": "pink"}, {"colour": "red"}])
def test_unknown_reset_options_are_refused(blind: TabletopEnv, options: dict[str, str]) -> None:
    with pytest.raises(InputError, match="red, green, blue, yellow"):
        blind.reset(seed=0, options=options)


def test_success_ends_the_episode_unless_told_otherwise() -> None:
    env = TabletopEnv(pixels=False)
    env.reset(seed=2)
    streams = generators(2)
    expert = Expert(env, "expert", rng=streams["expert"], noise_rng=streams["noise"])
    for action in expert.actions():
        _, reward, terminated, truncated, info = env.step(action)
        if terminated:
            break
    assert (reward, truncated, info["is_success"], info["progress"]) == (1.0, False, True, 1.0)
