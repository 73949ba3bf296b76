"""What the page holds: episodes in order, exact numbers, pictures, and no text let loose."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
from test_data_report import NASTY, FakeDataset, block, episode, labels_for, small

from data.episodes import Subtask
from data.report_curves import check_labels, labelled_episodes
from data.report_media import encode_media, stride_of
from data.report_page import build_report, curve_of
from robo_reward.errors import DatasetError, InputError

# ---- curves and pictures ----


def test_episodes_come_most_suspicious_first_whatever_the_order_of_rows() -> None:
    dataset, table = small()
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    found = labelled_episodes(dataset, shuffled, None)
    assert [one.episode.index for one in found] == [2, 1, 0]
    assert found[2].curves["progress_sparse"].tolist() == pytest.approx(np.linspace(0, 1, 30))


def test_chosen_episodes_are_shown_once_each_and_unknown_ones_are_named() -> None:
    dataset, table = small()
    assert [one.episode.index for one in labelled_episodes(dataset, table, (0, 2, 0))] == [2, 0]
    with pytest.raises(InputError, match=r"there is no episode 7: .* the episodes 0 to 2"):
        labelled_episodes(dataset, table, (7,))
    part = table.filter(pa.compute.less(table["episode_index"], 2))
    with pytest.raises(InputError, match=r"episode 2 of .* has no labels"):
        labelled_episodes(dataset, part, (2,))
    assert len(labelled_episodes(dataset, part, None)) == 2
    with pytest.raises(DatasetError, match=r"no episode of .* has labels yet"):
        labelled_episodes(dataset, table.slice(0, 0), None)


def test_an_episode_with_a_row_too_few_or_a_row_twice_is_refused_with_its_number() -> None:
    dataset, table = small()
    for broken in (table.slice(0, 89), pa.concat_tables([table, table.slice(89, 1)])):
        with pytest.raises(DatasetError, match="episode 2 has 30 frames, but its labels"):
            labelled_episodes(dataset, broken, None)


def test_labels_of_another_dataset_or_without_columns_are_refused() -> None:
    dataset, table = small()
    check_labels(dataset, table, "progress.parquet")
    other = table.replace_schema_metadata({"dataset_fingerprint": "0ther"})
    with pytest.raises(DatasetError, match=r"fingerprint 0ther, but .* has d47a5e7.*wrong frames"):
        check_labels(dataset, other, "progress.parquet")
    with pytest.raises(DatasetError, match="fingerprint None"):
        check_labels(dataset, table.replace_schema_metadata(None), "progress.parquet")
    with pytest.raises(DatasetError, match="lacks the columns confidence, valid"):
        check_labels(dataset, table.drop_columns(["valid", "confidence"]), "progress.parquet")


@pytest.mark.parametrize("length", [1, 2, 59, 60, 61, 100, 299, 300, 1234, 20000])
def test_at_most_60_pictures_are_taken_and_the_last_is_near_the_end(length: int) -> None:
    taken = range(0, length, stride_of(length))
    assert min(length, 30) <= len(taken) <= 60
    assert length - 1 - taken[-1] <= length / 60


def test_tiles_lie_ten_in_a_row_in_the_order_of_frames_and_missing_ones_are_listed() -> None:
    dataset, _ = small()
    dataset.blind = {(3, "wrist"), (29, "wrist")}
    media = encode_media(dataset, dataset.episode(0), 32)
    assert (media["frames"], media["across"], media["down"]) == (list(range(30)), 10, 3)
    assert media["views"]["front"]["missing"] == []
    assert media["views"]["wrist"]["missing"] == [3, 29]
    coded = np.frombuffer(base64.b64decode(media["views"]["front"]["jpeg"]), np.uint8)
    picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert picture.shape == (96, 320, 3)
    blue, green, red = picture[16 + 32 * 2, 16 + 32 * 7].astype(int)
    assert abs(red - 27) < 6
    assert abs(green - 40) < 6
    assert abs(blue - 200) < 6


# ---- the page's text ----


def test_the_page_holds_every_number_of_the_labels_exactly() -> None:
    dataset, table = small()
    page = build_report(dataset, table, max_media=0)
    for number in range(3):
        stored = block(page, f"curves-{number}")["curves"]
        rows = table.filter(pa.compute.equal(table["episode_index"], number))
        for name, told in stored.items():
            values = unpacked(told, 30)
            assert np.array_equal(values, rows[name].to_numpy(), equal_nan=True)


def unpacked(told: str | list[str], length: int) -> np.ndarray:
    if isinstance(told, str):
        return np.frombuffer(base64.b64decode(told), "<f4")
    starts = np.frombuffer(base64.b64decode(told[0]), "<u4")
    values = np.frombuffer(base64.b64decode(told[1]), "<f4")
    return np.repeat(values, np.diff([*starts, length]))


def test_curves_that_hold_their_values_are_told_shortly_and_exactly() -> None:
    held = np.repeat(np.array([np.nan, 0.25, 0.5, np.nan], np.float32), [3, 5, 1, 4])
    told = curve_of(held)
    assert isinstance(told, list)
    assert np.frombuffer(base64.b64decode(told[0]), "<u4").tolist() == [0, 3, 8, 9]
    assert np.array_equal(unpacked(told, 13), held, equal_nan=True)
    rising = np.linspace(0, 1, 13, dtype=np.float32)
    assert unpacked(curve_of(rising), 13).tolist() == rising.tolist()
    assert isinstance(curve_of(rising), str)
    assert unpacked(curve_of(np.array([0.5])), 1).tolist() == [0.5]


def test_pictures_get_coarser_until_they_fit_and_keep_their_places() -> None:
    dataset, _ = small()
    free = encode_media(dataset, dataset.episode(0), 160)
    size = sum(len(view["jpeg"]) for view in free["views"].values())
    shapes = []
    for most in (size, size - 1, size // 3, 1):
        media = encode_media(dataset, dataset.episode(0), 160, most=most)
        views = media["views"].values()
        assert most == 1 or sum(len(view["jpeg"]) for view in views) <= most
        coded = np.frombuffer(base64.b64decode(media["views"]["front"]["jpeg"]), np.uint8)
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        shapes.append(picture.shape[:2])
        down, across = (edge // parts for edge, parts in zip(shapes[-1], (3, 10), strict=True))
        assert abs(int(picture[2 * down + down // 2, 9 * across + across // 2, 2]) - 29) < 6
    assert shapes[0] == (480, 1600)
    assert shapes[-1] == (168, 560)
    assert encode_media(dataset, dataset.episode(0), 160, most=size) == free


def test_the_summary_counts_rows_and_shows_all_metadata_there_is() -> None:
    dataset, table = small()
    phi = table["progress_sparse"].to_numpy().copy()
    phi[:4] = np.nan
    table = table.set_column(3, "progress_sparse", pa.array(phi))
    table = table.set_column(10, "valid", pa.array(np.isfinite(phi)))
    table = table.replace_schema_metadata(
        {"dataset_fingerprint": "d47a5e7", "decoder": "pyav", "new": "thing"}
    )
    summary = block(build_report(dataset, table, max_media=0), "summary")
    assert (summary["rows"], summary["invalid"]) == (90, 4)
    assert summary["metadata"] == {
        "dataset_fingerprint": "d47a5e7",
        "decoder": "pyav",
        "new": "thing",
    }
    row = next(one for one in summary["episodes"] if one["index"] == 0)
    assert row["reasons"] == ["invalid 13%"]
    assert row["spark"][:5] == [None, None, None, None, 14]
    assert row["end"] == 1.0


def test_truth_and_subtasks_are_shown_where_known_with_the_mean_error() -> None:
    truth = np.linspace(0, 1, 30, dtype=np.float32)
    one = episode(0, truth=truth, subtasks=(Subtask(name="reach", start=0, end=12),))
    page = build_report(FakeDataset([one]), labels_for([one], {0: truth * 0.5}), max_media=0)
    stored = block(page, "curves-0")
    assert np.array_equal(unpacked(stored["curves"]["truth"], 30), truth)
    assert stored["subtasks"] == [["reach", 0, 12]]
    assert block(page, "summary")["episodes"][0]["error"] == pytest.approx(0.25, abs=1e-4)


def test_no_text_can_leave_its_block_and_scripts_other_than_ours_are_forbidden() -> None:
    dataset, table = small()
    dataset.root = Path('a <b>"name" {{script}}')
    page = build_report(dataset, table, max_media=0)
    assert "owned'</script>" not in page
    assert page.count("</script>") == 5
    assert "<title>a &lt;b&gt;&quot;name&quot; {{script}} – progress" in page
    assert NASTY in block(page, "summary")["instructions"]
    assert re.search(r"default-src 'none'.*script-src 'sha256-[\w+/]{43}='", page)
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_only_the_most_suspicious_episodes_get_pictures() -> None:
    dataset, table = small()
    sizes: list[int] = []
    page = build_report(dataset, table, image_size=32, max_media=2, on_media=sizes.append)
    pictured = {one["index"] for one in block(page, "summary")["episodes"] if one["media"]}
    assert pictured == {1, 2}
    assert dataset.asked == [1, 2]
    assert len(sizes) == 2
    assert all(1000 < size < 100_000 for size in sizes)
    assert "media-0" not in page


def test_a_thousand_episodes_of_a_hundred_frames_stay_below_ten_megabytes() -> None:
    episodes = [episode(number, 100, instructions=(NASTY,)) for number in range(1000)]
    table = labels_for(episodes, dict.fromkeys(range(1000), np.linspace(0, 1, 100)))
    page = build_report(FakeDataset(episodes), table, max_media=0)
    assert len(page) < 10e6
    assert page.count("owned") == 1
