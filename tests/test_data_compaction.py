"""Compaction: the same file however often, at whatever point a process was killed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import compaction
from data.compaction import FILE, MANIFEST, Manifest, UnitGoneError, compact, faults, is_finished
from data.label_plan import UNITS, Plan, pack, unit_name, unpack
from data.label_rows import unread_rows
from data.label_store import DirectoryStore
from robo_reward.episodes import Episode
from robo_reward.errors import DatasetError

PLAN = Plan(about={"gamma": "0.99", "further": ""}, lengths=(3, 2))


def unit(episode: int, value: float, **further: Any) -> bytes:
    """A unit whose Φ is one value throughout."""
    about = Episode(
        index=episode,
        first_row=3 * episode,
        length=PLAN.lengths[episode],
        fps=10.0,
        views=("front",),
        instructions=("do it",),
    )
    rows = unread_rows(about, ())
    phi = np.full(about.length, value, np.float32)
    place = rows.schema.get_field_index("progress_sparse")
    rows = rows.set_column(place, rows.schema.field(place), pa.array(phi))
    facts = {"references": f"episode {1 - episode}", "counted": {"answers": {"number": 2}}}
    return pack(rows, plan=PLAN, further=facts | further)


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = DirectoryStore(tmp_path / "out")
    fill(store)
    return store


def fill(store: DirectoryStore) -> None:
    PLAN.adopt(store)
    for episode in range(2):
        store.create(f"{UNITS}/{unit_name(episode)}", unit(episode, 0.25 + episode / 2))


def test_units_become_one_file_and_go(store: DirectoryStore) -> None:
    assert not is_finished(store.root, PLAN)
    compact(store.root, store, PLAN)
    table = pq.read_table(store.root / FILE)
    assert table["progress_sparse"].to_pylist() == [0.25, 0.25, 0.25, 0.75, 0.75]
    assert table["index"].to_pylist() == [0, 1, 2, 3, 4]
    told = table.schema.metadata
    assert json.loads(told[b"references_used"]) == {"episode 1": "0", "episode 0": "1"}
    assert json.loads(told[b"answers"]) == {"number": 4}
    assert b"unreadable" not in told
    assert sorted(path.name for path in store.root.iterdir()) == [MANIFEST, "plan.json", FILE]
    assert is_finished(store.root, PLAN)
    assert not is_finished(store.root, replace(PLAN, lengths=(3, 3)))
    manifest = Manifest.read(store.root)
    assert manifest is not None
    assert list(faults(store.root, PLAN, manifest)) == []


@pytest.mark.parametrize("step", ["write_atomically", "clear"])
def test_it_ends_in_the_same_file_whenever_it_was_killed(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(compaction, step, killed)
        with pytest.raises(KeyboardInterrupt):
            compact(store.root, store, PLAN)
    assert store.names(UNITS) == ["000000", "000001"]
    assert (store.root / FILE).is_file()
    assert is_finished(store.root, PLAN) == (step == "clear")
    compact(store.root, store, PLAN)
    whole = (store.root / FILE).read_bytes()
    fill(store)
    compact(store.root, store, PLAN)
    assert (store.root / FILE).read_bytes() == whole


def test_a_unit_that_was_changed_is_removed_to_be_made_again(store: DirectoryStore) -> None:
    store.replace(f"{UNITS}/000001", unit(1, 0.5)[:-40] + b"x" * 40)
    with pytest.raises(DatasetError, match=r"episode 1 cannot be read .*is removed: repeat"):
        compact(store.root, store, PLAN)
    assert store.names(UNITS) == ["000000"]
    assert not (store.root / FILE).exists()
    with pytest.raises(UnitGoneError, match="episode 1 is gone"):
        compact(store.root, store, PLAN)


def test_all_that_is_damaged_is_removed_at_once(store: DirectoryStore) -> None:
    for episode in range(2):
        store.replace(f"{UNITS}/{unit_name(episode)}", b"nonsense")
    with pytest.raises(DatasetError, match=r"episode 0 cannot be read .*\(and 1 others\)"):
        compact(store.root, store, PLAN)
    assert store.names(UNITS) == []


def test_a_kill_before_the_manifest_leaves_no_other_plans_labels_for_whole(
    store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sidecar of a former plan is there, and its manifest."""
    compact(store.root, store, PLAN)
    (store.root / "plan.json").unlink()
    other = replace(PLAN, about=PLAN.about | {"gamma": "0.9"})
    other.adopt(store)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    for episode in range(2):
        rows, facts = unpack(unit(episode, 0.5), episode, plan=PLAN)
        del facts["plan_sha256"], facts["rows_sha256"]
        store.create(f"{UNITS}/{unit_name(episode)}", pack(rows, plan=other, further=facts))
    for step in ("file_digest", "write_atomically"):
        with monkeypatch.context() as patch:
            patch.setattr(compaction, step, killed)
            with pytest.raises(KeyboardInterrupt):
                compact(store.root, store, other)
        assert not is_finished(store.root, other)
    compact(store.root, store, other)
    assert pq.read_table(store.root / FILE)["progress_sparse"].to_pylist() == [0.5] * 5


def test_episodes_that_could_not_be_read_are_named(store: DirectoryStore) -> None:
    store.replace(f"{UNITS}/000001", unit(1, 0.5, unreadable="it is damaged"))
    compact(store.root, store, PLAN)
    assert pq.read_schema(store.root / FILE).metadata[b"unreadable"] == b"1"
    assert compaction.unread(store.root) == [
        "episodes that could not be read, and have no valid row: 1"
    ]


def test_what_was_changed_afterwards_is_named(store: DirectoryStore) -> None:
    compact(store.root, store, PLAN)
    manifest = Manifest.read(store.root)
    assert manifest is not None
    path = store.root / FILE
    groups = [pq.ParquetFile(path).read_row_group(number) for number in range(2)]
    place = groups[1].schema.get_field_index("progress_sparse")
    other = pa.array(np.array([0.75, 0.5], np.float32))
    groups[1] = groups[1].set_column(place, groups[1].schema.field(place), other)
    with pq.ParquetWriter(path, groups[0].schema) as writer:
        for group in groups:
            writer.write_table(group)
    assert list(faults(store.root, PLAN, manifest)) == [
        "progress.parquet is not the file that was written",
        "the rows of episode 1 are not those that were written",
    ]
    pq.write_table(groups[0], path)
    assert "it holds 1 episodes, not 2" in list(faults(store.root, PLAN, manifest))
    path.write_bytes(b"short")
    with pytest.raises(DatasetError, match="cannot be read"):
        list(faults(store.root, PLAN, manifest))


def test_a_damaged_manifest_is_told(store: DirectoryStore) -> None:
    (store.root / MANIFEST).write_text("{")
    with pytest.raises(DatasetError, match=r"manifest\.json is damaged"):
        is_finished(store.root, PLAN)
