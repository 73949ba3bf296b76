"""The command `report`: what it writes, prints and refuses; also the fakes of its other tests."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data import report
from data.episodes import Episode, Views
from data.report import Report, read_labels, write_page
from data.report_curves import COLUMNS
from robo_reward.errors import DatasetError, InputError, OutputError

NASTY = "Stack <image> & </script><script>document.title='owned'</script> " + "long " * 2000


@dataclass
class FakeDataset:
    """Episodes of flat colour: frame t of a view is (t, 40, 200) all over."""

    episodes: list[Episode]
    root: Path = Path("outputs/fake table")
    fingerprint: str = "d47a5e7"
    views: tuple[str, ...] = ("front", "wrist")
    blind: set[tuple[int, str]] = field(default_factory=set)
    asked: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.episodes)

    def episode(self, index: int) -> Episode:
        return self.episodes[index]

    def frames(
        self, index: int, *, views: tuple[str, ...], size: int | None = None, stride: int = 1
    ) -> Iterator[tuple[int, Views]]:
        self.asked.append(index)
        for frame in range(0, self.episodes[index].length, stride):
            image = np.full((size, size, 3), (frame, 40, 200), np.uint8)
            yield frame, {name: image for name in views if (frame, name) not in self.blind}


def episode(index: int, length: int = 30, **changes: Any) -> Episode:
    plain = Episode(
        index=index,
        length=length,
        fps=10.0,
        views=("front", "wrist"),
        instructions=("put the cube in the bin",),
        first_row=1000 * index,
    )
    return replace(plain, **changes)


def labels_for(episodes: list[Episode], curves: dict[int, np.ndarray], **metadata: str) -> pa.Table:
    """Return labels whose Φ is given per episode; NaN is invalid. The anchors are near Φ."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
    for one in episodes:
        phi = curves[one.index].astype(np.float32)
        frames = np.arange(one.length)
        valid = np.isfinite(phi)
        values = {
            "index": one.first_row + frames,
            "episode_index": np.full(one.length, one.index),
            "frame_index": frames,
            "progress_sparse": phi,
            "progress_forward": phi + np.float32(0.02),
            "progress_backward": phi - np.float32(0.02),
            "progress_incremental": phi * np.float32(0.9),
            "confidence": np.where(valid, np.float32(0.9), np.float32(0)),
            "success_prob": np.where(valid, phi**8, np.float32(np.nan)),
            "match_prob": np.full(one.length, 0.97, np.float32),
            "valid": valid,
        }
        for name in COLUMNS:
            columns[name].append(values[name])
    table = pa.table({name: np.concatenate(parts) for name, parts in columns.items()})
    known = {"dataset_fingerprint": "d47a5e7", "model_fingerprint": "c0ffee42", "gamma": "0.99"}
    return table.replace_schema_metadata({**known, **metadata})


def small() -> tuple[FakeDataset, pa.Table]:
    """Return three episodes: clean, falling back, and a success that ends at .4."""
    episodes = [
        episode(0, outcome=True),
        episode(1, outcome=False, behaviour="early_release"),
        episode(2, outcome=True, instructions=(NASTY,)),
    ]
    ramp = np.linspace(0, 1, 30)
    fallen = np.where(np.arange(30) < 20, ramp, 0.1)
    dataset = FakeDataset(episodes)
    return dataset, labels_for(episodes, {0: ramp, 1: fallen, 2: 0.4 * ramp})


def block(page: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert found, f"the page has no block {name}"
    return json.loads(found.group(1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with labels, and let the dataset at any path be the small one."""
    from data import lerobot_dataset

    dataset, table = small()
    monkeypatch.setattr(lerobot_dataset, "open_dataset", lambda path, views=None: dataset)
    pq.write_table(table, tmp_path / report.LABELS_FILE)
    return tmp_path


def command(folder: Path, **changes: Any) -> Report:
    plain = Report(dataset=folder, labels=folder, out=folder / "new" / "r.html", image_size=32)
    return replace(plain, **changes)


def test_the_command_writes_one_file_and_prints_its_sizes(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(folder, max_media=1).run()
    printed = capsys.readouterr().out
    assert [path.name for path in (folder / "new").iterdir()] == ["r.html"]
    page = (folder / "new" / "r.html").read_text(encoding="utf-8")
    assert len(block(page, "summary")["episodes"]) == 3
    assert re.search(r"r\.html: episodes: 3, with pictures: 1; 0\.\d MB, of which 0\.0 MB", printed)


def test_a_dry_run_checks_the_labels_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command(folder, dry_run=True, max_media=2).run()
    assert "would show 3 episodes, 2 with pictures" in capsys.readouterr().out
    assert not (folder / "new").exists()
    with pytest.raises(DatasetError, match="nowhere holds no"):
        command(folder, dry_run=True, labels=Path("nowhere")).run()


def test_an_existing_file_is_kept_unless_told_to_replace_it(folder: Path) -> None:
    out = folder / "r.html"
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"r\.html exists; give --overwrite"):
        command(folder, out=out).run()
    assert out.read_text() == "mine"
    command(folder, out=out, overwrite=True, episodes=(2,), max_media=0).run()
    assert len(block(out.read_text(), "summary")["episodes"]) == 1


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image_size": 8}, InputError, "--image-size 8 is not between 32 and 640"),
        ({"max_media": -1}, InputError, "--max-media -1 is negative"),
        ({"media_mb": 0.0}, InputError, "--media-mb 0.0 is not between 0 and 1000 MB"),
        ({"episodes": ()}, InputError, "--episodes names no episode"),
        ({"episodes": (0, 9)}, InputError, "there is no episode 9"),
        ({"labels": Path("nowhere")}, DatasetError, "nowhere holds no progress.parquet"),
        ({"out": Path()}, OutputError, "is a folder; name an HTML file"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(
    folder: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        command(folder, **changes).run()
    assert "\n" not in str(caught.value)
    assert not (folder / "new").exists()


def test_a_damaged_table_and_an_unwritable_place_are_named(tmp_path: Path) -> None:
    (tmp_path / report.LABELS_FILE).write_bytes(b"PAR1 not really")
    with pytest.raises(DatasetError, match=r"progress\.parquet cannot be read"):
        read_labels(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*r\.html \(.*choose another --out"):
        write_page("page", tmp_path / "file" / "r.html")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "r.html").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left on device"):
        write_page("new", tmp_path / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "old"
