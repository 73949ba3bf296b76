"""Arms as MJCF text and inverse kinematics; a leaf: nothing else of ours is imported here."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ArmDescription:
    """An arm as pieces of MJCF text, to be placed in any scene, and the names in it.

    Lengths are metres, angles radians, masses kilograms. The tool point (``tool_site``) lies
    between the finger pads: its z axis points out of the hand, its y axis along the way that
    the fingers open.
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
    finger_joints: tuple[str, str]
    """Sliding joints of the two fingers; each is 0 closed."""
    finger_travel: float
    """How far each finger opens, in metres: the jaw is twice as wide."""
    gripper_actuator: str
    """Servo of both fingers: its control is the opening of one finger in metres."""
    pads: tuple[str, str]
    """Names of the geoms that touch what is grasped."""
    tool_site: str
    """Name of the tool point."""
    wrist_camera: str
    """Name of the camera on the hand."""
