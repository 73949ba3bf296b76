"""The 7-DoF Panda arm from primitive shapes, generated as MJCF text; no mesh files.

Kinematics are the Denavit–Hartenberg parameters (Craig's convention) and joint limits that
Franka Robotics publishes for the arm; shapes, masses and servo gains are our own.
"""

import math

from . import ArmDescription
from .mjcf import TOUCH, VISUAL, looking

DH = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -math.pi / 2),
    (0.0, 0.316, math.pi / 2),
    (0.0825, 0.0, math.pi / 2),
    (-0.0825, 0.384, -math.pi / 2),
    (0.0, 0.0, math.pi / 2),
    (0.088, 0.0, math.pi / 2),
)
"""(a, d, alpha) of joints 1 … 7 in metres and radians, Craig's convention."""
FLANGE = 0.107
"""Distance from joint 7 to the flange, in metres."""
TOOL = 0.1034
"""Distance from the flange to the tool point between the pads, in metres."""
LIMITS = (
    (-2.8973, 2.8973),
    (-1.7628, 1.7628),
    (-2.8973, 2.8973),
    (-3.0718, -0.0698),
    (-2.8973, 2.8973),
    (-0.0175, 3.7525),
    (-2.8973, 2.8973),
)
"""Joint limits in radians."""
HOME = (0.0, -0.2828, 0.0, -2.4, 0.0, 2.1172, 0.7854)
"""Tool pointing straight down at (0.45, 0, 0.32), jaw opening along y, in radians."""
FINGER_TRAVEL = 0.04
"""Opening of each finger in metres: the jaw opens 0.08 m."""

_STIFFNESS = (4500, 4500, 3500, 3500, 2000, 2000, 2000)
_DAMPING = (450, 450, 350, 350, 200, 200, 200)
_FORCE = (87, 87, 87, 87, 12, 12, 12)
_LINKS: tuple[tuple[tuple[float, ...], float, float], ...] = (
    ((0, 0, -0.19, 0, 0, 0), 0.065, 3.0),
    ((0, 0, 0, 0, -0.18, 0), 0.062, 3.0),
    ((0, 0, -0.13, 0.0825, 0, 0), 0.058, 2.5),
    ((0, 0, 0, -0.0825, 0.12, 0), 0.055, 2.5),
    ((0, 0, -0.24, 0, 0.03, -0.04), 0.050, 2.5),
    ((0, 0, 0, 0.088, 0, 0), 0.050, 1.5),
    ((0, 0, 0.0, 0, 0, 0.075), 0.043, 0.7),
)
"""Per link: ends of its capsule in the frame of its joint, radius, mass."""
_WHITE = 'rgba="0.86 0.87 0.88 1"'
_DARK = 'rgba="0.24 0.25 0.27 1"'


def panda() -> ArmDescription:
    """Return the arm with its parallel gripper and wrist camera.

    The capsules of the arm are seen but do not collide; hand, fingers and pads collide. Arm
    bodies are gravity-compensated, as on the real arm, so the servos hold without droop.
    """
    joints = tuple(f"joint{number}" for number in range(1, 8))
    return ArmDescription(
        name="panda",
        worldbody=_base(),
        base="arm_base",
        equality=(
            '<joint joint1="finger_left" joint2="finger_right" '
            'solimp="0.95 0.99 0.001" solref="0.005 1"/>'
        ),
        tendon=(
            '<fixed name="fingers"><joint joint="finger_left" coef="0.5"/>'
            '<joint joint="finger_right" coef="0.5"/></fixed>'
        ),
        actuator=_servos(joints),
        joints=joints,
        joint_limits=LIMITS,
        home=HOME,
        finger_joints=("finger_left", "finger_right"),
        finger_travel=FINGER_TRAVEL,
        gripper_actuator="gripper",
        pads=("pad_left", "pad_right"),
        tool_site="tool",
        wrist_camera="wrist",
    )


def _servos(joints: tuple[str, ...]) -> str:
    lines = [
        f'<position name="{name}" joint="{name}" kp="{kp}" kv="{kv}" '
        f'ctrlrange="{low} {high}" forcerange="-{force} {force}"/>'
        for name, kp, kv, force, (low, high) in zip(
            joints, _STIFFNESS, _DAMPING, _FORCE, LIMITS, strict=True
        )
    ]
    lines.append(
        f'<position name="gripper" tendon="fingers" kp="800" kv="40" '
        f'ctrlrange="0 {FINGER_TRAVEL}" forcerange="-40 40"/>'
    )
    return "\n".join(lines)


def _base() -> str:
    inner = _hand()
    for number in range(7, 0, -1):
        inner = _link(number, inner)
    return (
        f'<body name="arm_base"><geom type="cylinder" size="0.09 0.085" pos="-0.02 0 0.055" '
        f"{VISUAL} {_DARK}/>{inner}</body>"
    )


def _link(number: int, inner: str) -> str:
    a, d, alpha = DH[number - 1]
    ends, radius, mass = _LINKS[number - 1]
    low, high = LIMITS[number - 1]
    position = f"{a} {-math.sin(alpha) * d:.6f} {math.cos(alpha) * d:.6f}"
    turn = f"{math.cos(alpha / 2):.9f} {math.sin(alpha / 2):.9f} 0 0"
    colour = _DARK if number in (2, 4, 6) else _WHITE
    return (
        f'<body name="link{number}" pos="{position}" quat="{turn}" gravcomp="1">'
        f'<joint name="joint{number}" axis="0 0 1" range="{low} {high}" armature="0.1" '
        f'damping="1"/>'
        f'<geom type="capsule" fromto="{" ".join(map(str, ends))}" size="{radius}" '
        f'mass="{mass}" {VISUAL} {colour}/>{inner}</body>'
    )


def _hand() -> str:
    half = math.pi / 8
    camera = looking(eye=(0.085, 0.0, 0.03), at=(0.01, 0.0, TOOL + 0.02))
    return (
        f'<body name="hand" pos="0 0 {FLANGE}" '
        f'quat="{math.cos(half):.9f} 0 0 {-math.sin(half):.9f}" gravcomp="1">'
        f'<geom name="palm" type="box" size="0.022 0.095 0.026" pos="0 0 0.032" mass="0.6" '
        f"{_WHITE}/>"
        f'<geom type="box" size="0.012 0.014 0.010" pos="0.084 0 0.018" mass="0.05" '
        f"{VISUAL} {_DARK}/>"
        f'<camera name="wrist" mode="fixed" fovy="70" {camera}/>'
        f'<site name="tool" pos="0 0 {TOOL}" size="0.004" group="5"/>'
        f"{_finger('left', 1)}{_finger('right', -1)}</body>"
    )


def _finger(side: str, sign: int) -> str:
    return (
        f'<body name="finger_{side}" pos="0 0 0.058" gravcomp="1">'
        f'<joint name="finger_{side}" type="slide" axis="0 {sign} 0" '
        f'range="0 {FINGER_TRAVEL}" armature="0.05" damping="2"/>'
        f'<geom name="finger_{side}" type="box" size="0.009 0.006 0.024" '
        f'pos="0 {sign * 0.0125} 0.022" mass="0.04" {_DARK}/>'
        f'<geom name="pad_{side}" type="box" size="0.010 0.005 0.010" '
        f'pos="0 {sign * 0.005} {TOOL - 0.058:.4f}" mass="0.01" {TOUCH} '
        f'rgba="0.12 0.12 0.13 1"/></body>'
    )
