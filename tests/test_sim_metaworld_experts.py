"""Meta-World's own experts behind our interface, with our behaviours."""

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

from robo_reward.errors import InputError
from sim.metaworld import IDS, TASKS, make_env
from sim.metaworld.rules import STAGES
from sim.seeding import generators

pytest.importorskip("metaworld", reason="Meta-World is an extra: robo-reward[metaworld]")

from test_sim_metaworld import SOME, STILL, play, progress

from sim.metaworld.env import ACTIONS, MAX_STEPS, MetaWorldEnv
from sim.metaworld.experts import BEHAVIOURS, IDLE, PATIENCE, Expert, behaviours
from sim.metaworld.render import VIEWS


@pytest.fixture(scope="module")
def envs() -> Iterator[dict[str, MetaWorldEnv]]:
    """Some tasks without images, going on past success."""
    made = {name: make_env(name, pixels=False) for name in SOME}
    yield made
    for env in made.values():
        env.close()


@pytest.mark.parametrize("name", SOME)
def test_the_expert_succeeds_and_goes_on_for_ten_steps(
    envs: dict[str, MetaWorldEnv], name: str
) -> None:
    infos = play(envs[name], "expert", 2)
    done = [info["is_success"] for info in infos]
    first = done.index(True)
    assert len(done) - 1 - first >= IDLE >= 10
    assert all(done[first:])
    curve = progress(infos)
    assert curve[0] == 0.0
    assert np.all(curve[:first] < 1.0)
    assert np.all(curve[first:] == 1.0)
    assert curve[first - 1] > 0.7
    assert infos[-1]["stage_name"] == "done"
    assert infos[-1]["failure_mode"] == "none"


def test_noise_and_stopping_make_failures_that_end_below_one(
    envs: dict[str, MetaWorldEnv],
) -> None:
    env = envs["pick-place"]
    for behaviour in ("noise", "stop"):
        ends = [play(env, behaviour, seed)[-1] for seed in range(4)]
        failed = [info for info in ends if not info["is_success"]]
        assert failed, behaviour
        assert all(info["progress"] < 1 for info in failed)
        assert len({info["progress"] for info in ends}) > 1, behaviour


def test_what_is_let_go_falls_and_is_called_dropped(envs: dict[str, MetaWorldEnv]) -> None:
    runs = [play(envs["pick-place"], "early_release", seed) for seed in range(4)]
    assert not any(infos[-1]["is_success"] for infos in runs)
    dropped = [infos for infos in runs if infos[-1]["failure_mode"] == "dropped"]
    assert dropped
    for infos in dropped:
        onset = int(str(infos[-1]["onset"]))
        assert infos[onset]["failure_mode"] == "dropped"
        assert infos[onset - 1]["failure_mode"] == "none"
        assert progress(infos).max() > progress(infos)[-1]


@pytest.mark.parametrize("behaviour", ["pause", "detour", "recovery"])
def test_an_interrupted_expert_takes_longer_and_succeeds(
    envs: dict[str, MetaWorldEnv], behaviour: str
) -> None:
    env = envs["pick-place"]
    straight, longer = play(env, "expert", 1), play(env, behaviour, 1)
    assert longer[-1]["is_success"]
    assert len(longer) >= len(straight) + 20
    if behaviour == "recovery":
        assert np.diff(progress(longer)).min() < 0


def test_the_collector_plays_it_as_it_plays_our_own() -> None:
    from sim.rollouts import run_episode

    env = make_env("reach", image_size=16)
    episode = run_episode(env, "expert", 3, expert=Expert)
    assert episode.task == "move the hand to the goal"
    assert episode.columns["failure_mode"] == "none"
    first, last = episode.rows[0], episode.rows[-1]
    assert {f"observation.images.{view}" for view in VIEWS} < set(first)
    assert first["observation.state"].shape == first["action"].shape == (4,)
    assert (first["truth.progress"], last["truth.progress"]) == (0.0, 1.0)
    assert last["truth.is_final"]
    assert last["truth.goals"].shape == (1,)
    assert sum(row["truth.progress"] == 1.0 for row in episode.rows) > 10


def test_no_behaviour_goes_on_for_ever(envs: dict[str, MetaWorldEnv]) -> None:
    env = envs["door-close"]
    for behaviour in behaviours(env.rules):
        for seed in range(2):
            infos = play(env, behaviour, seed)
            assert len(infos) <= PATIENCE + 130, behaviour


def test_behaviours_are_named_like_ours_and_unknown_ones_are_listed(
    envs: dict[str, MetaWorldEnv],
) -> None:
    from sim.experts import BEHAVIOURS as OURS

    assert set(BEHAVIOURS) < set(OURS)
    assert "early_release" not in behaviours(envs["reach"].rules)
    assert "early_release" in behaviours(envs["pick-place"].rules)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"no behaviour 'sulk' in reach; there are: expert, noise"):
        Expert(envs["reach"], "sulk", rng=rng, noise_rng=rng)


@pytest.mark.parametrize("name", ["drawer-open", "pick-place"])
def test_a_miss_goes_through_the_motions_beside_the_spot(
    envs: dict[str, MetaWorldEnv], name: str
) -> None:
    env = envs[name]
    hand: dict[str, list[np.ndarray]] = {}
    for behaviour in ("expert", "miss"):
        infos, hand[behaviour] = [env.reset(seed=3)[1]], []
        streams = generators(3)
        expert = Expert(env, behaviour, rng=streams["expert"], noise_rng=streams["noise"])
        for action in expert.actions():
            infos.append(env.step(action)[4])
            hand[behaviour].append(env.sensed[:3].copy())
    assert not infos[-1]["is_success"]
    assert np.all(progress(infos) < 0.7)
    steps = np.arange(20, len(hand["expert"]) - IDLE)
    apart = np.stack(hand["miss"])[steps] - np.stack(hand["expert"])[steps]
    away = np.hypot(apart[:, 0], apart[:, 1])
    assert np.median(away) == pytest.approx(0.095, abs=0.04)
    # the rehearsal left nothing behind: the same actions from a fresh reset lead there again
    env.reset(seed=3)
    streams = generators(3)
    actions = list(
        _told(env, Expert(env, "miss", rng=streams["expert"], noise_rng=streams["noise"]))
    )
    there = env.sensed.copy()
    env.reset(seed=3)
    for action in actions:
        env.step(action)
    assert np.array_equal(env.sensed, there)


def _told(env: MetaWorldEnv, expert: Expert) -> Iterator[np.ndarray]:
    for action in expert.actions():
        env.step(action)
        yield action


def test_the_noise_has_a_stream_of_its_own(envs: dict[str, MetaWorldEnv]) -> None:
    env, first = envs["reach"], []
    for noise in (1, 1, 2):
        env.reset(seed=0)
        rng = np.random.default_rng(0)
        expert = Expert(env, "noise", rng=rng, noise_rng=np.random.default_rng(noise))
        first.append(next(expert.actions()))
    assert np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], first[2])


@pytest.mark.parametrize("name", ["door-close", "assembly", "disassemble", "reach-wall", "soccer"])
def test_progress_rises_with_the_work_however_it_is_measured(name: str) -> None:
    from scipy.stats import spearmanr

    env = make_env(name, pixels=False)
    infos = play(env, "expert", 0)
    done = [bool(info["is_success"]) for info in infos].index(True)
    curve = progress(infos)[: done + 1]
    assert spearmanr(curve, np.arange(done + 1)).statistic > 0.8
    assert np.all((curve >= 0) & (curve <= 1))
    stages = [STAGES.index(str(info["stage_name"])) for info in infos]
    assert stages == [info["stage"] for info in infos]
    assert stages[0] == 0


def test_stopping_holds_the_hand_still_where_it_is(envs: dict[str, MetaWorldEnv]) -> None:
    env = envs["drawer-open"]
    env.reset(seed=0)
    streams = generators(0)
    expert = Expert(env, "stop", rng=streams["expert"], noise_rng=streams["noise"])
    actions = []
    for action in expert.actions():
        actions.append(action)
        env.step(action)
    last = np.array(actions[-IDLE:])
    assert not last[:, :3].any()
    assert np.all(last[:, 3] == actions[-IDLE - 1][3]), "the hand stays as it was"
    assert not env.verdicts[env.goal].success


def test_a_success_that_comes_while_holding_still_is_followed_by_as_many_steps(
    envs: dict[str, MetaWorldEnv],
) -> None:
    runs = [play(envs["door-close"], "stop", seed) for seed in range(12)]
    for infos in runs:
        done = [bool(info["is_success"]) for info in infos]
        assert not any(done) or len(done) - 1 - done.index(True) >= IDLE


@pytest.mark.slow
def test_the_experts_of_all_fifty_tasks_succeed() -> None:
    rates = {}
    for name in TASKS:
        env = make_env(name, pixels=False)
        rates[name] = np.mean([play(env, "expert", seed)[-1]["is_success"] for seed in range(5)])
        env.close()
    print({name: rate for name, rate in rates.items() if rate < 1})
    assert np.mean(list(rates.values())) >= 0.95, rates


@pytest.mark.slow
def test_our_images_cost_a_tenth_of_the_benchmarks_own() -> None:
    from sim.metaworld.speed import speed_gain

    before = make_env("reach", image_size=32)
    image = before.reset(seed=0)[0]["pixels"]["front"]
    gain = speed_gain(rounds=2)
    assert 0 < gain.ours < gain.stock
    assert gain.ratio >= 10
    assert np.array_equal(before.draw()["front"], image), "the graphics context is unharmed"


def test_reset_options_other_than_its_goal_are_refused(envs: dict[str, MetaWorldEnv]) -> None:
    env = envs["reach"]
    assert env.reset(seed=0, options={"goal": "reach"})[1]["goal"] == "reach"
    for options in ({"goal": "push"}, {"colour": "red"}):
        with pytest.raises(InputError, match="are not known; the goal is reach"):
            env.reset(options=options)


def test_an_action_that_is_not_finite_is_not_carried_out(envs: dict[str, MetaWorldEnv]) -> None:
    env = envs["reach"]
    env.reset(seed=0)
    for _ in range(20):
        env.step(STILL)
    before = env.sensed[:3].copy()
    _, _, terminated, truncated, info = env.step(np.array((0, np.nan, 0, np.inf), np.float32))
    assert info["rejected"] == "at step 20 y is nan, gripper is inf: actions must be finite"
    assert (terminated, truncated) == (False, True)
    assert np.abs(env.sensed[:3] - before).max() < 1e-3


def test_an_action_of_another_shape_is_refused(envs: dict[str, MetaWorldEnv]) -> None:
    with pytest.raises(InputError, match=r"an action is 4 numbers .*got shape \(5,\)"):
        envs["reach"].step(np.zeros(5, np.float32))
    assert len(ACTIONS) == 4


def test_success_ends_the_episode_unless_a_demonstration_is_made() -> None:
    env = MetaWorldEnv("reach", pixels=False)
    env.reset(seed=0)
    streams = generators(0)
    expert = Expert(env, "expert", rng=streams["expert"], noise_rng=streams["noise"])
    for action in expert.actions():
        _, reward, terminated, _, info = env.step(action)
        assert reward == float(terminated)
        if terminated:
            break
    assert info["is_success"]


def test_the_environment_goes_on_beyond_the_benchmarks_horizon() -> None:
    env = gym.make(IDS["reach"], pixels=False)
    env.reset(seed=0)
    ends = [env.step(STILL)[2:4] for _ in range(MAX_STEPS)]
    assert ends[-1] == (False, True)
    assert not any(terminated or truncated for terminated, truncated in ends[:-1])
    env.unwrapped.step(STILL)
