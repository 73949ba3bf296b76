"""Pieces of MJCF text that arms share."""

import math

VISUAL = 'contype="0" conaffinity="0" group="2"'
"""Attributes of a geom that is seen but does not collide."""
TOUCH = 'condim="4" friction="1.3 0.02 0.001" solref="0.004 1" solimp="0.95 0.99 0.001"'
"""Contact attributes of the pads that grasp."""


def looking(eye: tuple[float, float, float], at: tuple[float, float, float]) -> str:
    """Return pos and xyaxes of a camera in the x-z plane whose right is the frame's y."""
    back = [e - a for e, a in zip(eye, at, strict=True)]
    norm = math.hypot(*back)
    x, z = back[0] / norm, back[2] / norm
    return f'pos="{eye[0]} {eye[1]} {eye[2]}" xyaxes="0 1 0 {-z:.6f} 0 {x:.6f}"'
