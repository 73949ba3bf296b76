"""The command ``filter``: which episodes of a dataset to drop, to keep and to look at."""

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_reward.errors import OutputError
from robo_reward.files import write_atomically
from robo_reward.lerobot_rows import OWN_FILE

from .filter_rules import GRAVITY, Agreement, Judged, Limits, Near, Traits
from .places import try_out, written

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .lerobot_dataset import LeRobotEpisodes
    from .report_curves import LabelledEpisode

MOST_SHOWN = 20
"""Episodes that are shown of each verdict."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Say which episodes of a labelled dataset to drop, to keep and to look at, and why.

    Nothing is changed: the command that makes the filtered dataset is printed.

    Example: robo-reward filter --dataset outputs/demo/data --labels outputs/demo/labels
    --out filter.json
    """

    dataset: Path
    """Folder of the dataset that was labelled."""
    labels: Path
    """Folder that 'robo-reward label' wrote, or one of its reviewed versions."""
    out: Path
    """The JSON file to make: verdict, reasons and numbers of every episode."""
    views: tuple[str, ...] = ()
    """Cameras to compare episodes by; none: all that the dataset has."""
    overwrite: bool = False
    """Replace the file if it exists."""
    limits: Limits = field(default_factory=Limits)
    """From where on a rule speaks."""

    def run(self) -> None:
        """Judge all episodes, write the file, print counts and the command.

        Raises:
            RoboRewardError: With one sentence for whatever the user can mend.
        """
        self.limits.check()
        if self.out.is_dir():
            raise OutputError(f"--out {self.out} is a folder; name a JSON file in it")
        if self.out.exists() and not self.overwrite:
            raise OutputError(f"{self.out} exists; give --overwrite to replace it")
        try_out(self.out.parent)
        from .filter_rules import agreement
        from .lerobot_dataset import open_dataset
        from .report import LABELS_FILE, read_labels
        from .report_curves import check_labels, labelled_episodes

        dataset = open_dataset(self.dataset, views=self.views or None)
        table = read_labels(self.labels)
        check_labels(dataset, table, str(self.labels / LABELS_FILE))
        found = sorted(labelled_episodes(dataset, table, None), key=lambda one: one.episode.index)
        traits = traits_of(found, self.labels)
        near = nearest(dataset, found, traits)
        judged = judge_all(traits, near, self.limits)
        known = [
            (traits[one.episode.index], one.episode.outcome)
            for one in found
            if one.episode.outcome is not None
        ]
        agreed = agreement(known, self.limits)
        drop = [number for number, one in judged.items() if one.verdict == "drop"]
        command = edit_command(dataset.root, drop)
        content: dict[str, Any] = {
            "format": 1,
            "dataset": str(dataset.root),
            "dataset_fingerprint": dataset.fingerprint,
            "labels": str(self.labels),
            "limits": asdict(self.limits),
            **{verdict: _of(judged, verdict) for verdict in GRAVITY},
            "agreement": asdict(agreed) | {"precision": agreed.precision, "recall": agreed.recall},
            "command": command,
            "episodes": [
                {"episode": n, "outcome": traits[n].outcome, **asdict(judged[n]), **_told(near[n])}
                for n in judged
            ],
        }
        with written(self.out):
            write_atomically(self.out, json.dumps(content, indent=1, allow_nan=False).encode())
        print(words(judged, agreed, command, self.labels))
        print(f"all of it: {self.out}")


type Neighbours = Mapping[int, tuple[Near | None, Near | None]]


def _of(judged: Mapping[int, Judged], verdict: str) -> list[int]:
    return [number for number, one in judged.items() if one.verdict == verdict]


def _told(near: tuple[Near | None, Near | None]) -> dict[str, Any]:
    names = ("nearest_failure", "nearest_earlier")
    return {name: one and asdict(one) for name, one in zip(names, near, strict=True)}


def traits_of(found: Sequence["LabelledEpisode"], labels: Path) -> dict[int, Traits]:
    """Return what is known of labelled episodes by number, reviewers' decisions included.

    Raises:
        DatasetError: If the decisions beside the labels are damaged.
    """
    from .review_decisions import Decision
    from .review_places import read_review

    lengths = {one.episode.index: one.episode.length for one in found}
    decisions = read_review(labels, lengths)
    traits = {}
    for one in found:
        said = decisions.get(one.episode.index, Decision())
        traits[one.episode.index] = Traits(
            phi=one.curves["progress_sparse"],
            valid=one.valid,
            disagreement=one.suspicion.values["disagreement"],
            outcome=one.episode.outcome if said.outcome is None else said.outcome,
            accepted=said.accepted,
        )
    return traits


def nearest(
    dataset: "LeRobotEpisodes", found: Sequence["LabelledEpisode"], traits: Mapping[int, Traits]
) -> dict[int, tuple[Near | None, Near | None]]:
    """Return for each episode the nearest failure and the nearest earlier one of its instruction.

    Raises:
        DatasetError: If a picture cannot be decoded.
    """
    import numpy as np

    from robo_reward.console import progress_bar

    from .filter_rules import curve_points, distances, neighbours

    groups: dict[str, list[int]] = {}
    for one in found:
        groups.setdefault(one.episode.instructions[0], []).append(one.episode.index)
    near: dict[int, tuple[Near | None, Near | None]] = {}
    with progress_bar("compare", len(found), "episodes") as bar:
        for numbers in groups.values():
            pictures = []
            for number in numbers:
                pictures.append(small_pictures(dataset, number))
                bar(1)
            curves = np.stack([curve_points(traits[n].phi, traits[n].valid) for n in numbers])
            failed = np.array([traits[n].outcome is False for n in numbers])
            told = neighbours(distances(np.stack(pictures), curves), numbers, failed)
            near |= dict(zip(numbers, told, strict=True))
    return near


def small_pictures(dataset: "LeRobotEpisodes", number: int) -> "NDArray[np.float32]":
    """Return the first and last picture of every view of an episode, small, flat, in [0, 1]."""
    import numpy as np

    from .filter_rules import SIDE
    from .video import square

    last = dataset.episode(number).length - 1
    small = [
        square(image, SIDE)
        for view in dataset.views
        for frame in (0, last)
        for image in dataset.window(number, view, frame, 1)
    ]
    return np.stack(small).reshape(-1).astype(np.float32) / np.float32(255)


def judge_all(traits: Mapping[int, Traits], near: Neighbours, limits: Limits) -> dict[int, Judged]:
    """Return the verdicts by the number of the episode."""
    from .filter_rules import judge

    return {
        number: judge(traits[number], limits, failure=near[number][0], twin=near[number][1])
        for number in sorted(traits)
    }


def edit_command(root: Path, drop: Sequence[int]) -> str | None:
    """Return the shell line that makes the dataset without some episodes; None without any.

    LeRobot's command leaves our own file of paraphrases and goals behind, so it is copied after.
    """
    if not drop:
        return None
    root = root.resolve()  # "." has no name
    new = root.with_name(f"{root.name}-filtered")
    parts = [
        "lerobot-edit-dataset",
        *("--repo_id", f"local/{root.name}", "--root", str(root)),
        *("--new_repo_id", f"local/{new.name}", "--new_root", str(new)),
        *("--operation.type", "delete_episodes"),
        *("--operation.episode_indices", json.dumps(list(drop))),
    ]
    own = root / OWN_FILE
    copied = f" && {shlex.join(['cp', str(own), str(new / OWN_FILE)])}" if own.exists() else ""
    return shlex.join(parts) + copied


def words(
    judged: Mapping[int, Judged], agreed: Agreement, command: str | None, labels: Path
) -> str:
    """Return what is shown: counts, reasons, agreement with known outcomes, and the command."""
    counts = Counter(one.verdict for one in judged.values())
    lines = [f"{len(judged)} episodes: " + ", ".join(f"{counts[v]} {v}" for v in GRAVITY[::-1])]
    for verdict in ("drop", "look"):
        numbers = _of(judged, verdict)
        lines += [
            f"  {verdict}  {number:>5}  {'; '.join(judged[number].reasons)}"
            for number in numbers[:MOST_SHOWN]
        ]
        if len(numbers) > MOST_SHOWN:
            lines.append(f"  {verdict}  and {len(numbers) - MOST_SHOWN} more")
    if agreed.episodes:
        lines.append(
            f"from the labels alone, if all {agreed.episodes} episodes whose outcome is known "
            f"claimed success: {agreed.dropped} would be dropped, {agreed.hits} of the "
            f"{agreed.failures} failures among them (precision {_share(agreed.precision)}, recall "
            f"{_share(agreed.recall)})"
        )
    if counts["look"]:
        lines.append(f"to look at them: robo-reward review --labels {labels} --dataset …")
    if command is None:
        lines.append("nothing is to be dropped")
    elif counts["drop"] == len(judged):
        lines.append("all would be dropped, and LeRobot makes no empty dataset: check the labels")
    else:
        lines += ["to make the dataset without what is dropped:", f"  {command}"]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
