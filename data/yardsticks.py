"""Public yardsticks, read where somebody has put them: episodes with grades, not with truth.

- ``robo-dopamine-bench`` (arXiv 2512.23703): ``<set>.json`` with ``sample_path_list`` and
  ``sample_path_task``; the frames of a sample lie in ``<sample>/<camera>/*.png|jpg``. All are
  successes. Published figures show each episode its own ends: ``--reference own-last-frame``.
- ``roboreward-bench`` (arXiv 2601.00675): ``[test/]metadata.jsonl`` with ``file_name``, ``task``
  and ``reward`` from 1 to 5, beside the videos.
- ``rbm-eval`` (Robometer, arXiv 2603.02115): for each set a folder ``processed_dataset`` of Arrow
  files with ``task``, ``frames`` (an npz file or a video) and ``quality_label``. Paths that do
  not exist here are looked for by their name beside the Arrow files.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_reward.decisions import GRADES
from robo_reward.errors import DatasetError, InputError
from robo_reward.ranking import FAILURE, PARTIAL, SUCCESS

from .clips import Clip, open_clip
from .episodes import Episode, Views

if TYPE_CHECKING:
    from .evaluate import Case

VIEW = "front"
"""What the camera of a yardstick with one camera is called."""
QUALITY = {
    "failure": FAILURE,
    "failed": FAILURE,
    "fail": FAILURE,
    "suboptimal": PARTIAL,
    "success": SUCCESS,
    "successful": SUCCESS,
    "optimal": SUCCESS,
}
"""What yardsticks call the outcome classes."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One graded episode."""

    name: str
    task: str
    clips: dict[str, Path]
    """View name → where its pictures are."""
    outcome: int | None
    """Outcome class."""
    end: float = float("nan")
    """True progress at the end, where it was graded."""


class Yardstick:
    """The samples of a yardstick, as an `EpisodeDataset`."""

    def __init__(self, root: Path, samples: list[Sample]) -> None:
        """Take the samples as episodes 0, 1, …; their files are opened when asked for.

        Raises:
            DatasetError: If there is none.
        """
        if not samples:
            raise DatasetError(f"{root} lists no sample; copy the yardstick again")
        self.root, self.samples = root, samples
        self._episodes: dict[int, Episode] = {}
        self.views = tuple(sorted({view for sample in samples for view in sample.clips}))
        told = "\n".join(f"{s.name}\t{s.task}\t{s.outcome}\t{s.end}" for s in samples)
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def episode(self, index: int) -> Episode:
        """Return what is known of a sample.

        Raises:
            InputError: If there is no such sample.
            DatasetError: If its files cannot be opened, or views differ in length.
        """
        if index not in self._episodes:
            self._episodes[index] = self._opened(index)
        return self._episodes[index]

    def _opened(self, index: int) -> Episode:
        sample, clips = self._sample(index), self._clips(index)
        lengths = {view: clip.length for view, clip in clips.items()}
        if len(set(lengths.values())) != 1:
            raise DatasetError(f"{sample.name}: its views differ in length: {lengths}; copy again")
        first = next(iter(clips.values()))
        return Episode(
            index=index,
            length=first.length,
            fps=first.fps,
            views=tuple(sorted(clips)),
            instructions=(sample.task,),
            outcome=None if sample.outcome is None else sample.outcome == SUCCESS,
        )

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        """Yield (frame number, views) in order, every ``stride``-th frame.

        Raises:
            InputError: If there is no such sample.
            DatasetError: If its pictures cannot be read.
        """
        clips = self._clips(index)
        there = [view for view in views if view in clips]
        streams = [clips[view].frames(size=size, stride=stride) for view in there]
        for images in zip(*streams, strict=True):
            shown = zip(there, images, strict=True)
            yield images[0][0], {view: image for view, (_, image) in shown}

    def _sample(self, index: int) -> Sample:
        if not 0 <= index < len(self.samples):
            last = len(self.samples) - 1
            raise InputError(f"{self.root} has no episode {index}; it has 0 to {last}")
        return self.samples[index]

    def _clips(self, index: int) -> dict[str, Clip]:
        return {view: open_clip(path) for view, path in self._sample(index).clips.items()}


def open_yardstick(layout: str, source: str, *, views: tuple[str, ...] | None = None) -> Yardstick:
    """Return a yardstick that lies in a local directory, of some of its views or all.

    Raises:
        DatasetError: If it is not there, not laid out so, or lacks a view.
    """
    root = Path(source)
    if not root.is_dir():
        raise DatasetError(f"there is no directory {root}; download {layout} and name its place")
    samples = _READERS[layout](root)
    known = {view for sample in samples for view in sample.clips}
    if views is not None and not known.issuperset(views):
        raise DatasetError(f"{root} has the views {', '.join(sorted(known))}; --views names others")
    if views is not None:
        samples = [
            replace(sample, clips={v: clip for v, clip in sample.clips.items() if v in views})
            for sample in samples
            if not sample.clips.keys().isdisjoint(views)
        ]
    return Yardstick(root, samples)


def graded(case: "Case", sample: Sample) -> "Case":
    """Return a case with the grade of its sample: outcome class, and truth at the end."""
    truth = np.full(len(case.truth), np.nan)
    truth[-1] = sample.end
    outcome = float("nan") if sample.outcome is None else sample.outcome
    source = "none" if np.isnan(sample.end) else "grade of the end"
    return replace(case, name=sample.name, truth=truth, graded=outcome, source=source)


def _robo_dopamine(root: Path) -> list[Sample]:
    samples = []
    for path in _found(root, "*.json", "<set>.json with sample_path_list"):
        told = _json(path, path.read_text())
        if not isinstance(told, dict) or "sample_path_list" not in told:
            continue
        names, tasks = told["sample_path_list"], told.get("sample_path_task", [])
        if len(names) != len(tasks):
            raise DatasetError(f"{path} has {len(names)} samples and {len(tasks)} tasks")
        for name, task in zip(names, tasks, strict=True):
            folder = _inside(root, name)
            cameras = sorted(view for view in folder.glob("*") if view.is_dir())
            if not cameras:
                raise DatasetError(f"{path} names {name}, but {folder} has no camera folders")
            clips = {camera.name: camera for camera in cameras}
            samples.append(Sample(name=name, task=task, clips=clips, outcome=SUCCESS))
    return samples


def _roboreward(root: Path) -> list[Sample]:
    folder = root / "test" if (root / "test").is_dir() else root
    samples = []
    for path in _found(folder, "metadata.jsonl", "metadata.jsonl"):
        for line in filter(str.strip, path.read_text().splitlines()):
            told = _json(path, line)
            name, task, reward = (told.get(key) for key in ("file_name", "task", "reward"))
            if not name or not task or reward not in range(1, GRADES + 1):
                raise DatasetError(f"{path}: {line!r} needs file_name, task and reward 1 to 5")
            end = (reward - 1) / (GRADES - 1)
            outcome = SUCCESS if end == 1.0 else PARTIAL if end >= 0.5 else FAILURE
            clips = {VIEW: _inside(folder, name)}
            samples.append(Sample(name=name, task=task, clips=clips, outcome=outcome, end=end))
    return samples


def _rbm_eval(root: Path) -> list[Sample]:
    samples = []
    for path in _found(root, "**/processed_dataset/*.arrow", "processed_dataset/*.arrow"):
        for number, row in enumerate(_arrow_rows(path)):
            place = _beside(path, str(row["frames"]))
            name = f"{path.parent.parent.name}/{row.get('id') or number}"
            quality = row.get("quality_label")
            outcome = None if quality is None else QUALITY.get(str(quality).lower())
            if quality is not None and outcome is None:
                known = ", ".join(QUALITY)
                raise DatasetError(f"{path}: quality_label {quality!r} is none of {known}")
            samples.append(
                Sample(name=name, task=row["task"], clips={VIEW: place}, outcome=outcome)
            )
    return samples


_READERS: dict[str, Callable[[Path], list[Sample]]] = {
    "robo-dopamine-bench": _robo_dopamine,
    "roboreward-bench": _roboreward,
    "rbm-eval": _rbm_eval,
}


def _arrow_rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa

    columns = ("id", "task", "frames", "quality_label")
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_stream(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{path} cannot be read ({error}); copy the yardstick again") from error
    missing = {"task", "frames"} - set(table.column_names)
    if missing:
        raise DatasetError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    rows: list[dict[str, Any]] = table.select(
        [name for name in columns if name in table.column_names]
    ).to_pylist()
    return rows


def _beside(path: Path, told: str) -> Path:
    """Return where a file is that an Arrow file names, perhaps by its place on another machine."""
    folder = path.parent.parent
    name = Path(told).name
    places = [Path(told), folder / told, folder / name, folder / "frames" / name]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise DatasetError(f"{path} names {told}, which is neither there nor in {folder}")
    return found


def _found(root: Path, pattern: str, what: str) -> list[Path]:
    found = sorted(root.glob(pattern))
    if not found:
        raise DatasetError(f"{root} lacks {what}; name the directory that holds it")
    return found


def _inside(root: Path, name: str) -> Path:
    """Return a place in a directory that a list names; it may not lead out of it."""
    place = root / name
    if not place.resolve().is_relative_to(root.resolve()):
        raise DatasetError(f"{root} lists {name!r}, which lies outside of it")
    return place


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON ({error}); copy the yardstick again") from error
