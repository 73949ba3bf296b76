"""What the tests of the LeRobot plug-in share: a small shape, and batches as lerobot-train does."""

from pathlib import Path
from typing import Any

import torch
from lerobot.datasets import LeRobotDatasetMetadata
from lerobot.datasets.factory import resolve_delta_timestamps
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.rewards import make_reward_model, make_reward_pre_post_processors

from robo_reward.config import CompactConfig
from robo_reward.lerobot import MultiviewProgressConfig
from robo_reward.lerobot.modeling_multiview_progress import MultiviewProgressRewardModel

SIZE = 16
SHAPE = CompactConfig(image_size=SIZE, width=16, depth=1, heads=2, channels=8)
BEFORE = 2


def config(**settings: Any) -> MultiviewProgressConfig:
    told = {"backbone": CompactConfig() if "hf" in settings else SHAPE, **settings}
    return MultiviewProgressConfig(device="cpu", before=BEFORE, **told)


def meta(root: Path) -> LeRobotDatasetMetadata:
    return LeRobotDatasetMetadata("tiny/table", root=root)


def dataset(root: Path, made: MultiviewProgressConfig) -> LeRobotDataset:
    """Open a dataset as lerobot-train does."""
    deltas = resolve_delta_timestamps(made, meta(root))
    return LeRobotDataset(
        "tiny/table", root=root, delta_timestamps=deltas, video_backend="pyav", return_uint8=True
    )


def batch(source: LeRobotDataset, rows: list[int]) -> dict[str, Any]:
    """Return rows as lerobot-train hands them to the preprocessor: its images are floats."""
    collated: dict[str, Any] = torch.utils.data.default_collate([source[row] for row in rows])
    for key in source.meta.camera_keys:
        if collated[key].dtype == torch.uint8:
            collated[key] = collated[key].to(torch.float32) / 255.0
    return collated


def preprocessor(made: MultiviewProgressConfig) -> Any:
    return make_reward_pre_post_processors(made)[0]


def model(root: Path | None = None, seed: int = 0, **settings: Any) -> MultiviewProgressRewardModel:
    torch.manual_seed(seed)
    known = None if root is None else meta(root)
    made = make_reward_model(config(**settings), dataset_stats={}, dataset_meta=known)
    assert isinstance(made, MultiviewProgressRewardModel)
    return made.eval()
