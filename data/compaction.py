"""From units to the sidecar: one file, the same whoever makes it and however often."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from robo_reward.errors import DatasetError
from robo_reward.files import replacing, write_atomically

from .label_plan import FAILED, UNITS, Plan, rows_digest, unit_name, unpack
from .label_rows import schema
from .label_store import ASIDE, Store
from .leases import FOLDER as LEASES
from .places import written

if TYPE_CHECKING:
    import pyarrow as pa

FILE, MANIFEST = "progress.parquet", "manifest.json"


class UnitGoneError(DatasetError):
    """A unit is gone: another process has made the sidecar meanwhile, or someone removed it."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a finished sidecar must be."""

    plan_sha256: str
    file_sha256: str
    units: tuple[str, ...]
    """sha256 of the rows of each episode."""

    @classmethod
    def read(cls, root: Path) -> Self | None:
        """Return the manifest in a directory, or None where there is none.

        Raises:
            DatasetError: If it is damaged.
        """
        try:
            told = json.loads((root / MANIFEST).read_text())
            return cls(**(told | {"units": tuple(told["units"])}))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(
                f"{root / MANIFEST} is damaged ({error}); label again with --overwrite"
            ) from error


def is_finished(root: Path, plan: Plan) -> bool:
    """Whether the sidecar of a plan is there whole."""
    manifest = Manifest.read(root)
    if manifest is None or manifest.plan_sha256 != plan.digest:
        return False
    return (root / FILE).is_file()


def compact(root: Path, store: Store, plan: Plan) -> None:
    """Write the sidecar of a plan, whose units are all there, and remove the units.

    The sidecar takes its place first, then the manifest says so, then units go: whenever a process
    is killed, doing it again ends in the same, and no manifest is beside another's sidecar.

    Raises:
        UnitGoneError: If a unit is gone.
        DatasetError: If units are damaged; they are removed, so that they are made again.
        OutputError: If the place cannot be written.
    """
    import pyarrow.parquet as pq

    used: dict[str, list[int]] = {}
    unread: list[int] = []
    counted: dict[str, Counter[str]] = {}
    digests: list[str] = []
    columns = schema(tuple(filter(None, plan.about["further"].split(", "))))
    with written(root / FILE), replacing(root / FILE) as partial:
        with pq.ParquetWriter(partial, columns, store_schema=False) as writer:
            for episode, rows, facts in _units(store, plan):
                writer.write_table(rows)
                digests.append(facts["rows_sha256"])
                used.setdefault(facts["references"], []).append(episode)
                if "unreadable" in facts:
                    unread.append(episode)
                for name, counts in facts["counted"].items():
                    counted.setdefault(name, Counter()).update(counts)
            told = {source: ranges(shown) for source, shown in used.items()}
            about = plan.about | {"references_used": json.dumps(told)}
            about |= {"unreadable": ranges(unread)} if unread else {}
            about |= {name: json.dumps(counts) for name, counts in counted.items()}
            writer.add_key_value_metadata(about)
        whole = file_digest(partial)
    manifest = {"plan_sha256": plan.digest, "file_sha256": whole, "units": digests}
    with written(root / MANIFEST):
        write_atomically(root / MANIFEST, json.dumps(manifest).encode())
    clear(root)


def clear(root: Path) -> None:
    """Remove units and what belongs to them.

    Raises:
        OutputError: If they cannot be removed.
    """
    with written(root):
        for folder in (UNITS, LEASES, FAILED, ASIDE):
            if (root / folder).is_dir():
                shutil.rmtree(root / folder, ignore_errors=True)


def _units(store: Store, plan: Plan) -> "Iterator[tuple[int, pa.Table, dict[str, Any]]]":
    bad: list[str] = []
    for episode in range(len(plan.lengths)):
        name = f"{UNITS}/{unit_name(episode)}"
        content = store.read(name)
        if content is None:
            raise UnitGoneError(f"the unit of episode {episode} is gone; repeat the command")
        try:
            unit = unpack(content, episode, plan=plan)
        except DatasetError as error:
            store.remove(name)
            bad.append(str(error))
            continue
        if not bad:
            yield episode, *unit
    if bad:
        others = f" (and {len(bad) - 1} others)" if bad[1:] else ""
        raise DatasetError(f"{bad[0]}{others}; what is damaged is removed: repeat the command")


def faults(root: Path, plan: Plan, manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with a finished sidecar, a sentence each; nothing where all is right.

    Raises:
        DatasetError: If it cannot be read at all.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if file_digest(root / FILE) == manifest.file_sha256:
        return
    try:
        file = pq.ParquetFile(root / FILE)
        groups = file.num_row_groups
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{root / FILE} cannot be read ({error}); label again") from error
    yield f"{FILE} is not the file that was written"
    if groups != len(plan.lengths):
        yield f"it holds {groups} episodes, not {len(plan.lengths)}"
    for episode, digest in enumerate(manifest.units[:groups]):
        try:
            same = rows_digest(file.read_row_group(episode)) == digest
        except (OSError, pa.ArrowException):
            same = False
        if not same:
            yield f"the rows of episode {episode} are not those that were written"


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ranges(numbers: list[int]) -> str:
    """Return rising numbers as text, runs of them shortened: 0-2,4."""
    starts = [n for i, n in enumerate(numbers) if i == 0 or numbers[i - 1] != n - 1]
    ends = [n for i, n in enumerate(numbers) if i + 1 == len(numbers) or numbers[i + 1] != n + 1]
    runs = zip(starts, ends, strict=True)
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def numbers(text: str) -> list[int]:
    """Return the numbers in a text that `ranges` made."""
    ends = [part.partition("-") for part in text.split(",") if part]
    return [n for low, _, high in ends for n in range(int(low), int(high or low) + 1)]


def references_used(root: Path) -> dict[str, list[int]]:
    """Return source of references → the episodes that were shown it, of labels in a directory."""
    import pyarrow.parquet as pq

    told = json.loads(pq.read_schema(root / FILE).metadata[b"references_used"])
    return {source: numbers(shown) for source, shown in told.items()}


def unread(root: Path) -> list[str]:
    """Return, of labels in a directory, a line that names episodes without a verdict, if any."""
    import pyarrow.parquet as pq

    told = pq.read_schema(root / FILE).metadata.get(b"unreadable")
    if told is None:
        return []
    return [f"episodes that could not be read, and have no valid row: {told.decode()}"]
