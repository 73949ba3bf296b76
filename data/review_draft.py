"""The draft of a review: every decision is on disk before the next one is made."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from robo_reward.errors import DatasetError, OutputError
from robo_reward.files import write_atomically

from .places import written
from .review_decisions import Decision, as_json, decision_of
from .review_places import FORMAT, Version, decisions_json, parse_decisions, read_json

MOST_UNDONE = 1000
"""Decisions that can be undone."""

type Steps = list[tuple[int, Decision | None]]
"""Episodes with what was decided of them before, the last step at the end."""


class Draft:
    """The decisions of one reviewer about one version of the labels, and the steps back."""

    decisions: dict[int, Decision]
    """By episode; those behind the version too."""

    def __init__(
        self,
        version: Version,
        reviewer: str,
        *,
        known: Mapping[int, Decision],
        lengths: Mapping[int, int],
        about: Mapping[str, str],
    ) -> None:
        """Take the draft of a reviewer, or begin one with what is ``known``.

        Args:
            version: The version that is reviewed.
            reviewer: Who reviews it.
            known: The decisions behind the version.
            lengths: Frames of each labelled episode, by number.
            about: What the draft is bound to: ``reviewed_from`` and ``dataset_fingerprint``.

        Raises:
            OutputError: If somebody has it open, or it cannot be written.
            DatasetError: If it is damaged or belongs to other labels.
        """
        self.path = version.labels / "drafts" / f"{version.number}-{reviewer}.json"
        self._lengths, self._about = lengths, {**about, "reviewer": reviewer}
        with written(self.path):
            self.path.parent.mkdir(exist_ok=True)
            self._lock = self.path.with_name(f".{self.path.stem}.lock").open("w")
        try:
            _take(self._lock, self.path, reviewer)
            self.decisions = dict(known)
            self._back: Steps = []
            if self.path.exists():
                self._read()
            else:
                self.save()
        except BaseException:
            self._lock.close()
            raise

    def _read(self) -> None:
        found = read_json(self.path, "move it away to begin without its decisions")
        for key, value in self._about.items():
            if found.get(key) != value:
                raise DatasetError(
                    f"{self.path} is a draft of another version of the labels ({key} "
                    f"{str(found.get(key))[:16]}, not {value[:16]}): the labels were written anew; "
                    "move it away to begin without its decisions"
                )
        self.decisions = parse_decisions(self.path, found.get("episodes"), self._lengths)
        try:
            self._back = [
                (int(number), None if told is None else decision_of(told, self._lengths[number]))
                for number, told in found["undo"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"{self.path} is damaged (undo: {error}); move it away to begin without it"
            ) from error

    def decide(self, number: int, decision: Decision) -> None:
        """Take a decision about an episode, and save it.

        Raises:
            OutputError: If it cannot be saved; it is then not taken.
        """
        back = [*self._back, (number, self.decisions.get(number))]
        self._change(number, decision, back[-MOST_UNDONE:])

    def undo(self) -> int | None:
        """Take the last decision back, and save; return its episode, None if there is none.

        Raises:
            OutputError: If it cannot be saved; nothing is then taken back.
        """
        if not self._back:
            return None
        number, before = self._back[-1]
        self._change(number, before, self._back[:-1])
        return number

    def _change(self, number: int, decision: Decision | None, back: Steps) -> None:
        old = (self.decisions, self._back)
        others = {one: told for one, told in self.decisions.items() if one != number}
        self.decisions = others if decision is None else {**others, number: decision}
        self._back = back
        try:
            self.save()
        except OutputError:
            self.decisions, self._back = old
            raise

    def save(self) -> None:
        """Write the draft, whole or not at all.

        Raises:
            OutputError: If it cannot be written.
        """
        content = {
            "format": FORMAT,
            **self._about,
            "episodes": decisions_json(self.decisions),
            "undo": [[one, None if told is None else as_json(told)] for one, told in self._back],
        }
        with written(self.path):
            write_atomically(self.path, json.dumps(content, indent=1).encode())

    def close(self) -> None:
        """Let go of it; it stays on disk."""
        self._lock.close()

    def discard(self) -> None:
        """Remove it, since its decisions are in a version."""
        self.path.unlink(missing_ok=True)
        self.close()


def _take(lock: IO[str], path: Path, reviewer: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise OutputError(
            f"{path} is open in another 'robo-reward review' as {reviewer}; close that one, or "
            "review as somebody else with --reviewer"
        ) from error
