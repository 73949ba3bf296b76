"""A 5-DoF arm like the SO-101 from primitive shapes, and its kinematics in closed form.

Joints and their signs are those of LeRobot's ``so101``: at zero the upper arm is upright, the
forearm and the hand point forward; positive lift, elbow and flex lean down. Lengths are about
those of the real arm; shapes, masses and servo gains are our own. One jaw stands still and one
turns, as on the real arm.

Five joints cannot choose where the hand points and how it is turned at once. The hand always
lies in the vertical plane through the base axis and its own tip; the tilt away from straight
down is chosen in that plane, and the roll turns the jaw about the hand's axis.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import ArmDescription
from .mjcf import TOUCH, VISUAL, looking

type Floats = NDArray[np.float64]
"""An array of double precision."""

OFFSET, SHOULDER = 0.03, 0.12
"""Shoulder axis: how far before the base axis, and how high above the base, in metres."""
UPPER, FORE, HAND = 0.116, 0.135, 0.16
"""Upper arm, forearm, and wrist to tool site, in metres."""
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
"""Names of the joints, base first."""
LIMITS = ((-1.92, 1.92), (-1.745, 1.745), (-1.69, 1.69), (-1.658, 1.658), (-2.74, 2.84))
"""Joint limits in radians."""
STRETCH = 0.24
"""Shoulder to wrist at most where there is a choice, in metres; fully stretched is 0.251."""
MOST_TILT = 2.0
"""Largest tilt of the hand from straight down, in radians: a little above horizontal."""
OPENING, JAW = 0.87, 0.08
"""The moving jaw wide open: its angle in radians and the distance of the pads in metres."""

_HOME = (0.15, 0.0, 0.24)
_MARGIN = 0.04
_ROLL_AT = 0.06
_PIVOT = (0.025, 0.005)
_LEVER = (0.015, 0.095)
_CLOSED = -0.42  # turn of the moving jaw against the pose in which the pads are parallel
_STIFFNESS = (90, 90, 90, 60, 20)
_LAG = 0.06
_FORCE = (6, 6, 6, 4, 2)
_ORANGE = 'rgba="0.93 0.62 0.18 1"'
_BLACK = 'rgba="0.13 0.13 0.14 1"'


def so101() -> ArmDescription:
    """Return the arm with its jaw and wrist camera; only jaws and palm collide."""
    return ArmDescription(
        name="so101",
        worldbody=_base(),
        base="arm_base",
        equality="",
        tendon="",
        actuator=_servos(),
        joints=JOINTS,
        joint_limits=LIMITS,
        home=tuple(solve(_HOME, least_tilt(_HOME), 0.0).tolist()),
        finger_joints=("gripper",),
        finger_travel=OPENING,
        jaw_ratio=JAW / OPENING,
        jaw_side=0.5,
        gripper_actuator="gripper",
        pads=("pad_fixed", "pad_moving"),
        tool_site="tool",
        wrist_camera="wrist",
    )


def frame(bearing: float, tilt: float, roll: float) -> Floats:
    """Return the rotation (3, 3) of the tool: z out of the hand, y the way the jaw opens.

    Args:
        bearing: Direction of the vertical plane it lies in, in radians from x.
        tilt: From straight down outwards, in radians.
        roll: About the hand's axis, counted like a yaw when it points straight down.
    """
    b, t, r = (np.cos(bearing), np.sin(bearing)), (np.cos(tilt), np.sin(tilt)), roll
    plane = np.array(((b[0], -b[1], 0), (b[1], b[0], 0), (0, 0, 1)))
    lean = np.array(((t[0], 0, -t[1]), (0, 1, 0), (t[1], 0, t[0])))
    turn = np.array(((np.cos(r), np.sin(r), 0), (-np.sin(r), np.cos(r), 0), (0, 0, 1)))
    rotation: Floats = plane @ lean @ np.diag((1.0, -1.0, -1.0)) @ turn
    return rotation


def forward(joints: ArrayLike) -> tuple[Floats, Floats]:
    """Return position (3,) in metres and rotation (3, 3) of the tool site at joints (5,)."""
    pan, lift, elbow, flex, roll = np.asarray(joints, float)
    fore = lift + elbow
    tilt = math.pi / 2 - (fore + flex)
    out = OFFSET + UPPER * np.sin(lift) + FORE * np.cos(fore) + HAND * np.sin(tilt)
    up = SHOULDER + UPPER * np.cos(lift) - FORE * np.sin(fore) - HAND * np.cos(tilt)
    position = np.array((out * np.cos(pan), out * np.sin(pan), up))
    return position, frame(float(pan), tilt, float(roll))


def solve(position: ArrayLike, tilt: float, roll: float) -> Floats:
    """Return joints (5,) in radians that bring the tool site to a position, elbow up.

    Where that is out of reach, the arm stretches towards it; joints stay inside their limits.

    Args:
        position: (3,) in metres, from the foot of the base.
        tilt: Of the hand from straight down outwards, in radians.
        roll: Of the jaw about the hand's axis, in radians.
    """
    x, y, z = (float(value) for value in np.asarray(position, float))
    planar = _planar(math.hypot(x, y), z, tilt)
    joints = np.array((math.atan2(y, x), *planar, roll))
    low, high = np.array(LIMITS).T
    inside: Floats = np.clip(joints, low, high)
    return inside


def least_tilt(position: ArrayLike) -> float:
    """Return the smallest tilt, in radians, at which the arm reaches a position (3,) easily.

    It is 0, straight down, in a ring before the base, and grows continuously with distance and
    height. Where no tilt will do, the hand points away from the shoulder.
    """
    x, y, z = (float(value) for value in np.asarray(position, float))
    out = math.hypot(x, y)
    if _fits(out, z, 0.0):
        return 0.0
    steps = 40
    for number in range(1, steps + 1):
        high = MOST_TILT * number / steps
        if _fits(out, z, high):
            return _first_fit(out, z, high - MOST_TILT / steps, high)
    return min(MOST_TILT, max(0.0, math.atan2(z - SHOULDER, out - OFFSET) + math.pi / 2))


def _first_fit(out: float, z: float, low: float, high: float) -> float:
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if _fits(out, z, middle) else (middle, high)
    return high


def _wrist(out: float, z: float, tilt: float) -> tuple[float, float]:
    """Return where the wrist is, outwards and up from the shoulder."""
    return out - OFFSET - HAND * math.sin(tilt), z - SHOULDER + HAND * math.cos(tilt)


def _planar(out: float, z: float, tilt: float) -> tuple[float, float, float]:
    """Return lift, elbow and flex, by the law of cosines."""
    ahead, above = _wrist(out, z, tilt)
    square = ahead * ahead + above * above
    cosine = (square - UPPER**2 - FORE**2) / (2 * UPPER * FORE)
    bend = math.acos(min(1.0, max(-1.0, cosine)))
    inner = math.atan2(FORE * math.sin(bend), UPPER + FORE * math.cos(bend))
    lift = math.atan2(ahead, above) - inner
    elbow = bend - math.pi / 2
    return lift, elbow, math.pi / 2 - tilt - lift - elbow


def _fits(out: float, z: float, tilt: float) -> bool:
    distance = math.hypot(*_wrist(out, z, tilt))
    if not FORE - UPPER < distance <= STRETCH:
        return False
    angles = zip(_planar(out, z, tilt), LIMITS[1:4], strict=True)
    return all(low + _MARGIN <= angle <= high - _MARGIN for angle, (low, high) in angles)


def _servos() -> str:
    lines = [
        f'<position name="{name}" joint="{name}" kp="{kp}" kv="{kp * _LAG:g}" '
        f'ctrlrange="{low} {high}" forcerange="-{force} {force}"/>'
        for name, kp, force, (low, high) in zip(JOINTS, _STIFFNESS, _FORCE, LIMITS, strict=True)
    ]
    lines.append(
        f'<position name="gripper" joint="gripper" kp="6" kv="0.3" '
        f'ctrlrange="0 {OPENING}" forcerange="-1.5 1.5"/>'
    )
    return "\n".join(lines)


def _base() -> str:
    inner = _body("wrist_link", (FORE, 0, 0), 3, _wrist_shape(), _hand())
    inner = _body("forearm", (0, 0, UPPER), 2, _bar((FORE, 0, 0), 0.017, 0.10), inner)
    inner = _body("upper_arm", (OFFSET, 0, SHOULDER), 1, _bar((0, 0, UPPER), 0.019, 0.12), inner)
    tower = (
        f'<geom type="capsule" fromto="0 0 0.07 {OFFSET} 0 {SHOULDER}" size="0.028" mass="0.2" '
        f"{VISUAL} {_ORANGE}/>"
    )
    inner = _body("shoulder", (0, 0, 0), 0, tower, inner)
    return (
        f'<body name="arm_base"><geom type="box" size="0.05 0.045 0.04" pos="-0.01 0 0.02" '
        f"{VISUAL} {_BLACK}/>{inner}</body>"
    )


def _body(name: str, at: tuple[float, float, float], joint: int, shape: str, inner: str) -> str:
    low, high = LIMITS[joint]
    axis = "0 0 1" if joint == 0 else "0 1 0"
    return (
        f'<body name="{name}" pos="{at[0]} {at[1]} {at[2]}" gravcomp="1">'
        f'<joint name="{JOINTS[joint]}" axis="{axis}" range="{low} {high}" armature="0.02" '
        f'damping="0.1"/>{shape}{inner}</body>'
    )


def _bar(end: tuple[float, float, float], radius: float, mass: float) -> str:
    return (
        f'<geom type="capsule" fromto="0 0 0 {end[0]} {end[1]} {end[2]}" size="{radius}" '
        f'mass="{mass}" {VISUAL} {_ORANGE}/>'
    )


def _wrist_shape() -> str:
    return (
        f'<geom type="box" size="0.032 0.014 0.018" pos="0.025 0 0" mass="0.08" {VISUAL} {_BLACK}/>'
    )


def _hand() -> str:
    """Return the hand: its z axis points along the forearm, its x axis up, at roll 0."""
    low, high = LIMITS[4]
    reach = HAND - _ROLL_AT
    camera = looking(eye=(0.060, 0.015, 0.0), at=(0.008, 0.015, reach + 0.015))
    return (
        f'<body name="hand" pos="{_ROLL_AT} 0 0" quat="0 0.707106781 0 0.707106781" '
        f'gravcomp="1"><joint name="{JOINTS[4]}" axis="0 0 -1" range="{low} {high}" '
        f'armature="0.01" damping="0.05"/>'
        f'<geom name="palm" type="box" size="0.016 0.026 0.014" pos="0 0.014 0.008" mass="0.06" '
        f"{_ORANGE}/>"
        f'<geom type="box" size="0.008 0.010 0.008" pos="0.058 0.015 -0.008" mass="0.01" '
        f"{VISUAL} {_BLACK}/>"
        f'<geom name="jaw_fixed" type="box" size="0.009 0.004 0.036" pos="0 -0.005 0.054" '
        f'mass="0.02" {_ORANGE}/>'
        f'<geom name="pad_fixed" type="box" size="0.010 0.004 0.010" pos="0 -0.004 {reach:.4f}" '
        f'mass="0.01" {TOUCH} {_BLACK}/>'
        f'<camera name="wrist" mode="fixed" fovy="75" {camera}/>'
        f'<site name="tool" pos="0 0 {reach:.4f}" size="0.004" group="5"/>{_jaw()}</body>'
    )


def _jaw() -> str:
    half = -_CLOSED / 2
    (across, along), (side, lever) = _PIVOT, _LEVER
    return (
        f'<body name="jaw_moving" pos="0 {across} {along}" '
        f'quat="{math.cos(half):.9f} {math.sin(half):.9f} 0 0" gravcomp="1">'
        f'<joint name="gripper" axis="-1 0 0" range="0 {OPENING}" armature="0.002" '
        f'damping="0.01"/>'
        f'<geom name="jaw_moving" type="box" size="0.009 0.004 0.036" '
        f'pos="0 {side + 0.005} {lever - 0.046:.4f}" mass="0.02" {_ORANGE}/>'
        f'<geom name="pad_moving" type="box" size="0.010 0.004 0.010" '
        f'pos="0 {side + 0.004} {lever}" mass="0.01" {TOUCH} {_BLACK}/></body>'
    )
