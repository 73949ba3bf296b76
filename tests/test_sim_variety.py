"""Textures, distractors and the height of the arm: where they may be, and that they go away."""

import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sim.distractors import CLEAR, DISTRACTORS, MOST, occupied, segment_distance
from sim.env import TabletopEnv
from sim.experts import Expert
from sim.looks import TALLER
from sim.scene import VARIED
from sim.seeding import generators
from sim.surfaces import SURFACES
from sim.tasks import TASKS
from sim.variety import ALL, VARIETY


@pytest.fixture(scope="module", params=list(TASKS))
def env(request: pytest.FixtureRequest) -> Iterator[TabletopEnv]:
    """Each task with everything varied, without images."""
    env = TabletopEnv(request.param, pixels=False, terminate_on_success=False, variety=ALL)
    yield env
    env.close()


@pytest.fixture(scope="module")
def bin_env() -> Iterator[TabletopEnv]:
    env = TabletopEnv(image_size=32, terminate_on_success=False, variety=ALL)
    yield env
    env.close()


def standing(env: TabletopEnv) -> list[str]:
    """Return the distractors on the table."""
    return [name for name in DISTRACTORS if env.world.position(name)[2] > 0]


def play(env: TabletopEnv, seed: int) -> dict[str, Any]:
    """Return the last ``info`` of an expert's episode."""
    env.reset(seed=seed)
    streams = generators(seed)
    expert = Expert(env, "expert", rng=streams["expert"], noise_rng=streams["noise"])
    for action in expert.actions():
        info = env.step(action)[4]
    return info


def test_the_default_leaves_out_what_is_new() -> None:
    assert VARIETY == ("colour", "light", "camera")
    assert set(ALL) - set(VARIETY) == {"texture", "distractors", "height"}


def test_distractors_stand_clear_of_the_task_s_things_and_of_each_other(env: TabletopEnv) -> None:
    seen = 0
    for seed in range(15):
        env.reset(seed=seed)
        world, names = env.world, standing(env)
        seen += len(names)
        assert len(names) <= MOST
        places = [(name, world.position(name)[:2], DISTRACTORS[name][0]) for name in names]
        for name, spot, radius in places:
            for where, size in occupied(world):
                assert segment_distance(spot, where) >= radius + size + 0.9 * CLEAR
            for way in env.rules.ways(world):
                assert segment_distance(spot, way) >= radius + 0.9 * CLEAR
            others = [(at, size) for other, at, size in places if other != name]
            assert all(np.linalg.norm(spot - at) > radius + size + 0.02 for at, size in others)
    assert seen >= 12


def test_distractors_stand_on_the_table_and_are_seen_only_there(bin_env: TabletopEnv) -> None:
    counts, colours = set(), set()
    for seed in range(40):
        bin_env.reset(seed=seed)
        names = standing(bin_env)
        counts.add(len(names))
        for name in DISTRACTORS:
            rgba = bin_env.world.model.geom(name).rgba
            assert rgba[3] == float(name in names)
            if name in names:
                colours.add(tuple(np.round(rgba[:3], 2)))
                low = bin_env.world.position(name)[2] - DISTRACTORS[name][1]
                assert low == pytest.approx(0.0, abs=1e-9)
            else:
                assert bin_env.world.position(name)[2] < -0.4
    assert counts == {0, 1, 2, 3}
    assert len(colours) == 6


def test_table_and_floor_choose_among_all_surfaces_and_are_plain_half_the_time(
    bin_env: TabletopEnv,
) -> None:
    model = bin_env.world.model
    found = []
    for seed in range(200):
        bin_env.world.plain_look()
        from sim.looks import vary_texture

        vary_texture(bin_env.world, generators(seed)["texture"])
        found.append([int(model.geom_matid[model.geom(name).id]) for name in ("table", "floor")])
    for column in np.array(found).T:
        assert set(column) == {-1, *range(len(SURFACES))}
        assert 0.4 < (column == -1).mean() < 0.6


def test_the_base_of_the_arm_moves_by_up_to_2_cm_and_the_table_does_not(
    bin_env: TabletopEnv,
) -> None:
    heights = []
    for seed in range(40):
        bin_env.reset(seed=seed)
        heights.append(float(bin_env.world.position(bin_env.world.arm.base)[2]))
        table = bin_env.world.data.geom("table")
        assert table.xpos[2] == -0.02
    assert -TALLER <= min(heights) < -0.012
    assert 0.012 < max(heights) <= TALLER


def test_plain_look_undoes_all_that_a_reset_changes(bin_env: TabletopEnv) -> None:
    fresh = TabletopEnv(pixels=False)
    for seed in (1, 2):
        bin_env.reset(seed=seed)
        bin_env.world.plain_look()
        for name in VARIED:
            now, compiled = (getattr(e.world.model, name) for e in (bin_env, fresh))
            assert np.array_equal(now, compiled), name


def test_no_reset_changes_a_field_of_the_model_beyond_those_that_snapshots_hold(
    env: TabletopEnv,
) -> None:
    fresh = TabletopEnv(env.task, pixels=False).world.model
    env.reset(seed=6)
    for name in dir(fresh):
        value = getattr(fresh, name)
        if isinstance(value, np.ndarray) and not np.array_equal(
            value, getattr(env.world.model, name)
        ):
            assert name in VARIED


def test_a_snapshot_brings_back_look_distractors_and_height(bin_env: TabletopEnv) -> None:
    seed = next(seed for seed in range(50) if _stands_two(bin_env, seed))
    first, _ = bin_env.reset(seed=seed)
    taken = pickle.loads(pickle.dumps(bin_env.snapshot()))
    places = {name: bin_env.world.position(name) for name in DISTRACTORS}
    bin_env.reset(seed=seed + 1)
    again, _ = bin_env.restore(taken)
    for view, image in first["pixels"].items():
        assert np.array_equal(image, again["pixels"][view])
    for name, place in places.items():
        assert np.array_equal(place, bin_env.world.position(name))
    assert np.array_equal(first["agent_pos"], again["agent_pos"])


def _stands_two(env: TabletopEnv, seed: int) -> bool:
    env.reset(seed=seed)
    textured = env.world.model.geom_matid[env.world.model.geom("table").id] >= 0
    return len(standing(env)) >= 2 and bool(textured)


def test_the_expert_succeeds_among_distractors_on_a_higher_or_lower_arm(env: TabletopEnv) -> None:
    assert all(play(env, seed)["is_success"] for seed in range(3))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_experts_succeed_in_95_of_100_seeds_with_everything_varied(env: TabletopEnv) -> None:
    assert sum(play(env, seed)["is_success"] for seed in range(100)) >= 95


@pytest.mark.parametrize(
    ("point", "distance"), [((0.5, 0.3), 0.3), ((-0.3, 0.4), 0.5), ((2.0, 0.0), 1.0)]
)
def test_the_distance_from_a_segment_is_that_of_its_nearest_point(
    point: tuple[float, float], distance: float
) -> None:
    segment = np.array(((0.0, 0.0), (1.0, 0.0)))
    assert segment_distance(np.array(point), segment) == pytest.approx(distance)
