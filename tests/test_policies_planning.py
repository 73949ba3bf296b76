"""What a run says of itself before it begins; the rest of it is read in the tests of the run."""

import pytest

from policies.planning import looks_ahead


@pytest.mark.parametrize(
    ("gamma", "fps", "says"),
    [
        (
            0.99,
            20.0,
            "γ 0.99 a step: what comes 3.4 s later counts half; an episode lasts up to 6.0 s",
        ),
        (
            0.99,
            80.0,
            "γ 0.99 a step: what comes 0.9 s later counts half; an episode lasts up to 1.5 s",
        ),
        (
            1.0,
            20.0,
            "γ 1: however late success comes it counts the same; an episode lasts up to 6.0 s",
        ),
    ],
)
def test_a_discount_is_told_in_seconds(gamma: float, fps: float, says: str) -> None:
    assert looks_ahead(gamma, fps=fps, horizon=120) == says
