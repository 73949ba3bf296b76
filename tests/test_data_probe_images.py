"""What probes do to pixels."""

import bright
import numpy as np

from data.probe_images import black, grain, noise, photograph, sticker

GREY = bright.views(0.5)


def test_the_views_given_are_left_alone() -> None:
    before = {name: image.copy() for name, image in GREY.items()}
    rng = np.random.default_rng(0)
    for made in (
        black(GREY),
        noise(GREY, rng),
        grain(GREY, rng),
        sticker(GREY),
        photograph(GREY, bright.views(1.0)),
    ):
        assert made is not None
        assert made.keys() == GREY.keys()
        for name, image in made.items():
            assert image.dtype == np.uint8
            assert image.shape == GREY[name].shape
    assert all((GREY[name] == image).all() for name, image in before.items())


def test_black_is_black_and_noise_is_noise() -> None:
    assert all(not image.any() for image in black(GREY).values())
    made = noise(GREY, np.random.default_rng(0))
    assert made["front"].std() > 60
    assert (made["front"] != made["side"]).any()


def test_grain_is_weak_and_centred() -> None:
    made = grain({"front": np.full((64, 64, 3), 128, np.uint8)}, np.random.default_rng(0))["front"]
    assert 7 < made.std() < 9
    assert abs(made.mean() - 128) < 0.5
    bright_grain = grain(bright.views(1.0), np.random.default_rng(0))["front"]
    assert bright_grain.max() == 255, "no value wraps around"


def test_the_sticker_covers_the_corner_of_every_view_alone() -> None:
    plain = {"front": np.zeros((64, 64, 3), np.uint8)}
    made = sticker(plain)["front"]
    assert made[:16, :40].mean() > 100
    assert not made[16:].any()
    assert not made[:, 40:].any()
    assert len(np.unique(made[:16, :40])) > 10, "there is writing on it"


def test_the_photograph_shows_the_goal_in_one_view_only() -> None:
    made = photograph(bright.views(0.0), bright.views(0.6))
    assert made is not None
    assert not made["side"].any()
    assert made["front"][8, 8].tolist() == [153] * 3
    assert made["front"][4, 4].tolist() == [255] * 3, "it has a white edge"
    assert not made["front"][3].any()


def test_there_is_no_photograph_of_a_goal_that_nobody_showed() -> None:
    assert photograph(GREY, {}) is None
    assert photograph(GREY, bright.views(1.0, ("wrist",))) is None


def test_images_need_not_be_square() -> None:
    wide = {"front": np.zeros((12, 40, 3), np.uint8)}
    assert sticker(wide)["front"].shape == (12, 40, 3)
    made = photograph(wide, {"front": np.full((9, 5, 3), 99, np.uint8)})
    assert made is not None
    assert made["front"][6, 20].tolist() == [99] * 3
