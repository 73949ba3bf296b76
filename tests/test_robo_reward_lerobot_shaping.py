"""The shaping step inside LeRobot's own pipelines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from lerobot.lerobot_types import EnvTransition, TransitionKey
from lerobot.processor import (
    AddBatchDimensionProcessorStep,
    DataProcessorPipeline,
    VanillaObservationProcessorStep,
    create_transition,
    identity_transition,
)
from lerobot.processor.hil_processor import TimeLimitProcessorStep
from test_robo_reward_shaped_env import Certain, Corridor

from robo_reward.checkpoint import ModelConfig, save
from robo_reward.errors import CheckpointError, InputError
from robo_reward.lerobot.processor_progress_shaping import NAME, ProgressShapingStep
from robo_reward.model import ModelSettings
from robo_reward.protocols import References, Verdict
from robo_reward.shaped_env import Judging, ShapedReward

GAMMA, FPS = 0.9, 10


class Wide(Corridor):
    """The corridor in pictures that LeRobot takes for some: larger than their channels."""

    def _seen(self) -> Any:
        return {"pixels": {"front": np.full((4, 4, 3), self.place * 51, np.uint8)}}


class Moody(Certain):
    """Gives no valid verdict after the first step."""

    def score(self, session: Any, views: Any, time: float) -> Verdict:
        verdict = super().score(session, views, time)
        return replace(verdict, valid=round(time, 3) != 0.1)


def step(**settings: Any) -> ProgressShapingStep:
    given = {"model": Certain(), "gamma": GAMMA, "fps": FPS, "instruction": "walk", **settings}
    return ProgressShapingStep(**given)


def pipeline(shaping: ProgressShapingStep, limit: int = 99) -> DataProcessorPipeline[Any, Any]:
    """Return a pipeline like the one of LeRobot's `gym_manipulator`."""
    return DataProcessorPipeline(
        steps=[
            VanillaObservationProcessorStep(),
            TimeLimitProcessorStep(max_episode_steps=limit),
            shaping,
            AddBatchDimensionProcessorStep(),
        ],
        to_transition=identity_transition,
        to_output=identity_transition,
    )


def play(through: DataProcessorPipeline[Any, Any], actions: list[int]) -> list[EnvTransition]:
    """Play the corridor as LeRobot's loop does; the first transition is that of the reset."""
    env = Wide()
    observation, info = env.reset()
    through.reset()
    told = [through(create_transition(observation=observation, info=info))]
    for action in actions:
        observation, reward, done, truncated, info = env.step(action)
        shown = create_transition(
            observation=observation, reward=reward, done=done, truncated=truncated, info=info
        )
        told.append(through(shown))
    return told


def rewards(told: list[EnvTransition]) -> list[float]:
    return [float(one[TransitionKey.REWARD]) for one in told]


def test_the_reset_pays_nothing_and_a_done_drops_the_potential() -> None:
    """From place 1 of 5 to the end: Φ = .2, .4, .6, .8, then the goal, where it counts 0."""
    told = play(pipeline(step()), [1, 1, 1, 1])
    expected = [0.0, 0.9 * 0.4 - 0.2, 0.9 * 0.6 - 0.4, 0.9 * 0.8 - 0.6, 1.0 - 0.8]
    assert rewards(told) == pytest.approx(expected)
    assert told[0][TransitionKey.INFO] == {"potential": 0.2, "missing": 0, "invalid": 0}
    last = told[-1][TransitionKey.INFO]
    assert (last["task_reward"], last["shaping"]) == (1.0, pytest.approx(-0.8))


def test_it_pays_what_the_wrapped_environment_pays() -> None:
    actions = [1, 0, 1, 1, 0, 1, 1, 1]
    env = ShapedReward(Wide(), Judging(model=Certain(), gamma=GAMMA))
    env.reset()
    expected = [float(env.step(action)[1]) for action in actions]
    assert rewards(play(pipeline(step()), actions))[1:] == pytest.approx(expected)


def test_a_time_limit_of_the_pipeline_keeps_the_potential_if_the_learner_bootstraps() -> None:
    """Its counter counts the reset too: a limit of 3 lets two steps pass."""
    told = play(pipeline(step(), limit=3), [1, 1])
    assert told[-1][TransitionKey.TRUNCATED]
    assert rewards(told)[-1] == pytest.approx(0.9 * 0.6 - 0.4)
    without = play(pipeline(step(bootstraps=False), limit=3), [1, 1])
    assert rewards(without)[-1] == pytest.approx(-0.4)


def test_an_invalid_verdict_leaves_the_potential_as_it_was() -> None:
    told = play(pipeline(step(model=Moody())), [1, 1])
    assert rewards(told) == pytest.approx([0.0, 0.9 * 0.2 - 0.2, 0.9 * 0.6 - 0.2])
    assert told[-1][TransitionKey.INFO]["invalid"] == 1


def test_after_an_end_or_a_reset_the_next_transition_begins_an_episode() -> None:
    through = pipeline(step())
    first = rewards(play(through, [1, 1, 1, 1]))
    env = Wide()
    observation, _ = env.reset()
    again = through(create_transition(observation=observation))
    assert float(again[TransitionKey.REWARD]) == 0.0
    play(through, [1, 1])  # left halfway
    assert rewards(play(through, [1, 1, 1, 1])) == pytest.approx(first)


def test_the_sum_over_an_episode_telescopes() -> None:
    told = play(pipeline(step()), [1, 0, 0, 1, 1, 0, 1, 1])[1:]
    paid = np.array([one[TransitionKey.INFO]["shaping"] for one in told])
    last = told[-1][TransitionKey.INFO]["potential"]
    discount = GAMMA ** np.arange(9)
    assert (paid * discount[:-1]).sum() == pytest.approx(discount[-1] * last - 0.2)


def test_a_reward_may_be_a_tensor_and_stays_one() -> None:
    shaping = step()
    image = torch.full((3, 2, 2), 51, dtype=torch.uint8)
    shown = {"observation.images.front": image}
    shaping(create_transition(observation=shown))
    told = shaping({**create_transition(observation=shown), "reward": torch.tensor(0.5)})
    assert isinstance(told[TransitionKey.REWARD], torch.Tensor)
    assert float(told[TransitionKey.REWARD]) == pytest.approx(0.5 + 0.9 * 0.2 - 0.2)


def test_a_pipeline_is_stored_and_loaded_with_its_model(tmp_path: Path) -> None:
    config = ModelConfig(backbone=tiny.SHAPE, settings=ModelSettings(image_size=tiny.SIZE))
    save(tmp_path / "model", tiny.network(), config)
    made = pipeline(step(model=None, model_path=str(tmp_path / "model"), views=["front"]))
    made.save_pretrained(tmp_path / "pipeline")
    config_file = "dataprocessorpipeline.json"
    loaded = DataProcessorPipeline.from_pretrained(
        tmp_path / "pipeline",
        config_filename=config_file,
        to_transition=identity_transition,
        to_output=identity_transition,
    )
    assert loaded.steps[2].get_config() == made.steps[2].get_config()
    assert rewards(play(loaded, [1, 1])) == pytest.approx(rewards(play(made, [1, 1])))


def test_references_are_not_stored_and_so_are_asked_for(tmp_path: Path) -> None:
    config = ModelConfig(backbone=tiny.SHAPE, settings=ModelSettings(image_size=tiny.SIZE))
    save(tmp_path / "model", tiny.network(), config)
    goal = References(goal={"front": np.full((4, 4, 3), 255, np.uint8)})
    made = step(model=None, model_path=str(tmp_path / "model"), references=goal)
    stored = made.get_config()
    assert stored["with_references"] is True
    with pytest.raises(InputError, match="judged with references, which a pipeline does not store"):
        ProgressShapingStep(**stored)
    assert ProgressShapingStep(**stored, references=goal).get_config() == stored
    assert NAME == "progress_shaping"


def test_what_cannot_be_shaped_is_refused() -> None:
    shaping = step()
    shown = {"observation.images.front": torch.zeros(3, 2, 2)}
    shaping(create_transition(observation=shown))
    with pytest.raises(InputError, match="shaped already; shape it once"):
        shaping(create_transition(observation=shown, info={"shaping": 0.1}))
    with pytest.raises(InputError, match="a step without a reward cannot be shaped"):
        shaping({**create_transition(observation=shown), "reward": None})
    with pytest.raises(InputError, match="no view to look at"):
        shaping(create_transition(observation={"observation.state": torch.zeros(2)}))
    with pytest.raises(InputError, match=r"must be one image \(3, H, W\), got \(2, 3, 2, 2\)"):
        shaping(create_transition(observation={k: torch.zeros(2, 3, 2, 2) for k in shown}))


def test_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the step a model, or the model_path"):
        step(model=None)
    with pytest.raises(CheckpointError):
        step(model=None, model_path=str(tmp_path / "none"))
    with pytest.raises(InputError, match="gamma must be in"):
        step(gamma=2.0)
    with pytest.raises(InputError, match="fps must be above 0"):
        step(fps=0.0)
    with pytest.raises(InputError, match="stores where a model lies, not the model"):
        step().get_config()
