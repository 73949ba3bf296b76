"""Episodes decoded ahead, in processes with limits: what comes, what harm stays outside."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from conftest import LENGTH, VIEWS, data_file, image, rewrite, write_dataset

from data.ahead import Ahead, Decoded, LimitedEpisodes
from data.decoding import DecodeConfig, environment, why_lost
from data.lerobot_dataset import LeRobotEpisodes, open_dataset
from data.references import ReferenceFinder
from robo_reward.errors import DatasetError, InputError

SLOT = 2 * 16 * 16 * 3
ONE = DecodeConfig(processes=1, ahead_mb=1)
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def dataset(tiny_video_dataset: Path) -> LeRobotEpisodes:
    return open_dataset(tiny_video_dataset)


def ahead(
    dataset: LeRobotEpisodes, config: DecodeConfig = ONE, episodes: Iterator[int] | None = None
) -> Ahead:
    numbers = iter((0, 1, 2, 2, 0)) if episodes is None else episodes
    return Ahead(dataset, numbers, size=16, stride=2, config=config)


def read(decoded: Decoded) -> list[tuple[int, bytes]]:
    return [(n, b"".join(views[v].tobytes() for v in VIEWS)) for n, views in decoded.frames]


def put_picture(root: Path, view: str, row: int, data: bytes) -> None:
    """Put other bytes in the place of a picture."""

    def change(table: pa.Table) -> pa.Table:
        name = f"observation.images.{view}"
        cells, place = table[name].to_pylist(), table.column_names.index(name)
        cells[row]["bytes"] = data
        return table.set_column(place, name, pa.array(cells, table.schema.field(place).type))

    rewrite(data_file(root), change)


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        with suppress(OSError):
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
                return
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


@pytest.mark.parametrize("processes", [1, 3])
@pytest.mark.parametrize("storage", ["video", "images"])
def test_episodes_come_in_order_and_bit_for_bit_as_without_processes(
    tiny_dataset: Path, dataset: LeRobotEpisodes, processes: int, storage: str
) -> None:
    source = dataset if storage == "video" else open_dataset(tiny_dataset)
    with ahead(source, replace(ONE, processes=0)) as here:
        wanted = [(one.index, read(one)) for one in here]
    assert [(index, len(frames)) for index, frames in wanted] == [(n, 6) for n in (0, 1, 2, 2, 0)]
    with ahead(source, replace(ONE, processes=processes)) as there:
        assert [(one.index, read(one)) for one in there] == wanted
    assert min(here.waited_s, there.waited_s) > 0


def test_an_episode_may_be_longer_than_the_memory_for_frames(
    dataset: LeRobotEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ahead.MB", SLOT)  # one slot, for twelve frames
    with Ahead(dataset, [0, 1], size=16, stride=1, config=ONE) as there:
        assert [len(read(one)) for one in there] == [LENGTH, LENGTH]
        assert there._decoders[0]._memory.size() < 2 * 4096


def test_what_is_not_read_of_an_episode_is_skipped(dataset: LeRobotEpisodes) -> None:
    with ahead(dataset) as there:
        found = []
        for number, one in enumerate(there):
            if number != 2:  # of the third, nothing at all
                found.append((one.index, next(one.frames)[0]))
        process = there._decoders[0].pid
    assert found == [(0, 0), (1, 0), (2, 0), (0, 0)]
    wait_until_gone(process)


def test_episodes_are_taken_from_the_iterable_two_for_each_process(
    dataset: LeRobotEpisodes,
) -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number % 3

    with ahead(dataset, episodes=endless()) as there:
        stream = iter(there)
        assert taken == []
        for number in range(3):
            read(next(stream))
            assert len(taken) == 2 + number


@pytest.mark.parametrize("size", [16, None])
def test_a_dataset_read_in_a_process_is_the_same_dataset(
    dataset: LeRobotEpisodes, size: int | None
) -> None:
    with LimitedEpisodes(dataset, ONE) as limited:
        assert (len(limited), limited.views) == (3, VIEWS)
        assert (limited.root, limited.fingerprint) == (dataset.root, dataset.fingerprint)
        assert limited.episode(1).length == LENGTH
        both = zip(
            limited.frames(0, views=("wrist", "front"), size=size),
            limited.frames(1, views=("front",), size=size, stride=1),
            strict=True,
        )
        for (number, one), (_, other) in both:  # two at once
            for index, views, found in ((0, ("wrist", "front"), one), (1, ("front",), other)):
                wanted = list(dataset.frames(index, views=views, size=size))[number]
                assert wanted[0] == number
                assert all(np.array_equal(found[v], wanted[1][v]) for v in views)
        first = [next(limited.frames(n, views=("front",), size=8))[0] for n in (0, 1, 2)]
        assert first == [0, 0, 0]
        assert len(limited._all) <= 2
        with pytest.raises(DatasetError, match="no view top"):
            list(limited.frames(0, views=("top",), size=8))
        pids = [decoder.pid for decoder in limited._all]
    for pid in filter(None, pids):
        wait_until_gone(pid)


def test_references_are_found_by_a_process_too(dataset: LeRobotEpisodes) -> None:
    with LimitedEpisodes(dataset, ONE) as limited:
        for choice in ("auto", "none", "1"):
            finder = ReferenceFinder(limited, choice, size=16)
            plain = ReferenceFinder(dataset, choice, size=16)
            for index in range(3):
                found, wanted = finder.find(index).references, plain.find(index).references
                for one, other in ((found.start, wanted.start), (found.goal, wanted.goal)):
                    assert one.keys() == other.keys()
                    assert all(np.array_equal(one[view], other[view]) for view in one)
        assert len(limited._all) == 1


def test_a_killed_process_costs_its_episode_alone(
    dataset: LeRobotEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.ahead.MB", 2 * SLOT)  # one slot for each: none can be done early
    ends: list[int | str] = []
    with ahead(dataset, replace(ONE, processes=2)) as there:
        for one in there:
            if not ends:
                next(one.frames)
                pid = there._decoders[1].pid
                os.kill(pid, signal.SIGKILL)
                wait_until_gone(pid)
            try:
                ends.append(len(read(one)))
            except DatasetError as error:
                ends.append(str(error))
    assert [ends[0], *ends[2:]] == [5, 6, 6, 6]
    assert re.match("episode 1 of .* was killed, by somebody or by the system", str(ends[1]))


def stop_on_sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """Let decoder processes do something to themselves before any frame of ``wrist``."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Late:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'data.lerobot_dataset':\n"
        "            from data import media\n"
        "            known = media.tell\n"
        "            def tell(what):\n"
        "                known(what)\n"
        "                if 'wrist' in what and 'file-000' in what:\n"
        f"                    {body}\n"
        "            media.tell = tell\n"
        "sys.meta_path.insert(0, Late())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            r"crashed \(SIGSEGV\), by a da",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed, by somebody or"),
        ("import os; os._exit(3)", r"ended \(status 3\)"),
        ("raise KeyError('our fault')", r"ended \(KeyError: 'our fault'\)"),
        (
            "import time; time.sleep(600)",
            r"made no progress for 1 s \(--decode.timeout-s\) and was",
        ),
        ("while True: pass", r"used more than 1 s of processor time \(--decode.cpu-s\)"),
        ("bytearray(10**9)", r"cannot be decoded within 64 MB .*wrist.*--decode.memory-mb"),
        ("open('x', 'wb').write(bytes(10**6))", r"ended \(OSError: \[Errno 27\] File too large\)"),
    ],
)
def test_whatever_befalls_a_process_is_told_of_episode_and_file(
    tiny_video_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    reason: str,
) -> None:
    dataset = open_dataset(tiny_video_dataset)
    stop_on_sign(monkeypatch, tmp_path, body)
    monkeypatch.chdir(tmp_path)
    limits = {"timeout_s": 1.0} if "sleep" in body else {"memory_mb": 64, "cpu_s": 1}
    config = replace(ONE, **limits)
    with (
        ahead(dataset, config, iter((1,))) as there,
        pytest.raises(DatasetError, match=reason) as told,
    ):
        read(next(iter(there)))
    assert "episode 1" in str(told.value) or "memory-mb" in str(told.value)
    assert "videos/observation.images.wrist/chunk-000/file-000.mp4" in str(told.value)


def test_a_video_that_cannot_be_decoded_costs_its_episodes_alone(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "damaged", "images")
    put_picture(root, "wrist", LENGTH + 4, b"\x89PNG\r\n\x1a\nnonsense")
    ends: list[object] = []
    with ahead(open_dataset(root), replace(ONE, processes=2), iter((0, 1, 2))) as there:
        for one in there:
            try:
                ends.append(len(read(one)))
            except DatasetError as error:
                ends.append(str(error))
    assert (ends[0], ends[2]) == (6, 6)
    assert "frame 4 of observation.images.wrist in episode 1 holds no readable" in str(ends[1])


def test_a_dataset_that_changed_meanwhile_is_told(copy: Path) -> None:
    dataset = open_dataset(copy)
    (copy / "meta/robo_reward.json").write_text(json.dumps({"paraphrases": {}}))
    with ahead(dataset) as there:
        for one in there:
            with pytest.raises(DatasetError, match="has changed since it was opened; start again"):
                read(one)
    (copy / "meta/info.json").write_text("{")
    with ahead(dataset) as there, pytest.raises(DatasetError, match=r"info\.json cannot be read"):
        read(next(iter(there)))


def test_a_process_that_cannot_start_is_told(
    dataset: LeRobotEpisodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.decoder._PROGRAM", "raise ImportError('no such thing')")
    with ahead(dataset) as there, pytest.raises(InputError) as told:
        read(next(iter(there)))
    assert "could not be started (ImportError: no such thing); --decode.processes 0" in str(
        told.value
    )


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"processes": -1}, "--decode.processes is -1; give 0 or more"),
        ({"ahead_mb": 0}, "--decode.ahead-mb is 0; give 1 or more"),
        ({"timeout_s": float("nan")}, "--decode.timeout-s is nan; give 1 or more"),
        ({"memory_mb": 8}, "--decode.memory-mb is 8; give 64 or more"),
        ({"cpu_s": 0}, "--decode.cpu-s is 0; give 1 or more"),
    ],
)
def test_settings_without_sense_are_refused(
    dataset: LeRobotEpisodes, setting: dict[str, float], sentence: str
) -> None:
    with pytest.raises(InputError) as told:
        ahead(dataset, replace(ONE, **setting))  # type: ignore[arg-type]
    assert str(told.value) == sentence


def test_memory_for_less_than_a_frame_is_refused(dataset: LeRobotEpisodes) -> None:
    with pytest.raises(InputError, match=r"one frame takes 6.3 MB .* gives a process 0.5 MB; rai"):
        Ahead(dataset, [0], size=1024, stride=1, config=replace(ONE, processes=2))


def test_usually_there_is_at_least_one_process_and_at_most_four() -> None:
    assert 1 <= DecodeConfig().count() <= 4


def test_a_process_is_given_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_API_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("ROBO_REWARD_MAX_PIXELS", "1000")
    given = environment()
    assert "secret" not in given.values()
    assert (given["ROBO_REWARD_MAX_PIXELS"], given["CUDA_VISIBLE_DEVICES"]) == ("1000", "")


def test_the_caps_hold_in_processes_too(
    tiny_video_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBO_REWARD_MAX_PIXELS", "1000")
    source = open_dataset(tiny_video_dataset)
    with ahead(source) as there, pytest.raises(DatasetError, match="claims 48x32 pixels, more"):
        read(next(iter(there)))


def test_how_a_process_ended_is_told_in_words() -> None:
    assert why_lost(ONE, -signal.SIGABRT, "").startswith("crashed (SIGABRT), by a damaged file")
    assert why_lost(ONE, 1, "MemoryError") == "ended (MemoryError)"
    assert why_lost(ONE, 2, "") == "ended (status 2)"


SCRIPT = """
import os, signal, sys, time
from data.ahead import Ahead
from data.decoding import DecodeConfig
from data.lerobot_dataset import open_dataset
# a shell lets what it runs in the background ignore this one
signal.signal(signal.SIGINT, signal.default_int_handler)
dataset = open_dataset(sys.argv[1])
config = DecodeConfig(processes=2, ahead_mb=1)
with Ahead(dataset, [0, 1] * 500, size=16, stride=1, config=config) as there:
    for one in there:
        for number, views in one.frames:
            print(*(decoder.pid for decoder in there._decoders), flush=True)
            {body}
"""


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("raise ValueError", None),
        ("time.sleep(600)", signal.SIGINT),
        ("time.sleep(600)", signal.SIGTERM),
        ("time.sleep(600)", signal.SIGKILL),
    ],
)
def test_no_process_and_no_memory_outlives_the_caller(
    tiny_video_dataset: Path, body: str, end: signal.Signals | None
) -> None:
    before = sorted(os.listdir("/dev/shm"))
    caller = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(body=body), str(tiny_video_dataset)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert caller.stdout is not None
        pids = [int(word) for word in caller.stdout.readline().split()]
        assert len(pids) == 2
        if end is not None:
            caller.send_signal(end)
        caller.wait(DEADLINE_S)
    finally:
        caller.kill()
        caller.wait()
        caller.stdout.close()
    for pid in pids:
        wait_until_gone(pid)
    assert sorted(set(os.listdir("/dev/shm")) - set(before)) == []


def test_a_process_that_hangs_in_a_system_call_leaves_with_its_parent(
    tiny_video_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_on_sign(monkeypatch, tmp_path, "import time; time.sleep(600)")
    script = (
        "import os, sys, time\nsys.path[0] = sys.argv[2]\n"
        "from data.ahead import Ahead; from data.decoding import DecodeConfig\n"
        "from data.lerobot_dataset import open_dataset\n"
        "there = Ahead(open_dataset(sys.argv[1]), [0], size=16, stride=1,\n"
        "              config=DecodeConfig(processes=1))\n"
        "stream = iter(there); one = next(stream)\n"
        "print(there._decoders[0].pid, flush=True)\n"
        "list(one.frames)\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", script, str(tiny_video_dataset), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert caller.stdout is not None
        pid = int(caller.stdout.readline())
        time.sleep(1.0)
    finally:
        caller.kill()
        caller.wait()
        if caller.stdout is not None:
            caller.stdout.close()
    wait_until_gone(pid)


def test_decoders_import_neither_torch_nor_lerobot() -> None:
    code = (
        "import sys, data.decoder_main, data.lerobot_dataset, data.video;"
        "assert not {'torch', 'lerobot', 'datasets', 'mujoco'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_images_of_other_sizes_than_the_dataset_says_are_refused(copy: Path) -> None:
    tall = np.repeat(image("front", 3), 4, axis=0)
    put_picture(copy, "front", 3, cv2.imencode(".png", tall)[1].tobytes())
    with (
        LimitedEpisodes(open_dataset(copy), ONE) as limited,
        pytest.raises(DatasetError, match="frame 3 of episode 0 is larger than the dataset says"),
    ):
        list(limited.frames(0, views=VIEWS))
