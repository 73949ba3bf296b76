"""Raw recordings: one folder per episode, one mp4 per camera, subtasks in JSON beside them.

```
ROOT/task_instruction.json              ["clean the table", "organize the table", ...]
ROOT/episode_001/cam_high.mp4           any number of cameras, the same in every episode
ROOT/episode_001/annotated_keyframes.json   (optional)
    [{"annotation": "pick the cup", "start_frame_id": 8, "end_frame_id": 147}, ...]
```
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from robo_reward.errors import DatasetError

from .episodes import Subtask

INSTRUCTION_FILE = "task_instruction.json"
KEYFRAME_FILE = "annotated_keyframes.json"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One recorded episode."""

    path: Path
    """Its folder."""
    videos: dict[str, Path]
    """View name → video file, sorted by name."""
    shapes: dict[str, tuple[int, int, int]]
    """View name → (H, W, 3)."""
    length: int
    """Frames of every camera."""
    fps: float
    """Frames per second."""
    subtasks: tuple[Subtask, ...]
    """Annotated subtasks in order; empty without annotation."""


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """A folder of recorded episodes of one task."""

    root: Path
    """The folder."""
    instructions: tuple[str, ...]
    """The instruction, then its paraphrases."""
    episodes: tuple[Recording, ...]
    """Recordings, sorted by folder name; all have the same views, sizes and frame rate."""


def is_recording_directory(root: Path) -> bool:
    """Return whether a folder looks like raw recordings: it has ``episode_*/*.mp4``."""
    return next(root.glob("episode_*/*.mp4"), None) is not None


def read_recordings(root: Path, *, instruction: str | None = None) -> Recordings:
    """Return what a folder of raw recordings holds, checked, without decoding a frame.

    Args:
        root: The folder that holds ``episode_*``.
        instruction: Task text to use instead of ``task_instruction.json``.

    Raises:
        DatasetError: If anything in it is missing, damaged or contradicts the rest.
    """
    folders = sorted(path for path in root.glob("episode_*") if path.is_dir())
    if not folders:
        raise DatasetError(_no_recordings(root))
    found = {folder: _videos(folder) for folder in folders}
    views = sorted(set().union(*found.values()))
    if not views:
        raise DatasetError(f"no episode of {root} holds a camera: put <view>.mp4 files in each")
    for folder, videos in found.items():
        missing = [view for view in views if view not in videos]
        if missing:
            raise DatasetError(
                f"{folder} has no {', '.join(f'{view}.mp4' for view in missing)}, which other "
                "episodes have; add the file or move the episode elsewhere"
            )
    episodes = tuple(_recording(folder, videos) for folder, videos in found.items())
    _check_alike(episodes)
    texts = (instruction,) if instruction is not None else _instructions(root)
    if not all(text.strip() for text in texts):
        raise DatasetError(f"the instruction of {root} is blank; write what the robot should do")
    return Recordings(root=root, instructions=texts, episodes=episodes)


def _no_recordings(root: Path) -> str:
    if not root.is_dir():
        return f"there is no directory {root}; name the folder that holds episode_*"
    if next(root.glob("*.mp4"), None):
        return f"{root} is a single episode; name the folder that holds it: {root.resolve().parent}"
    return f"{root} holds no recordings: it needs folders episode_*/ with one <view>.mp4 per camera"


def _videos(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.mp4"))}


def _recording(folder: Path, videos: dict[str, Path]) -> Recording:
    from . import video

    headers = {view: video.header(path) for view, path in videos.items()}
    lengths = {view: head.frames for view, head in headers.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{view} {count}" for view, count in lengths.items())
        raise DatasetError(
            f"the cameras of {folder} differ in length ({listed} frames); cut them to the same "
            "start and end"
        )
    rates = {view: head.fps for view, head in headers.items()}
    if max(rates.values()) - min(rates.values()) > 0.01:
        listed = ", ".join(f"{view} {rate:g}" for view, rate in rates.items())
        raise DatasetError(
            f"the cameras of {folder} differ in frame rate ({listed} fps); export them at one rate"
        )
    length = min(lengths.values())
    return Recording(
        path=folder,
        videos=videos,
        shapes={view: (head.height, head.width, 3) for view, head in headers.items()},
        length=length,
        fps=min(rates.values()),
        subtasks=_subtasks(folder / KEYFRAME_FILE, length),
    )


def _check_alike(episodes: tuple[Recording, ...]) -> None:
    first = episodes[0]
    for other in episodes[1:]:
        for view, shape in first.shapes.items():
            if other.shapes[view] != shape:
                raise DatasetError(
                    f"{other.videos[view]} is {other.shapes[view][1]}x{other.shapes[view][0]}, but "
                    f"{first.videos[view]} is {shape[1]}x{shape[0]}; export all at one size"
                )
        if abs(other.fps - first.fps) > 0.01:
            raise DatasetError(
                f"{other.path} runs at {other.fps:g} fps, but {first.path} at {first.fps:g}; "
                "import them as two datasets"
            )


def _instructions(root: Path) -> tuple[str, ...]:
    path = root / INSTRUCTION_FILE
    if not path.is_file():
        raise DatasetError(
            f"{root} has no {INSTRUCTION_FILE}; add it (a list of phrasings) or pass --instruction"
        )
    texts = _json(path)
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise DatasetError(f'{path} must be a list of phrasings, such as ["clean the table"]')
    return tuple(dict.fromkeys(texts))


def _subtasks(path: Path, length: int) -> tuple[Subtask, ...]:
    if not path.is_file():
        return ()
    entries = _json(path)
    if not isinstance(entries, list):
        raise DatasetError(f"{path} must be a list of subtasks, not a {type(entries).__name__}")
    subtasks = tuple(_subtask(path, number, entry) for number, entry in enumerate(entries, 1))
    for number, subtask in enumerate(subtasks, 1):
        stretch = f"subtask {number} of {path} (frames {subtask.start} to {subtask.end})"
        if subtask.start < 0 or subtask.end >= length:
            raise DatasetError(
                f"{stretch} lies outside the episode, whose frames are 0 to {length - 1}; "
                "correct its frame numbers"
            )
        if subtask.start >= subtask.end:
            raise DatasetError(f"{stretch} ends before it starts; correct its frame numbers")
    for number, (before, after) in enumerate(pairwise(subtasks), 1):
        if after.start < before.start:
            raise DatasetError(
                f"subtasks {number} and {number + 1} of {path} are not in order of time; sort them"
            )
        if after.start < before.end:
            raise DatasetError(
                f"subtasks {number} and {number + 1} of {path} overlap (frame {before.end} is "
                f"after frame {after.start}); let each start where the one before ends"
            )
    return subtasks


def _subtask(path: Path, number: int, entry: Any) -> Subtask:
    keys = entry.keys() if isinstance(entry, dict) else set()
    name = next((entry[key] for key in ("annotation", "anotation") if key in keys), None)
    ends = [entry[key] for key in ("start_frame_id", "end_frame_id") if key in keys]
    whole = all(isinstance(end, int) and not isinstance(end, bool) for end in ends)
    if not isinstance(name, str) or len(ends) != 2 or not whole:
        raise DatasetError(
            f"subtask {number} of {path} needs 'annotation' (text), 'start_frame_id' and "
            "'end_frame_id' (whole numbers)"
        )
    return Subtask(name=name, start=ends[0], end=ends[1])


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is not valid JSON ({error}); correct it") from error
