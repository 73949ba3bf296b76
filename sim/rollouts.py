"""Episodes of scripted behaviours as rows for a dataset."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_reward.errors import InputError

from .beds import Bed
from .env import Observation
from .experts import BEHAVIOURS, Expert
from .seeding import generators

type Row = dict[str, Any]
"""Column name → value of one frame; see `features`."""


@dataclass(frozen=True, kw_only=True)
class SimEpisode:
    """One episode of T steps as T + 1 rows, the last one holding the final observation."""

    rows: list[Row]
    """A dataset row per observation; see `features`."""
    task: str
    """The canonical instruction."""
    columns: dict[str, Any]
    """``behaviour``; ``seed``; ``failure_mode``, a `sim.tasks.failures.FailureMode`, or
    ``unfinished``; ``onset_frame``, where it began (-1 if nothing went wrong)."""


def features(bed: Bed) -> dict[str, dict[str, Any]]:
    """Return what a row holds beside the images, as LeRobot describes it."""

    def column(dtype: str, names: Sequence[str] | None = None) -> dict[str, Any]:
        shape = (len(names),) if names else (1,)
        return {"dtype": dtype, "shape": shape, "names": list(names) if names else None}

    return {
        "observation.state": column("float32", bed.state_names),
        "action": column("float32", bed.action_names),
        "next.success": column("bool"),
        "next.reward": column("float32"),
        "truth.progress": column("float32"),
        "truth.stage": column("int64"),
        "truth.is_final": column("bool"),
        "truth.goals": column("float32", bed.rules.goals),
    }


def parse_mix(text: str) -> dict[str, float]:
    """Return behaviour → share, adding up to 1, from text like ``expert=.6 noise=.4``.

    Raises:
        InputError: If the text is not of that form, a behaviour does not exist, or no share is
            positive.
    """
    weights: dict[str, float] = {}
    for part in text.split():
        name, _, number = part.partition("=")
        if name not in BEHAVIOURS:
            raise InputError(
                f"--mix names a behaviour {name!r}; there are: {', '.join(BEHAVIOURS)}"
            )
        try:
            weights[name] = float(number)
        except ValueError:
            raise InputError(
                f"--mix has {part!r}; write NAME=SHARE parts such as 'expert=.6 noise=.4'"
            ) from None
    total = sum(weights.values())
    if not all(weight >= 0 for weight in weights.values()) or not 0 < total < math.inf:
        raise InputError(f"--mix {text!r} has no usable shares; they must be 0 or more, not all 0")
    return {name: weight / total for name, weight in weights.items()}


def mix_of(text: str, bed: Bed, *, default: str) -> dict[str, float]:
    """Return behaviour → share of a text, or of the default as far as the task knows it.

    Raises:
        InputError: If the text is unusable, or names what the task does not know.
    """
    known = bed.behaviours
    if not text:
        shares = {name: share for name, share in parse_mix(default).items() if name in known}
        return {name: share / sum(shares.values()) for name, share in shares.items()}
    mix = parse_mix(text)
    unknown = [name for name in mix if name not in known]
    if unknown:
        raise InputError(
            f"--mix names {unknown[0]}, which {bed.task} does not know; there are: "
            f"{', '.join(known)}"
        )
    return mix


def assign(mix: Mapping[str, float], episodes: int, seed: int) -> list[str]:
    """Return a behaviour per episode: exact shares (largest remainders), shuffled by ``seed``."""
    wanted = {name: share * episodes for name, share in mix.items()}
    counts = {name: int(number) for name, number in wanted.items()}
    by_remainder = sorted(mix, key=lambda name: counts[name] - wanted[name])
    for name in by_remainder[: episodes - sum(counts.values())]:
        counts[name] += 1
    names = [name for name, count in counts.items() for _ in range(count)]
    return [str(name) for name in np.random.default_rng(seed).permutation(names)]


def run_episode(
    env: Any, behaviour: str, seed: int, *, expert: Callable[..., Any] = Expert
) -> SimEpisode:
    """Play one episode to its end; the same arguments give the same episode.

    Args:
        env: An environment that does not terminate on success; its state is overwritten.
        behaviour: One that the expert knows.
        seed: Seed of layout, look, goal, plan and noise.
        expert: Who plays; see `sim.beds.Bed`.

    Raises:
        InputError: If there is no such behaviour.
    """
    observation, info = env.reset(seed=seed)
    streams = generators(seed)
    player = expert(env, behaviour, rng=streams["expert"], noise_rng=streams["noise"])
    rows: list[Row] = []
    for action in player.actions():
        row = _row(observation, info, action)
        observation, reward, _, _, info = env.step(action)
        row |= {"next.success": info["is_success"], "next.reward": reward}
        rows.append(row)
    last = _row(observation, info, rows[-1]["action"])
    last |= {
        "next.success": info["is_success"],
        "next.reward": 0.0,
        "truth.is_final": True,
    }
    failed_quietly = info["failure_mode"] == "none" and not info["is_success"]
    columns = {
        "behaviour": behaviour,
        "seed": seed,
        "failure_mode": "unfinished" if failed_quietly else info["failure_mode"],
        "onset_frame": len(rows) if failed_quietly else info["onset"],
    }
    return SimEpisode(rows=[*rows, last], task=env.task_description, columns=columns)


def _row(observation: Observation, info: dict[str, Any], action: NDArray[np.float32]) -> Row:
    images = {
        f"observation.images.{view}": image for view, image in observation.get("pixels", {}).items()
    }
    return images | {
        "observation.state": observation["agent_pos"],
        "action": action,
        "truth.progress": np.float32(info["progress"]),
        "truth.stage": info["stage"],
        "truth.is_final": False,
        "truth.goals": info["goals"].astype(np.float32),
    }
