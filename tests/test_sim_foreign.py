"""Environments of others behind our interface; the strangers here are tiny and made up."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from robo_reward.errors import InputError
from sim.foreign import LONE_VIEW, ForeignEnv, foreign_envs

ID = "tests_foreign/Point-v0"


class Point(gym.Env[dict[str, Any], np.ndarray]):
    """A point on a line; success only while it is within 0.1 of the goal, as LeRobot reports it."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    task_description = "move the point to 1"
    _max_episode_steps = 20

    def __init__(self, shape: str = "lerobot", key: str = "is_success") -> None:
        self.render_mode = "rgb_array"
        self._shape, self._key = shape, key
        image = spaces.Box(0, 255, (8, 8, 3), np.uint8)
        number = spaces.Box(-9, 9, (1,), np.float64)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)
        parts: dict[str, Any] = {"pixels": spaces.Dict({"top": image}), "agent_pos": number}
        if shape == "nested":
            state = spaces.Dict({"speed": number, "place": number})
            parts = {"pixels": image, "robot_state": state}
        if shape == "blind":
            del parts["pixels"]
        self.observation_space = spaces.Dict(parts)

    def _observe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        image = np.full((8, 8, 3), 100 + 50 * self.place, np.uint8)
        observation: dict[str, Any] = {
            "pixels": {"top": image},
            "agent_pos": np.array([self.place]),
        }
        if self._shape == "nested":
            state = {"speed": np.array([7.0]), "place": np.array([self.place])}
            observation = {"pixels": image, "robot_state": state}
        return observation, {self._key: abs(self.place - 1.0) < 0.1}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = float(self.np_random.uniform(-0.4, 0.0))
        return self._observe()

    def step(self, action: np.ndarray) -> Any:
        self.place += float(action[0])
        observation, info = self._observe()
        return observation, float(info[self._key]), False, False, info

    def render(self) -> Any:
        return self._observe()[0]["pixels"]["top"]


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    gym.register(id=ID, entry_point=Point, max_episode_steps=20)
    yield
    del gym.registry[ID]


def made(**options: Any) -> ForeignEnv:
    return foreign_envs(ID, **options)[ID]


def move_to(env: ForeignEnv, place: float) -> dict[str, Any]:
    here = float(env._last["agent_pos"][0])
    return env.step(np.array([place - here], np.float32))[4]


def test_the_gymnasium_checker_finds_nothing_to_complain_about() -> None:
    env = gym.wrappers.PassiveEnvChecker(made())
    env.reset(seed=0)
    env.step(np.zeros(1, np.float32))
    env.render()


def test_it_has_what_our_own_environments_have() -> None:
    env = made()
    observation, info = env.reset(seed=3)
    assert observation["pixels"]["top"].shape == (8, 8, 3)
    assert observation["agent_pos"].dtype == np.float32
    assert env.observation_space.contains(observation)
    assert (env.task, env.goal, env.rules.goals) == (ID, ID, (ID,))
    assert env.task_description == "move the point to 1" == env.rules.wordings(ID)[0]
    assert env._max_episode_steps == 20
    assert env.metadata["render_fps"] == 10
    assert env.render().shape == (8, 8, 3)
    assert (info["failure_mode"], info["onset"], info["pixels_age"]) == ("none", -1, 0)
    env.close()


def test_success_stays_and_progress_is_unknown_before_it() -> None:
    env = made()
    _, info = env.reset(seed=0)
    assert math.isnan(info["progress"])
    assert math.isnan(info["goals"][0])
    assert (info["is_success"], info["stage_name"]) == (False, "unknown")
    info = move_to(env, 1.0)
    assert (info["is_success"], info["progress"], info["stage_name"]) == (True, 1.0, "done")
    info = move_to(env, 0.0)
    assert (info["is_success"], info["progress"]) == (True, 1.0)
    _, info = env.reset(seed=0)
    assert not info["is_success"]


@pytest.mark.parametrize("key", ["success", "succeed"])
def test_other_words_for_success_are_understood(key: str) -> None:
    env = made(key=key)
    env.reset(seed=0)
    assert move_to(env, 1.0)["is_success"]


def test_the_same_seed_gives_the_same_episode() -> None:
    env = made()
    first = env.reset(seed=5)[0]["agent_pos"]
    assert np.array_equal(first, env.reset(seed=5)[0]["agent_pos"])
    assert not np.array_equal(first, env.reset(seed=6)[0]["agent_pos"])


def test_nested_states_become_one_and_a_lone_view_gets_a_name() -> None:
    env = made(shape="nested")
    observation, _ = env.reset(seed=0)
    assert list(observation["pixels"]) == [LONE_VIEW]
    assert observation["agent_pos"].shape == (2,)
    assert observation["agent_pos"][1] == 7.0, "place comes before speed"
    assert env.observation_space.contains(observation)


def test_an_action_that_is_not_finite_is_not_carried_out() -> None:
    env = made()
    before, _ = env.reset(seed=0)
    after, reward, terminated, truncated, info = env.step(np.array([np.nan], np.float32))
    assert np.array_equal(before["agent_pos"], after["agent_pos"])
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["rejected"] == "at step 0 0 is nan: actions must be finite"


def test_an_action_of_another_shape_is_refused() -> None:
    env = made()
    env.reset(seed=0)
    with pytest.raises(InputError, match=r"has shape \(1,\); got \(2,\)"):
        env.step(np.zeros(2))


def test_a_step_before_a_reset_is_refused() -> None:
    with pytest.raises(InputError, match=rf"no episode of {ID} has begun; call reset"):
        made().step(np.zeros(1))


def test_drawing_less_often_is_not_offered_since_strangers_draw_by_themselves() -> None:
    with pytest.raises(InputError, match=rf"render_every is for our own.*{ID} draws within its"):
        made(render_every=4)


def test_the_time_limit_of_the_environment_holds() -> None:
    env = made()
    env.reset(seed=0)
    ends = [env.step(np.zeros(1, np.float32))[3] for _ in range(20)]
    assert ends == [False] * 19 + [True]


def test_what_is_not_of_lerobots_shape_is_refused() -> None:
    with pytest.raises(InputError, match="observes agent_pos; it needs pixels"):
        made(shape="blind")


def test_an_instruction_or_a_rate_that_is_missing_is_asked_for() -> None:
    env = Point()
    env.task_description = ""
    with pytest.raises(InputError, match="give an instruction"):
        ForeignEnv(env, name="point")
    assert ForeignEnv(env, name="point", instruction="go").task_description == "go"
    env.metadata = {}
    with pytest.raises(InputError, match="give fps"):
        ForeignEnv(env, name="point", instruction="go")


def test_an_unknown_goal_id_or_type_is_refused() -> None:
    with pytest.raises(InputError, match="has no goal 'cube'"):
        made().rules.wordings("cube")
    with pytest.raises(InputError, match="no environment 'no_such_package/Thing-v0'"):
        foreign_envs("no_such_package/Thing-v0")
    with pytest.raises(InputError, match=r"no environment .*unexpected keyword argument 'colour'"):
        made(colour="red")
    with pytest.raises(InputError, match="no environment of type 'nonesuch'"):
        foreign_envs("nonesuch")


def test_a_type_of_lerobots_configuration_makes_its_environments() -> None:
    from lerobot.envs.configs import EnvConfig

    @EnvConfig.register_subclass("tests_point")
    @dataclass
    class PointConfig(EnvConfig):
        task: str | None = "Point-v0"
        fps: int = 10
        key: str = "is_success"
        features: dict[str, Any] = field(default_factory=dict)

        @property
        def gym_id(self) -> str:
            return ID

        @property
        def gym_kwargs(self) -> dict[str, Any]:
            return {"key": self.key}

    envs = foreign_envs("tests_point", key="success")
    assert list(envs) == ["tests_point/0"]
    env = envs["tests_point/0"]
    env.reset(seed=0)
    assert move_to(env, 1.0)["is_success"]
    assert env.metadata["render_fps"] == 10
    with pytest.raises(InputError, match="no environment of type 'tests_point'"):
        foreign_envs("tests_point", colour="red")
