"""Video files: headers, frames in order, and the sentence for each kind of damage."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from conftest import SHAPE, grey, image, write_video

from data import video
from robo_reward.errors import DatasetError

CODECS = {"H.264": "h264", "AV1": "libsvtav1", "MPEG-4 part 2": "mpeg4"}


@pytest.fixture(autouse=True)
def quiet_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "1")


def ramp(path: Path, count: int = 12, codec: str = "mpeg4") -> Path:
    shape = (64, 96)
    images = [np.full((*shape, 3), grey("front", n), np.uint8) for n in range(count)]
    return write_video(path, images, codec)


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_twelve_frames_come_back_in_order_from_each_codec(tmp_path: Path, codec: str) -> None:
    path = ramp(tmp_path / "a.mp4", codec=codec)
    seen = list(video.frames(path, count=12))
    assert [number for number, _ in seen] == list(range(12))
    for number, picture in seen:
        assert picture.shape == (64, 96, 3)
        assert picture.dtype == np.uint8
        assert abs(float(picture.mean()) - grey("front", number)) < 4


def test_a_header_says_12_frames_of_32_by_48_at_10_fps(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [image("front", n) for n in range(12)])
    head = video.header(path)
    assert (head.frames, head.height, head.width, head.fps) == (12, *SHAPE[:2], 10.0)


def test_a_header_counts_packets_where_the_container_does_not_say(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [image("front", n) for n in range(12)])
    assert video.header(path).frames == 12


def test_every_fifth_frame_is_0_5_and_10(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.mp4")
    assert [number for number, _ in video.frames(path, count=12, stride=5)] == [0, 5, 10]


def test_an_episode_that_starts_at_half_a_second_starts_with_frame_5(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.mp4")
    means = [float(picture.mean()) for _, picture in video.frames(path, count=4, start_s=0.5)]
    wanted = [grey("front", number) for number in range(5, 9)]
    assert np.abs(np.array(means) - wanted).max() < 4


def test_images_are_squashed_to_a_square_by_area_averaging() -> None:
    stripes = np.zeros((32, 48, 3), np.uint8)
    stripes[:, ::2] = 200
    small = video.square(stripes, 8)
    assert small.shape == (8, 8, 3)
    assert np.all(small == 100)
    assert video.square(stripes, None) is stripes


def test_decoding_30_frames_holds_fewer_than_10(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.mp4", count=30)
    tracemalloc.start()
    for _ in video.frames(path, count=30):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 64 * 96 * 3


def test_an_absent_video_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no video .*a\.mp4; copy it there"):
        video.header(tmp_path / "a.mp4")


def test_a_video_of_zero_bytes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    with pytest.raises(DatasetError, match=r"a\.mp4 is empty \(0 bytes\); copy it again"):
        video.header(tmp_path / "a.mp4")


def test_a_video_cut_in_half_is_named(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"a\.mp4 cannot be decoded .* cut off or not a video"):
        list(video.frames(path, count=12))


def test_a_video_that_lost_its_last_packets_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [image("front", n) for n in range(12)])
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DatasetError, match=r"a\.mkv (ends after \d+ of the 12|cannot be decoded)"):
        list(video.frames(path, count=12))


def test_a_text_file_called_mp4_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("not a video, just words " * 20)
    with pytest.raises(DatasetError, match="cannot be decoded"):
        video.header(tmp_path / "a.mp4")


def test_a_video_with_12_of_20_claimed_frames_is_named(tmp_path: Path) -> None:
    path = ramp(tmp_path / "a.mp4")
    with pytest.raises(DatasetError, match=r"ends after 12 of the 20 frames .* copy it again"):
        list(video.frames(path, count=20))


def test_a_cell_without_an_image_is_named() -> None:
    for cell in ({"bytes": None, "path": "x.png"}, {"bytes": b"nonsense"}):
        with pytest.raises(DatasetError, match="frame 3 of front holds no readable image"):
            video.decode_image(cell, "frame 3 of front")
