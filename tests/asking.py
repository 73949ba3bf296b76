"""Clients in processes of their own, which check every answer; no torch, so they start at once."""

import multiprocessing
import time
from typing import Any

import numpy as np

from robo_reward.protocols import References, Views
from robo_reward.serving import connect

FRAMES, TEXT = 20, "close the drawer"
NUMBERS = ("progress", "forward", "backward", "incremental", "success_prob", "match_prob")


def shown(number: int, size: int) -> tuple[References, list[Views]]:
    """What a client shows: its own references and frames."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (FRAMES + 2, 3, size, size, 3), np.uint8)
    frames: list[Views] = [
        dict(zip(("front", "side", "wrist"), frame, strict=True)) for frame in pixels
    ]
    return References(start=frames[0], goal=frames[1]), frames[2:]


def said(model: Any, number: int, size: int) -> np.ndarray:
    """The verdicts of a session of a client, as numbers."""
    references, frames = shown(number, size)
    session = model.begin(f"{TEXT} {number}", references)
    verdicts = [model.score(session, frame, 0.1 * n) for n, frame in enumerate(frames)]
    return np.array([[getattr(one, name) for name in NUMBERS] for one in verdicts])


def client(address: str, number: int, size: int, expected: np.ndarray, end: float, to: Any) -> None:
    """Ask until the end; tell how many answers there were and how far the worst was off."""
    count, worst = 0, 0.0
    with connect(address, deadline_s=60.0, begin_s=60.0) as model:
        while count == 0 or time.time() < end:
            gaps = np.abs(np.array(said(model, number, size)) - expected)
            count, worst = count + len(gaps), max(worst, float(gaps.max()))
    to.put((count, worst))


def together(address: str, expected: list[np.ndarray], size: int, seconds: float) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    told, end = context.Queue(), time.time() + seconds
    asked = [(address, n, size, one, end, told) for n, one in enumerate(expected)]
    clients = [context.Process(target=client, args=one, daemon=True) for one in asked]
    for one in clients:
        one.start()
    try:
        return [told.get(timeout=seconds + 240.0) for _ in clients]
    finally:
        for one in clients:
            one.kill()
            one.join()
