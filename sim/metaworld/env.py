"""One Gymnasium environment for Meta-World's 50 tasks, with the interface of our own."""

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_reward.errors import InputError

from ..control import reject, require_reset
from ..render import check_render_every, check_size
from ..seeding import generators
from ..tasks import Verdict
from ..tasks.failures import FailureMonitor
from .render import VIEWS, draw_fast, screen
from .rules import make_rules
from .snapshot import MetaWorldSnapshot, read_stock, write_stock
from .stock import make_stock
from .truth import Judge, measure

type Observation = dict[str, Any]
"""``agent_pos`` and, unless they are turned off, ``pixels``."""

FPS = 80
"""Control steps in one second."""
MAX_STEPS = 500
"""Control steps after which an episode is cut off, as in the benchmark."""
ROBOT = "sawyer"
"""Name of the arm."""
ACTIONS = ("x", "y", "z", "gripper")
"""Parts of an action: the hand's way, 1 being 1 cm, and the fingers, 1 closed and -1 open."""
AGENT_POS = ("x", "y", "z", "opening")
"""Names of ``agent_pos``: the hand in metres, the fingers' distance as a share of 10 cm."""

_LOW, _HIGH = np.full(4, -1.5, np.float32), np.full(4, 1.5, np.float32)


class MetaWorldEnv(gym.Env[Observation, NDArray[np.float32]]):
    """A Meta-World task.

    Observation: ``{"pixels": {view: uint8 (S, S, 3)}, "agent_pos": float32 (4,)}``, without
    ``pixels`` if they are turned off. Reward and ``info`` are those of `sim.env.TabletopEnv`;
    ``is_success`` stays true after the first success, and `sim.metaworld.truth` says what
    ``progress`` is.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (Gymnasium's)

    def __init__(
        self,
        task: str,
        *,
        image_size: int = 128,
        pixels: bool = True,
        render_every: int = 1,
        terminate_on_success: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """Compile the scene; nothing is drawn before the first image is asked for.

        Args:
            task: Name of the task, such as ``drawer-open``.
            image_size: Width and height of the views in pixels.
            pixels: Whether observations hold the views.
            render_every: Steps between two drawings; in between, observations hold the last
                images. A reset and the end of an episode are always drawn.
            terminate_on_success: Whether success ends the episode; demonstrations go on.
            render_mode: ``rgb_array``, or None where `render` is not used.

        Raises:
            InputError: If the task does not exist, the benchmark is not installed, or the image
                size is out of range.
        """
        self.rules = make_rules(task)
        """The task: its goal, wordings and stages."""
        self.task = self.rules.name
        """Name of the task."""
        self.goal = self.rules.goals[0]
        """What the instruction asks for."""
        self.task_description = self.rules.wordings(self.goal)[0]
        """The instruction, in its canonical wording."""
        self.image_size, self.render_mode = check_size(image_size), render_mode
        self._render_every = check_render_every(render_every)
        self._pixels, self._terminate = pixels, terminate_on_success
        self._max_episode_steps = MAX_STEPS
        self.stock = make_stock(self.task)
        """Meta-World's environment; experts read the truth from it."""
        draw_fast(self.stock.model)
        self.sensed: NDArray[np.float64] = np.zeros(39)
        """Meta-World's last observation (39,), which holds the truth."""
        self.verdicts: dict[str, Verdict] = {}
        """The truth about the goal at the last observation."""
        self._seen: dict[str, NDArray[np.uint8]] = {}
        self._age, self._gripper = 0, -1.0
        self.action_space = spaces.Box(-1.0, 1.0, (len(ACTIONS),), np.float32)
        self.observation_space = self._space()

    def _space(self) -> spaces.Dict:
        parts: dict[str, spaces.Space[Any]] = {
            "agent_pos": spaces.Box(_LOW, _HIGH, dtype=np.float32)
        }
        if self._pixels:
            shape = (self.image_size, self.image_size, 3)
            views = {name: spaces.Box(0, 255, shape, np.uint8) for name in VIEWS}
            parts["pixels"] = spaces.Dict(views)  # type: ignore[arg-type]
        return spaces.Dict(parts)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Place everything at random.

        Args:
            seed: Seed of the whole episode; drawn from the last one if None.
            options: ``{"goal": name}``, the only goal there is.

        Raises:
            InputError: If an option or the goal does not exist.
        """
        super().reset(seed=seed)
        given = options or {}
        if set(given) - {"goal"} or given.get("goal", self.goal) != self.goal:
            raise InputError(f"reset options {given} are not known; the goal is {self.goal}")
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self.stock.seed(int(generators(seed)["layout"].integers(2**31)))
        self.sensed = self.stock.reset()[0]
        self._judge = Judge(self.rules.source)
        self.verdicts = {self.goal: self._judge.start()}
        self._monitor = FailureMonitor(self.goal, self.verdicts, grasps=False)
        self._steps, self._gripper = 0, -1.0
        return self._observe(draw=True), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Apply one action (4,) for 12.5 ms; values beyond [-1, 1] are clipped.

        An action that is not finite is not carried out: the hand holds still, the episode is
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
        rejected = reject(wanted, self._steps, ACTIONS)
        done = np.array((0, 0, 0, self._gripper)) if rejected else np.clip(wanted, -1.0, 1.0)
        before = self.verdicts[self.goal].success
        self._advance(done.astype(np.float32))
        success = self.verdicts[self.goal].success
        terminated = success and self._terminate
        ended = terminated or bool(rejected) or self._steps >= self._max_episode_steps
        observation = self._observe(draw=ended or self._age + 1 >= self._render_every)
        reward = float(success and not before)
        return observation, reward, terminated, bool(rejected), self._info(rejected)

    def _advance(self, action: NDArray[np.float32]) -> None:
        self._gripper = float(action[3])
        self.sensed, _, _, _, told = self.stock.step(action)
        self._steps += 1
        now = measure(self.rules.source, self.sensed, self.stock.tcp_center, told)
        self.verdicts = {self.goal: self._judge.judge(now)}
        self._monitor.update(self._steps, self.verdicts, jaw=1.0)

    def snapshot(self) -> MetaWorldSnapshot:
        """Return the full state of the episode, for `restore` here or in another process.

        Raises:
            InputError: If no episode has begun.
        """
        require_reset(self.verdicts, self.task)
        return MetaWorldSnapshot(
            task=self.task,
            stock=read_stock(self.stock),
            sensed=self.sensed.copy(),
            verdicts=dict(self.verdicts),
            judge=deepcopy(self._judge),
            monitor=deepcopy(self._monitor),
            steps=self._steps,
            gripper=self._gripper,
        )

    def restore(self, snapshot: MetaWorldSnapshot) -> tuple[Observation, dict[str, Any]]:
        """Go back to a snapshot; what follows is the same as what followed it.

        Raises:
            InputError: If it is of another task.
        """
        if snapshot.task != self.task:
            raise InputError(
                f"the snapshot is of {snapshot.task} and this environment plays {self.task}; "
                "restore it into one like its own"
            )
        write_stock(self.stock, snapshot.stock)
        self.sensed, self.verdicts = snapshot.sensed.copy(), dict(snapshot.verdicts)
        self._judge, self._monitor = deepcopy(snapshot.judge), deepcopy(snapshot.monitor)
        self._steps, self._gripper = snapshot.steps, snapshot.gripper
        return self._observe(draw=True), self._info()

    def render(self) -> NDArray[np.uint8]:
        """Return the front view, (S, S, 3)."""
        return self._draw(("front",))["front"]

    def draw(self) -> dict[str, NDArray[np.uint8]]:
        """Return the views as they are now, (S, S, 3) each, whatever ``render_every`` is."""
        return self._draw(tuple(VIEWS))

    def _draw(self, views: tuple[str, ...]) -> dict[str, NDArray[np.uint8]]:
        stock = self.stock
        return screen().draw(stock.model, stock.data, stock.model_name, views, self.image_size)

    def _observe(self, *, draw: bool) -> Observation:
        agent = np.clip(self.sensed[:4].astype(np.float32), _LOW, _HIGH)
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
            "goals": np.array([own.progress]),
            "failure_mode": self._monitor.mode,
            "onset": self._monitor.onset,
            "goal": self.goal,
            "pixels_age": self._age,
            "rejected": rejected,
        }
