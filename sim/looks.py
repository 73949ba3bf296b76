"""The variations of `sim.variety`, each drawn from a stream of its own."""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.random import Generator

from .distractors import scatter_distractors
from .scene import World
from .seeding import Concern
from .surfaces import SURFACES
from .tasks import Task

TALLER = 0.02
"""How far the base of the arm may be above or below the table top, in metres."""


def vary(
    world: World, task: Task, variety: Collection[str], streams: Mapping[Concern, Generator]
) -> None:
    """Vary how a scene looks and what stands around; the task's things are placed already.

    Args:
        world: In its plain look.
        task: Varies the colours of its own things, and knows where the hand goes.
        variety: Names of `sim.variety.ALL`.
        streams: A generator per concern.
    """
    if "colour" in variety:
        vary_colour(world, streams["colour"])
        task.vary_colour(world, streams["colour"])
    if "light" in variety:
        vary_light(world, streams["light"])
    if "camera" in variety:
        vary_camera(world, streams["camera"])
    if "texture" in variety:
        vary_texture(world, streams["texture"])
    if "distractors" in variety:
        world.locate()
        area = world.robot.bystanders
        scatter_distractors(world, streams["distractors"], task.ways(world), area)


def vary_colour(world: World, rng: Generator) -> None:
    """Vary the colours of table and floor."""
    for name in ("floor", "table"):
        shade = rng.uniform(0.85, 1.1) * rng.uniform(0.95, 1.05, 3)
        world.model.geom(name).rgba[:3] *= shade


def vary_light(world: World, rng: Generator) -> None:
    """Vary brightness and direction of the lamp."""
    model = world.model
    model.light_diffuse[0] *= rng.uniform(0.8, 1.2)
    model.light_dir[0] += rng.uniform(-0.2, 0.2, 3)
    model.light_dir[0] /= np.linalg.norm(model.light_dir[0])


def vary_camera(world: World, rng: Generator) -> None:
    """Move each fixed camera by up to a centimetre along each axis."""
    for name in world.robot.views:
        world.model.camera(name).pos += rng.uniform(-0.01, 0.01, 3)


def vary_texture(world: World, rng: Generator) -> None:
    """Give table and floor a material each; half the time each stays plain, which is faster."""
    for name in ("floor", "table"):
        plain, chosen = rng.random() < 0.5, str(rng.choice(SURFACES))
        material = -1 if plain else world.model.mat(chosen).id
        world.model.geom_matid[world.model.geom(name).id] = material


def vary_height(world: World, rng: Generator) -> None:
    """Raise or lower the base of the arm against the table, whose top stays at z = 0."""
    world.model.body(world.arm.base).pos[2] += rng.uniform(-TALLER, TALLER)
