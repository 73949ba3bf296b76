"""One Gymnasium environment for every table-top task: 20 Hz, three views, delta tool actions."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.random import Generator
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .control import ACTIONS, ArmControl, reject, require_reset
from .looks import vary, vary_height
from .render import check_render_every, check_size, renderer
from .robots import agent_pos_names, get_robot
from .scene import CAMERAS, TIMESTEP, World
from .seeding import Concern, generators
from .snapshot import Snapshot, belongs, read_physics, read_varied, write_physics, write_varied
from .tasks import DEFAULT_STEPS, STEPS, Memory, Verdict, make_task
from .tasks.failures import FailureMonitor
from .variety import VARIETY, check_variety

type Observation = dict[str, Any]
"""``agent_pos`` and, unless they are turned off, ``pixels``."""

SUBSTEPS = 25
"""Physics steps in one control step."""
FPS = round(1 / (TIMESTEP * SUBSTEPS))
"""Control steps in one second."""
AGENT_POS = agent_pos_names(get_robot("panda"))
"""Names of the Panda's ``agent_pos``."""


class TabletopEnv(gym.Env[Observation, NDArray[np.float32]]):
    """A task on the table-top.

    Observation: ``{"pixels": {view: uint8 (S, S, 3)}, "agent_pos": float32 (n,)}``, without
    ``pixels`` if they are turned off. Reward: 1 at the step that reaches success for the first
    time, else 0. ``info`` holds ``is_success``, ``stage``, ``stage_name``, ``progress`` (raw,
    of the goal in the instruction), ``progress_latched`` (the highest so far: monotone),
    ``goals`` (raw, of every goal, in the order of ``task.goals``), ``failure_mode``, ``onset``
    (step at which that began, or -1), ``goal``, ``pixels_age`` (steps since the images were drawn)
    and ``rejected`` (why the action was not carried out; empty if it was).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (Gymnasium's)

    def __init__(
        self,
        task: str = "pick_to_bin",
        *,
        robot: str = "panda",
        image_size: int = 128,
        pixels: bool = True,
        render_every: int = 1,
        variety: Sequence[str] = VARIETY,
        terminate_on_success: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """Compile the scene; the renderer is created at the first image.

        Args:
            task: Name of the task.
            robot: Name of the robot.
            image_size: Width and height of the views in pixels.
            pixels: Whether observations hold the views.
            render_every: Steps between two drawings; in between, observations hold the last
                images. A reset and the end of an episode are always drawn.
            variety: What each reset varies beside the layout; each draws from a stream of its
                own, so leaving one out does not move the others.
            terminate_on_success: Whether success ends the episode; demonstrations go on.
            render_mode: ``rgb_array``, or None where `render` is not used.

        Raises:
            InputError: If the task, the robot or a variation does not exist, the task is not
                for the robot, or the image size is out of range.
        """
        self.rules = make_task(task, robot)
        """The task: its goals, wordings and judgement."""
        self.task = task
        """Name of the task."""
        self.robot = robot
        """Name of the robot."""
        self.task_description = ""
        """The instruction of this episode, in its canonical wording."""
        self.image_size, self.render_mode = check_size(image_size), render_mode
        self._pixels, self._variety = pixels, check_variety(variety)
        self._terminate = terminate_on_success
        self._max_episode_steps = STEPS.get(task, DEFAULT_STEPS)
        self._render_every = check_render_every(render_every)
        self._seen: dict[str, NDArray[np.uint8]] = {}
        self._age = 0
        self._geometry = self.rules.objects_xml()
        self.world = World(self._geometry, robot)
        """The scene and its state; experts read the truth from it."""
        self.control = ArmControl(self.world)
        """Where the tool is sent."""
        self.goal = self.rules.goals[0]
        """What the instruction asks for."""
        self.verdicts: dict[str, Verdict] = {}
        """The truth about every goal at the last observation."""
        self.memory: Memory = ()
        """What the task remembers of this episode."""
        self.action_space = spaces.Box(-1.0, 1.0, (len(ACTIONS),), np.float32)
        self._low, self._high = self._limits()
        self.observation_space = self._space()

    @property
    def agent_pos_names(self) -> tuple[str, ...]:
        """Names of ``agent_pos``: joints in radians, jaw width and tool point in metres."""
        return agent_pos_names(self.world.robot)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of an action, each in [-1, 1]."""
        return ACTIONS

    def _limits(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        limits = np.array(self.world.arm.joint_limits, np.float32)
        low = np.concatenate((limits[:, 0] - 0.1, (-0.02, -1.5, -1.5, -1.5)))
        high = np.concatenate((limits[:, 1] + 0.1, (0.10, 1.5, 1.5, 1.5)))
        return low.astype(np.float32), high.astype(np.float32)

    def _space(self) -> spaces.Dict:
        parts: dict[str, spaces.Space[Any]] = {
            "agent_pos": spaces.Box(self._low, self._high, dtype=np.float32)
        }
        if self._pixels:
            shape = (self.image_size, self.image_size, 3)
            views = {name: spaces.Box(0, 255, shape, np.uint8) for name in CAMERAS}
            parts["pixels"] = spaces.Dict(views)  # type: ignore[arg-type]
        return spaces.Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Place everything at random and choose a goal.

        Args:
            seed: Seed of the whole episode; drawn from the last one if None.
            options: ``{"goal": name}`` chooses the goal; what LeRobot tells its own environments
                (``lerobot_…``) is passed over.

        Raises:
            InputError: If an option or the goal does not exist.
        """
        super().reset(seed=seed)
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        streams = generators(seed)
        self.goal = self._choose_goal(streams["goal"], options or {})
        self.task_description = self.rules.wordings(self.goal)[0]
        self._place(streams)
        self._steps, self._succeeded = 0, False
        self.memory = self.rules.remember(self.world, None)
        self.verdicts = dict(self.rules.judge(self.world, self.memory))
        grasps = self.rules.carries > 0
        self._monitor = FailureMonitor(self.goal, self.verdicts, grasps=grasps)
        return self._observe(draw=True), self._info()

    def _choose_goal(self, rng: Generator, options: dict[str, Any]) -> str:
        drawn = str(rng.choice(self.rules.goals))
        unknown = {name for name in options if not name.startswith("lerobot_")} - {"goal"}
        goal = options.get("goal", drawn)
        if unknown or goal not in self.rules.goals:
            raise InputError(
                f"reset options {options} are not known; "
                f"give a goal, one of: {', '.join(self.rules.goals)}"
            )
        return str(goal)

    def _place(self, streams: dict[Concern, Generator]) -> None:
        layout = streams["layout"]
        self.world.plain_look()
        if "height" in self._variety:
            vary_height(self.world, streams["height"])
        jitter = np.array(self.world.robot.jitter)
        self.world.clear(self.control.home(layout.uniform(-jitter, jitter)))
        self.rules.reset(self.world, layout, self.goal)
        vary(self.world, self.rules, self._variety, streams)
        self.world.settle(SUBSTEPS)

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply one action (5,) for 0.05 s; values beyond [-1, 1] are clipped.

        An action that is not finite is not carried out: the arm holds still, the episode is
        truncated, and ``info["rejected"]`` names the value and the step.

        Raises:
            InputError: If the action has another shape, or no episode has begun.
        """
        require_reset(self.verdicts, self.task)
        wanted = np.asarray(action, np.float64)
        if wanted.shape != (len(ACTIONS),):
            raise InputError(
                f"an action is {len(ACTIONS)} numbers {ACTIONS}; got shape {wanted.shape}"
            )
        rejected = reject(wanted, self._steps)
        if not rejected:
            self.control.apply(np.minimum(np.maximum(wanted, -1.0), 1.0))
        self.world.advance(SUBSTEPS)
        self._steps += 1
        self._judge()
        success = self.verdicts[self.goal].success
        reward = float(success and not self._succeeded)
        self._succeeded |= success
        terminated = success and self._terminate
        ended = terminated or bool(rejected) or self._steps == self._max_episode_steps
        observation = self._observe(draw=ended or self._age + 1 >= self._render_every)
        return observation, reward, terminated, bool(rejected), self._info(rejected)

    def _judge(self) -> None:
        self.memory = self.rules.remember(self.world, self.memory)
        self.verdicts = dict(self.rules.judge(self.world, self.memory))
        self._monitor.update(self._steps, self.verdicts, self.world.jaw())

    def snapshot(self) -> Snapshot:
        """Return the full state of the episode, for `restore` here or in another process."""
        require_reset(self.verdicts, self.task)
        return Snapshot(
            task=self.task,
            robot=self.robot,
            goal=self.goal,
            physics=read_physics(self.world),
            varied=read_varied(self.world),
            target=self.control.target(),
            memory=self.memory,
            monitor=deepcopy(self._monitor),
            steps=self._steps,
            succeeded=self._succeeded,
        )

    def restore(self, snapshot: Snapshot) -> tuple[Observation, dict[str, Any]]:
        """Go back to a snapshot; what follows is the same as what followed it.

        Raises:
            InputError: If it is of another task or robot.
        """
        if not belongs(snapshot, self):
            raise InputError(
                f"the snapshot is of {snapshot.task} with {snapshot.robot} and this environment "
                f"plays {self.task} with {self.robot}; restore it into one like its own"
            )
        self.goal = snapshot.goal
        self.task_description = self.rules.wordings(self.goal)[0]
        write_varied(self.world, snapshot.varied)
        write_physics(self.world, snapshot.physics)
        self.control.restore(snapshot.target)
        self.memory, self._monitor = snapshot.memory, deepcopy(snapshot.monitor)
        self._steps, self._succeeded = snapshot.steps, snapshot.succeeded
        self.verdicts = dict(self.rules.judge(self.world, self.memory))
        return self._observe(draw=True), self._info()

    def render(self) -> NDArray[np.uint8]:
        """Return the front view, (S, S, 3)."""
        return self._draw(("front",))["front"]

    def _draw(self, cameras: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        world = self.world
        drawer = renderer(self._geometry, self.robot)
        return drawer.draw(world.model, world.data, cameras, self.image_size)

    def draw(self) -> dict[str, NDArray[np.uint8]]:
        """Return the views as they are now, (S, S, 3) each, whatever ``render_every`` is."""
        return self._draw(CAMERAS)

    def _observe(self, *, draw: bool) -> Observation:
        world = self.world
        state = np.concatenate((world.joints(), (world.jaw(),), world.tool()))
        agent = np.minimum(np.maximum(state.astype(np.float32), self._low), self._high)
        if not self._pixels:
            return {"agent_pos": agent}
        if draw:
            self._seen, self._age = self.draw(), 0
        else:
            self._age += 1
        return {"pixels": dict(self._seen), "agent_pos": agent}

    def _info(self, rejected: str = "") -> dict[str, Any]:
        own = self.verdicts[self.goal]
        return {
            "is_success": own.success,
            "stage": own.stage,
            "stage_name": self.rules.stages[own.stage],
            "progress": own.progress,
            "progress_latched": self._monitor.highest,
            "goals": np.array([self.verdicts[name].progress for name in self.rules.goals]),
            "failure_mode": self._monitor.mode,
            "onset": self._monitor.onset,
            "goal": self.goal,
            "pixels_age": self._age,
            "rejected": rejected,
        }
