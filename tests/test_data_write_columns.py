"""Labels as columns of a new dataset, which LeRobot opens, merges and cuts."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import LENGTH, TASK, VIEWS, change_info, data_file, episodes_file

from data import columns as module
from data.columns import write_columns
from data.lerobot_dataset import open_dataset
from data.sidecar import Sidecar, feature_name
from robo_reward.errors import DatasetError, InputError, OutputError

ROWS = 3 * LENGTH
NAMES = ["progress.fused", "progress.confidence", "progress.lower", "progress.valid"]


def labels(root: Path, out: Path, **changes: Any) -> Path:
    """Labels of the tiny datasets: Φ rises in episodes 0 and 2; episode 1 is invalid."""
    index = np.arange(ROWS)
    phi = np.tile(np.linspace(0, 0.55, LENGTH, dtype=np.float32), 3)
    phi[LENGTH : 2 * LENGTH] = np.nan
    table: dict[str, Any] = {
        "index": index,
        "episode_index": index // LENGTH,
        "frame_index": index % LENGTH,
        "progress_sparse": phi,
        "confidence": np.full(ROWS, np.nan, np.float32),
        "progress_lower": phi / 2,
        "valid": ~np.isnan(phi),
    }
    metadata = {"dataset_fingerprint": open_dataset(root).fingerprint, "gamma": "0.99"}
    metadata |= changes.pop("metadata", {})
    made = pa.table(table | changes)
    out.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(out / "progress.parquet", made.schema, store_schema=False) as writer:
        for begin in range(0, made.num_rows, LENGTH):
            writer.write_table(made.slice(begin, LENGTH))
        writer.add_key_value_metadata(metadata)
    return out


@pytest.fixture(params=["video", "images"])
def source(request: pytest.FixtureRequest, tiny_dataset: Path, tiny_video_dataset: Path) -> Path:
    return tiny_video_dataset if request.param == "video" else tiny_dataset


@pytest.fixture
def sidecar(source: Path, tmp_path: Path) -> Path:
    return labels(source, tmp_path / "labels")


def digest(root: Path) -> dict[str, str]:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {
        f"{path.relative_to(root)} {path.stat().st_mtime_ns}": hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in files
    }


def lerobot(root: Path, **options: Any) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset(f"local/{root.name}", root=root, video_backend="pyav", **options)


def test_lerobot_opens_what_was_written_and_its_items_carry_the_columns(
    source: Path, sidecar: Path, tmp_path: Path
) -> None:
    before = digest(source)
    assert write_columns(source, sidecar, tmp_path / "out") == NAMES
    assert digest(source) == before
    old, new = lerobot(source), lerobot(tmp_path / "out")
    phi = pq.read_table(sidecar / "progress.parquet")["progress_sparse"].to_numpy()
    for row in (0, 9, 11, 13, 35):
        was, item = old[row], new[row]
        assert set(item) - set(was) == set(NAMES)
        for name, value in was.items():
            assert (
                value == item[name] if isinstance(value, str) else np.array_equal(value, item[name])
            )
        assert item["progress.fused"].numpy() == pytest.approx(phi[row], nan_ok=True)
        assert bool(item["progress.valid"]) == (row // LENGTH != 1)
        assert np.isnan(item["progress.confidence"].numpy())
    assert new.meta.features["progress.valid"] == {"dtype": "bool", "shape": (1,), "names": None}
    part = lerobot(tmp_path / "out", episodes=[2], delta_timestamps={"progress.fused": [0.0, 0.1]})
    assert part[0]["progress.fused"].tolist() == pytest.approx([0.0, 0.05])


def test_policies_are_not_fed_with_labels(source: Path, sidecar: Path, tmp_path: Path) -> None:
    from lerobot.utils.feature_utils import dataset_to_policy_features

    write_columns(source, sidecar, tmp_path / "out")
    fed = dataset_to_policy_features(lerobot(tmp_path / "out").meta.features)
    assert fed.keys() == dataset_to_policy_features(lerobot(source).meta.features).keys()


def test_names_are_no_beginnings_of_others_and_begin_like_no_input_of_policies() -> None:
    told = [
        "progress_sparse",
        "progress_forward",
        "progress_lower",
        "confidence",
        "valid",
        "reward",
    ]
    names = [feature_name(name) for name in told]
    assert names[:4] == [
        "progress.fused",
        "progress.forward",
        "progress.lower",
        "progress.confidence",
    ]
    assert all(name.startswith("progress.") and "/" not in name for name in names)
    assert not any(f"{one}." in other for one in names for other in names)


def test_statistics_are_those_of_the_numbers(source: Path, sidecar: Path, tmp_path: Path) -> None:
    write_columns(source, sidecar, tmp_path / "out")
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert list(stats) == sorted(stats)
    old = json.loads((source / "meta/stats.json").read_text())
    assert {name: stats[name] for name in old} == old
    fused, valid = stats["progress.fused"], stats["progress.valid"]
    assert (fused["count"], fused["min"]) == ([24], [0.0])
    assert (fused["max"][0], fused["mean"][0]) == pytest.approx((0.55, 0.275))
    assert fused["std"][0] == pytest.approx(np.linspace(0, 0.55, 12).std(), rel=1e-5)
    assert (valid["count"], valid["mean"]) == ([36], pytest.approx([2 / 3]))
    assert stats["progress.confidence"] == {n: [int(n == "count")] for n in fused}
    table = pq.read_table(episodes_file(tmp_path / "out"))
    assert table["stats/progress.fused/count"].to_pylist() == [[12], [1], [12]]
    assert table["stats/progress.fused/mean"].to_pylist() == [pytest.approx([0.275])] * 3
    assert table["stats/progress.lower/max"].to_pylist() == [pytest.approx([0.275])] * 3
    assert table["stats/progress.valid/min"].to_pylist() == [[1.0], [0.0], [1.0]]
    was = pq.read_table(episodes_file(source))
    assert table.select(was.column_names).replace_schema_metadata(None) == was
    kinds = (table.schema.field(f"stats/progress.fused/{n}").type for n in ("mean", "count"))
    assert [
        kind == was.schema.field(f"stats/next.reward/{n}").type
        for kind, n in zip(kinds, ("mean", "count"), strict=True)
    ] == [True, True]


def test_lerobot_merges_and_cuts_what_was_written(
    source: Path, sidecar: Path, tmp_path: Path
) -> None:
    from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets

    write_columns(source, sidecar, tmp_path / "out")
    made = lerobot(tmp_path / "out")
    cut = delete_episodes(made, [0], output_dir=tmp_path / "cut", repo_id="local/cut")
    assert [bool(cut[row]["progress.valid"]) for row in (0, LENGTH)] == [False, True]
    assert cut[LENGTH + 3]["progress.fused"].item() == pytest.approx(0.15)
    both = merge_datasets([made, cut], "local/both", output_dir=tmp_path / "both")
    assert both.meta.total_episodes == 5
    assert both[4 * LENGTH + 11]["progress.fused"].item() == pytest.approx(0.55)
    told = both.meta.stats["progress.fused"]
    assert (told["max"][0], told["min"][0]) == pytest.approx((0.55, 0.0))
    assert all(np.isfinite(value).all() for value in told.values())
    assert len(open_dataset(tmp_path / "both")) == 5


def test_our_own_reader_finds_the_same_episodes(
    source: Path, sidecar: Path, tmp_path: Path
) -> None:
    write_columns(source, sidecar, tmp_path / "out")
    old, new = open_dataset(source), open_dataset(tmp_path / "out")
    assert new.fingerprint != old.fingerprint
    for index in range(3):
        assert new.episode(index).instructions == old.episode(index).instructions
        assert new.episode(index).behaviour == old.episode(index).behaviour
        assert np.array_equal(new.episode(index).truth, old.episode(index).truth)  # type: ignore[arg-type]
        pairs = zip(new.frames(index, views=VIEWS), old.frames(index, views=VIEWS), strict=True)
        assert all(np.array_equal(a[1]["wrist"], b[1]["wrist"]) for a, b in pairs)
    assert new.columns(0, ["progress.fused"])["progress.fused"][3, 0] == pytest.approx(0.15)
    own = json.loads((tmp_path / "out/meta/robo_reward.json").read_text())
    assert own["labels"] == {"dataset_fingerprint": old.fingerprint, "gamma": "0.99"}
    assert own["goals"] == {"cube": TASK, "button": "push the blue button"}


def test_videos_are_copies_unless_links_are_asked_for(
    tiny_video_dataset: Path, tmp_path: Path
) -> None:
    given = labels(tiny_video_dataset, tmp_path / "labels")
    write_columns(tiny_video_dataset, given, tmp_path / "copied")
    write_columns(tiny_video_dataset, given, tmp_path / "linked", link_videos=True)
    name = "videos/observation.images.wrist/chunk-000/file-000.mp4"
    real = (tiny_video_dataset / name).stat()
    assert (tmp_path / "copied" / name).stat().st_ino != real.st_ino
    assert (tmp_path / "linked" / name).stat().st_ino == real.st_ino
    assert (tmp_path / "copied" / name).read_bytes() == (tmp_path / "linked" / name).read_bytes()


def test_videos_are_copied_where_they_cannot_be_linked(
    tiny_video_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    given = labels(tiny_video_dataset, tmp_path / "labels")
    write_columns(tiny_video_dataset, given, tmp_path / "out", link_videos=True)
    assert len(list(open_dataset(tmp_path / "out").frames(1, views=VIEWS))) == LENGTH


def other_fingerprint(root: Path, out: Path) -> Path:
    return labels(root, out, metadata={"dataset_fingerprint": "ab" * 32})


def shifted(root: Path, out: Path) -> Path:
    return labels(root, out, index=np.arange(ROWS) + 1)


def short(root: Path, out: Path) -> Path:
    full = labels(root, out) / "progress.parquet"
    table = pq.read_table(full)
    pq.write_table(table.slice(0, 30), full)
    return out


def doubles(root: Path, out: Path) -> Path:
    return labels(root, out, progress_sparse=np.zeros(ROWS))


def anonymous(root: Path, out: Path) -> Path:
    pq.write_table(
        pa.table({name: [0] for name in ("index", "episode_index", "frame_index")}),
        labels(root, out) / "progress.parquet",
    )
    return out


def strangers(root: Path, out: Path) -> Path:
    pq.write_table(pa.table({"a": [1]}), labels(root, out) / "progress.parquet")
    return out


def damaged(root: Path, out: Path) -> Path:
    (labels(root, out) / "progress.parquet").write_bytes(b"PAR1 and no more")
    return out


def absent(root: Path, out: Path) -> Path:
    (labels(root, out) / "progress.parquet").unlink()
    return out / "progress.parquet"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (other_fingerprint, r"is of a dataset with fingerprint abababababababab, but .* again"),
        (shifted, r"the rows of .* are not those of .*file-000\.parquet, from row 0 on; run"),
        (short, r"has 30 rows and .* 36; run 'robo-reward label' on it again"),
        (doubles, r"column progress_sparse is double, not float32 or bool"),
        (anonymous, r"has no dataset_fingerprint in its metadata; write it with robo-reward label"),
        (strangers, r"has no column index; write it with robo-reward label"),
        (damaged, r"progress\.parquet cannot be read"),
        (absent, r"there are no labels .*progress\.parquet; write"),
    ],
)
def test_labels_that_do_not_belong_are_refused_and_leave_nothing(
    tiny_dataset: Path, tmp_path: Path, make: Callable[[Path, Path], Path], sentence: str
) -> None:
    given = make(tiny_dataset, tmp_path / "labels")
    with pytest.raises(DatasetError, match=sentence):
        write_columns(tiny_dataset, given, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]


def test_places_that_are_taken_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    given, out = labels(tiny_dataset, tmp_path / "labels"), tmp_path / "out"
    write_columns(tiny_dataset, given, out)
    with pytest.raises(OutputError, match="out exists; choose another --out, or pass --overwrite"):
        write_columns(tiny_dataset, given, out)
    write_columns(tiny_dataset, given, out, overwrite=True)
    with pytest.raises(
        InputError, match=r"has a column progress\.fused already; add labels to the"
    ):
        write_columns(out, labels(out, tmp_path / "again"), tmp_path / "twice")
    for place in (tiny_dataset, tiny_dataset / "new", tmp_path / "labels/../out"):
        root = out if place.name == "out" else tiny_dataset
        with pytest.raises(InputError, match=r"lies in the dataset .* stays as it is|already"):
            write_columns(root, labels(root, tmp_path / "x"), place, overwrite=True)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not a dataset, so it is not replaced"):
        write_columns(tiny_dataset, given, tmp_path / "labels", overwrite=True)
    with pytest.raises(OutputError, match="cannot write"):
        write_columns(tiny_dataset, given, tmp_path / "file/out")


ON_A_SMALL_DISK = """
import resource, sys
from pathlib import Path
from data.columns import write_columns
from robo_reward.errors import OutputError

most, source, sidecar, out = int(sys.argv[1]), *map(Path, sys.argv[2:])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    write_columns(source, sidecar, out, overwrite=True)
except OutputError as error:
    print(error)
"""
"""Files grow to so many bytes and no more, as on a full disk: its own, not those of the tests."""


@pytest.mark.parametrize("most", [100, 8_000])
def test_a_disk_that_refuses_leaves_nothing_and_the_old_dataset(
    source: Path, sidecar: Path, tmp_path: Path, most: int
) -> None:
    out = Path(shutil.copytree(source, tmp_path / "out"))
    before, around = digest(out), sorted(path.name for path in tmp_path.iterdir())
    told = subprocess.run(
        [sys.executable, "-c", ON_A_SMALL_DISK, *map(str, (most, source, sidecar, out))],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert re.fullmatch(r"cannot write .*out \(.*File too large.*free some space.*\n", told)
    assert digest(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == around


def test_what_a_killed_writer_left_is_cleared_up(
    tiny_dataset: Path, tmp_path: Path, gone: int
) -> None:
    (tmp_path / f"out.partial-{gone}/meta").mkdir(parents=True)
    write_columns(tiny_dataset, labels(tiny_dataset, tmp_path / "labels"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", "out"]


def test_labels_are_read_a_row_group_at_a_time(tiny_dataset: Path, tmp_path: Path) -> None:
    sidecar = Sidecar(labels(tiny_dataset, tmp_path / "labels"))
    assert len(sidecar) == ROWS
    assert sidecar.rows(5, 2)["index"].to_pylist() == [5, 6]
    assert sidecar.rows(10, 20)["index"].to_pylist() == list(range(10, 30))
    assert sidecar.rows(0, ROWS)["frame_index"].to_pylist() == list(range(LENGTH)) * 3
    assert sidecar.rows(LENGTH, 0).num_rows == 0
    assert sidecar.features() == dict(zip(NAMES, ["float32"] * 3 + ["bool"], strict=True))


def test_row_groups_stay_and_memory_is_that_of_one(tiny_dataset: Path, tmp_path: Path) -> None:
    out, given = tmp_path / "out", labels(tiny_dataset, tmp_path / "labels")
    tracemalloc.start()
    write_columns(tiny_dataset, given, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    old, new = (pq.ParquetFile(data_file(root)) for root in (tiny_dataset, out))
    assert new.num_row_groups == old.num_row_groups == 3
    assert new.schema_arrow.names == [*old.schema_arrow.names, *NAMES]
    assert peak < 20_000_000


def test_statistics_may_be_absent_in_the_source(copy: Path, tmp_path: Path) -> None:
    (copy / "meta/stats.json").unlink()
    write_columns(copy, labels(copy, tmp_path / "labels"), tmp_path / "out")
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert list(stats) == sorted(NAMES)


def test_a_dataset_that_is_damaged_is_told(copy: Path, tmp_path: Path) -> None:
    given = labels(copy, tmp_path / "labels")
    change_info(copy, lambda info: info.pop("features"))
    with pytest.raises(DatasetError, match="lacks features"):
        write_columns(copy, given, tmp_path / "out")
    assert module.__doc__
