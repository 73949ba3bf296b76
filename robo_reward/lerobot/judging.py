"""The network's verdict on the items of a LeRobot batch, one at a time and without memory."""

from collections.abc import Mapping, Sequence
from itertools import batched

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..network import ProgressNetwork
from ..protocols import References
from ..queries import Query, Seen
from ..reader import Reader
from ..tracker import anchored

type Images = NDArray[np.uint8]

ROLES = {1: ("now",), 2: ("first", "now"), 3: ("first", "before", "now")}
ROLES[4] = (*ROLES[3], "last")
"""What the frames of an item are, by their number; the last is never looked at."""


def judge(
    network: ProgressNetwork,
    views: tuple[str, ...],
    images: Images,
    tasks: Sequence[str],
    references: Mapping[str, References],
) -> list[float]:
    """Return Φ of each item's frame *now*, by `anchored`; the network is left in evaluation mode.

    Args:
        network: What is asked.
        views: The V view names.
        images: (B, T, V, S, S, 3); `ROLES` says what the T frames are.
        tasks: B instructions.
        references: What start and goal of a task look like, for the tasks where that is set.

    Raises:
        InputError: If T is none of those in `ROLES`.
    """
    if images.shape[1] not in ROLES:
        raise InputError(
            f"an item may have 1 to {max(ROLES)} frames (first, before, now, last), got "
            f"{images.shape[1]}; use the configuration's observation_delta_indices"
        )
    reader = Reader(network, image_size=images.shape[3], history=0)
    fixed = {task: references.get(task, References()) for task in dict.fromkeys(tasks)}
    shown = reader.see([side for one in fixed.values() for side in (one.start, one.goal)])
    anchors = dict(zip(fixed, zip(shown[::2], shown[1::2], strict=True), strict=True))
    roles = [role for role in ROLES[images.shape[1]] if role != "last"]
    looked = [dict(zip(views, one, strict=True)) for item in images for one in item[: len(roles)]]
    queries = []
    for task, frames in zip(tasks, batched(reader.see(looked), len(roles)), strict=True):
        seen = dict(zip(roles, frames, strict=True))
        start, goal = anchors[task]
        queries.append(
            Query(
                instruction=task,
                start=start if start.tokens else seen.get("first", Seen()),
                goal=goal,
                past=(seen["before"],) if "before" in seen else (),
                frame=seen["now"],
            )
        )
    return [anchored(reading) for reading in reader.read(queries)]
