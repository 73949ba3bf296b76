"""Settings of the reward model type ``multiview_progress``, as LeRobot's command line gives them.

LeRobot finds model and processors by this module's name and the name of the class.
"""

from dataclasses import dataclass, field

from lerobot.configs.rewards import RewardModelConfig
from lerobot.configs.types import FeatureType, PolicyFeature
from lerobot.optim import AdamWConfig
from lerobot.optim.schedulers import CosineAnnealingWithWarmupSchedulerConfig

from ..config import CompactConfig, HfConfig, LossWeights, TrainingConfig, at_least
from ..errors import CheckpointError, InputError, RoboRewardError
from ..images import PREPROCESSING
from ..plan import SamplingConfig

FAR = 1_000_000
"""An offset in frames beyond any episode: LeRobot gives the episode's first or last frame."""
TIMES = ("first", "before", "now", "last")
"""What the frames of one item of a dataset are, in order."""


@RewardModelConfig.register_subclass("multiview_progress")
@dataclass
class MultiviewProgressConfig(RewardModelConfig):
    """Progress judged from all named cameras and the instruction.

    Streaming datasets cannot give an episode's first and last frame: they do not fit.
    """

    backbone: CompactConfig = field(default_factory=CompactConfig)
    """Shape of the compact network, trained from scratch; without history and belief:
    LeRobot's items hold no earlier frames and verdicts."""
    hf: HfConfig = field(default_factory=HfConfig)
    """A pretrained vision-language model in place of the compact network: give ``hf.base``."""
    views: list[str] = field(default_factory=list)
    """Cameras to use, without ``observation.images.``; none: all that the dataset has, and
    training fills them in."""
    before: int = 8
    """Frames between *before* and *now*: the query period at the dataset's frames per second."""
    preprocessing: str = PREPROCESSING
    """Version of how images are resized; another version's model is refused."""
    fps: float | None = None
    """Frames per second of the dataset that it was trained on; filled in by training."""
    prefixes: int = 2
    """Instruction-and-reference draws for each item of a batch."""
    pairs: int = SamplingConfig.pairs
    """Pairs formed under each, from all frames of the item's episode in the batch."""
    other_goal: float = SamplingConfig.other_goal
    """Probability of judging by another goal of the scene whose truth is known."""
    foreign: float = SamplingConfig.foreign
    """Probability of an instruction of another task in the batch, whose truth here is unknown."""
    other_picture: float = SamplingConfig.other_picture
    """Probability that the goal pictures show another goal of the scene than the words."""
    swap: float = SamplingConfig.swap
    """Probability that a reference comes from another episode of the same task in the batch."""
    drop_start: float = SamplingConfig.drop_start
    """Probability of no start reference."""
    drop_goal: float = SamplingConfig.drop_goal
    """Probability of no goal reference."""
    drop_views: float = SamplingConfig.drop_views
    """Probability that views are dropped; then each is, with the same probability."""
    unseen: float = SamplingConfig.unseen
    """Probability that *before* or *after* shows nothing: black, an even colour, or noise."""
    shift: float = TrainingConfig.shift
    """Images are shifted by up to this share of their side, each camera of an episode alike."""
    brightness: float = TrainingConfig.brightness
    """Images are brightened or darkened by up to this share."""
    loss: LossWeights = field(default_factory=LossWeights)
    """Weight of each loss term."""
    optimizer_lr: float | None = None
    """Peak rate of AdamW; none: 2e-3, or ``hf.learning_rate`` on a pretrained model."""
    optimizer_weight_decay: float = TrainingConfig.weight_decay
    """AdamW's decay, of matrices alone."""
    optimizer_grad_clip_norm: float = TrainingConfig.clip
    """Largest gradient norm."""
    scheduler_warmup_steps: int = TrainingConfig.warmup
    """Steps of linear warm-up before the cosine to 0."""

    def __post_init__(self) -> None:
        """Resolve the device and refuse what cannot be trained.

        Raises:
            RoboRewardError: If a setting is out of its range, or contradicts another one.
            CheckpointError: If it was written by a version that resizes images otherwise.
        """
        super().__post_init__()
        try:
            self._check()
        except InputError as error:  # a ValueError, whose sentence LeRobot's parser keeps to itself
            raise RoboRewardError(str(error)) from error

    def _check(self) -> None:
        at_least(1, "before", self.before)
        if self.hf.base and self.backbone != CompactConfig():
            raise InputError("backbone shapes the compact network, hf.base another: give one")
        if not self.hf.base and self.hf != HfConfig():
            raise InputError("hf says how a pretrained model is used; say which by hf.base")
        if self.shape.history or self.shape.belief:
            raise InputError(
                "history must be 0 and belief off: an item of a LeRobot dataset holds no earlier "
                "frames and verdicts"
            )
        if self.preprocessing != PREPROCESSING:
            raise CheckpointError(
                f"this model was trained with preprocessing {self.preprocessing!r}, this version "
                f"has {PREPROCESSING!r}: use the version that trained it, or train again"
            )
        self.sampling()  # refuses what is out of range, as does the next
        self.training()
        self.output_features.setdefault("progress", PolicyFeature(FeatureType.REWARD, (1,)))

    @property
    def shape(self) -> CompactConfig | HfConfig:
        """The backbone that was asked for."""
        return self.hf if self.hf.base else self.backbone

    def sampling(self) -> SamplingConfig:
        """Return how the pairs of a batch are drawn."""
        return SamplingConfig(
            prefixes=self.prefixes,
            pairs=self.pairs,
            other_goal=self.other_goal,
            foreign=self.foreign,
            other_picture=self.other_picture,
            swap=self.swap,
            drop_start=self.drop_start,
            drop_goal=self.drop_goal,
            drop_views=self.drop_views,
            unseen=self.unseen,
        )

    def training(self) -> TrainingConfig:
        """Return how it is trained; how many steps is for LeRobot to say."""
        own = self.hf.learning_rate if self.hf.base else TrainingConfig.learning_rate
        return TrainingConfig(
            learning_rate=own if self.optimizer_lr is None else self.optimizer_lr,
            warmup=self.scheduler_warmup_steps,
            weight_decay=self.optimizer_weight_decay,
            clip=self.optimizer_grad_clip_norm,
            shift=self.shift,
            brightness=self.brightness,
            loss=self.loss,
        )

    @property
    def observation_delta_indices(self) -> list[int]:
        """Frames of an item relative to its own: `TIMES`."""
        return [-FAR, -self.before, 0, FAR]

    @property
    def action_delta_indices(self) -> None:
        """Actions are not looked at."""

    @property
    def reward_delta_indices(self) -> None:
        """Rewards are not looked at."""

    def get_optimizer_preset(self) -> AdamWConfig:
        """Return the optimiser that ``lerobot-train`` uses unless told otherwise."""
        return AdamWConfig(
            lr=self.training().learning_rate,
            betas=(0.9, 0.95),
            weight_decay=self.optimizer_weight_decay,
            grad_clip_norm=self.optimizer_grad_clip_norm,
        )

    def get_scheduler_preset(self) -> CosineAnnealingWithWarmupSchedulerConfig:
        """Return the schedule that ``lerobot-train`` uses unless told otherwise."""
        return CosineAnnealingWithWarmupSchedulerConfig(
            num_warmup_steps=self.scheduler_warmup_steps
        )

    def validate_features(self) -> None:
        """Check that there is a camera to look at.

        Raises:
            InputError: If there is none.
        """
        if not any(feature.type is FeatureType.VISUAL for feature in self.input_features.values()):
            raise InputError("no observation.images.<view> is among the input features; name one")
