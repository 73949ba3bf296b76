"""The Panda from primitive shapes, and inverse kinematics on it."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from robo_reward.arms import ArmDescription
from robo_reward.arms.ik import InverseKinematics
from robo_reward.arms.panda import DH, FLANGE, LIMITS, TOOL, panda

DOWN = np.diag((1.0, -1.0, -1.0))


@pytest.fixture(scope="module")
def model() -> Any:
    import mujoco

    arm = panda()
    return mujoco.MjModel.from_xml_string(
        '<mujoco><compiler angle="radian" autolimits="true"/><option integrator="implicitfast"/>'
        f"<worldbody>{arm.worldbody}</worldbody><equality>{arm.equality}</equality>"
        f"<tendon>{arm.tendon}</tendon><actuator>{arm.actuator}</actuator></mujoco>"
    )


@pytest.fixture(scope="module")
def arm() -> ArmDescription:
    return panda()


@pytest.fixture
def solver(model: Any, arm: ArmDescription) -> InverseKinematics:
    return InverseKinematics(model, site=arm.tool_site, joints=arm.joints, home=arm.home)


def about_z(yaw: float) -> np.ndarray:
    return np.array(((np.cos(yaw), -np.sin(yaw), 0), (np.sin(yaw), np.cos(yaw), 0), (0, 0, 1.0)))


def test_forward_kinematics_agree_with_the_published_dh_table(solver: InverseKinematics) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints = np.array([rng.uniform(low, high) for low, high in LIMITS])
        frame = np.eye(4)
        for (a, d, alpha), theta in zip(DH, joints, strict=True):
            ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
            frame = frame @ np.array(
                (
                    (ct, -st, 0, a),
                    (st * ca, ct * ca, -sa, -d * sa),
                    (st * sa, ct * sa, ca, d * ca),
                    (0, 0, 0, 1),
                )
            )
        tool = frame @ np.array((0, 0, FLANGE + TOOL, 1))
        position, rotation = solver.pose(joints)
        assert np.allclose(position, tool[:3], atol=1e-5)
        assert np.allclose(rotation[:, 2], frame[:3, 2], atol=1e-5)


def test_home_points_the_tool_straight_down_32_cm_above_the_table(
    solver: InverseKinematics, arm: ArmDescription
) -> None:
    position, rotation = solver.pose(arm.home)
    assert np.allclose(position, (0.45, 0, 0.32), atol=1e-3)
    assert np.allclose(rotation, DOWN, atol=1e-3)


def test_500_random_targets_in_the_workspace_are_solved_below_a_tenth_of_a_millimetre(
    solver: InverseKinematics, arm: ArmDescription
) -> None:
    rng = np.random.default_rng(1)
    counts = []
    for _ in range(500):
        position = rng.uniform((0.30, -0.35, 0.01), (0.65, 0.35, 0.45))
        rotation = about_z(rng.uniform(-0.8, 0.8)) @ DOWN
        solution = solver.solve(arm.home, position, rotation)
        reached, turned = solver.pose(solution.joints)
        assert solution.error < 1e-4
        assert np.linalg.norm(reached - position) < 1e-4
        assert np.abs(turned - rotation).max() < 2e-4
        counts.append(solution.iterations)
    assert np.mean(counts) < 6


def test_solutions_stay_inside_the_joint_limits_even_for_targets_out_of_reach(
    solver: InverseKinematics, arm: ArmDescription
) -> None:
    limits = np.array(arm.joint_limits)
    for far in ((2.0, 0.0, 0.5), (0.0, 0.0, 3.0), (-1.0, -1.0, 0.1)):
        solution = solver.solve(arm.home, far, DOWN, iterations=50)
        assert solution.iterations == 50
        assert solution.error > 0.1
        assert np.isfinite(solution.joints).all()
        assert (solution.joints >= limits[:, 0]).all()
        assert (solution.joints <= limits[:, 1]).all()


def test_a_target_that_is_reached_already_takes_no_iteration(
    solver: InverseKinematics, arm: ArmDescription
) -> None:
    position, rotation = solver.pose(arm.home)
    solution = solver.solve(arm.home, position, rotation)
    assert solution.iterations == 0
    assert np.array_equal(solution.joints, arm.home)


def test_the_servos_hold_the_home_pose_within_a_millimetre_for_two_seconds(
    model: Any, arm: ArmDescription
) -> None:
    import mujoco

    data = mujoco.MjData(model)
    for name, angle in zip(arm.joints, arm.home, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = angle
        data.ctrl[model.actuator(name).id] = angle
    mujoco.mj_forward(model, data)
    before = data.site(arm.tool_site).xpos.copy()
    mujoco.mj_step(model, data, 1000)
    mujoco.mj_forward(model, data)
    assert np.linalg.norm(data.site(arm.tool_site).xpos - before) < 1e-3


def test_both_fingers_move_alike_between_closed_and_8_cm(model: Any, arm: ArmDescription) -> None:
    import mujoco

    data = mujoco.MjData(model)
    for opening in (arm.finger_travel, 0.0, 0.02):
        data.ctrl[model.actuator(arm.gripper_actuator).id] = opening
        mujoco.mj_step(model, data, 1000)
        left, right = (data.qpos[model.joint(name).qposadr[0]] for name in arm.finger_joints)
        assert left == pytest.approx(right, abs=5e-4)
        assert left == pytest.approx(opening, abs=1e-3)


def test_the_capsules_of_the_arm_are_seen_but_do_not_collide(model: Any) -> None:
    for number in range(1, 8):
        geom = model.body(f"link{number}").geomadr[0]
        assert model.geom_contype[geom] == model.geom_conaffinity[geom] == 0
    for pad in panda().pads:
        assert model.geom(pad).contype[0] == 1
        assert model.geom(pad).condim[0] == 4
        assert 1.2 <= model.geom(pad).friction[0] <= 1.5


def test_describing_an_arm_does_not_import_mujoco() -> None:
    code = (
        "import sys, robo_reward.arms.panda as p, robo_reward.arms.ik; p.panda(); "
        "assert 'mujoco' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
