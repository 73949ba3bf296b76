"""The table-top that every task stands on: MJCF text, what can be read of it, and its look.

World frame: origin at the foot of the arm, x away from it, y to its left, z up, table top at
z = 0. Rendering on a CPU is 10–100 times faster under the quality rules below: no shadows, no
multisampling, coarse primitives, and a floor whose third size (a grid pitch) is at least 1.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .distractors import distractors_xml
from .robots import FixedView, get_robot
from .surfaces import surfaces_xml

type Floats = NDArray[np.float64]
"""An array of double precision."""

type Spot = tuple[float, float]
"""x and y on the table in metres."""

TIMESTEP = 0.002
"""Physics step in seconds; 4 ms loses grasps."""
CAMERAS = ("front", "side", "wrist")
"""Names of the three views."""

VARIED = ("geom_rgba", "geom_matid", "light_diffuse", "light_dir", "cam_pos", "body_pos")
"""Fields of the model that a reset may change."""

_FRAME = """
<mujoco model="tabletop">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{timestep}" integrator="implicitfast" jacobian="dense" cone="elliptic"
          impratio="5"/>
  <visual>
    <global offwidth="1024" offheight="1024"/>
    <quality offsamples="0" shadowsize="512" numslices="12" numstacks="6" numquads="1"/>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.3 0.3 0.3" specular="0 0 0"/>
    <map znear="0.01" zfar="20"/>
  </visual>
  <asset>{surfaces}</asset>
  <worldbody>
    <light name="lamp" pos="0.6 -0.4 1.6" dir="-0.1 0.25 -1" directional="true"
           castshadow="false" diffuse="0.55 0.55 0.55" specular="0.1 0.1 0.1"/>
    <geom name="table" type="box" size="0.55 0.65 0.02" pos="0.4 0 -0.02"
          rgba="0.78 0.76 0.72 1" friction="0.9 0.01 0.0005"/>
    <geom name="floor" type="plane" size="6 6 3" pos="0 0 -0.4" rgba="0.45 0.47 0.50 1"/>
    {cameras}
    {arm}
    {objects}
    {distractors}
  </worldbody>
  <equality>{equality}</equality>
  <tendon>{tendon}</tendon>
  <actuator>{actuator}</actuator>
</mujoco>
"""


def scene_xml(objects: str, robot: str = "panda") -> str:
    """Return the MJCF of table, arm and cameras with a task's objects.

    Args:
        objects: Elements for ``<worldbody>``: what the task puts on the table.
        robot: Name of the robot.

    Raises:
        InputError: If there is no such robot.
    """
    found = get_robot(robot)
    arm = found.describe()
    return _FRAME.format(
        timestep=TIMESTEP,
        cameras="\n".join(_camera(name, view) for name, view in found.views.items()),
        arm=arm.worldbody,
        objects=objects,
        surfaces=surfaces_xml(),
        distractors=distractors_xml(),
        equality=arm.equality,
        tendon=arm.tendon,
        actuator=arm.actuator,
    )


def _camera(name: str, view: FixedView) -> str:
    back = np.subtract(view.eye, view.aim)
    right = np.cross((0.0, 0.0, 1.0), back)
    place, axes = _text(view.eye), _text((*right, *np.cross(back, right)))
    return f'<camera name="{name}" fovy="{view.fovy}" pos="{place}" xyaxes="{axes}"/>'


def _text(numbers: Iterable[float]) -> str:
    return " ".join(f"{number:.6f}" for number in numbers)


class Hand(NamedTuple):
    """What the hand does in one state, read once for all that is judged by it."""

    tool: tuple[float, float, float]
    """The tool point in metres: the middle between the pads."""
    jaw: float
    """Distance between the pads in metres."""
    holds: frozenset[int]
    """Numbers of the geoms that both pads touch."""


class World:
    """A compiled scene and its state, with the few readings that tasks and control need."""

    def __init__(self, objects: str, robot: str = "panda") -> None:
        """Compile the scene with a task's objects (MJCF elements for ``<worldbody>``).

        Raises:
            InputError: If there is no such robot.
        """
        import mujoco

        self.robot = get_robot(robot)
        """The robot: its workspace, its pace."""
        self.arm = self.robot.describe()
        """The arm, and the names of its parts."""
        self.model = mujoco.MjModel.from_xml_string(scene_xml(objects, robot))
        """The compiled ``mujoco.MjModel``, of this world alone."""
        self.data = mujoco.MjData(self.model)
        """The state, a ``mujoco.MjData``."""
        self._pads = tuple(int(self.model.geom(name).id) for name in self.arm.pads)
        model = self.model
        site, data = model.site(self.arm.tool_site).id, self.data
        # Rows of MuJoCo's own memory: reading one is much cheaper than asking for the whole.
        self._qpos, self._ctrl = data.qpos, data.ctrl
        self._site, self._turn = data.site_xpos[site], data.site_xmat[site].reshape(3, 3)
        self._places = {model.body(n).name: data.xpos[n] for n in range(model.nbody)}
        self._geoms = {model.geom(n).name: n for n in range(model.ngeom)}
        self._speeds = {
            model.joint(n).name: data.qvel[model.jnt_dofadr[n] :][:3] for n in range(model.njnt)
        }
        self._joints = np.array([self.model.joint(name).qposadr[0] for name in self.arm.joints])
        self._fingers = np.array(
            [self.model.joint(name).qposadr[0] for name in self.arm.finger_joints]
        )
        self._servos = np.array([self.model.actuator(name).id for name in self.arm.joints])
        self._gripper = self.model.actuator(self.arm.gripper_actuator).id
        self._plain = {name: getattr(self.model, name).copy() for name in VARIED}

    def clear(self, joints: Floats) -> None:
        """Bring everything to its first state, the arm to ``joints`` (n,), the jaw open."""
        import mujoco

        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[self._joints] = joints
        self.data.qpos[self._fingers] = self.arm.finger_travel
        self.command(joints, self.arm.finger_travel)

    def command(self, joints: Floats, opening: float) -> None:
        """Set the servos: joint angles (n,) in radians, how far each finger joint opens."""
        self._ctrl[self._servos] = joints
        self._ctrl[self._gripper] = opening

    def pose(self, joints: Floats, jaw: float) -> None:
        """Put the arm where it is told, through whatever is in its way; nothing else moves.

        Args:
            joints: Angles (n,) in radians.
            jaw: Distance between the pads in metres.
        """
        import mujoco

        self.data.qpos[self._joints] = joints
        self.data.qpos[self._fingers] = jaw / self.arm.jaw_ratio / len(self._fingers)
        mujoco.mj_forward(self.model, self.data)

    def settle(self, steps: int) -> None:
        """Run ``steps`` physics steps from a state that was just put together."""
        import mujoco

        mujoco.mj_step(self.model, self.data, steps)
        mujoco.mj_step1(self.model, self.data)

    def advance(self, steps: int) -> None:
        """Run ``steps`` physics steps; what is derived from the state is then up to date.

        A step is its first half, in which positions, contacts and velocities become known, and
        its second half, which needs the servos' commands. The first half of the first step was
        done before, so this costs no more than the steps alone.
        """
        import mujoco

        mujoco.mj_step2(self.model, self.data)
        mujoco.mj_step(self.model, self.data, steps - 1)
        mujoco.mj_step1(self.model, self.data)

    def locate(self) -> None:
        """Bring positions up to date with what was placed, without a step in time."""
        import mujoco

        mujoco.mj_kinematics(self.model, self.data)

    def place(self, body: str, position: Floats, yaw: float) -> None:
        """Put a free body at ``position`` (3,) in metres, turned by ``yaw`` in radians."""
        address = self.model.joint(body).qposadr[0]
        self.data.qpos[address : address + 3] = position
        self.data.qpos[address + 3 : address + 7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))

    def stand(self, body: str, position: Floats, yaw: float) -> None:
        """Stand a mocap body at ``position`` (3,) in metres, turned by ``yaw`` in radians."""
        number = self.model.body(body).mocapid[0]
        self.data.mocap_pos[number] = position
        self.data.mocap_quat[number] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))

    def put(self, body: str, spot: Floats) -> None:
        """Move a body that stands still to ``spot`` (2,) on the table, in metres."""
        self.model.body(body).pos[:2] = spot

    def slide(self, joint: str) -> float:
        """Return how far a sliding joint is out, in metres."""
        return float(self.data.qpos[self.model.joint(joint).qposadr[0]])

    def set_slide(self, joint: str, metres: float) -> None:
        """Set how far a sliding joint is out."""
        self.data.qpos[self.model.joint(joint).qposadr[0]] = metres

    def joints(self) -> Floats:
        """Return the arm's joint angles (n,) in radians."""
        angles: Floats = self._qpos[self._joints]
        return angles

    def tool(self) -> Floats:
        """Return the tool point (3,) in metres: the middle between the pads."""
        position: Floats = self._site.copy()
        if self.arm.jaw_side:
            position += self.arm.jaw_side * self.jaw() * self._turn[:, 1]
        return position

    def jaw(self) -> float:
        """Return the distance between the pads in metres."""
        return float(sum(self._qpos[self._fingers].tolist()) * self.arm.jaw_ratio)

    def position(self, body: str) -> Floats:
        """Return the centre of a body (3,) in metres."""
        position: Floats = self._places[body].copy()
        return position

    def spot(self, body: str) -> Spot:
        """Return where a body stands on the table."""
        x, y, _ = self._places[body].tolist()
        return x, y

    def yaw(self, body: str) -> float:
        """Return the rotation of a body about the vertical in radians."""
        turn = self.data.body(body).xmat
        return float(np.arctan2(turn[3], turn[0]))

    def speed(self, body: str) -> float:
        """Return the speed of a free body in metres per second."""
        return math.hypot(*self._speeds[body].tolist())

    def hand(self) -> Hand:
        """Return tool point, jaw, and what both pads touch."""
        x, y, z = self.tool().tolist()
        touched: dict[int, set[int]] = {pad: set() for pad in self._pads}
        for first, second in self.data.contact.geom.tolist():
            if first in touched:
                touched[first].add(second)
            if second in touched:
                touched[second].add(first)
        return Hand(
            (x, y, z), self.jaw(), frozenset.intersection(*map(frozenset, touched.values()))
        )

    def gripped(self, geom: str, hand: Hand | None = None) -> bool:
        """Return whether both pads touch a geom, in a reading of the hand or now."""
        return self._geoms[geom] in (hand or self.hand()).holds

    def plain_look(self) -> None:
        """Undo whatever a reset has changed in the model: every variation, every `put`."""
        for name, value in self._plain.items():
            getattr(self.model, name)[:] = value
