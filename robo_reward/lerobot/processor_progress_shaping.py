"""A step of LeRobot's environment pipelines that turns the reward r into r + γ Φ′ − Φ.

LeRobot's own reinforcement learning has a pipeline behind each environment that sees the
observation of a reset and then every step. Put this one behind those that prepare images, limit the
time or judge success (it must know how the episode ends), and before those that add a batch
dimension. Import this module before loading a pipeline that has such a step.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lerobot.configs import PipelineFeatureType, PolicyFeature
from lerobot.lerobot_types import EnvTransition, TransitionKey
from lerobot.processor import ProcessorStep, ProcessorStepRegistry

from ..errors import InputError
from ..protocols import ProgressModel, References, Views
from ..shaped_env import Episode, Judge, Judging, told_of
from .pixels import to_uint8, views_of

NAME = "progress_shaping"


@ProcessorStepRegistry.register(name=NAME)
@dataclass(kw_only=True)
class ProgressShapingStep(ProcessorStep):
    """Pays r + F, as `robo_reward.shaped_env.ShapedReward` does, and is told the same way.

    The first transition after `reset`, or after an end, is that of an environment's reset: it is
    looked at and pays nothing. At a ``done`` Φ counts 0, at a ``truncated`` it is kept if the
    learner bootstraps there; in between, a verdict that is missing or invalid leaves Φ as it was.
    ``info`` gains ``task_reward``, ``shaping``, ``potential``, ``missing`` and ``invalid``.
    """

    instruction: str
    """What the robot should do."""
    fps: float
    """Steps a second."""
    gamma: float = 0.99
    """The learner's discount, per step."""
    bootstraps: bool = True
    """Whether the learner counts on what would have come after a truncation."""
    views: list[str] = field(default_factory=list)
    """Views to look at; none: all that are there."""
    model_path: str = ""
    """Checkpoint directory, where no model is given; stored with the pipeline."""
    with_references: bool = False
    """Whether references belong to it; stored, so that it is not loaded without them."""
    model: ProgressModel | None = field(default=None, repr=False)
    """Who judges; not stored with the pipeline."""
    references: References | None = field(default=None, repr=False)
    """What start and goal look like; not stored with the pipeline."""

    def __post_init__(self) -> None:
        """Load the model if none is given.

        Raises:
            RoboRewardError: If there is neither model nor checkpoint, references lack that belong
                to it, or γ or the rate are out of range.
        """
        if self.with_references and self.references is None:
            raise InputError(
                "this step judged with references, which a pipeline does not store: load it with "
                f"overrides={{'{NAME}': {{'references': ...}}}}"
            )
        if not self.fps > 0:
            raise InputError(f"fps must be above 0, got {self.fps}: steps a second")
        self.with_references = self.references is not None
        judging = Judging(
            model=self.model if self.model is not None else _load(self.model_path),
            gamma=self.gamma,
            references=self.references if self.references is not None else References(),
            instruction=self.instruction,
            bootstraps=self.bootstraps,
            views=self._seen,
        )
        self._judge = Judge(judging, self.fps)
        self._episode: Episode | None = None

    def reset(self) -> None:
        """Forget the episode."""
        self._episode = None

    def __call__(self, transition: EnvTransition) -> EnvTransition:
        """Return the transition with the shaped reward.

        Raises:
            InputError: If it is shaped already, has no reward, or its images cannot be judged.
        """
        observation = transition.get(TransitionKey.OBSERVATION) or {}
        info = dict(transition.get(TransitionKey.INFO) or {})
        if "shaping" in info:
            raise InputError(
                "this transition's reward is shaped already; shape it once: in the environment, in "
                "one step of the pipeline, or in the learner"
            )
        if self._episode is None:
            self._episode = self._judge.begin([self.instruction], [observation])[0]
            told = told_of(self._episode)
            return {**transition, TransitionKey.INFO: info | told}
        reward = transition.get(TransitionKey.REWARD)
        if reward is None:
            raise InputError("a step without a reward cannot be shaped; give it one, 0 if unpaid")
        keys = (TransitionKey.DONE, TransitionKey.TRUNCATED)
        ends = np.array([[bool(transition.get(key)) for key in keys]])
        paid = float(self._judge.step([self._episode], [observation], ends)[0])
        told = {"task_reward": float(reward), "shaping": paid, **told_of(self._episode)}
        if ends.any():
            self._episode = None
        return {
            **transition,
            TransitionKey.REWARD: reward + paid,
            TransitionKey.INFO: info | told,
        }

    def get_config(self) -> dict[str, Any]:
        """Return what is stored with the pipeline.

        Raises:
            InputError: If the model was given and has no directory that could be stored.
        """
        if not self.model_path:
            raise InputError(
                "a pipeline stores where a model lies, not the model: give the step model_path"
            )
        names = ("instruction", "fps", "gamma", "bootstraps", "views", "model_path")
        return {name: getattr(self, name) for name in (*names, "with_references")}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        """Return the features as they are."""
        return features

    def _seen(self, observation: Any) -> Views:
        """Return the views of LeRobot's observation as (H, W, 3) bytes."""
        shown = {}
        for name, image in views_of(observation, self.views).items():
            single = image[0] if image.ndim == 4 and len(image) == 1 else image
            if single.ndim != 3:
                raise InputError(
                    f"view {name} must be one image (3, H, W), got {tuple(image.shape)}; this step "
                    "is for one environment, several are robo_reward.shaped_vector's"
                )
            shown[name] = to_uint8(name, single).permute(1, 2, 0).contiguous().cpu().numpy()
        return shown


def _load(path: str) -> ProgressModel:
    """Return the model of a checkpoint.

    Raises:
        InputError: If no path is given.
        CheckpointError: If it cannot be loaded.
    """
    if not path:
        raise InputError("give the step a model, or the model_path of a checkpoint")
    from ..checkpoint import load

    return load(path)
