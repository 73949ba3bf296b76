"""What a model is told of its own earlier verdicts: Φ̄ at the last query, and the largest so far.

A task whose end looks like its start cannot be judged from what is seen now. Two numbers carry what
was judged before; images that speak for themselves overrule them, because in training they are
often wrong. NaN marks what is not known, as at an episode's first query.
"""

import math

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

UNKNOWN = (math.nan, math.nan)
"""The belief before anything was judged."""
WRONG = 0.15
"""Share of training pairs whose belief has nothing to do with the truth."""
REWOUND = 0.15
"""Share of training pairs whose past is what came after, as in a recording played backwards."""
SPREAD = 0.1
"""Standard deviation of the error of what is believed in training."""
UNSURE = 0.5
"""An answer whose anchors disagree by more, or whose only anchor is spread wider, is not believed:
a frame that shows nothing is answered so."""


def drawn_belief(
    progress: Floats, after: int, period: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Return (Φ one query before, largest Φ up to there) as a model might believe them.

    The truth with noise, now and then that of the recording played backwards, or made up: so the
    model learns what such memories are worth beside what it sees.

    Args:
        progress: (T,) true Φ of the episode; NaN throughout where it is unknown.
        after: The frame that is judged.
        period: Query period in frames.
        rng: Source of randomness; as many draws whatever comes out.
    """
    rewound, wrong = rng.random(2) < (REWOUND, WRONG)
    noise, made_up = SPREAD * rng.standard_normal(2), rng.random(2)
    past = progress[after + period :][::-1] if rewound else progress[: max(after - period + 1, 0)]
    if len(past) == 0 or math.isnan(past[-1]):
        return UNKNOWN
    if wrong:
        return float(made_up[0]), float(max(made_up))
    last, largest = np.clip(np.array([past[-1], np.nanmax(past)]) + noise, 0.0, 1.0)
    return float(last), float(max(last, largest))
