"""Versions and drafts: what is written, what is never touched, who may write at once."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from reviewing import write_labels

from data import review_places
from data.lerobot_dataset import open_dataset
from data.report import Report, read_labels
from data.report_curves import metadata_of
from data.review_places import between, newest, publish, version_at
from data.review_session import Session
from robo_reward.errors import DatasetError, InputError, OutputError

FAILED = {"outcome": "failure", "keyframes": [0, 4, 8]}


@pytest.fixture
def labels(tiny_dataset: Path, tmp_path: Path) -> Path:
    return write_labels(tmp_path / "labels", tiny_dataset)


@pytest.fixture
def opened(tiny_dataset: Path, labels: Path) -> Iterator[Session]:
    session = Session(open_dataset(tiny_dataset), labels, "me")
    yield session
    session.draft.close()


def reopened(session: Session, root: Path, folder: Path, reviewer: str = "me") -> Session:
    session.draft.close()
    return Session(open_dataset(root), folder, reviewer)


def hashes(*roots: Path) -> dict[str, str]:
    files = [path for root in roots for path in (root, *root.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def phi(folder: Path, episode: int) -> Any:
    table = pq.read_table(folder / "progress.parquet", filters=[("episode_index", "=", episode)])
    return table["progress_sparse"].to_numpy()


def test_a_version_holds_all_rows_and_the_original_is_never_touched(
    opened: Session, labels: Path, tiny_dataset: Path
) -> None:
    before = hashes(labels / "progress.parquet", tiny_dataset)
    original = read_labels(labels)
    opened.decide(1, FAILED)
    opened.decide(0, {"accepted": True, "note": "fine"})
    version = opened.write("2030-01-01T00:00:00+00:00")
    assert version.folder == labels / "versions/0002"
    assert hashes(labels / "progress.parquet", tiny_dataset) == before
    assert len(before) > 3
    table = read_labels(version.folder)
    assert table.schema.remove_metadata() == original.schema.remove_metadata()
    for name in ("index", "episode_index", "frame_index", "progress_forward"):
        assert table[name] == original[name]
    kept = [0, *range(24, 36)]
    assert table.take(kept).to_pandas().equals(original.take(kept).to_pandas())
    assert phi(version.folder, 1) == pytest.approx([*np.arange(9) / 12, 2 / 3, 2 / 3, 2 / 3])
    assert pq.ParquetFile(version.file).num_row_groups == 3


def test_the_metadata_say_what_was_reviewed_and_of_what(opened: Session, labels: Path) -> None:
    made_of = hashlib.sha256((labels / "progress.parquet").read_bytes()).hexdigest()
    opened.decide(0, {"accepted": True, "note": "fine"})
    opened.decide(1, {"accepted": True})
    opened.decide(2, {"note": "later"})
    version = opened.write("2030-01-01T00:00:00+00:00")
    told = metadata_of(read_labels(version.folder))
    assert told == metadata_of(read_labels(labels)) | {
        "labels_sha256": made_of,
        "review_notes": "2",
        "reviewed_episodes": "0-1",
        "reviewed_from": made_of,
        "reviewer": "me",
    }
    review = json.loads((version.folder / "review.json").read_text())
    assert review["format"] == 1
    assert review["written"] == "2030-01-01T00:00:00+00:00"
    assert review["episodes"]["2"] == {
        "accepted": False,
        "outcome": None,
        "keyframes": [],
        "subtasks": None,
        "note": "later",
    }


def test_a_version_of_a_version_keeps_what_was_decided_and_can_take_it_back(
    opened: Session, labels: Path, tiny_dataset: Path
) -> None:
    opened.decide(1, FAILED)
    opened.decide(2, {"keyframes": [0, 11]})
    second = opened.write("")
    assert (opened.version.number, opened.changed()) == ("0002", 0)
    assert not (labels / "drafts/0001-me.json").exists()
    session = reopened(opened, tiny_dataset, second.folder)
    session.decide(1, {})
    third = session.write("")
    assert third.number == "0003"
    assert np.array_equal(phi(third.folder, 1), phi(labels, 1))
    assert phi(third.folder, 2) == pytest.approx(np.arange(12) / 11)
    told = metadata_of(read_labels(third.folder))
    assert told["reviewed_from"] == hashlib.sha256(second.file.read_bytes()).hexdigest()
    assert told["reviewed_episodes"] == "2"
    session.draft.close()


def test_a_version_that_was_copied_elsewhere_can_be_reviewed_by_itself(
    opened: Session, labels: Path, tiny_dataset: Path, tmp_path: Path
) -> None:
    opened.decide(1, FAILED)
    alone = Path(shutil.copytree(opened.write("").folder, tmp_path / "alone"))
    session = reopened(opened, tiny_dataset, alone)
    assert session.version.number == "0001"
    assert session.detail(1)["decision"]["outcome"] == "failure"
    session.decide(0, {"accepted": True})
    assert phi(session.write("").folder, 1) == pytest.approx(phi(alone, 1))
    session.draft.close()


def test_the_report_reads_a_version_as_it_reads_labels(
    opened: Session, tiny_dataset: Path, tmp_path: Path
) -> None:
    opened.decide(1, FAILED)
    version, page = opened.write(""), tmp_path / "report.html"
    Report(dataset=tiny_dataset, labels=version.folder, out=page, image_size=32).run()
    assert "reviewed_from" in page.read_text()


# ---- drafts ----


def test_a_decision_is_in_the_draft_when_decide_returns_and_undo_takes_it_back(
    opened: Session, labels: Path, tiny_dataset: Path
) -> None:
    opened.decide(1, FAILED)
    opened.decide(1, {**FAILED, "note": "dropped"})
    stored = json.loads((labels / "drafts/0001-me.json").read_text())
    assert stored["episodes"]["1"]["note"] == "dropped"
    session = reopened(opened, tiny_dataset, labels)
    assert session.undo()["decision"]["note"] == ""
    assert session.undo()["decision"]["keyframes"] == []
    assert session.undo() == {}
    assert session.changed() == 0
    session.draft.close()


def test_what_is_decided_again_is_no_further_step(opened: Session) -> None:
    opened.decide(1, {"accepted": True})
    opened.decide(1, {"accepted": True})
    assert opened.undo()["episode"] == 1
    assert opened.undo() == {}


def test_two_reviewers_have_a_draft_and_a_version_each(
    opened: Session, labels: Path, tiny_dataset: Path
) -> None:
    with pytest.raises(OutputError, match="open in another 'robo-reward review' as me; close"):
        Session(open_dataset(tiny_dataset), labels, "me")
    other = Session(open_dataset(tiny_dataset), labels, "you")
    opened.decide(1, FAILED)
    other.decide(2, FAILED)
    assert opened.write("").number == "0002"
    assert other.write("").number == "0003"
    told = metadata_of(read_labels(labels / "versions/0003"))
    assert (told["reviewer"], told["reviewed_episodes"]) == ("you", "2")
    assert newest(labels).number == "0003"
    first, third = version_at(labels), other.version
    assert between(first, third) == ["0002"]
    assert between(opened.version, third) == between(first, opened.version) == []
    other.draft.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not of format 1"),
        ('{"format": 2}', "not of format 1"),
    ],
)
def test_a_corrupt_draft_is_named(
    opened: Session, labels: Path, tiny_dataset: Path, text: str, message: str
) -> None:
    (labels / "drafts/0001-me.json").write_text(text)
    with pytest.raises(DatasetError, match=rf"0001-me.json .*{message}.*; move it away to begin"):
        reopened(opened, tiny_dataset, labels)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("episodes", {"1": {"keyframes": [99]}}, "damaged .the frames? .*0 to 11|0 to 11"),
        ("episodes", {"7": {}}, "no labelled episode 7"),
        ("episodes", [], "damaged"),
        ("undo", [[7, {}]], "undo: 7"),
        ("undo", [[1]], "damaged"),
        ("undo", None, "damaged"),
    ],
)
def test_a_draft_with_one_wrong_part_is_named(
    opened: Session, labels: Path, tiny_dataset: Path, key: str, value: Any, message: str
) -> None:
    path = labels / "drafts/0001-me.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(DatasetError, match=message):
        reopened(opened, tiny_dataset, labels)


def test_a_draft_of_labels_that_were_written_anew_is_refused(
    opened: Session, labels: Path, tiny_dataset: Path
) -> None:
    shutil.rmtree(labels / "versions", ignore_errors=True)
    (labels / "progress.parquet").unlink()
    again = write_labels(labels / "again", tiny_dataset, note="other bytes")
    (again / "progress.parquet").rename(labels / "progress.parquet")
    with pytest.raises(DatasetError, match=r"draft of another version of the labels \(reviewed_fr"):
        reopened(opened, tiny_dataset, labels)


def test_a_version_of_labels_that_were_written_anew_is_refused(
    opened: Session, labels: Path, tiny_dataset: Path
) -> None:
    opened.decide(1, FAILED)
    version = opened.write("")
    again = write_labels(labels / "again", tiny_dataset, note="other bytes")
    (again / "progress.parquet").rename(labels / "progress.parquet")
    with pytest.raises(DatasetError, match="made of other labels than"):
        reopened(opened, tiny_dataset, version.folder)


def test_a_draft_of_a_version_that_was_removed_is_not_taken_up(
    opened: Session, labels: Path, tiny_dataset: Path
) -> None:
    opened.decide(1, FAILED)
    session = reopened(opened, tiny_dataset, opened.write("").folder)
    session.decide(2, {"note": "of the old 0002"})
    shutil.rmtree(labels / "versions/0002")
    session = reopened(session, tiny_dataset, labels)
    session.decide(1, FAILED)
    assert session.write("").number == "0003"
    assert session.changed() == 0
    assert sorted(path.name for path in (labels / "drafts").glob("*.json")) == [
        "0002-me.json",
        "0003-me.json",
    ]
    assert "of the old 0002" in (labels / "drafts/0002-me.json").read_text()
    session.draft.close()


def test_a_version_whose_draft_cannot_be_begun_is_told_and_not_written_twice(
    opened: Session, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    opened.decide(1, FAILED)
    monkeypatch.setattr("data.review_draft.write_atomically", full)
    with pytest.raises(OutputError, match=r"0002 is written, but .*0001-me.json is kept: .*No sp"):
        opened.write("")
    monkeypatch.undo()
    assert (labels / "drafts/0001-me.json").exists()
    with pytest.raises(InputError, match="nothing was decided since version 0002"):
        opened.write("")


# ---- what cannot be written ----


@pytest.mark.parametrize("number", ["0001", "0002"])
@pytest.mark.parametrize("again", ["0001", "0002"])
def test_labels_written_anew_during_a_review_are_no_version_and_the_draft_is_kept(
    opened: Session, labels: Path, tiny_dataset: Path, number: str, again: str
) -> None:
    opened.decide(1, FAILED)
    files = {"0001": labels / "progress.parquet", "0002": opened.write("").file}
    session = reopened(opened, tiny_dataset, files[number].parent)
    session.decide(2, {"note": "mine"})
    before = files[again].read_bytes()
    fresh = write_labels(labels / "again", tiny_dataset, note="other bytes")
    (fresh / "progress.parquet").rename(files[again])
    if number < again:  # of no concern
        assert session.write("").number == "0003"
    else:
        with pytest.raises(DatasetError, match="was written anew during the review, so its deci"):
            session.write("")
        assert not (labels / "versions/0003").exists()
        files[again].write_bytes(before)
        session = reopened(session, tiny_dataset, files[number].parent)
        assert session.detail(2)["decision"]["note"] == "mine"
    session.draft.close()


def test_nothing_new_and_half_a_keyframe_are_no_version(opened: Session, labels: Path) -> None:
    with pytest.raises(InputError, match="nothing was decided since version 0001"):
        opened.write("")
    opened.decide(1, {"keyframes": [3]})
    opened.decide(2, {"outcome": "failure", "keyframes": [0, 3], "subtasks": 1})
    assert "needs two" in opened.detail(1)["problem"]
    with pytest.raises(InputError, match=r"episode 1 has one keyframe.*; episode 2 is a failure"):
        opened.write("")
    assert not (labels / "versions").exists()


def test_an_unknown_episode_is_no_decision(opened: Session) -> None:
    with pytest.raises(InputError, match="no labelled episode 3"):
        opened.decide(3, {})


def test_a_decision_that_cannot_be_saved_is_not_taken(
    opened: Session, labels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("data.review_draft.write_atomically", full)
    with pytest.raises(OutputError, match="No space left"):
        opened.decide(1, FAILED)
    assert opened.detail(1)["decision"]["outcome"] is None
    monkeypatch.undo()
    opened.decide(1, FAILED)
    monkeypatch.setattr(review_places, "write_atomically", full)
    with pytest.raises(OutputError, match="No space left"):
        opened.write("")
    assert list((labels / "versions").iterdir()) == []
    assert (labels / "drafts/0001-me.json").exists()


def test_labels_that_are_absent_or_of_another_dataset_or_without_a_discount_are_refused(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    dataset = open_dataset(tiny_dataset)
    with pytest.raises(DatasetError, match=r"holds no progress.parquet"):
        Session(dataset, tmp_path, "me")
    other = write_labels(tmp_path / "other", tiny_dataset, dataset_fingerprint="0ther")
    with pytest.raises(DatasetError, match="fingerprint 0ther"):
        Session(dataset, other, "me")
    for gamma in ("none", "1.5"):
        blind = write_labels(tmp_path / gamma, tiny_dataset, gamma=gamma)
        with pytest.raises(
            DatasetError, match=f"the discount of its column reward .gamma: {gamma}"
        ):
            Session(dataset, blind, "me")
    assert not (other / "drafts").exists()


def test_a_place_that_cannot_be_written_to_is_told(tiny_dataset: Path, labels: Path) -> None:
    (labels / "drafts").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*0001-me.json \(File exists\)"):
        Session(open_dataset(tiny_dataset), labels, "me")


# ---- places ----


def test_the_number_of_a_version_is_the_next_whoever_takes_one_meanwhile(
    tmp_path: Path, gone: int
) -> None:
    (tmp_path / "versions/0007").mkdir(parents=True)
    (tmp_path / "versions/0007/progress.parquet").touch()
    (tmp_path / "versions/notes").mkdir()
    stale = tmp_path / f"versions/.robo-reward-{gone}-00"
    stale.mkdir()
    assert publish(tmp_path, {"progress.parquet": b"a"}).number == "0008"
    assert (tmp_path / "versions/0008/progress.parquet").read_bytes() == b"a"
    assert not stale.exists()
    assert newest(tmp_path).number == "0008"


def test_only_numbered_folders_below_labels_are_versions(tmp_path: Path) -> None:
    for name in ("versions/0002", "versions/mine"):
        assert version_at(tmp_path / name).number == "0001"
    (tmp_path / "progress.parquet").touch()
    assert version_at(tmp_path / "versions/0002").number == "0002"
    assert version_at(tmp_path / "versions/0002").labels == tmp_path
    assert version_at(tmp_path / "versions/mine").labels == tmp_path / "versions/mine"
    assert newest(tmp_path) == version_at(tmp_path)
