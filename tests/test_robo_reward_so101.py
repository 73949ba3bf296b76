"""The five-joint arm: kinematics in closed form, its tilt, its one moving jaw."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from robo_reward.arms import ArmDescription
from robo_reward.arms.so101 import (
    FORE,
    HAND,
    JAW,
    JOINTS,
    LIMITS,
    OFFSET,
    OPENING,
    SHOULDER,
    STRETCH,
    UPPER,
    forward,
    frame,
    least_tilt,
    so101,
    solve,
)

RING = np.linspace(0.12, 0.36, 13)
HEIGHTS = np.linspace(-0.005, 0.30, 16)


@pytest.fixture(scope="module")
def arm() -> ArmDescription:
    return so101()


@pytest.fixture(scope="module")
def model(arm: ArmDescription) -> Any:
    import mujoco

    return mujoco.MjModel.from_xml_string(
        '<mujoco><compiler angle="radian" autolimits="true"/><option integrator="implicitfast"/>'
        f"<worldbody>{arm.worldbody}</worldbody><actuator>{arm.actuator}</actuator></mujoco>"
    )


def placed(model: Any, joints: Any, jaw: float = 0.0) -> Any:
    """Return a state with the arm at ``joints`` (5,) and the jaw at an angle."""
    import mujoco

    data = mujoco.MjData(model)
    for name, angle in zip((*JOINTS, "gripper"), (*joints, jaw), strict=True):
        data.qpos[model.joint(name).qposadr[0]] = angle
        data.ctrl[model.actuator(name).id] = angle
    mujoco.mj_forward(model, data)
    return data


def test_joints_are_named_as_lerobot_names_them(arm: ArmDescription) -> None:
    assert arm.joints == ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
    assert arm.gripper_actuator == "gripper"
    assert len(arm.joint_limits) == len(arm.home) == 5


def test_at_zero_the_upper_arm_is_upright_and_the_rest_points_forward() -> None:
    position, rotation = forward(np.zeros(5))
    assert np.allclose(position, (OFFSET + FORE + HAND, 0, SHOULDER + UPPER))
    assert np.allclose(rotation[:, 2], (1, 0, 0))
    lean = forward((0, 0.3, 0, 0, 0))[0] - position
    assert lean[2] < 0


def test_the_closed_form_agrees_with_the_simulated_arm(model: Any, arm: ArmDescription) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        joints = [rng.uniform(low, high) for low, high in LIMITS]
        site = placed(model, joints).site(arm.tool_site)
        position, rotation = forward(joints)
        assert np.allclose(site.xpos, position, atol=1e-6)
        assert np.allclose(site.xmat.reshape(3, 3), rotation, atol=1e-6)


def test_every_place_in_the_ring_is_reached_to_a_micrometre() -> None:
    for out in RING:
        for height in HEIGHTS:
            for bearing, roll in ((0.0, 0.0), (1.2, -0.9), (-0.7, 2.0)):
                wanted = np.array((out * np.cos(bearing), out * np.sin(bearing), height))
                tilt = least_tilt(wanted)
                position, rotation = forward(solve(wanted, tilt, roll))
                assert np.linalg.norm(position - wanted) < 1e-6
                assert np.allclose(rotation, frame(bearing, tilt, roll), atol=1e-6)


def test_the_hand_points_straight_down_in_a_ring_and_outwards_beyond() -> None:
    grasp = [least_tilt((out, 0, 0.02)) for out in np.arange(0.13, 0.265, 0.01)]
    assert max(grasp) == 0.0
    assert 0.2 < least_tilt((0.30, 0, 0.02)) < 0.4
    assert 0.5 < least_tilt((0.36, 0, 0.02)) < 0.8
    assert least_tilt((0.20, 0, 0.20)) > 0.5


def test_the_tilt_grows_continuously_and_is_the_smallest_that_will_do() -> None:
    for height in HEIGHTS:
        tilts = np.array([least_tilt((out, 0, height)) for out in np.arange(0.13, 0.36, 0.001)])
        assert np.abs(np.diff(tilts)).max() < 0.03
    for out in (0.30, 0.34):
        tilt = least_tilt((out, 0, 0.02))
        wrist = np.array(
            (out - OFFSET - HAND * np.sin(tilt), 0.02 - SHOULDER + HAND * np.cos(tilt))
        )
        assert np.linalg.norm(wrist) == pytest.approx(STRETCH, abs=1e-3)


@pytest.mark.parametrize("far", [(1.0, 0.0, 0.1), (0.0, 0.0, 2.0), (-0.4, 0.3, 0.0)])
def test_out_of_reach_the_joints_stay_inside_their_limits(far: tuple[float, ...]) -> None:
    joints = solve(far, least_tilt(far), 5.0)
    low, high = np.array(LIMITS).T
    assert np.isfinite(joints).all()
    assert (joints >= low).all()
    assert (joints <= high).all()


def test_roll_turns_the_jaw_like_a_yaw_when_the_hand_points_down() -> None:
    turned = frame(0.3, 0.0, 0.5)
    assert np.allclose(turned, frame(0.8, 0.0, 0.0))
    assert np.allclose(turned[:, 2], (0, 0, -1))
    assert np.allclose(turned @ turned.T, np.eye(3))
    assert np.linalg.det(turned) == pytest.approx(1.0)


def test_the_gap_between_the_pads_grows_evenly_with_the_angle_of_the_jaw(
    model: Any, arm: ArmDescription
) -> None:
    for angle in np.linspace(0.0, OPENING, 7):
        data = placed(model, arm.home, angle)
        across = data.site(arm.tool_site).xmat.reshape(3, 3)[:, 1]
        pad = data.geom("pad_moving")
        face = pad.xpos - 0.004 * pad.xmat.reshape(3, 3)[:, 1]
        gap = (face - data.site(arm.tool_site).xpos) @ across
        assert gap == pytest.approx(angle * arm.jaw_ratio, abs=2.5e-3)
    assert arm.jaw_ratio * arm.finger_travel == pytest.approx(JAW)


def test_the_pads_are_parallel_around_a_thing_of_4_cm(model: Any, arm: ArmDescription) -> None:
    data = placed(model, arm.home, 0.04 / arm.jaw_ratio)
    normals = [data.geom(name).xmat.reshape(3, 3)[:, 1] for name in arm.pads]
    assert abs(normals[0] @ normals[1]) > np.cos(0.05)


def test_the_servos_hold_the_home_pose_and_move_the_jaw(model: Any, arm: ArmDescription) -> None:
    import mujoco

    data = placed(model, arm.home, OPENING)
    before = data.site(arm.tool_site).xpos.copy()
    mujoco.mj_step(model, data, 1000)
    mujoco.mj_forward(model, data)
    assert np.linalg.norm(data.site(arm.tool_site).xpos - before) < 1e-3
    for angle in (0.0, 0.5):
        data.ctrl[model.actuator("gripper").id] = angle
        mujoco.mj_step(model, data, 500)
        assert data.qpos[model.joint("gripper").qposadr[0]] == pytest.approx(angle, abs=0.06)


def test_describing_the_arm_does_not_import_mujoco() -> None:
    code = "import sys, robo_reward.arms.so101 as s; s.so101(); assert 'mujoco' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
