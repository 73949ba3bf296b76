"""Press the button of the named colour; a pressed button stays down."""

import numpy as np
from numpy.random import Generator

from ..moves import CLOSED, Leg, Plan, Stretch, beside
from ..scene import World
from . import Memory, Task, Verdict
from .carrying import ramp
from .objects import COLOURS, scatter

BUTTONS = ("red", "green", "blue", "yellow")
"""Colours of the buttons."""
TRAVEL = 0.012
"""How far a button goes down, in metres."""

_TOP = 0.045
_TIP = 0.010
_RAISED = 0.03  # a button's top is nearer to where the hand starts than things on the table
_AREA = ((0.38, -0.22), (0.60, 0.22))


def judge_press(*, down: float, distance: float, reach: float) -> Verdict:
    """Return the truth about one button: reach .5, press .3, leave .2.

    Args:
        down: How far it is down, in metres.
        distance: Finger tips to the top of the button, in metres.
        reach: Distance from which on coming nearer counts, in metres.
    """
    pressed = ramp(down, 0.001, 0.009)
    near = ramp(-distance, -reach, -0.005)
    clear = ramp(distance, 0.02, 0.06)
    success = pressed == 1.0 and clear == 1.0
    progress = 0.5 * max(near, pressed) + 0.3 * pressed + 0.2 * clear * (pressed == 1.0)
    stage = 3 if success else 2 if pressed == 1.0 else 1 if distance < 0.02 else 0
    return Verdict(
        stage=stage,
        progress=1.0 if success else min(progress, 0.99),
        success=success,
        arrived=pressed == 1.0,
    )


class PressButton(Task):
    """Four buttons; a goal is a colour."""

    name = "press_button"
    goals = BUTTONS
    shaded = tuple(f"button_{name}" for name in BUTTONS)
    stages = ("reach", "press", "leave", "done")
    phrases = (
        "press the {} button",
        "push the {} button down",
        "hit the {} button",
        "push down on the {} button",
        "the {} button has to be pressed",
    )

    def objects_xml(self) -> str:
        """Return the buttons as MJCF elements."""
        return "".join(_button(name) for name in BUTTONS)

    def reset(self, world: World, rng: Generator, goal: str) -> None:
        """Place the buttons at random, apart from each other, none pressed."""
        spots = scatter(rng, len(BUTTONS), area=_AREA, apart=0.11, placing=self.placing)
        for name, spot in zip(BUTTONS, spots, strict=True):
            world.put(f"box_{name}", spot)

    def judge(self, world: World, memory: Memory) -> dict[str, Verdict]:
        """Return the truth about each button."""
        tip = beside(world.tool(), z=-_TIP)
        found, reach = {}, world.robot.reach - _RAISED
        for name in BUTTONS:
            down = world.slide(f"button_{name}")
            top = beside(world.position(f"box_{name}"), z=_TOP - down)
            distance = float(np.linalg.norm(tip - top))
            found[name] = judge_press(down=down, distance=distance, reach=reach)
        return found

    def plan(self, world: World, goal: str, rng: Generator) -> Plan:
        """Yield the stretches that press a button from above with a closed hand."""
        top = beside(world.position(f"box_{goal}"), z=_TOP + _TIP)
        yaw, high = world.robot.placing.facing(top), rng.uniform(0.06, 0.10)
        above = Leg(to=beside(top, z=high), gripper=CLOSED, yaw=yaw)
        near = Leg(to=beside(top, z=0.015), gripper=CLOSED, yaw=yaw, speed=0.6)
        pressed = beside(top, z=-TRAVEL - 0.004)
        down = Leg(to=pressed, gripper=CLOSED, yaw=yaw, speed=0.2, stay=2)
        yield Stretch(kind="reach", legs=(above, near))
        yield Stretch(kind="act", legs=(down,))
        yield Stretch(kind="leave", legs=(above,))


def _button(name: str) -> str:
    rgb = " ".join(f"{value:g}" for value in COLOURS[name])
    return (
        f'<body name="box_{name}"><geom type="cylinder" size="0.034 0.0125" pos="0 0 0.0125" '
        f'rgba="0.25 0.25 0.27 1" contype="2" conaffinity="1"/>'
        f'<body name="button_{name}" gravcomp="1"><joint name="button_{name}" type="slide" '
        f'axis="0 0 -1" range="0 {TRAVEL}" damping="8" frictionloss="4" armature="0.02"/>'
        f'<geom name="button_{name}" type="cylinder" size="0.024 0.012" pos="0 0 0.033" '
        f'mass="0.02" rgba="{rgb} 1" contype="4" conaffinity="1"/></body></body>'
    )
