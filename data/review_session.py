"""One reviewer at work on one version of labels: what the page shows, and what becomes of it."""

import io
import json
from typing import TYPE_CHECKING, Any

from robo_reward.errors import DatasetError, InputError, OutputError
from robo_reward.shaping import check_discount

from .compaction import ranges
from .places import written
from .report import LABELS_FILE, read_labels
from .report_curves import (
    CURVES,
    LabelledEpisode,
    check_labels,
    labelled_episodes,
    metadata_of,
    rows_by_episode,
)
from .report_page import base64_of, curve_block, curve_of, summarize
from .review_decisions import ConflictError, Decision, as_json, decision_of, problem
from .review_draft import Draft
from .review_places import (
    FORMAT,
    REVIEW_FILE,
    Version,
    check_unchanged,
    decisions_json,
    publish,
    read_review,
    sha256,
    version_at,
)
from .review_rules import CHANGED, Columns, corrected, known_end

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from .episodes import EpisodeDataset

MOST_TOLD = 5
"""Episodes that a refusal to write names at most."""


class Session:
    """A reviewer's decisions about a version, and the labels that follow from them."""

    version: Version
    """What is reviewed; the new one after `write`."""

    def __init__(self, dataset: "EpisodeDataset", folder: "Path", reviewer: str) -> None:
        """Open labels, and the draft of the reviewer.

        Args:
            dataset: The dataset that was labelled.
            folder: Labels, or one of their versions.
            reviewer: Who reviews; part of a file name.

        Raises:
            DatasetError: If labels or draft are absent, damaged, or of another dataset or version.
            OutputError: If the draft is open elsewhere or cannot be written.
        """
        self.version, self._reviewer, self._dataset = version_at(folder), reviewer, dataset
        self._table = read_labels(self.version.labels).combine_chunks()
        self._original = sha256(self.version.labels / LABELS_FILE)
        self._source = sha256(self.version.file)
        check_labels(dataset, self._table, str(self.version.labels / LABELS_FILE))
        if self.version.folder != self.version.labels:
            self._check_origin()
        self._gamma = _gamma(self._table, self.version)
        self.found = labelled_episodes(dataset, self._table, None)
        """The labelled episodes as the model judged them, the most suspicious first."""
        self._by_number = {one.episode.index: one for one in self.found}
        self._rows = rows_by_episode(self._table)
        self._lengths = {number: one.episode.length for number, one in self._by_number.items()}
        self._known = read_review(self.version.folder, self._lengths)
        self.draft = self._open_draft()

    def _check_origin(self) -> None:
        made_of = metadata_of(read_labels(self.version.folder)).get("labels_sha256")
        if made_of != self._original:
            raise DatasetError(
                f"{self.version.file} was made of other labels than {self.version.labels} now "
                "holds, so its decisions are about other curves; review the labels themselves, or "
                "copy that version to a folder of its own"
            )

    def _open_draft(self) -> Draft:
        about = {
            "reviewed_from": self._source,
            "dataset_fingerprint": self._dataset.fingerprint,
        }
        return Draft(
            self.version, self._reviewer, known=self._known, lengths=self._lengths, about=about
        )

    def episode(self, number: int) -> LabelledEpisode:
        """Return a labelled episode.

        Raises:
            InputError: If there is none of that number.
        """
        if number not in self._by_number:
            raise InputError(f"there is no labelled episode {number}")
        return self._by_number[number]

    def summary(self) -> dict[str, Any]:
        """Return what the list shows, for JSON: that of the report, version and decisions."""
        every = set(self._by_number)
        about = summarize(self._dataset, metadata_of(self._table), self.found, every)
        return about | {
            "version": self.version.number,
            "reviewer": self._reviewer,
            "views": list(self._dataset.views),
            "decisions": decisions_json(self.draft.decisions),
            "changed": self.changed(),
        }

    def changed(self) -> int:
        """Return how many episodes are decided otherwise than in the version."""
        now, before = self.draft.decisions, self._known
        return sum(now.get(n) != before.get(n) for n in now.keys() | before.keys())

    def detail(self, number: int) -> dict[str, Any]:
        """Return the curves of an episode after its decision, for JSON; ``model`` is Φ before it.

        Raises:
            InputError: If there is no such episode.
        """
        one, decision = self.episode(number), self._decision(number)
        found = curve_block(one)
        found["curves"]["model"] = found["curves"]["progress_sparse"]
        if problem(decision, known_end(one.episode, decision).outcome) is None:
            after = self._corrected(number, decision)
            shown = {name: curve_of(after[name]) for name in CURVES}
            found["curves"] |= shown
            found["valid"] = base64_of(after["valid"], "u1")
        return {**found, **self._told(number)}

    def _told(self, number: int) -> dict[str, Any]:
        decision, episode = self._decision(number), self.episode(number).episode
        return {
            "episode": number,
            "decision": as_json(decision),
            "reviewed": decision.reviewed,
            "problem": problem(decision, known_end(episode, decision).outcome),
            "changed": self.changed(),
        }

    def decide(self, number: int, value: Any, *, before: Any = None) -> dict[str, Any]:
        """Save a decision that came as JSON; return the episode's detail.

        Args:
            number: The episode.
            value: The decision, whole.
            before: The decision that was changed into it; None: whatever is decided by now.

        Raises:
            InputError: If there is no such episode, or it is no decision.
            ConflictError: If by now something else is decided than ``before`` and ``value``.
            OutputError: If it cannot be saved.
        """
        length, now = self.episode(number).episode.length, self._decision(number)
        decision = decision_of(value, length)
        if decision != now:
            if before is not None and decision_of(before, length) != now:
                raise ConflictError(number)
            self.draft.decide(number, decision)
        return self.detail(number)

    def undo(self) -> dict[str, Any]:
        """Take the last decision back; return the detail of its episode, empty if there is none.

        Raises:
            OutputError: If that cannot be saved.
        """
        number = self.draft.undo()
        return {} if number is None else self.detail(number)

    def _decision(self, number: int) -> Decision:
        return self.draft.decisions.get(number, Decision())

    def _columns(self, number: int) -> Columns:
        part = self._table.take(self._rows[number])
        names = [name for name in part.column_names if name in (*CURVES, *CHANGED)]
        return {name: part[name].to_numpy() for name in names}

    def _corrected(self, number: int, decision: Decision) -> Columns:
        episode = self.episode(number).episode
        return corrected(self._columns(number), episode, decision, gamma=self._gamma)

    def write(self, time: str) -> Version:
        """Make a new version of the labels, and go on from it in a draft of its own.

        Args:
            time: When, for people.

        Raises:
            InputError: If nothing was decided, or a decision cannot become labels.
            DatasetError: If the labels were written anew since they were opened.
            OutputError: If it, or the draft that goes on from it, cannot be written; the old draft
                is then kept.
        """
        decisions = self.draft.decisions
        self._check_writable()
        about = {
            "reviewer": self._reviewer,
            "reviewed_from": self._source,
            "labels_sha256": self._original,
            "reviewed_episodes": ranges(sorted(n for n in decisions if decisions[n].reviewed)),
            "review_notes": str(sum(bool(decision.note) for decision in decisions.values())),
        }
        review = {
            "format": FORMAT,
            "written": time,
            "dataset_fingerprint": self._dataset.fingerprint,
            **about,
            "episodes": decisions_json(decisions),
        }
        with written(self.version.labels / "versions"):
            files = {
                LABELS_FILE: self._parquet(about),
                REVIEW_FILE: json.dumps(review, indent=1).encode(),
            }
            self.version = publish(self.version.labels, files)
        self._source, self._known = sha256(self.version.file), dict(decisions)
        self._next_draft()
        return self.version

    def _next_draft(self) -> None:
        old = self.draft
        try:
            self.draft = self._open_draft()
        except OutputError as error:
            raise OutputError(
                f"version {self.version.number} is written, but its draft cannot be begun, so "
                f"{old.path} is kept: {error}"
            ) from error
        old.discard()

    def _check_writable(self) -> None:
        files = {self.version.labels / LABELS_FILE: self._original, self.version.file: self._source}
        check_unchanged(files, self.draft.path)
        if not self.changed():
            raise InputError(f"nothing was decided since version {self.version.number}")
        wrong = []
        for number, decision in sorted(self.draft.decisions.items()):
            episode = known_end(self.episode(number).episode, decision)
            reason = problem(decision, episode.outcome)
            wrong += [f"episode {number} {reason}"] if reason else []
        if wrong:
            more = f"; and {len(wrong) - MOST_TOLD} more" if len(wrong) > MOST_TOLD else ""
            raise InputError("; ".join(wrong[:MOST_TOLD]) + more)

    def _parquet(self, about: dict[str, str]) -> bytes:
        """Return the file of labels with all decisions applied, a row group an episode."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = self._table.schema.remove_metadata()
        content = io.BytesIO()
        with pq.ParquetWriter(content, schema, store_schema=False) as writer:
            for number in sorted(self._rows):
                part, decision = self._table.take(self._rows[number]), self._decision(number)
                if decision.reviewed:
                    after = self._corrected(number, decision)
                    for name in after.keys() & set(CHANGED):
                        field = schema.field(name)
                        column = pa.array(after[name], field.type)
                        part = part.set_column(schema.get_field_index(name), field, column)
                writer.write_table(part.replace_schema_metadata(None))
            writer.add_key_value_metadata(metadata_of(self._table) | about)
        return content.getvalue()


def _gamma(table: "pa.Table", version: Version) -> float:
    """Return the discount of the column ``reward``; 1 where there is no such column."""
    if "reward" not in table.column_names:
        return 1.0
    told = metadata_of(table).get("gamma", "none")
    try:
        gamma = float(told)
        check_discount("gamma", gamma)
    except ValueError as error:
        raise DatasetError(
            f"{version.file} does not say the discount of its column reward (gamma: {told}); "
            "run 'robo-reward label' again into a new folder"
        ) from error
    return gamma
