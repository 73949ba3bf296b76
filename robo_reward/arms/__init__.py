"""Arms as MJCF text and inverse kinematics; a leaf: nothing else of ours is imported here."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ArmDescription:
    """An arm as pieces of MJCF text, to be placed in any scene, and the names in it.

    Lengths are metres, angles radians, masses kilograms. The z axis of ``tool_site`` points out
    of the hand, its y axis along the way that the fingers open; the tool point lies between the
    pads, at the site or beside it (``jaw_side``).
    """

    name: str
    """What datasets call the robot."""
    worldbody: str
    """``<body>`` element of the base, for ``<worldbody>``; the base stands at the origin."""
    base: str
    """Name of the base's body; its height above the origin may be changed."""
    equality: str
    """Elements for ``<equality>``."""
    tendon: str
    """Elements for ``<tendon>``."""
    actuator: str
    """Elements for ``<actuator>``: one position servo per joint, then the gripper."""
    joints: tuple[str, ...]
    """Names of the arm joints, base first; the actuators have the same names."""
    joint_limits: tuple[tuple[float, float], ...]
    """(low, high) of each joint in radians."""
    home: tuple[float, ...]
    """A comfortable pose with the tool pointing down, in radians."""
    finger_joints: tuple[str, ...]
    """Joints of the fingers that move; each is 0 closed."""
    finger_travel: float
    """How far each of them opens: metres if it slides, radians if it turns."""
    jaw_ratio: float = 1.0
    """Metres between the pads for each metre, or radian, that the finger joints open together."""
    jaw_side: float = 0.0
    """Share of the jaw's width by which the tool point lies beside ``tool_site``, along y: 0
    where two fingers open alike, 0.5 where one stands still with its pad at the site."""
    gripper_actuator: str
    """Servo of the fingers: its control is the opening of one finger joint."""
    pads: tuple[str, str]
    """Names of the geoms that touch what is grasped."""
    tool_site: str
    """Name of the site at the tool point, or at the pad of the finger that stands still."""
    wrist_camera: str
    """Name of the camera on the hand."""
