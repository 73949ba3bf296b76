"""Whether a policy and a task go together."""

from dataclasses import replace
from typing import Any

import pytest
from test_policies_judging import bed, stored

from policies.fitting import check_fit, remarks
from robo_reward.errors import InputError


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state_names": ("x",)}, "knows other state"),
        ({"action_names": ("x",)}, "knows other actions"),
        ({"fps": 80}, r"knows other frames per second \(20.0\) than counting on counter"),
        ({"views": ("side",)}, "looks through front, and counting has the cameras side"),
    ],
)
def test_a_policy_of_another_robot_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_fit(stored(), bed(**changes))
    check_fit(stored(), bed())
    assert not remarks(stored().about)


def test_of_a_policy_that_names_nothing_only_sizes_are_compared() -> None:
    size = len(bed().state_names)
    unnamed = stored(
        named=False,
        fps=None,
        state_names=tuple(map(str, range(size))),
        action_names=tuple(map(str, range(len(bed().action_names)))),
    )
    check_fit(unnamed, bed(fps=80))
    with pytest.raises(InputError, match=rf"knows other state \({size} numbers\) .* \(1 numbers\)"):
        check_fit(unnamed, bed(state_names=("x",)))
    assert "only how many there are was compared" in remarks(unnamed.about)[0]


def test_simulated_images_are_square() -> None:
    wide = stored(images={"front": (48, 64)})
    check_fit(wide, bed())
    with pytest.raises(InputError, match="sees front as 48x64 pixels, and simulated images are"):
        check_fit(replace(wide, kind="act"), bed())
