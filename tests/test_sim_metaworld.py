"""Meta-World behind our interface: what it shows, what it calls progress, and its experts."""

import subprocess
import sys
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

from robo_reward.errors import InputError
from sim.metaworld import IDS, PREFIX, TASKS, make_env
from sim.metaworld.rules import STAGES, make_rules
from sim.metaworld.truth import SETTLE, Judge, Measured, measure
from sim.metaworld.wordings import WORDINGS
from sim.seeding import generators

pytest.importorskip("metaworld", reason="Meta-World is an extra: robo-reward[metaworld]")

from sim.metaworld.env import FPS, MAX_STEPS, MetaWorldEnv
from sim.metaworld.experts import Expert
from sim.metaworld.render import KEPT, VIEWS, screen

SOME = ("drawer-open", "pick-place", "reach", "door-close")
STILL = np.array((0, 0, 0, -1), np.float32)


@pytest.fixture(scope="module")
def envs() -> Iterator[dict[str, MetaWorldEnv]]:
    """Some tasks without images, going on past success."""
    made = {name: make_env(name, pixels=False) for name in SOME}
    yield made
    for env in made.values():
        env.close()


@pytest.fixture(scope="module")
def seeing() -> Iterator[MetaWorldEnv]:
    env = MetaWorldEnv("drawer-open", image_size=64)
    yield env
    env.close()


def play(env: MetaWorldEnv, behaviour: str, seed: int) -> list[dict[str, object]]:
    """Return the infos of an episode, the one of the reset first."""
    infos = [env.reset(seed=seed)[1]]
    streams = generators(seed)
    expert = Expert(env, behaviour, rng=streams["expert"], noise_rng=streams["noise"])
    infos += [env.step(action)[4] for action in expert.actions()]
    return infos


def progress(infos: list[dict[str, object]]) -> np.ndarray:
    return np.array([info["progress"] for info in infos])


def test_the_names_are_those_of_the_benchmark_and_of_its_policies() -> None:
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    from metaworld.policies import ENV_POLICY_MAP

    assert len(TASKS) == 50
    names = {f"{name}-v3" for name in TASKS}
    assert names == set(ALL_V3_ENVIRONMENTS) == set(ENV_POLICY_MAP)


def test_every_task_has_four_wordings_and_no_two_tasks_share_one() -> None:
    texts = [text for wordings in WORDINGS.values() for text in wordings]
    assert all(len(wordings) >= 4 for wordings in WORDINGS.values())
    assert len(texts) == len(set(texts))
    assert all(text == text.strip() and len(text.split()) >= 2 for text in texts)


def test_every_task_is_registered_by_name_without_importing_the_benchmark() -> None:
    assert set(IDS) == set(TASKS)
    assert all(number in gym.registry for number in IDS.values())
    assert IDS["drawer-open"] == "robo_reward/MetaWorld-drawer-open-v0"
    code = "import sys, sim; sys.exit('metaworld' in sys.modules or 'mujoco' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_task_is_refused_with_a_list_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no Meta-World task 'fly'.*assembly, basketball.*window"):
        make_env("fly")


def test_a_missing_benchmark_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("metaworld", "metaworld.env_dict"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=r'pip install -e "\.\[metaworld\]"'):
        make_env("reach")


def test_the_prefix_may_be_given_and_the_only_goal_is_the_task() -> None:
    rules = make_rules(PREFIX + "reach")
    assert (rules.name, rules.goals, rules.stages) == ("reach", ("reach",), STAGES)
    assert rules.wordings("reach") == WORDINGS["reach"]
    with pytest.raises(InputError, match="has no goal 'push'"):
        rules.wordings("push")


def test_what_is_said_about_single_tasks_is_said_about_tasks_that_exist() -> None:
    from sim.metaworld import rules

    assert set(rules._SOURCES) <= set(TASKS)
    assert set(TASKS) >= rules._CARRIED
    assert {make_rules(name).source for name in TASKS} == {
        "in_place",
        "obj_to_target",
        "goal",
        "height",
        "hand",
    }


def at(hand: float, way: float, *, height: float = 0.0, success: bool = False) -> Measured:
    return Measured(hand=hand, way=way, height=height, success=success)


def begun(**first: float) -> Judge:
    """Return a judge who has seen the start: the hand 23 cm away, a way of 1 to go."""
    judge = Judge("in_place")
    for _ in range(SETTLE):
        assert judge.judge(at(0.23, 1.0)).progress == 0.0
    return judge


def test_progress_is_the_share_of_the_way_of_the_hand_and_of_the_object() -> None:
    judge = begun()
    assert judge.judge(at(0.13, 1.0)).progress == pytest.approx(0.35 / 2)
    assert judge.judge(at(0.03, 1.0)).progress == pytest.approx(0.35)
    assert judge.judge(at(0.03, 0.5)).progress == pytest.approx(0.35 + 0.65 / 2)
    assert judge.judge(at(0.03, 0.0)).progress == 0.99, "only success is 1"
    assert judge.judge(at(0.23, 1.2)).progress == 0.0, "undone"
    away = judge.judge(at(0.5, 0.5)).progress
    assert away == pytest.approx(0.5), "what is on its way has been reached"


def test_the_stages_follow_from_the_same_shares() -> None:
    judge = begun()
    seen = [judge.judge(now).stage for now in (at(0.2, 1.0), at(0.04, 1.0), at(0.03, 0.7))]
    assert seen == [0, 1, 2]
    assert judge.judge(at(0.03, 0.0, success=True)).stage == 3


def test_success_is_latched() -> None:
    judge = begun()
    assert judge.judge(at(0.03, 0.4, success=True)).progress == 1.0
    later = judge.judge(at(0.3, 1.0))
    assert (later.success, later.progress, later.stage) == (True, 1.0, 3)


def test_what_falls_into_place_after_a_reset_is_no_progress() -> None:
    judge = Judge("height")
    ways = np.linspace(0.2, 0.15, SETTLE)
    assert [judge.judge(at(0.2, way)).progress for way in ways] == [0.0] * SETTLE


def test_the_way_is_read_where_the_task_says() -> None:
    seen = np.zeros(39)
    seen[4:7], seen[-3:] = (0.0, 0.0, 0.1), (0.3, 0.4, 0.1)
    told = {"in_place_reward": 0.1, "obj_to_target": 0.7, "success": 0.0}
    ways = {
        source: measure(source, seen, np.array((0.0, 0.0, 0.3)), told).way
        for source in ("in_place", "goal", "obj_to_target", "height")
    }
    assert ways == pytest.approx({"in_place": 3.0, "goal": 0.5, "obj_to_target": 0.7, "height": 0})
    assert measure("goal", seen, np.array((0.0, 0.0, 0.3)), told).hand == pytest.approx(0.2)
    tiny = measure("in_place", seen, np.zeros(3), {"in_place_reward": 0.0, "success": 1.0})
    assert np.isfinite(tiny.way)
    assert tiny.success


def test_the_gymnasium_checker_finds_nothing_to_complain_about() -> None:
    from gymnasium.utils.env_checker import check_env

    for options in ({"image_size": 16, "render_mode": "rgb_array"}, {"pixels": False}):
        check_env(gym.make(IDS["reach"], **options).unwrapped)


def test_observations_have_the_shape_that_lerobot_expects(seeing: MetaWorldEnv) -> None:
    observation, info = seeing.reset(seed=0)
    assert tuple(observation["pixels"]) == ("front", "side", "wrist") == tuple(VIEWS)
    for image in observation["pixels"].values():
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert image.std() > 10
    assert observation["agent_pos"].shape == (4,)
    assert observation["agent_pos"].dtype == np.float32
    assert seeing.task == seeing.goal == info["goal"] == "drawer-open"
    assert seeing.task_description == "open the drawer"
    assert seeing._max_episode_steps == MAX_STEPS == 500
    assert seeing.metadata["render_fps"] == FPS == 80
    assert seeing.render().shape == (64, 64, 3)


def test_info_has_what_our_own_environment_tells(seeing: MetaWorldEnv) -> None:
    from sim.env import TabletopEnv

    _, ours = TabletopEnv(pixels=False).reset(seed=0)
    _, theirs = seeing.reset(seed=0)
    assert list(ours) == list(theirs)
    assert {name: type(value) for name, value in ours.items()} == {
        name: type(value) for name, value in theirs.items()
    }


def projected(env: MetaWorldEnv, view: str, point: np.ndarray, size: int) -> np.ndarray:
    """Return the pixel (column, row) where the camera as the benchmark defines it sees a point."""
    camera = env.stock.data.camera(VIEWS[view])
    x, y, z = camera.xmat.reshape(3, 3).T @ (point - camera.xpos)
    fovy = np.deg2rad(env.stock.model.camera(VIEWS[view]).fovy[0])
    scale = size / 2 / np.tan(fovy / 2) / -z
    return np.array((size / 2 + scale * x, size / 2 - scale * y))


@pytest.mark.parametrize("view", ["front", "side"])
def test_the_views_are_turned_upright_and_not_mirrored(seeing: MetaWorldEnv, view: str) -> None:
    seeing.reset(seed=0)
    image = seeing.draw()[view].astype(int)
    green = (image[..., 1] > image[..., 0] + 30) & (image[..., 1] > image[..., 2] + 30)
    rows, columns = np.nonzero(green)
    seen = np.array((columns.mean(), rows.mean()))
    stock_pixel = projected(seeing, view, seeing.stock.data.body("drawer").xpos, 64)
    assert np.abs(seen - (64 - stock_pixel)).max() < 5, "the stock picture, turned by half a turn"
    axis = seeing.stock.data.camera(VIEWS[view]).xmat.reshape(3, 3)[:, 1]
    assert axis[2] < -0.5, "that camera hangs upside down"


def test_the_scenes_kept_in_graphics_memory_are_few_and_drawn_alike_again() -> None:
    names = TASKS[: KEPT + 2]
    made = [make_env(name, image_size=32) for name in names]
    first = [env.reset(seed=0)[0]["pixels"]["front"] for env in made]
    for order in (made, made[-2:] * 2):
        for env in order:
            assert np.array_equal(env.draw()["front"], first[made.index(env)]), env.task
    assert len(screen()._scenes) == KEPT


def test_images_are_drawn_when_they_are_asked_for() -> None:
    env = MetaWorldEnv("reach", image_size=16, render_every=3)
    env.reset(seed=0)
    push = np.array((1, 1, 1, -1), np.float32)
    ages = [env.step(push)[4]["pixels_age"] for _ in range(6)]
    assert ages == [1, 2, 0, 1, 2, 0]
    blind = MetaWorldEnv("reach", pixels=False)
    assert set(blind.reset(seed=0)[0]) == {"agent_pos"}


@pytest.mark.parametrize("name", SOME)
def test_the_same_seed_gives_the_same_episode_whatever_came_before(
    envs: dict[str, MetaWorldEnv], name: str
) -> None:
    env = envs[name]
    runs = []
    for seed in (4, 9, 4):
        np.random.seed(seed + len(runs))
        play(env, "expert", seed)
        runs.append((env.sensed.copy(), env.stock.data.qpos.copy()))
    other = make_env(name, pixels=False)
    play(other, "expert", 4)
    assert np.array_equal(runs[0][0], runs[2][0])
    assert np.array_equal(runs[0][1], other.stock.data.qpos)
    assert not np.array_equal(runs[0][1], runs[1][1])


def test_numpys_global_state_is_neither_read_nor_changed(envs: dict[str, MetaWorldEnv]) -> None:
    env, goals = envs["pick-place"], []
    for number in (1, 2):
        np.random.seed(number)
        before = np.random.get_state()[1]
        env.reset(seed=8)
        assert np.array_equal(np.random.get_state()[1], before)
        goals.append(env.sensed[-3:].copy())
    assert np.array_equal(*goals)


def test_resets_without_a_seed_differ(envs: dict[str, MetaWorldEnv]) -> None:
    env = envs["reach"]
    env.reset(seed=1)
    goals = []
    for _ in range(2):
        env.reset()
        goals.append(env.sensed[-3:].copy())
    assert not np.array_equal(*goals)
