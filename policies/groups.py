"""Rollouts that began alike, compared with each other.

Outcomes are the *task's* only. Groups are never selected by anything shaped, and an advantage is
divided neither by a group's spread nor by an episode's length: the first weighs tasks by how noisy
they are, the second pays for long failures (Dr. GRPO, arXiv 2503.20783).
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from robo_reward.errors import InputError
from robo_reward.shaping import Floats

from .rollout import Rollout


def members(rollouts: Sequence[Rollout]) -> dict[int, list[int]]:
    """Return group → the places of its rollouts, those that were lost too.

    Raises:
        InputError: If a group has one rollout alone.
    """
    found: dict[int, list[int]] = defaultdict(list)
    for place, rollout in enumerate(rollouts):
        found[rollout.group].append(place)
    for group, places in found.items():
        if len(places) == 1:
            raise InputError(
                f"group {group} has a single rollout, which can be compared with nothing; play at "
                "least 2 from each start, or choose an algorithm without groups"
            )
    return dict(found)


def leave_one_out(scores: Floats, rollouts: Sequence[Rollout]) -> Floats:
    """Return (R,) each rollout's score less the mean of the *others* of its group (RLOO).

    That mean does not depend on what the rollout did, so it is a baseline without bias
    (arXiv 2402.14740); it is G/(G − 1) times the distance from the group's own mean. A lost
    rollout has no score: it gets 0 and counts in no mean, and so does one that is left alone.

    Args:
        scores: (R,) a number for each rollout; that of a lost one is not read.
        rollouts: The batch.

    Raises:
        InputError: If a group has one rollout alone.
    """
    result = np.zeros(len(rollouts))
    for places in members(rollouts).values():
        known = [place for place in places if not rollouts[place].lost]
        if len(known) > 1:
            told = scores[known]
            result[known] = (told - told.mean()) * len(known) / (len(known) - 1)
    return result


def usable_groups(rollouts: Sequence[Rollout]) -> list[int]:
    """Return the groups that hold both a success and a failure, in their order; only they teach.

    Raises:
        InputError: If a group has one rollout alone.
    """
    mixed = []
    for group, places in members(rollouts).items():
        outcomes = {rollouts[place].success for place in places if not rollouts[place].lost}
        if len(outcomes) > 1:
            mixed.append(group)
    return mixed


def groups_to_refill(rollouts: Sequence[Rollout], *, tried: int, tries: int) -> list[int]:
    """Return the groups that should be played anew, from other starts; none once ``tries`` is up.

    Args:
        rollouts: Everything that was played for this update; of each group its last try.
        tried: How often the batch was played already, at least 1.
        tries: How often at most.

    Raises:
        InputError: If the tries are used up and no group can teach, or a group has one rollout.
    """
    usable = set(usable_groups(rollouts))
    groups = members(rollouts)
    if tried < tries:
        return [group for group in groups if group not in usable]
    if not usable:
        won = sum(rollout.success for rollout in rollouts if not rollout.lost)
        known = sum(not rollout.lost for rollout in rollouts)
        advice = (
            "every one failed, so start from a better policy, an easier task, or an algorithm "
            "that learns from failures (phi-ppo)"
            if not won
            else "nothing is left to learn from these starts"
            if won == known
            else "play larger groups"
        )
        raise InputError(
            f"after {tries} tries none of {len(groups)} groups holds both a success and a failure "
            f"({won} of {known} rollouts succeeded): {advice}"
        )
    return []
