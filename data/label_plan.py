"""What a labelling run makes, and its units: one episode each, in a file that proves itself."""

import hashlib
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from robo_reward.errors import DatasetError, OutputError

from .label_store import Store

if TYPE_CHECKING:
    import pyarrow as pa

PLAN, UNITS, FAILED = "plan.json", "units", "failed"
FORMAT = 1
"""Version of the plan and of the units."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is being labelled, by whom and how; all that writes to a place must have the same."""

    about: dict[str, str]
    """What the labels say of their making."""
    lengths: tuple[int, ...]
    """Frames of each episode."""

    @property
    def content(self) -> bytes:
        """The plan as JSON, the same for the same plan."""
        told = {"format": FORMAT, "about": self.about, "lengths": self.lengths}
        return json.dumps(told, indent=1, sort_keys=True).encode()

    @property
    def digest(self) -> str:
        """sha256 of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @classmethod
    def read(cls, store: Store) -> Self | None:
        """Return the plan of a place, or None where there is none.

        Raises:
            DatasetError: If it is damaged or of another version.
        """
        content = store.read(PLAN)
        if content is None:
            return None
        try:
            told = json.loads(content)
            if told["format"] != FORMAT:
                raise DatasetError(
                    f"{PLAN} in {store.place} is of version {told['format']}, and this program "
                    f"writes {FORMAT}; label into another --out, or pass --overwrite"
                )
            return cls(about=dict(told["about"]), lengths=tuple(map(int, told["lengths"])))
        except (ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{PLAN} in {store.place} is damaged ({error}); --overwrite begins anew"
            ) from error

    def adopt(self, store: Store) -> None:
        """Make this the plan of a place, unless it is.

        Raises:
            OutputError: If the place has another plan; the message says what differs.
            DatasetError: If the plan there is damaged.
        """
        if store.create(PLAN, self.content):
            return
        there = Plan.read(store)
        if there == self:
            return
        theirs = there.about if there else {}
        other = [
            f"{name} {theirs.get(name, 'none')} (this run: {self.about.get(name, 'none')})"
            for name in sorted({*theirs, *self.about})
            if theirs.get(name) != self.about.get(name) and name != "reward_model_path"
        ]  # that one repeats the model's fingerprint
        raise OutputError(
            f"the labels that were begun in {store.place} have another "
            f"{', another '.join(other) or 'number of frames'}; choose another --out, or begin "
            "anew with --overwrite"
        )


def unit_name(episode: int) -> str:
    """Return the name of an episode's unit."""
    return f"{episode:06d}"


def rows_digest(rows: "pa.Table") -> str:
    """Return the sha256 of columns: names, types and values, whatever the file around them."""
    import numpy as np

    digest = hashlib.sha256()
    for name in rows.column_names:
        values = rows[name].to_numpy()
        digest.update(f"{name}\0{values.dtype.str}\0{len(values)}\0".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def pack(rows: "pa.Table", *, plan: Plan, further: dict[str, Any]) -> bytes:
    """Return a unit's file: the rows with their digest, the plan's, and ``further`` facts."""
    import pyarrow.parquet as pq

    facts = {"rows_sha256": rows_digest(rows), "plan_sha256": plan.digest, **further}
    told = rows.replace_schema_metadata({"unit": json.dumps(facts)})
    buffer = io.BytesIO()
    pq.write_table(told, buffer)
    return buffer.getvalue()


def unpack(content: bytes, episode: int, *, plan: Plan) -> "tuple[pa.Table, dict[str, Any]]":
    """Return the rows of a unit and what was stored with them, after checking all of it.

    Raises:
        DatasetError: If the file is damaged, of another plan, or not of this episode.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(pa.BufferReader(content))
        facts: dict[str, Any] = json.loads(rows.schema.metadata[b"unit"])
        rows = rows.replace_schema_metadata(None)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"the unit of episode {episode} cannot be read ({error})") from error
    fault = _fault(rows, facts, episode, plan)
    if fault:
        raise DatasetError(f"the unit of episode {episode} {fault}")
    return rows, facts


def _fault(rows: "pa.Table", facts: dict[str, Any], episode: int, plan: Plan) -> str:
    """Return what is wrong with a unit; empty if nothing is."""
    if facts.get("plan_sha256") != plan.digest:
        return "was made by another plan"
    if facts.get("rows_sha256") != rows_digest(rows):
        return "has other values than were written: the disk changed them"
    frames, episodes = rows["frame_index"].to_pylist(), set(rows["episode_index"].to_pylist())
    if frames != list(range(plan.lengths[episode])) or episodes != {episode}:
        return f"has not exactly the {plan.lengths[episode]} rows of that episode"
    return ""
