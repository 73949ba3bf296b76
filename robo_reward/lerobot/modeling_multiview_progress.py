"""The reward model ``multiview_progress``: the network of robo-reward, trained by LeRobot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.rewards.pretrained import PreTrainedRewardModel
from lerobot.utils.feature_utils import dataset_to_policy_features
from numpy.typing import NDArray
from torch import Tensor

from ..batch import PairBatch
from ..bins import expectation
from ..checkpoint import ModelConfig, build, save
from ..errors import InputError
from ..images import checked, resize
from ..lerobot_rows import PREFIX
from ..losses import loss_terms, total
from ..model import ModelSettings
from ..network import HOPS, Readout
from ..protocols import References
from ..tracker import TrackerSettings
from ..training import augment
from .configuration_multiview_progress import TIMES, MultiviewProgressConfig
from .judging import judge
from .pairing import Shown, pair_batch
from .pixels import stacked
from .storing import HUB, blank, check_savable, load_learnt, locate, save_weights, settled
from .table import GoalTable, camera_views, read_table


class MultiviewProgressRewardModel(PreTrainedRewardModel):
    """Progress Φ in [0, 1] as a reward, from any named cameras and the instruction."""

    config_class = MultiviewProgressConfig
    name = "multiview_progress"
    config: MultiviewProgressConfig

    def __init__(
        self,
        config: MultiviewProgressConfig,
        *,
        dataset_stats: Any = None,
        dataset_meta: Any = None,
        checkpoint: Path | None = None,
        **_: Any,
    ) -> None:
        """Make an untrained network; of a pretrained model, with its weights.

        Args:
            config: Shape and training; views and frames per second are filled in from the dataset.
            dataset_stats: Not needed: images are not normalised by the dataset.
            dataset_meta: LeRobot's metadata of the dataset to train on; not needed to judge.
            checkpoint: Directory that a pretrained model's weights are taken from, not from
                ``hf.base``; see `from_pretrained`.
            _: Whatever else LeRobot hands to models.

        Raises:
            CheckpointError: If a pretrained model's files are missing or damaged.
            DatasetError: If the dataset is damaged.
            InputError: If it lacks a view that was asked for, or ``hf.base`` does not fit, or the
                weights are to be spread over processes.
        """
        super().__init__(config)
        check_savable()
        self.network = blank(checkpoint, config.shape) if checkpoint else build(config.shape)
        self.steps: Tensor
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._references: dict[str, References] = {}
        self._table: GoalTable | None = None
        if dataset_meta is not None:
            self._prepare(dataset_meta)

    def _prepare(self, meta: Any) -> None:
        views = camera_views(meta, self.config.views)
        self.config.views, self.config.fps = list(views), float(meta.fps)
        features = dataset_to_policy_features(meta.features)
        self.config.input_features |= {PREFIX + view: features[PREFIX + view] for view in views}
        self._table = read_table(meta)

    def forward(
        self, batch: dict[str, Any], reduction: str = "mean"
    ) -> tuple[Tensor, dict[str, float]]:
        """Return the training loss of a batch of LeRobot items, and its terms for the log.

        ``error`` is the mean |Φ_F − truth| of the pairs whose Φ is known. In evaluation mode a
        batch's loss is always the same: its pairs are drawn from its indices.

        Args:
            batch: From the preprocessor: items of four times, with index and episode_index.
            reduction: Only "mean": a pair belongs to no single item, so items have no weights.

        Raises:
            InputError: If the batch is not such a one, or the model has no dataset.
            DatasetError: If an item is not of the dataset.
        """
        if self._table is None:
            raise InputError("training needs the dataset's metadata: pass dataset_meta")
        if reduction != "mean":
            raise InputError("a reward model takes no sample weights; drop --sample_weighting")
        shown = self._shown(batch, self._table)
        rng = self._draws(_column(batch, "index"))
        config = self.config
        pairs = pair_batch(shown, self._table, config.sampling(), period=config.before, rng=rng)
        images = augment(pairs, config.training(), rng) if self.training else pairs.images
        with self._own_precision():
            readout = self.network(pairs, torch.from_numpy(images).to(self._device))
            terms = loss_terms(readout, pairs)
        told = {name: term.item() for name, term in terms.items()}
        return total(terms, config.loss), told | _error(readout, pairs)

    def _draws(self, index: NDArray[np.int64]) -> np.random.Generator:
        """Return a step's generator: of seed, step and items, so that a resumed run draws alike."""
        if not self.training:
            return np.random.default_rng(index.tolist())
        self.steps += 1
        return np.random.default_rng([torch.initial_seed(), int(self.steps), *index.tolist()])

    def _shown(self, batch: Mapping[str, Any], table: GoalTable) -> Shown:
        views, images = stacked(batch, self.config.views, self.config.shape.image_size)
        if images.shape[1] != len(TIMES):
            raise InputError(
                f"training needs {len(TIMES)} frames of each item ({', '.join(TIMES)}), got "
                f"{images.shape[1]}; use the configuration's observation_delta_indices"
            )
        episodes = _column(batch, "episode_index")
        frames = table.frames(episodes, _column(batch, "index"), self.config.before)
        return Shown(views, images, episodes, frames)

    def compute_reward(self, batch: dict[str, Any]) -> Tensor:
        """Return Φ (B,) of the frame *now* of each item, in [0, 1]; NaN where nothing tells it.

        Causal: what is seen is the item's first frame (the start), the frame before, and now;
        never the episode's last frame, though items of a dataset hold it. The start is that of
        `set_references`, else the item's first frame; the goal is only ever that of
        `set_references`. With both, Φ is the mean of what they say; with neither, NaN.

        Args:
            batch: From the preprocessor, with ``task``; an item has four frames (first, before,
                now, last), three (without last), two (first, now) or now alone.

        Raises:
            InputError: If the batch is not such a one.
        """
        views, images = stacked(batch, self.config.views, self.config.shape.image_size)
        tasks, training = _tasks(batch, len(images)), self.training
        try:
            with self._own_precision():
                rewards = judge(self.network, views, images, tasks, self._references)
        finally:
            self.train(training)
        return torch.tensor(rewards, dtype=torch.float32, device=self._device)

    def set_references(self, task: str, references: References) -> None:
        """Fix what start and goal of a task look like for `compute_reward`; empty ones undo it.

        They are not part of the checkpoint.

        Raises:
            InputError: If an image is not uint8 (H, W, 3).
        """
        size = self.config.shape.image_size
        start, goal = (
            {name: resize(checked(name, image), size) for name, image in views.items()}
            for views in (references.start, references.goal)
        )
        self._references[task] = References(start=start, goal=goal)

    def export(self, out: str | Path, *, query_period_s: float | None = None) -> str:
        """Write the model as robo-reward's own checkpoint, for `robo_reward.load`.

        Its confidence is NaN and its thresholds are the defaults: LeRobot's training fits none.

        Args:
            out: Directory to write; an earlier checkpoint there is replaced.
            query_period_s: Seconds between queries; None: as many as *before* was in training.

        Returns:
            Its fingerprint.

        Raises:
            InputError: If the period is not known.
        """
        config = self.config
        if query_period_s is None:
            if config.fps is None:
                raise InputError("no frames per second are known; pass query_period_s")
            query_period_s = config.before / config.fps
        settings = ModelSettings(
            image_size=config.shape.image_size,
            query_period_s=query_period_s,
            tracker=TrackerSettings(fusion="filter"),
        )
        training = {"trainer": "lerobot-train", "views": config.views, "fps": config.fps}
        written = ModelConfig(backbone=config.shape, settings=settings, training=training)
        return save(Path(out), self.network, written)

    def get_optim_params(self) -> list[dict[str, Any]]:
        """Return the parameters that are trained; only matrices decay."""
        parameters = [p for p in self.parameters() if p.requires_grad]
        return [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]

    def push_model_to_hub(self, cfg: Any, **_: Any) -> None:
        """Upload the model; what else LeRobot passes at the end of training is not needed."""
        super().push_model_to_hub(cfg)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_name_or_path: str | Path,
        *,
        config: MultiviewProgressConfig | None = None,
        **kwargs: Any,
    ) -> "MultiviewProgressRewardModel":
        """Return the model of a checkpoint, in evaluation mode.

        Args:
            pretrained_name_or_path: Directory, or id of a model on the hub.
            config: In place of the stored one; its shape must be the same.
            kwargs: Those of LeRobot's own method, and of `__init__`.

        Raises:
            CheckpointError: If it is absent, damaged, incomplete, or of another shape.
            FileNotFoundError: If it has no configuration.
        """
        how = {name: kwargs.pop(name) for name in HUB if name in kwargs}
        place = locate(str(pretrained_name_or_path), **how)
        config = settled(place, config)
        made: MultiviewProgressRewardModel = super().from_pretrained(
            place, config=config, checkpoint=place, **kwargs
        )
        return made

    def _save_pretrained(self, save_directory: Path) -> None:
        self.config._save_pretrained(save_directory)
        save_weights(save_directory, self.config.shape, self.network, self.steps)

    @classmethod
    def _load_as_safetensor(
        cls,
        model: "MultiviewProgressRewardModel",
        model_file: str,
        map_location: str,
        strict: bool,
    ) -> "MultiviewProgressRewardModel":
        """Load weights strictly, whatever ``strict`` says: a head left random judges at random."""
        model.steps.copy_(load_learnt(Path(model_file), model.network))
        return model

    def _own_precision(self) -> torch.autocast:
        """Return the context in which the network alone says what is in which type."""
        return torch.autocast(self._device.type, enabled=False)

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.parameters()).device
        return device


def _column(batch: Mapping[str, Any], name: str) -> NDArray[np.int64]:
    """Return (B,) a column of whole numbers.

    Raises:
        InputError: If the batch has none.
    """
    if name not in batch:
        raise InputError(f"the batch has no {name!r}; train on a LeRobotDataset's own items")
    return np.asarray(torch.as_tensor(batch[name]).cpu().reshape(-1), dtype=np.int64)


def _tasks(batch: Mapping[str, Any], items: int) -> list[str]:
    """Return the B instructions; one alone is that of all items.

    Raises:
        InputError: If there is none, or another number of them.
    """
    given = batch.get("task")
    tasks = [given] if isinstance(given, str) else list(given or ())
    tasks = tasks * items if len(tasks) == 1 else tasks
    if len(tasks) != items:
        raise InputError(f"the batch has {items} items and {len(tasks)} tasks; give each its task")
    return tasks


def _error(readout: Readout, pairs: PairBatch) -> dict[str, float]:
    """Return the mean |Φ_F − truth| where it is known; nothing where it is nowhere known."""
    known = ~np.isnan(pairs.hop_start)
    if not known.any():
        return {}
    said = expectation(readout.hops[:, HOPS.index("hop_start")].detach()).cpu().numpy()
    return {"error": float(np.abs(said[known] - pairs.hop_start[known]).mean())}
