"""Plans and units: what does not belong together is refused, what was changed is noticed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.label_plan import PLAN, Plan, pack, rows_digest, unit_name, unpack
from data.label_store import DirectoryStore
from robo_reward.errors import DatasetError, OutputError

MADE = Plan(about={"gamma": "0.99", "views": "front"}, lengths=(3, 2))


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    return DirectoryStore(tmp_path)


def rows(episode: int = 0, length: int = 3, **changes: Any) -> pa.Table:
    columns = {
        "episode_index": np.full(length, episode),
        "frame_index": np.arange(length),
        "progress_sparse": np.array([0.0, np.nan, 1.0], np.float32)[:length],
        "valid": np.array([True, False, True])[:length],
    }
    return pa.table(columns | changes)


def test_the_first_to_come_plans_and_others_must_agree(store: DirectoryStore) -> None:
    assert Plan.read(store) is None
    MADE.adopt(store)
    MADE.adopt(store)
    assert Plan.read(store) == MADE
    with pytest.raises(OutputError, match=r"another gamma 0\.99 \(this run: 0\.9\); choose"):
        replace(MADE, about={"gamma": "0.9", "views": "front"}).adopt(store)
    with pytest.raises(OutputError, match=r"another extra none \(this run: 1\), another gamma"):
        replace(MADE, about={"extra": "1", "views": "front"}).adopt(store)
    with pytest.raises(OutputError, match="another number of frames"):
        replace(MADE, lengths=(3, 3)).adopt(store)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "plan.json in .* is damaged"),
        (b"{}", "is damaged"),
        (b'{"format": 9}', "is of version 9, and this program writes 1"),
    ],
)
def test_a_plan_that_cannot_be_read_is_told(
    store: DirectoryStore, content: bytes, words: str
) -> None:
    store.replace(PLAN, content)
    with pytest.raises(DatasetError, match=words):
        MADE.adopt(store)


def test_a_unit_comes_back_as_it_was_packed() -> None:
    packed = pack(rows(), plan=MADE, further={"references": "episode 1"})
    assert packed == pack(rows(), plan=MADE, further={"references": "episode 1"})
    found, facts = unpack(packed, 0, plan=MADE)
    assert found.equals(rows()) or rows_digest(found) == rows_digest(rows())
    assert found.schema.metadata is None
    assert facts["references"] == "episode 1"


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"nonsense", "cannot be read"),
        (pack(rows(), plan=replace(MADE, lengths=(3, 9)), further={}), "made by another plan"),
        (pack(rows(episode=1), plan=MADE, further={}), "has not exactly the 3 rows"),
        (pack(rows(length=2), plan=MADE, further={}), "has not exactly the 3 rows"),
        (pack(rows(frame_index=np.array([0, 1, 1])), plan=MADE, further={}), "not exactly"),
    ],
)
def test_what_is_no_unit_of_the_episode_is_refused(packed: bytes, words: str) -> None:
    with pytest.raises(DatasetError, match=f"the unit of episode 0 .*{words}"):
        unpack(packed, 0, plan=MADE)


def test_a_value_that_the_disk_changed_is_noticed(tmp_path: Path) -> None:
    packed = pack(rows(), plan=MADE, further={})
    metadata = pq.read_schema(pa.BufferReader(packed)).metadata
    other = rows(progress_sparse=np.array([0.0, 0.5, 1.0], np.float32))
    pq.write_table(other.replace_schema_metadata(metadata), tmp_path / "unit")
    with pytest.raises(DatasetError, match="has other values than were written"):
        unpack((tmp_path / "unit").read_bytes(), 0, plan=MADE)


def test_the_digest_is_of_names_types_and_values() -> None:
    digests = {
        rows_digest(table)
        for table in (
            rows(),
            rows(progress_sparse=np.array([0.0, 0.5, 1.0], np.float32)),
            rows(progress_sparse=np.array([0.0, np.nan, 1.0])),
            rows().rename_columns(["episode_index", "frame_index", "progress", "valid"]),
            rows().slice(0, 2),
        )
    }
    assert len(digests) == 5
    assert rows_digest(rows()) == rows_digest(rows())


def test_names_of_units_sort_as_episodes_do() -> None:
    assert [unit_name(n) for n in (0, 41, 123456)] == ["000000", "000041", "123456"]
