"""One way from pixels to model input."""

from typing import Any

import numpy as np
import pytest

from robo_reward.errors import InputError
from robo_reward.images import checked, pixel_hash, resize


def test_pixels_are_averaged_over_areas() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = [[[40, 0, 0], [80, 0, 0]], [[120, 0, 0], [160, 0, 0]]]
    small = resize(image, 2)
    assert small.shape == (2, 2, 3)
    assert small[0, 0].tolist() == [100, 0, 0]
    assert not small[1].any()


def test_the_whole_image_is_kept_whatever_its_shape() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :4] = wide[:, -4:] = 250
    small = resize(wide, 10)
    assert small[:, 0].min() == small[:, -1].min() == 250


def test_small_images_grow_and_fitting_ones_stay() -> None:
    image = np.full((3, 5, 3), 77, np.uint8)
    assert np.all(resize(image, 16) == 77)
    fitting = np.zeros((16, 16, 3), np.uint8)
    assert resize(fitting, 16) is fitting


def test_mirrored_and_cut_arrays_are_read_as_they_show() -> None:
    image = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3)).astype(np.uint8)
    for shown in (image[:, ::-1], image[::-1], image[3:17, 2:22], image[..., ::-1]):
        assert np.array_equal(resize(shown, 8), resize(shown.copy(), 8))
        assert pixel_hash(shown) == pixel_hash(shown.copy())


def test_equal_pixels_share_a_key_and_others_do_not() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    other = image.copy()
    other[3, 5, 2] = 1
    assert pixel_hash(image) == pixel_hash(image.copy())
    assert pixel_hash(image) != pixel_hash(other)
    assert pixel_hash(image) != pixel_hash(image.reshape(6, 4, 3))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (np.zeros((4, 4, 3)), "'front' must be a uint8 array, got float64; scale it to 0…255"),
        ([[0]], "got list"),
        (np.zeros((4, 4), np.uint8), r"shape \(H, W, 3\), got \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"got \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\)"),
    ],
)
def test_what_is_no_image_is_refused_by_name(wrong: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        checked("front", wrong)


def test_an_image_is_handed_on() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    assert checked("front", image) is image
