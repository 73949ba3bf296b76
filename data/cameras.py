"""Which columns of a LeRobotDataset are cameras, and what they are called here."""

from pathlib import Path
from typing import Any

from robo_reward.errors import DatasetError
from robo_reward.lerobot_rows import PREFIX

PIXELS = ("video", "image")
"""Types of features that are cameras."""


def camera_keys(
    root: Path, features: dict[str, dict[str, Any]], views: tuple[str, ...] | None
) -> dict[str, str]:
    """Return view name → feature key of the cameras to use; depth maps are no views.

    Args:
        root: The dataset, for messages.
        features: What its metadata says of its columns.
        views: View or feature names; None: all that are called ``observation.images.<view>``.

    Raises:
        DatasetError: If one is not there, or there is none.
    """
    cameras = [
        key
        for key, feature in features.items()
        if feature["dtype"] in PIXELS and not _is_depth(feature.get("info") or {})
    ]
    known = {key.removeprefix(PREFIX): key for key in cameras if key.startswith(PREFIX)}
    if views is None:
        if not known:
            listed = " ".join(cameras) or "none"
            raise DatasetError(
                f"{root} has no camera called {PREFIX}<view>; its images are: {listed}; "
                f"name those to use with --views {listed if cameras else '...'}"
            )
        return known
    named = known | {key: key for key in cameras}
    missing = [view for view in views if view not in named]
    if missing or not views:
        every = tuple(known) + tuple(key for key in cameras if not key.startswith(PREFIX))
        raise DatasetError(unknown_views(root, missing, every))
    return {view.removeprefix(PREFIX): named[view] for view in views}


def _is_depth(info: dict[str, Any]) -> bool:
    return bool(info.get("is_depth_map") or info.get("video.is_depth_map"))


def unknown_views(root: Path, missing: list[str], known: tuple[str, ...]) -> str:
    """Return what to tell of views that a dataset does not have; of none where none was named."""
    asked = f"{root} has no view {', '.join(missing)}" if missing else "no view was asked for"
    return f"{asked}; {root.name} has {', '.join(known)}: name some of those with --views"
