"""What is refused by its header, and files and names that lead out of a dataset."""

import json
import os
import shutil
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow as pa
import pytest
from conftest import change_info, data_file, episodes_file, image, rewrite, write_video

from data import media, video
from data.lerobot_dataset import open_dataset
from data.lerobot_meta import locate
from data.recordings import read_recordings
from data.references import read_directory
from robo_reward.errors import DatasetError, InputError


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """A PNG of one byte a pixel whose header says so, whatever it holds."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def jpeg(width: int, height: int) -> bytes:
    """A JPEG whose header says another size than it holds."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("png", png(5000, 5000, bytes(5000 * 5001)), "claims 5000x5000 pixels, more than"),
        ("png", png(2**31 - 1, 2**31 - 1), "claims more than 178956970 pixels, which no"),
        ("png", png(0, 5), "holds no readable image|does not say its size"),
        ("jpeg", jpeg(60000, 60000), "claims more than 178956970 pixels"),
        ("gif", b"GIF89a" + struct.pack("<HH", 8, 8) + bytes(20), "holds no readable image"),
        ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "holds no readable image"),
        ("none", b"", "holds no readable image"),
    ],
)
def test_a_picture_is_refused_by_its_header_before_memory_is_taken(
    tmp_path: Path, name: str, data: bytes, sentence: str
) -> None:
    tracemalloc.start()
    with pytest.raises(DatasetError, match=sentence):
        video.decode_image({"bytes": data}, "frame 0 of front")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    (tmp_path / "start").mkdir()
    (tmp_path / "start/front.png").write_bytes(data)
    with pytest.raises(InputError, match=sentence):
        read_directory(tmp_path)


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp"])
def test_pictures_of_known_kinds_are_decoded(kind: str) -> None:
    data = cv2.imencode(kind, image("front", 3))[1].tobytes()
    found = video.decode_image({"bytes": data}, "frame 3 of front")
    assert np.abs(found.astype(int) - image("front", 3)).max() <= 2
    assert media.picture_size(data, "it") == (48, 32)


def test_a_picture_that_holds_less_than_its_header_says_is_a_sentence() -> None:
    data = png(64, 64)[:60]
    with pytest.raises(DatasetError, match="holds no readable image"):
        video.decode_image({"bytes": data}, "frame 0 of front")


def test_the_environment_raises_and_lowers_the_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    media.check_size("it", 4096, 4096)
    with pytest.raises(DatasetError, match="it claims 4097x4096 pixels, more than the 16777216"):
        media.check_size("it", 4097, 4096)
    monkeypatch.setenv("ROBO_REWARD_MAX_PIXELS", str(4097 * 4096))
    media.check_size("it", 4097, 4096)
    for wrong in ("", "many", "-3", "0", "1.5"):
        monkeypatch.setenv("ROBO_REWARD_MAX_PIXELS", wrong)
        with pytest.raises(InputError, match=r"ROBO_REWARD_MAX_PIXELS is .* whole number above 0"):
            media.check_size("it", 1, 1)


def test_frames_and_hours_are_capped() -> None:
    media.check_length("it", 10_000_000, 360_000.0)
    with pytest.raises(DatasetError, match="it claims 10000001 frames, and at most 10000000"):
        media.check_length("it", 10_000_001, 1.0)
    with pytest.raises(DatasetError, match="it claims to last 101 hours, and at most 100"):
        media.check_length("it", 1, 363_600.0)
    with pytest.raises(DatasetError, match="it claims -1 frames"):
        media.check_length("it", -1, 1.0)


def movie(path: Path, *, count: int = 12, codec: str = "mpeg4") -> Path:
    return write_video(path, [image("front", n) for n in range(count)], codec)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PIXELS", "1000", "claims 48x32 pixels, more than the 1000 that are decoded"),
        ("FRAMES", "11", "claims 12 frames, and at most 11 are decoded"),
    ],
)
@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_video_beyond_a_cap_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str, kind: str
) -> None:
    path = movie(tmp_path / f"a.{kind}")
    monkeypatch.setenv(f"ROBO_REWARD_MAX_{name}", value)
    with pytest.raises(DatasetError, match=sentence):
        video.header(path)
    with pytest.raises(DatasetError, match=sentence):
        next(video.frames(path, count=12))


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{0}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {0}\n",
        "1\n00:00:00,000 --> 00:00:01,000\nhello\n",
        ";FFMETADATA1\ntitle=bike\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["playlist", "concat", "subtitles", "metadata", "stream"],
)
def test_what_is_no_video_file_opens_no_other_file(tmp_path: Path, text: str) -> None:
    real = movie(tmp_path / "real.mp4")
    path = tmp_path / "front.mp4"
    path.write_text(text.format(real))
    with pytest.raises(DatasetError, match=r"front\.mp4 (is not a video of a kind|cannot be dec)"):
        video.header(path)


def test_the_name_of_a_file_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.mp4", "http:x.mp4", "-i.mp4", "a%d.mp4"):
        shutil.copy(movie(tmp_path / "plain.mp4"), name)
        assert video.header(Path(name)).frames == 12
    with pytest.raises(DatasetError, match="there is no video http:/"):
        video.header(Path("http://127.0.0.1:9/a.mp4"))


def test_a_codec_that_is_not_on_the_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"has the codec (mpeg2video|mpeg1video), which is not"):
        video.header(movie(tmp_path / "a.mkv", codec="mpeg2video"))


def test_a_file_with_two_videos_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.mp4"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=10) for _ in range(2)]
        for stream in streams:
            stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for number in range(4):
            for stream in streams:
                frame = av.VideoFrame.from_ndarray(image("front", number), format="rgb24")
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    with pytest.raises(DatasetError, match="holds 2 video streams; replace it by a video with exa"):
        video.header(path)


def test_a_video_beside_sound_is_read(tmp_path: Path) -> None:
    path = tmp_path / "loud.mp4"
    with av.open(str(path), "w") as container:
        stream, sound = container.add_stream("mpeg4", rate=10), container.add_stream("aac", 16000)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(image("front", number), format="rgb24")
            container.mux(stream.encode(frame))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 16000
        for part in (stream.encode(), sound.encode(silence), sound.encode()):
            container.mux(part)
    assert len(list(video.frames(path, count=4))) == 4


def test_a_size_that_changes_on_the_way_is_told(tmp_path: Path) -> None:
    small, large = movie(tmp_path / "a.h264", codec="h264"), tmp_path / "b.h264"
    write_video(large, [np.zeros((64, 80, 3), np.uint8)] * 4, "h264")
    both = tmp_path / "both.mkv"
    with av.open(str(small)) as source, av.open(str(both), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        time = 0
        for path in (small, large):
            with av.open(str(path)) as part:
                for packet in part.demux(part.streams.video[0]):
                    if packet.size:
                        packet.stream, packet.pts, packet.dts = stream, time, time
                        out.mux(packet)
                        time += 100000
    with pytest.raises(DatasetError, match="claims 48x32 pixels and holds a frame of 80x64; exp"):
        list(video.frames(both, count=14))


def test_frames_beyond_those_that_were_promised_are_told(tmp_path: Path) -> None:
    path = movie(tmp_path / "a.mp4")
    assert len(list(video.frames(path, count=12, whole=True))) == 12
    with pytest.raises(DatasetError, match=r"holds more than the 11 frames that its header claims"):
        list(video.frames(path, count=11, whole=True))


def test_recordings_are_checked_too(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_MAX_PIXELS", "1000")
    with pytest.raises(DatasetError, match=r"front\.mp4 claims 48x32 pixels"):
        read_recordings(recordings)


def test_every_frame_is_told_to_a_watcher_before_it_is_decoded(tmp_path: Path) -> None:
    told: list[str] = []
    token = media.WATCHER.set(told.append)
    try:
        path = movie(tmp_path / "a.mp4")
        list(video.frames(path, count=12, stride=6))
        assert told == [str(path)] * 12
        video.decode_image({"bytes": cv2.imencode(".png", image("front", 1))[1].tobytes()}, "here")
        assert told[-1] == "here"
    finally:
        media.WATCHER.reset(token)


@pytest.mark.parametrize(
    "name",
    ["../secret", "user/..", "..", "user/../../x", "a/b/c", "/etc/x y", "us er/n", "ü/x", "a/b\n"],
)
def test_a_name_that_leads_elsewhere_is_no_dataset(name: str) -> None:
    with pytest.raises(DatasetError, match="there is no dataset directory"):
        locate(f"{name}-that-is-not-here" if name in ("..", "../secret") else name)


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("../{chunk_index:03d}/{file_index:03d}.parquet", "leads out of the dataset, to"),
        ("/etc/{chunk_index}{file_index}", "leads out of the dataset, to /etc/00"),
        ("data/{chunk_index.__class__}", "has no data_path that can be filled in"),
        ("data/{chunk_index:>999999999}", "has no data_path that can be filled in"),
        ("data/{secret}", "has no data_path that can be filled in"),
        ("data/{0}", "has no data_path that can be filled in"),
        (7, "has no data_path that can be filled in, but 7"),
    ],
)
def test_names_of_files_cannot_leave_the_dataset(copy: Path, template: Any, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(change_info(copy, lambda info: info.update(data_path=template)))


def test_numbers_of_files_are_numbers(copy: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        place = table.column_names.index("data/chunk_index")
        return table.set_column(place, "data/chunk_index", pa.array(["../../x"] * 3))

    rewrite(episodes_file(copy), change)
    with pytest.raises(DatasetError, match=r"names file 0 in chunk \.\./\.\./x, which are no num"):
        open_dataset(copy)


def test_a_camera_cannot_be_called_after_another_place(
    tiny_video_dataset: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(tiny_video_dataset, tmp_path / "set"))
    name = "observation.images.x/../../../../../away"

    def change(info: dict[str, Any]) -> None:
        info["features"][name] = info["features"].pop("observation.images.front")

    def rename(table: pa.Table) -> pa.Table:
        names = [n.replace("observation.images.front", name) for n in table.column_names]
        return table.rename_columns(names)

    rewrite(episodes_file(change_info(root, change)), rename)
    with pytest.raises(DatasetError, match="leads out of the dataset, to"):
        open_dataset(root)


def linked(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
    path.symlink_to(os.path.relpath(target, path.parent))


@pytest.mark.parametrize("which", [data_file, episodes_file, lambda root: root / "meta/info.json"])
def test_a_link_out_of_the_dataset_is_refused_and_one_within_is_not(
    copy: Path, which: Callable[[Path], Path]
) -> None:
    path = which(copy)
    linked(path, copy / "kept/here")
    assert len(open_dataset(copy)) == 3
    path.unlink()
    linked(copy / "kept/here", copy.parent / "away")
    path.symlink_to(copy.parent / "away")
    with pytest.raises(DatasetError, match=r"leads out of the dataset, to .*/away; put the file"):
        open_dataset(copy)


def test_the_links_of_the_hubs_cache_are_a_datasets_own(copy: Path, tmp_path: Path) -> None:
    home = tmp_path / "datasets--user--name"
    root = home / "snapshots/0123abcd"
    root.parent.mkdir(parents=True)
    shutil.copytree(copy, root)
    files = [path for path in root.rglob("*") if path.is_file()]
    for number, path in enumerate(files):
        linked(path, home / f"blobs/{number}")
    assert open_dataset(root).fingerprint == open_dataset(copy).fingerprint
    assert len(list(open_dataset(root).frames(0, views=("front",)))) == 12
    path = data_file(root)
    path.unlink()
    path.symlink_to(data_file(copy))
    with pytest.raises(DatasetError, match="leads out of the dataset"):
        open_dataset(root)


def test_a_dataset_may_itself_be_a_link(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(copy)
    assert open_dataset(tmp_path / "link").fingerprint == open_dataset(copy).fingerprint
    assert json.loads((tmp_path / "link/meta/info.json").read_text())["fps"] == 10


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "h264"), ("mkv", "mpeg4"), ("mp4", "mpeg4")])
def test_damaged_bytes_give_frames_or_a_sentence(tmp_path: Path, kind: str, codec: str) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (32, 48, 3), np.uint8) for _ in range(12)]
    whole = write_video(tmp_path / f"a.{kind}", pictures, codec).read_bytes()
    path, ends = tmp_path / f"b.{kind}", {"frames": 0, "sentence": 0}
    for number in range(40):
        data = bytearray(whole)
        for place in rng.integers(len(data), size=1 + number % 7):
            data[place] = rng.integers(256)
        if number % 5 == 0:  # the table of contents of an mp4 is at its end
            data[-800 + number] ^= 255
        path.write_bytes(data[: -number * 9] if number % 3 == 0 else data)
        for start_s in (0.0, 0.5):
            try:
                assert len(list(video.frames(path, count=6, start_s=start_s, size=8))) == 6
                ends["frames"] += 1
            except DatasetError as error:
                ends["sentence"] += str(path) in str(error)
    assert min(ends.values()) > 0
    assert sum(ends.values()) == 80


@pytest.mark.parametrize("kind", [".png", ".jpg", ".webp"])
def test_damaged_pictures_give_an_image_or_a_sentence(kind: str) -> None:
    rng = np.random.default_rng(0)
    whole = cv2.imencode(kind, rng.integers(0, 256, (32, 48, 3), np.uint8))[1].tobytes()
    ended = 0
    for number in range(60):
        data = bytearray(whole)
        for place in rng.integers(60 if number % 2 else len(data), size=3):
            data[place] = rng.integers(256)
        try:
            ended += video.decode_picture(bytes(data), "it").dtype == np.uint8
        except DatasetError as error:
            ended += str(error).startswith("it ")
    assert ended == 60
