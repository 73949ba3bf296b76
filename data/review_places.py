"""Where the versions of labels and the drafts of reviewers lie; how they are written.

::

    <labels>/progress.parquet                    what 'label' wrote: version 0001, never touched
    <labels>/versions/0002/progress.parquet      the first reviewed version, whole
    <labels>/versions/0002/review.json           the decisions behind it, all that were ever made
    <labels>/drafts/0001-<reviewer>.json         decisions about version 0001, not yet a version

Every version is the labels of 'label' with all decisions applied, so a decision can be taken back
in a later version. A version appears whole, by one rename; the next number is taken that neither a
version nor a draft has, so that no draft of a version that was removed is taken for one of the new.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robo_reward.errors import DatasetError
from robo_reward.files import TEMPORARY, left_behind, write_atomically

from .report import LABELS_FILE
from .review_decisions import Decision, as_json, decision_of

REVIEW_FILE = "review.json"
FORMAT = 1
"""Version of the format of drafts and of `REVIEW_FILE`."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of labels on disk."""

    folder: Path
    """Where its `LABELS_FILE` is."""
    labels: Path
    """The folder that 'label' wrote, where version 0001 is; ``folder`` itself for that."""
    number: str
    """Four digits or more."""

    @property
    def file(self) -> Path:
        """The labels of this version."""
        return self.folder / LABELS_FILE


def version_at(folder: Path) -> Version:
    """Return which version a folder of labels is; one of none counts as the first."""
    folder = folder.resolve()
    labels = folder.parent.parent
    inside = folder.parent.name == "versions" and (labels / LABELS_FILE).is_file()
    if inside and re.fullmatch(r"\d{4,}", folder.name):
        return Version(folder=folder, labels=labels, number=folder.name)
    return Version(folder=folder, labels=folder, number="0001")


def newest(labels: Path) -> Version:
    """Return the version with the highest number below a folder that 'label' wrote."""
    numbers = [int(path.parent.name) for path in _versions(labels)]
    if not numbers:
        return Version(folder=labels, labels=labels, number="0001")
    name = f"{max(numbers):04}"
    return Version(folder=labels / "versions" / name, labels=labels, number=name)


def between(first: Version, last: Version) -> list[str]:
    """Return the numbers of versions that were written after one and before another of labels."""
    numbers = sorted(int(path.parent.name) for path in _versions(last.labels))
    return [f"{n:04}" for n in numbers if int(first.number) < n < int(last.number)]


def _versions(labels: Path) -> list[Path]:
    found = (labels / "versions").glob(f"*/{LABELS_FILE}")
    return [path for path in found if re.fullmatch(r"\d{4,}", path.parent.name)]


def sha256(path: Path) -> str:
    """Return the hash of a file.

    Raises:
        DatasetError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read ({error.strerror}); mend that, or label again"
        ) from error


def check_unchanged(files: Mapping[Path, str], draft: Path) -> None:
    """Check that labels have the hashes that they had when their review began.

    Raises:
        DatasetError: If one was written anew; names the draft that keeps the decisions.
    """
    for path, opened in files.items():
        if sha256(path) != opened:
            raise DatasetError(
                f"{path} was written anew during the review, so its decisions are about other "
                f"curves and no version is made; they stay in {draft}: put the old file back, or "
                "end the review and move the draft away to begin anew"
            )


def publish(labels: Path, files: Mapping[str, bytes]) -> Version:
    """Make the next version of files by name, whole or not at all.

    Whoever writes at the same time gets another number.

    Raises:
        OSError: If it cannot be written.
    """
    place = labels / "versions"
    place.mkdir(exist_ok=True)
    for stale in left_behind(place, TEMPORARY):
        shutil.rmtree(stale, ignore_errors=True)
    partial = place / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        partial.mkdir()
        for name, content in files.items():
            write_atomically(partial / name, content)
        _sync(partial)
        while True:
            name = f"{max(_taken(labels), default=1) + 1:04}"
            try:
                partial.rename(place / name)  # fails on a folder that holds anything
                break
            except OSError:
                if not (place / name).exists():
                    raise
        _sync(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Version(folder=place / name, labels=labels, number=name)


def _taken(labels: Path) -> list[int]:
    versions = [re.fullmatch(r"(\d{4,})", path.name) for path in (labels / "versions").iterdir()]
    drafts = [
        re.fullmatch(r"(\d{4,})-.+\.json", path.name) for path in (labels / "drafts").glob("*.json")
    ]
    return [int(found[1]) for found in versions + drafts if found]


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def decisions_json(decisions: Mapping[int, Decision]) -> dict[str, Any]:
    """Return decisions by the number of the episode, for JSON."""
    return {str(number): as_json(decisions[number]) for number in sorted(decisions)}


def read_review(folder: Path, lengths: Mapping[int, int]) -> dict[int, Decision]:
    """Return the decisions behind a version; none where there is no `REVIEW_FILE`.

    Raises:
        DatasetError: If it is damaged.
    """
    path = folder / REVIEW_FILE
    if not path.exists():
        return {}
    found = read_json(path, f"copy {folder} again, or review an older version")
    return parse_decisions(path, found.get("episodes"), lengths)


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return the object in a JSON file of this format.

    Raises:
        DatasetError: If it is no such file; ``remedy`` says what to do.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); {remedy}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise DatasetError(f"{path} is not of format {FORMAT}; {remedy}")
    return found


def parse_decisions(path: Path, value: Any, lengths: Mapping[int, int]) -> dict[int, Decision]:
    """Return decisions by the number of the episode, from JSON.

    Args:
        path: Where they stand, for the message.
        value: What stands there.
        lengths: Frames of each labelled episode, by number.

    Raises:
        DatasetError: If one is damaged, or about an episode that has no labels.
    """
    try:
        found = {int(number): told for number, told in value.items()}
        return {number: decision_of(told, lengths[number]) for number, told in found.items()}
    except (AttributeError, KeyError, ValueError) as error:
        reason = f"no labelled episode {error}" if isinstance(error, KeyError) else str(error)
        raise DatasetError(
            f"{path} is damaged ({reason}); move it away to begin without its decisions"
        ) from error
