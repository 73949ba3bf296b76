"""``robo-reward verify``: whether labels are whole and unchanged, and what is missing."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from robo_reward.errors import DatasetError

if TYPE_CHECKING:
    from .label_plan import Plan

MOST = 20
"""Faults that are told; more are counted."""


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Hash labels again and name every gap: units while a run is under way, the sidecar after it.

    Example: robo-reward verify outputs/labels --dataset outputs/sim
    """

    out: Annotated[Path, tyro.conf.Positional]
    """The --out of 'robo-reward label'."""
    dataset: str = ""
    """The dataset that was labelled: checked to be the same still, if given."""

    def run(self) -> None:
        """Check, and print what was found.

        Raises:
            DatasetError: If anything is missing or changed.
        """
        from .label_progress import read_progress

        plan, progress = read_progress(self.out)
        faults = sidecar_faults(self.out, plan) if progress.state == "finished" else []
        gaps: list[int] = []
        if progress.state != "finished":
            faults, gaps = unit_faults(self.out, plan)
        if self.dataset:
            faults += dataset_faults(self.dataset, plan)
        for fault in faults[:MOST]:
            print(fault)
        if len(faults) > MOST:
            print(f"… and {len(faults) - MOST} more")
        if gaps:
            from .compaction import ranges

            print(f"not labelled yet: episodes {ranges(gaps)}")
        if faults:
            raise DatasetError(
                f"{self.out}: {len(faults)} faults in labels of {progress.of} episodes, named "
                "above; 'label' makes damaged units again, --overwrite all of them"
            )
        if gaps:
            raise DatasetError(
                f"{self.out}: {len(gaps)} of {progress.of} episodes are missing, the others are "
                "as they were written; repeat the label command to go on"
            )
        print(
            f"{self.out}: {progress.of} episodes, {progress.of_frames} rows: all there, all as "
            "they were written"
        )


def sidecar_faults(root: Path, plan: "Plan") -> list[str]:
    """Return what is wrong with the sidecar of a finished run.

    Raises:
        DatasetError: If it cannot be read.
    """
    from .compaction import Manifest, faults

    manifest = Manifest.read(root)
    assert manifest is not None
    return list(faults(root, plan, manifest))


def unit_faults(root: Path, plan: "Plan") -> tuple[list[str], list[int]]:
    """Return what is wrong with the units of an unfinished run, and which episodes have none."""
    from .label_plan import UNITS, unit_name, unpack
    from .label_store import DirectoryStore

    store = DirectoryStore(root)
    found: list[str] = []
    gaps: list[int] = []
    for episode in range(len(plan.lengths)):
        content = store.read(f"{UNITS}/{unit_name(episode)}")
        if content is None:
            gaps.append(episode)
            continue
        try:
            unpack(content, episode, plan=plan)
        except DatasetError as error:
            found.append(str(error))
    return found, gaps


def dataset_faults(source: str, plan: "Plan") -> list[str]:
    """Return how a dataset differs from the one that was labelled.

    Raises:
        DatasetError: If it cannot be opened.
    """
    from .lerobot_dataset import open_dataset

    views = tuple(plan.about["views"].split(", "))
    dataset = open_dataset(source, views=views)
    if dataset.fingerprint == plan.about["dataset_fingerprint"]:
        return []
    return [
        f"{source} is not the dataset that was labelled, or it was changed since (fingerprint "
        f"{dataset.fingerprint[:16]}, labelled {plan.about['dataset_fingerprint'][:16]})"
    ]
