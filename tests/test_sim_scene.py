"""The table-top: rules that keep drawing fast, what the cameras see, seeds."""

import os
import subprocess
import sys

import numpy as np
import pytest

from robo_reward.errors import InputError
from sim import render
from sim.looks import vary_camera
from sim.scene import CAMERAS, TIMESTEP, World, scene_xml
from sim.seeding import generators
from sim.surfaces import SURFACES
from sim.tasks import TASKS, make_task
from sim.tasks.objects import APART, COLOURS, HALF, scatter
from sim.tasks.pick_to_bin import BIN, BIN_HALF


@pytest.fixture(scope="module")
def world() -> World:
    return World(make_task("pick_to_bin").objects_xml())


def test_the_compiled_model_keeps_every_rule_of_fast_drawing(world: World) -> None:
    import mujoco

    model = world.model
    quality = model.vis.quality
    assert quality.offsamples == 0
    assert quality.shadowsize <= 512
    assert (quality.numslices, quality.numstacks, quality.numquads) == (12, 6, 1)
    assert not model.light_castshadow.any()
    assert not model.mat_reflectance.any()
    planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
    assert (model.geom_size[planes, 2] >= 1).all()
    assert model.nmesh == 0
    assert model.tex_width.max() <= 64
    assert model.ngeom <= 50


def test_physics_runs_at_2_ms_with_implicitfast_and_dense_jacobians(world: World) -> None:
    import mujoco

    option = world.model.opt
    assert option.timestep == TIMESTEP == 0.002
    assert option.integrator == mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert option.jacobian == mujoco.mjtJacobian.mjJAC_DENSE
    assert world.model.nv < 60


def test_the_renderer_draws_without_shadow_reflection_or_haze(world: World) -> None:
    import mujoco

    drawer = render.renderer(make_task("pick_to_bin").objects_xml())
    flags = drawer._scene.flags
    for name in ("SHADOW", "REFLECTION", "HAZE"):
        assert flags[getattr(mujoco.mjtRndFlag, f"mjRND_{name}")] == 0
    assert drawer is render.renderer(make_task("pick_to_bin").objects_xml())
    assert os.environ["LP_NUM_THREADS"] == "0"


def test_textures_cost_no_filtering_and_the_table_hides_the_floor_before_it_is_drawn(
    world: World,
) -> None:
    drawer = render.renderer(make_task("pick_to_bin").objects_xml())
    drawer._context.make_current()
    from OpenGL import GL

    textures = drawer._gl.texture[: world.model.ntex]
    assert len(textures) == len(SURFACES)
    for texture in textures:
        GL.glBindTexture(GL.GL_TEXTURE_2D, int(texture))
        for side in (GL.GL_TEXTURE_MIN_FILTER, GL.GL_TEXTURE_MAG_FILTER):
            assert GL.glGetTexParameteriv(GL.GL_TEXTURE_2D, side) == GL.GL_NEAREST
    assert world.model.geom("table").id < world.model.geom("floor").id


def width_in_pixels(world: World, camera: str, body: str, size: int) -> float:
    """Width of a cube's eight corners on the image of a camera."""
    turn = world.data.cam(camera).xmat.reshape(3, 3)
    corners = np.array(np.meshgrid(*[(-HALF, HALF)] * 3)).reshape(3, -1).T
    corners = corners @ world.data.body(body).xmat.reshape(3, 3).T
    seen = (world.position(body) + corners - world.data.cam(camera).xpos) @ turn
    focal = size / 2 / np.tan(np.radians(world.model.cam(camera).fovy[0]) / 2)
    across = seen[:, 0] / -seen[:, 2] * focal
    down = seen[:, 1] / -seen[:, 2] * focal
    assert np.abs(across).max() < size / 2
    assert np.abs(down).max() < size / 2
    return float(np.ptp(across))


def test_every_cube_is_in_both_fixed_views_and_at_least_4_pixels_wide_at_64(world: World) -> None:
    widths: dict[str, list[float]] = {"front": [], "side": []}
    task = make_task("pick_to_bin")
    for seed in range(50):
        world.plain_look()
        world.clear(np.array(world.arm.home))
        task.reset(world, generators(seed)["layout"], "red")
        vary_camera(world, generators(seed)["camera"])
        world.settle(1)
        for camera, found in widths.items():
            found += [width_in_pixels(world, camera, name, 64) for name in COLOURS]
    assert min(widths["front"]) >= 4.0
    assert np.median(widths["front"]) >= 5.0
    assert np.median(widths["side"]) >= 5.0
    world.plain_look()


def test_cubes_start_13_cm_apart_and_clear_of_the_bin_in_200_layouts() -> None:
    for seed in range(200):
        spots = scatter(np.random.default_rng(seed), 4)
        gaps = np.linalg.norm(spots[:, None] - spots[None], axis=-1)[np.triu_indices(4, 1)]
        assert gaps.min() >= APART
        assert (np.abs(spots - BIN).max(axis=1) > BIN_HALF + 2 * HALF).all()


def test_the_scene_has_three_cameras_and_takes_any_objects() -> None:
    import mujoco

    model = mujoco.MjModel.from_xml_string(scene_xml(""))
    assert tuple(sorted(model.cam(number).name for number in range(model.ncam))) == CAMERAS


def test_generators_of_one_seed_differ_from_each_other_and_repeat() -> None:
    first, again = generators(3), generators(3)
    draws = {name: rng.random() for name, rng in first.items()}
    assert len(set(draws.values())) == len(draws) == 10
    assert draws == {name: rng.random() for name, rng in again.items()}


def test_an_unknown_task_is_refused_with_a_list_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no task 'fly'.*pick_to_bin"):
        make_task("fly")
    assert all(make_task(name).name == name for name in TASKS)


@pytest.mark.parametrize("size", [15, 0, -3, 1025])
def test_image_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(InputError, match="16 … 1024"):
        render.check_size(size)


def test_a_backend_that_does_not_exist_is_reported_in_one_line() -> None:
    problem = render.probe("nosuchbackend")
    assert problem is not None
    assert "nosuchbackend" in problem
    assert "\n" not in problem


def test_a_backend_that_hangs_is_given_up_after_the_timeout() -> None:
    assert render.probe("egl", timeout=0.01) == "no answer within 0 s"


def test_a_backend_that_cannot_draw_off_screen_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(render.RenderError, match="set it to egl or osmesa"):
        render.require_backend()


@pytest.mark.parametrize(("untold", "used"), [(True, "osmesa"), (False, None)])
def test_osmesa_is_tried_after_egl_only_where_nobody_chose(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    untold: bool,
    used: str | None,
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setenv(render._PROBED, "")
    monkeypatch.setattr(render, "_UNTOLD", untold)
    monkeypatch.setattr(render, "probe", lambda backend: "no library" if backend == "egl" else None)
    if used is None:
        with pytest.raises(render.RenderError, match="MUJOCO_GL=egl does not work: no library"):
            render.require_backend()
        return
    assert render.require_backend() == used
    assert "drawing with osmesa" in capsys.readouterr().err


def test_a_failing_probe_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.delenv("ROBO_REWARD_GL_PROBED", raising=False)
    monkeypatch.setattr(render, "probe", lambda backend: "libEGL is missing")
    with pytest.raises(render.RenderError, match=r"libEGL is missing.*apt-get install"):
        render.require_backend()


def test_importing_the_package_does_not_import_mujoco_or_torch() -> None:
    code = (
        "import sys, sim, sim.collect, sim.doctor, sim.rollouts; "
        "assert not {'mujoco', 'torch', 'lerobot'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
