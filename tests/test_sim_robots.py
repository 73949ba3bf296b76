"""Robots in the environment: what each plays, what it senses, where its things are."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from robo_reward.errors import InputError
from sim import IDS, env_id
from sim.control import RING
from sim.env import AGENT_POS, TabletopEnv
from sim.experts import Expert, behaviours
from sim.placing import Placing, RingPlacing
from sim.robots import ROBOTS, agent_pos_names, get_robot
from sim.seeding import generators
from sim.tasks import TASKS, make_task, tasks_for
from sim.tasks.objects import APART, COLOURS, scatter
from sim.variety import ALL

STILL = np.zeros(5, np.float32)


@pytest.fixture(scope="module", params=tasks_for("so101"))
def env(request: pytest.FixtureRequest) -> Iterator[TabletopEnv]:
    """Each task of the five-joint arm without images, going on past success."""
    env = TabletopEnv(request.param, robot="so101", pixels=False, terminate_on_success=False)
    yield env
    env.close()


@pytest.fixture(scope="module")
def bin_env() -> Iterator[TabletopEnv]:
    env = TabletopEnv(robot="so101", image_size=64, terminate_on_success=False)
    yield env
    env.close()


def play(env: TabletopEnv, behaviour: str, seed: int) -> list[dict[str, Any]]:
    """Return the ``info`` of every observation."""
    _, info = env.reset(seed=seed)
    streams = generators(seed)
    expert = Expert(env, behaviour, rng=streams["expert"], noise_rng=streams["noise"])
    return [info, *(env.step(action)[4] for action in expert.actions())]


def test_the_panda_plays_every_task_and_the_small_arm_at_least_three() -> None:
    assert tasks_for("panda") == tuple(TASKS)
    assert len(tasks_for("so101")) >= 3
    assert set(tasks_for("so101")) < set(TASKS)
    assert tuple(ROBOTS) == ("panda", "so101")


def test_an_unknown_robot_is_refused_with_a_list_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no robot 'r2d2'; there are: panda, so101"):
        TabletopEnv(robot="r2d2")
    with pytest.raises(InputError, match=r"there are: panda, so101"):
        get_robot("")


def test_a_task_out_of_reach_says_who_plays_it_and_what_else_there_is() -> None:
    told = r"'insert_peg' is out of reach of robot 'so101'; play it with panda, .*pick_to_bin"
    with pytest.raises(InputError, match=told):
        TabletopEnv("insert_peg", robot="so101")


def test_agent_pos_has_the_joints_of_the_robot_by_name(bin_env: TabletopEnv) -> None:
    assert bin_env.agent_pos_names == agent_pos_names(get_robot("so101"))
    assert bin_env.action_names == ("dx", "dy", "dz", "dyaw", "gripper")
    assert bin_env.reset(seed=0)[0]["agent_pos"].shape == (len(bin_env.agent_pos_names),)
    assert (*(f"joint{n}" for n in range(1, 8)), "jaw", "x", "y", "z") == AGENT_POS
    names = agent_pos_names(get_robot("so101"))
    assert names[:5] == (
        "shoulder_pan",
        "shoulder_lift",
        "elbow_flex",
        "wrist_flex",
        "wrist_roll",
    )
    assert names[5:] == ("jaw", "x", "y", "z")


def test_ids_carry_the_robot_and_pass_the_checker(env: TabletopEnv) -> None:
    from gymnasium.utils.env_checker import check_env

    assert env_id("pick_to_bin") == IDS["pick_to_bin"] == "robo_reward/PickToBin-v0"
    assert env_id("pick_to_bin", "so101") == "robo_reward/PickToBin-SO101-v0"
    made = gym.make(env_id(env.task, "so101"), pixels=False)
    assert made.observation_space["agent_pos"].shape == (9,)  # type: ignore[index]
    check_env(made.unwrapped)


def test_many_at_once_play_what_one_plays(env: TabletopEnv) -> None:
    many = gym.make_vec(env_id(env.task, "so101"), num_envs=2, workers=0, pixels=False)
    states = many.reset(seed=[3, 4])[0]["agent_pos"]
    for seed, state in zip((3, 4), states, strict=True):
        assert np.array_equal(env.reset(seed=seed)[0]["agent_pos"], state)
    many.close()


def test_observations_are_in_their_space_from_one_end_of_the_reach_to_the_other(
    bin_env: TabletopEnv,
) -> None:
    bin_env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(8):
        action = rng.choice((-1.0, 1.0), 5).astype(np.float32)
        for _ in range(12):
            observation = bin_env.step(action)[0]
            assert bin_env.observation_space.contains(observation)
            out = np.hypot(*bin_env.control.position[:2])
            assert RING[0][0] - 1e-9 <= out <= RING[0][1] + 1e-9


def test_the_target_is_followed_within_3_mm_with_open_and_with_closed_jaw(
    bin_env: TabletopEnv,
) -> None:
    for seed, grip in enumerate((1.0, -1.0, 0.0)):
        bin_env.reset(seed=seed)
        for action in ((0.2, 0.3, -0.3, 0.5, grip), (0.0, 0.0, 0.0, 0.0, grip)):
            for _ in range(20):
                bin_env.step(np.array(action, np.float32))
        assert np.linalg.norm(bin_env.world.tool() - bin_env.control.position) < 3e-3


def test_an_action_of_one_moves_the_tool_2_cm_and_zero_holds_it(bin_env: TabletopEnv) -> None:
    bin_env.reset(seed=0)
    for _ in range(20):
        bin_env.step(np.array((0, 0, 0, 0, 1), np.float32))
    before = bin_env.world.tool()
    bin_env.step(np.array((0, 0, -1, 0, 1), np.float32))
    for _ in range(20):
        bin_env.step(np.array((0, 0, 0, 0, 1), np.float32))
    assert np.allclose(bin_env.world.tool() - before, (0, 0, -0.02), atol=1.5e-3)
    assert bin_env.world.jaw() == pytest.approx(0.08, abs=3e-3)


def test_the_ring_keeps_distance_and_order_of_places() -> None:
    ring = RingPlacing(near=0.17, edge=0.36, depth=0.5, sweep=4.0)
    spots = ring.spots(((0.36, 0.0), (0.56, 0.0), (0.36, 0.1)))
    assert np.allclose(spots[0], (0.17, 0.0))
    assert np.allclose(spots[1], (0.27, 0.0))
    assert np.allclose(spots[2], (0.17 * np.cos(0.4), 0.17 * np.sin(0.4)))
    assert ring.facing(spots[2]) == pytest.approx(0.4)
    same = np.array(((0.4, 0.1), (0.5, -0.2)))
    assert np.array_equal(Placing().spots(same), same)
    assert Placing().facing(same[0]) == 0.0


def test_things_start_in_the_ring_and_apart() -> None:
    placing = get_robot("so101").placing
    for seed in range(100):
        spots = scatter(np.random.default_rng(seed), 4, placing=placing)
        out = np.linalg.norm(spots, axis=1)
        assert out.min() > 0.16
        assert out.max() < 0.31
        gaps = np.linalg.norm(spots[:, None] - spots[None], axis=-1)[np.triu_indices(4, 1)]
        assert gaps.min() >= APART * placing.closeness


def test_every_cube_is_in_both_fixed_views(bin_env: TabletopEnv) -> None:
    world = bin_env.world
    for seed in range(30):
        bin_env.reset(seed=seed)
        for camera in ("front", "side"):
            turn = world.data.cam(camera).xmat.reshape(3, 3)
            edge = np.tan(np.radians(world.model.cam(camera).fovy[0]) / 2)
            for name in COLOURS:
                seen = (world.position(name) - world.data.cam(camera).xpos) @ turn
                assert (np.abs(seen[:2]) / -seen[2]).max() < edge - 0.03
                assert 0.04 / -seen[2] / edge * 32 >= 3.0


def test_a_snapshot_of_the_other_robot_is_refused(bin_env: TabletopEnv) -> None:
    other = TabletopEnv(pixels=False)
    other.reset(seed=0)
    with pytest.raises(InputError, match="of pick_to_bin with panda and this environment plays"):
        bin_env.restore(other.snapshot())


def test_experts_of_the_small_arm_succeed_and_reach_every_stage(env: TabletopEnv) -> None:
    for seed in range(3):
        infos = play(env, "expert", seed)
        progress = np.array([info["progress"] for info in infos])
        assert (progress[-1], infos[-1]["is_success"]) == (1.0, True)
        assert max(info["stage"] for info in infos) == len(env.rules.stages) - 1
        assert len(infos) <= env._max_episode_steps


def test_episodes_of_the_small_arm_start_with_next_to_nothing_done(env: TabletopEnv) -> None:
    assert max(env.reset(seed=seed)[1]["progress"] for seed in range(50)) <= 0.02


@pytest.mark.parametrize("behaviour", ["wrong_object", "miss", "stop"])
def test_spoilt_behaviours_of_the_small_arm_fail(env: TabletopEnv, behaviour: str) -> None:
    assert behaviour in behaviours(env.rules)
    assert not any(play(env, behaviour, seed)[-1]["is_success"] for seed in range(2))


def test_a_snapshot_in_mid_grasp_goes_on_in_the_same_way(bin_env: TabletopEnv) -> None:
    bin_env.reset(seed=4)
    streams = generators(4)
    expert = Expert(bin_env, "expert", rng=streams["expert"], noise_rng=streams["noise"])
    rest = []
    for number, action in enumerate(expert.actions()):
        if number == 45:
            taken = bin_env.snapshot()
        observation = bin_env.step(action)[0]
        if number >= 45:
            rest.append((action, observation["agent_pos"]))
    bin_env.reset(seed=5)
    bin_env.restore(taken)
    for action, state in rest:
        assert np.array_equal(bin_env.step(action)[0]["agent_pos"], state)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_experts_of_the_small_arm_succeed_in_95_of_100_seeds(env: TabletopEnv) -> None:
    assert sum(play(env, "expert", seed)[-1]["is_success"] for seed in range(100)) >= 95


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_they_do_with_everything_varied(env: TabletopEnv) -> None:
    varied = TabletopEnv(
        env.task, robot="so101", pixels=False, terminate_on_success=False, variety=ALL
    )
    assert sum(play(varied, "expert", seed)[-1]["is_success"] for seed in range(100)) >= 95


def test_tasks_without_a_robot_are_placed_for_the_panda() -> None:
    assert make_task("pick_to_bin").placing == get_robot("panda").placing
