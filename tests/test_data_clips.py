"""Pictures of any size, mode and container become uint8 RGB, or are refused by name."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import write_video

from data.clips import open_clip
from data.references import read_directory
from robo_reward.errors import DatasetError, InputError

RGB = np.full((8, 12, 3), (90, 60, 30), np.uint8)
BGR = RGB[..., ::-1]
ALPHA = np.full((8, 12, 1), 128, np.uint8)
MODES = {
    "RGB": (BGR, [90, 60, 30]),
    "grey": (np.full((8, 12), 90, np.uint8), [90, 90, 90]),
    "RGBA": (np.concatenate([BGR, ALPHA], axis=2), [90, 60, 30]),
    "16-bit grey": (np.full((8, 12), 90 * 257, np.uint16), [90, 90, 90]),
    "16-bit RGB": (BGR.astype(np.uint16) * 257, [90, 60, 30]),
    "one pixel": (BGR[:1, :1], [90, 60, 30]),
}


@pytest.mark.parametrize("mode", MODES)
def test_images_of_any_mode_are_read_as_uint8_rgb(mode: str, tmp_path: Path) -> None:
    image, pixel = MODES[mode]
    assert cv2.imwrite(str(tmp_path / "0.png"), image)
    clip = open_clip(tmp_path)
    ((number, read),) = clip.frames(size=None, stride=1)
    assert (number, read.dtype, read.shape[2]) == (0, np.uint8, 3)
    assert read[0, 0].tolist() == pixel
    assert next(clip.frames(size=6, stride=1))[1].shape == (6, 6, 3)


@pytest.mark.parametrize("mode", MODES)
def test_so_are_pictures_of_the_goal(mode: str, tmp_path: Path) -> None:
    image, pixel = MODES[mode]
    (tmp_path / "goal").mkdir()
    assert cv2.imwrite(str(tmp_path / "goal/front.png"), image)
    assert read_directory(tmp_path).goal["front"][0, 0].tolist() == pixel


def test_images_come_in_order_of_their_names(tmp_path: Path) -> None:
    for number in (2, 0, 1):
        cv2.imwrite(str(tmp_path / f"{number:03d}.png"), np.full((4, 4, 3), number, np.uint8))
    (tmp_path / "notes.txt").touch()
    clip = open_clip(tmp_path)
    assert (clip.length, clip.fps) == (3, 30.0)
    shown = [(n, int(image[0, 0, 0])) for n, image in clip.frames(size=None, stride=2)]
    assert shown == [(0, 0), (2, 2)]


def test_arrays_and_videos(tmp_path: Path) -> None:
    frames = np.stack([np.full((8, 8, 3), 20 * n, np.uint8) for n in range(5)])
    for name, save in (("plain", np.savez), ("packed", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", frames=frames, num_frames=5)
        clip = open_clip(tmp_path / f"{name}.npz")
        assert (clip.length, clip.fps) == (5, 1.0)
        shown = [(n, int(image[0, 0, 0])) for n, image in clip.frames(size=4, stride=3)]
        assert shown == [(0, 0), (3, 60)]
    path = write_video(tmp_path / "clip.mp4", [np.full((32, 48, 3), 90, np.uint8)] * 6)
    clip = open_clip(path)
    assert (clip.length, clip.fps) == (6, 10.0)
    assert [n for n, _ in clip.frames(size=8, stride=5)] == [0, 5]


def unreadable(folder: Path) -> Path:
    (folder / "0.png").write_text("no picture")
    return folder


def floats(folder: Path) -> Path:
    np.savez(folder / "a.npz", frames=np.zeros((2, 4, 4, 3)))
    return folder / "a.npz"


def flat(folder: Path) -> Path:
    np.savez(folder / "a.npz", frames=np.zeros((2, 4, 4), np.uint8))
    return folder / "a.npz"


def unnamed(folder: Path) -> Path:
    np.savez(folder / "a.npz", pixels=np.zeros((2, 4, 4, 3), np.uint8))
    return folder / "a.npz"


def torn(folder: Path) -> Path:
    (folder / "a.npz").write_bytes(b"PK")
    return folder / "a.npz"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder, "holds no .png or .jpg image"),
        (unreadable, r"0\.png holds no readable image"),
        (floats, r"a\.npz holds float64 pixels"),
        (flat, r"a\.npz: frames must be \(T, H, W, 3\)"),
        (unnamed, r"a\.npz holds no array called frames"),
        (torn, r"a\.npz holds no array called frames"),
        (lambda folder: folder / "nowhere.mp4", r"no video .*nowhere\.mp4"),
    ],
)
def test_what_is_no_clip_is_refused_by_name(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=says):
        list(open_clip(make(tmp_path)).frames(size=None, stride=1))


def test_a_picture_of_unknown_depth_is_refused_by_name(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "goal").mkdir()
    deep = Image.fromarray(np.full((4, 4), 0.5, np.float32))
    deep.save(tmp_path / "goal/front.png", format="TIFF")
    with pytest.raises(InputError, match=r"front\.png holds no readable image"):
        read_directory(tmp_path)
