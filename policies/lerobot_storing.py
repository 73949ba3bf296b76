"""LeRobot's directories as policies on disk: which they are, and what they tell of themselves."""

import hashlib
import shutil
from pathlib import Path

from .about import About
from .lerobot_adapter import HEADS, TOKENIZER, LeRobotAdapter, is_policy

FILES = ("config.json", "model.safetensors", "policy_*", HEADS)
"""What makes a policy act as it does."""
FOLDERS = (TOKENIZER, "smolvlm", "clip_text", "clip_vision")
"""What adapters put beside: names and shapes."""


def digest(place: Path) -> str:
    """Return the sha256 of the files of a policy, by name and content.

    Raises:
        OSError: If one cannot be read.
    """
    told = hashlib.sha256()
    for path in sorted(path for pattern in FILES for path in place.glob(pattern)):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        told.update(f"{path.name} {content}\n".encode())
    return told.hexdigest()


def about(adapter: LeRobotAdapter) -> About:
    """Return what a LeRobot policy tells of itself: sizes, no names and no speed."""
    feature = adapter.config.robot_state_feature
    size = 0 if feature is None else int(feature.shape[0])
    return About(
        replan_steps=adapter.chunk,
        fps=None,
        images=adapter.image_sizes(),
        state_names=tuple(map(str, range(size))),
        action_names=tuple(map(str, range(adapter.action_dim))),
        named=False,
    )


def remove(place: Path) -> None:
    """Remove a LeRobot policy from a directory; what is none stays as it is.

    Raises:
        OSError: If a file cannot be removed.
    """
    if not is_policy(place):
        return
    for pattern in FILES:
        for path in place.glob(pattern):
            path.unlink()
    for name in FOLDERS:
        if (place / name).is_dir():
            shutil.rmtree(place / name)
