"""The frame cache: same pixels, quick, bounded, never half an episode."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from conftest import LENGTH, VIEWS, grey

from data.cache import CHUNK, FrameCache
from data.episodes import Episode, Views
from data.lerobot_dataset import open_dataset
from robo_reward.errors import DatasetError, InputError, OutputError


class CountedDataset:
    """The tiny dataset, counting decoded frames; it can lose a view or break midway."""

    def __init__(self, root: Path, *, without: str = "", breaks_at: int = -1) -> None:
        self._inner = open_dataset(root)
        self.root, self.views = self._inner.root, self._inner.views
        self.fingerprint = self._inner.fingerprint
        self.decoded = 0
        self._without, self._breaks_at = without, breaks_at

    def __len__(self) -> int:
        return len(self._inner)

    def episode(self, index: int) -> Episode:
        found = self._inner.episode(index)
        return replace(found, views=tuple(v for v in found.views if v != self._without))

    def frames(self, index: int, **options: Any) -> Iterator[tuple[int, Views]]:
        for number, views in self._inner.frames(index, **options):
            if number == self._breaks_at:
                raise DatasetError("the file is cut off")
            self.decoded += 1
            yield number, views


def test_cached_frames_are_those_of_the_dataset(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = open_dataset(tiny_dataset)
    cache = FrameCache(tmp_path, size=16, cap_gb=1)
    cache.fill(dataset, [0, 2], VIEWS)
    frames = cache.read(2, [9, 0, 9])
    assert frames.shape == (3, 2, 16, 16, 3)
    for row, number in enumerate([9, 0, 9]):
        for slot, view in enumerate(VIEWS):
            assert np.all(frames[row, slot] == grey(view, number, 2))
    assert cache.present(2).tolist() == [True, True]


def test_a_second_run_decodes_nothing(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = CountedDataset(tiny_dataset)
    FrameCache(tmp_path, size=16, cap_gb=1).fill(dataset, [0, 1], VIEWS)
    assert dataset.decoded == 2 * LENGTH
    again = FrameCache(tmp_path, size=16, cap_gb=1)
    again.fill(dataset, [0, 1, 2], VIEWS)
    assert dataset.decoded == 3 * LENGTH
    assert again.read(1, [4]).shape == (1, 2, 16, 16, 3)


def test_another_size_or_other_views_are_cached_apart(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = CountedDataset(tiny_dataset)
    for size, views in ((16, VIEWS), (8, VIEWS), (16, ("front",))):
        cache = FrameCache(tmp_path, size=size, cap_gb=1)
        cache.fill(dataset, [0], views)
        assert cache.read(0, [1]).shape == (1, len(views), size, size, 3)
    assert dataset.decoded == 3 * LENGTH


def test_a_view_that_an_episode_lacks_is_marked_and_black(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    cache = FrameCache(tmp_path, size=8, cap_gb=1)
    cache.fill(CountedDataset(tiny_dataset, without="front"), [0], VIEWS)
    assert cache.present(0).tolist() == [False, True]
    assert not cache.read(0, [5])[0, 0].any()
    assert np.all(cache.read(0, [5])[0, 1] == grey("wrist", 5))


def test_a_broken_episode_leaves_nothing_and_the_rest_stays(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    cache = FrameCache(tmp_path, size=8, cap_gb=1)
    cache.fill(open_dataset(tiny_dataset), [0], VIEWS)
    with pytest.raises(DatasetError, match="cut off"):
        cache.fill(CountedDataset(tiny_dataset, breaks_at=6), [0, 1], VIEWS)
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == ["episode_000000"]


def test_another_run_that_was_first_is_respected(tiny_dataset: Path, tmp_path: Path) -> None:
    first = FrameCache(tmp_path, size=8, cap_gb=1)

    class Slow(CountedDataset):
        def frames(self, index: int, **options: Any) -> Iterator[tuple[int, Views]]:
            yield from super().frames(index, **options)
            first.fill(open_dataset(tiny_dataset), [0], VIEWS)

    second = FrameCache(tmp_path, size=8, cap_gb=1)
    real_pid = "data.cache.os.getpid"
    with pytest.MonkeyPatch.context() as patch:
        pids = iter([os.getpid(), os.getppid()])
        patch.setattr(real_pid, lambda: next(pids))
        second.fill(Slow(tiny_dataset), [0], VIEWS)
    assert np.array_equal(second.read(0, [3]), first.read(0, [3]))


def test_the_cap_is_checked_before_anything_is_decoded(tiny_dataset: Path, tmp_path: Path) -> None:
    dataset = CountedDataset(tiny_dataset)
    cache = FrameCache(tmp_path / "cache", size=100, cap_gb=0.001)
    message = r"2 episodes \(2 views, 100 px\) take 0.00144 GB .* cap is 0.001 GB; raise --cache-gb"
    with pytest.raises(InputError, match=message):
        cache.fill(dataset, [0, 1], VIEWS)
    assert dataset.decoded == 0
    assert not (tmp_path / "cache").exists()


def test_the_cap_counts_what_other_runs_left_and_names_it(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    dataset = CountedDataset(tiny_dataset)
    FrameCache(tmp_path, size=100, cap_gb=1).fill(dataset, [0], VIEWS)
    (left,) = tmp_path.iterdir()
    needed = LENGTH * 2 * 3 * 100**2 / 1e9
    tight = FrameCache(tmp_path, size=90, cap_gb=needed * 1.5)
    words = f"holds 0.00072 GB.* delete what other runs left \\({left} \\(0.00072 GB\\)\\), raise"
    with pytest.raises(InputError, match=words):
        tight.fill(dataset, [0], VIEWS)
    assert dataset.decoded == LENGTH
    FrameCache(tmp_path, size=100, cap_gb=needed / 2).fill(dataset, [0], VIEWS)  # takes no more


def test_another_preprocessing_is_cached_apart(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = CountedDataset(tiny_dataset)
    FrameCache(tmp_path, size=8, cap_gb=1).fill(dataset, [0], VIEWS)
    monkeypatch.setattr("data.cache.PREPROCESSING", "square-area-2")
    FrameCache(tmp_path, size=8, cap_gb=1).fill(dataset, [0], VIEWS)
    assert dataset.decoded == 2 * LENGTH


def test_any_number_of_episodes_may_be_filled(tiny_dataset: Path, tmp_path: Path) -> None:
    """No file stays open: a process may have about a thousand."""

    class Many(CountedDataset):
        def episode(self, index: int) -> Episode:
            return replace(super().episode(0), index=index)

        def frames(self, index: int, **options: Any) -> Iterator[tuple[int, Views]]:
            yield from super().frames(0, **options)

    dataset, cache = Many(tiny_dataset), FrameCache(tmp_path, size=8, cap_gb=1)
    cache.fill(dataset, [0], VIEWS)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = len(os.listdir("/proc/self/fd")) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
    try:
        cache.fill(dataset, range(40), VIEWS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert np.array_equal(cache.read(39, [3]), cache.read(0, [3]))


def test_a_full_disk_is_said_in_one_sentence(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    cache = FrameCache(tmp_path, size=8, cap_gb=1)
    with pytest.raises(OutputError, match=r"cannot write the frame cache .*\(No space left"):
        cache.fill(open_dataset(tiny_dataset), [0], VIEWS)
    assert list(tmp_path.glob("*/*")) == []


def test_a_file_size_limit_ends_in_a_sentence_and_not_in_a_signal(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    """Frames are written, not mapped, so a disk that takes no more is an error of the call."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    cache = FrameCache(tmp_path, size=64, cap_gb=1)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write the frame cache .*\(File too large"):
            cache.fill(open_dataset(tiny_dataset), [0], VIEWS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_cached_file_that_is_cut_off_is_made_again_or_named(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    cache = FrameCache(tmp_path, size=8, cap_gb=1)
    cache.fill(open_dataset(tiny_dataset), [0], VIEWS)
    (chunk,) = tmp_path.glob(f"*/*/{CHUNK}")
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-7])
    with pytest.raises(DatasetError, match=r"cannot be read \(it is cut off\); delete"):
        cache.read(0, [LENGTH - 1])
    FrameCache(tmp_path, size=8, cap_gb=1).fill(open_dataset(tiny_dataset), [0], VIEWS)
    assert chunk.read_bytes() == whole


def test_a_frame_that_an_episode_does_not_have_is_refused(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    cache = FrameCache(tmp_path, size=8, cap_gb=1)
    cache.fill(open_dataset(tiny_dataset), [0], VIEWS)
    for number in (-1, LENGTH):
        with pytest.raises(InputError, match="episode 0 has frames 0 to 11"):
            cache.read(0, [number])


def test_what_a_killed_run_left_is_cleared_up(
    tiny_dataset: Path, tmp_path: Path, gone: int
) -> None:
    for pid in (gone, os.getppid()):
        (tmp_path / f"older/episode_000000.partial-{pid}/frames").mkdir(parents=True)
    FrameCache(tmp_path, size=8, cap_gb=1).fill(open_dataset(tiny_dataset), [0], VIEWS)
    assert [path.name for path in (tmp_path / "older").iterdir()] == [
        f"episode_000000.partial-{os.getppid()}"
    ]


def test_a_place_that_cannot_be_written_to_is_named(tiny_dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = FrameCache(tmp_path / "file", size=8, cap_gb=1)
    with pytest.raises(OutputError, match=r"cannot write the frame cache .*file"):
        cache.fill(open_dataset(tiny_dataset), [0], VIEWS)


def test_an_episode_that_was_not_filled_is_named(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, size=8, cap_gb=1)
    for ask in (lambda: cache.read(4, [0]), lambda: cache.present(4)):
        with pytest.raises(InputError, match="episode 4 is not in the frame cache"):
            ask()


def test_the_bar_advances_once_per_episode(tiny_dataset: Path, tmp_path: Path) -> None:
    steps: list[int] = []
    cache = FrameCache(tmp_path, size=8, cap_gb=1)

    def bar(count: int = 1, note: str = "") -> None:
        steps.append(count)

    cache.fill(open_dataset(tiny_dataset), [0, 1], VIEWS, bar)  # type: ignore[arg-type]
    cache.fill(open_dataset(tiny_dataset), [0, 1, 2], VIEWS, bar)  # type: ignore[arg-type]
    assert steps == [1] * 5


def test_zarr_reads_the_same_pixels(tiny_dataset: Path, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path, size=8, cap_gb=1)
    cache.fill(open_dataset(tiny_dataset), [0], VIEWS)
    (chunk,) = tmp_path.glob(f"*/*/{CHUNK}")
    array = zarr.open_array(chunk.parents[5], mode="r")
    assert array.shape == (LENGTH, 2, 8, 8, 3)
    assert array.attrs["views"] == list(VIEWS)
    assert np.array_equal(np.asarray(array[:]), cache.read(0, range(LENGTH)))
    assert chunk.stat().st_size == LENGTH * 2 * 8 * 8 * 3


def test_a_frame_set_is_read_in_less_than_a_tenth_of_a_millisecond(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    cache = FrameCache(tmp_path, size=64, cap_gb=1)
    cache.fill(open_dataset(tiny_dataset), [0], VIEWS)
    numbers = np.random.default_rng(0).integers(0, LENGTH, 100)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        cache.read(0, numbers)
        times.append(time.perf_counter() - start)
    assert min(times) / len(numbers) < 1e-4
