"""The processors of ``multiview_progress``: pixels in, the network's bytes out.

LeRobot makes them anew from the configuration, also when a run is resumed, and hands them neither
the dataset's metadata nor, when resuming, its statistics; they need neither. They read only keys
that LeRobot's own conversion of a batch keeps, so a pipeline that was saved and loaded (which
forgets any conversion of ours) does the same.
"""

from dataclasses import dataclass, field
from typing import Any

from lerobot.configs import PipelineFeatureType, PolicyFeature
from lerobot.lerobot_types import EnvTransition, TransitionKey
from lerobot.processor import (
    AddBatchDimensionProcessorStep,
    DeviceProcessorStep,
    PolicyProcessorPipeline,
    ProcessorStep,
    ProcessorStepRegistry,
    policy_action_to_transition,
)
from lerobot.utils.constants import (
    POLICY_POSTPROCESSOR_DEFAULT_NAME,
    POLICY_PREPROCESSOR_DEFAULT_NAME,
)

from ..errors import InputError
from ..lerobot_rows import PREFIX
from .configuration_multiview_progress import MultiviewProgressConfig
from .pixels import batched, squared, to_uint8, views_of

type Pipeline = PolicyProcessorPipeline[Any, Any]


@ProcessorStepRegistry.register(name="multiview_progress_encoder")
@dataclass
class MultiviewProgressEncoderStep(ProcessorStep):
    """Replaces each view by uint8 (B, T, S, S, 3), whatever batch or time dimension it lacked."""

    image_size: int
    """Side of the square images, in pixels."""
    views: list[str] = field(default_factory=list)
    """Views to keep; none: all that are there."""

    def __call__(self, transition: EnvTransition) -> EnvTransition:
        """Return the transition with its views resized, and without images that are no view.

        Raises:
            InputError: If no view is there, or one is not an image.
        """
        observation = transition.get(TransitionKey.OBSERVATION) or {}
        told = transition.get(TransitionKey.COMPLEMENTARY_DATA) or {}
        images = {}
        for view, given in views_of(observation, self.views).items():
            pixels = to_uint8(PREFIX + view, batched(given, told))
            images[PREFIX + view] = squared(pixels, self.image_size)
        shapes = {name: tuple(image.shape[:2]) for name, image in images.items()}
        if len(set(shapes.values())) > 1:
            raise InputError(f"the views have different numbers of items or times: {shapes}")
        rest = {k: v for k, v in observation.items() if not k.startswith(PREFIX)}
        return {**transition, TransitionKey.OBSERVATION: rest | images}

    def get_config(self) -> dict[str, Any]:
        """Return what is stored with the pipeline."""
        return {"image_size": self.image_size, "views": self.views}

    def transform_features(
        self, features: dict[PipelineFeatureType, dict[str, PolicyFeature]]
    ) -> dict[PipelineFeatureType, dict[str, PolicyFeature]]:
        """Return the features with the shape that the views get."""
        shape = (self.image_size, self.image_size, 3)
        return {
            kind: {
                key: PolicyFeature(one.type, shape) if key.startswith(PREFIX) else one
                for key, one in named.items()
            }
            for kind, named in features.items()
        }


def make_multiview_progress_pre_post_processors(
    config: MultiviewProgressConfig, dataset_stats: dict[str, Any] | None = None
) -> tuple[Pipeline, Pipeline]:
    """Return (preprocessor, postprocessor); the latter changes nothing.

    Args:
        config: Image size, views and device.
        dataset_stats: Not needed: images are not normalised by the dataset.
    """
    before: Pipeline = PolicyProcessorPipeline(
        steps=[
            MultiviewProgressEncoderStep(config.shape.image_size, list(config.views)),
            AddBatchDimensionProcessorStep(),
            DeviceProcessorStep(device=config.device or "cpu"),
        ],
        name=POLICY_PREPROCESSOR_DEFAULT_NAME,
    )
    after: Pipeline = PolicyProcessorPipeline(
        steps=[],
        name=POLICY_POSTPROCESSOR_DEFAULT_NAME,
        to_transition=policy_action_to_transition,
    )
    return before, after
