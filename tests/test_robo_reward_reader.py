"""The reader: caches, batches and view names change how it computes, never what."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch

from robo_reward import reader as module
from robo_reward.errors import InputError
from robo_reward.network import ProgressNetwork
from robo_reward.protocols import Views
from robo_reward.queries import Query, Seen
from robo_reward.reader import Reader
from robo_reward.tracker import Reading


def reader(history: int = 0, network: ProgressNetwork | None = None) -> Reader:
    return Reader(network or tiny.network(history=history), image_size=16, history=history)


def ask(made: Reader, frame: Views, past: tuple[Views, ...] = (), **changes: object) -> Query:
    """Return a question whose start and goal are two other frames."""
    shown = tiny.references()
    start, goal, now, *before = made.see([shown.start, shown.goal, frame, *past])
    query = Query(instruction="open it", start=start, goal=goal, past=tuple(before), frame=now)
    return replace(query, **changes)  # type: ignore[arg-type]


def gap(one: Reading, two: Reading) -> float:
    gaps = []
    for name, value in vars(one).items():
        other = getattr(two, name)
        if value is None or name == "hops":
            assert (other is None) == (value is None), name
            continue
        assert math.isnan(value) == math.isnan(other), name
        gaps.append(0.0 if math.isnan(value) else abs(value - other))
    return max(gaps)


def counted(made: Reader) -> list[int]:
    """Return a list that grows by the number of images of each encoding."""
    counts: list[int] = []
    encode = made.network.backbone.encode

    def counting(images: torch.Tensor) -> torch.Tensor:
        counts.append(len(images))
        return encode(images)  # type: ignore[no-any-return]

    made.network.backbone.encode = counting  # type: ignore[method-assign, assignment]
    return counts


def test_equal_pixels_are_encoded_once() -> None:
    made = reader()
    counts = counted(made)
    first, second = tiny.episode(2)
    made.see([first, second, first])
    made.see([second])
    assert counts == [6]


def test_what_was_forgotten_is_encoded_anew_in_the_batches_of_now() -> None:
    made = reader()
    first, second = tiny.episode(2)
    made.read([ask(made, first)])
    counts = counted(made)
    made.see([first, second])
    made.forget()
    made.read([ask(made, first)])
    others = reader()
    again = counted(others)
    others.read([ask(others, first)])
    assert counts[-len(again) :] == again
    assert len(counts) == len(again) + 1


@pytest.mark.parametrize("history", [0, 2])
def test_queries_read_together_read_as_alone_and_as_after_others(history: int) -> None:
    frames = tiny.episode(6)
    network = tiny.network(history=history)
    made = reader(history, network)
    queries = [ask(made, frames[t], tuple(frames[max(0, t - 3) : t])) for t in range(6)]
    queries[2] = replace(queries[2], instruction="close it")
    queries[4] = replace(queries[4], goal=Seen())
    together = made.read(queries)
    for query, reading in zip(queries, together, strict=True):
        assert gap(made.read([query])[0], reading) <= 1e-5
        assert gap(reader(history, network).read([query])[0], reading) <= 1e-5


def test_reading_together_in_bfloat16() -> None:
    made = reader(network=tiny.network().bfloat16())
    queries = [ask(made, frame) for frame in tiny.episode(6)]
    for query, reading in zip(queries, made.read(queries), strict=True):
        alone = made.read([query])[0]
        assert abs(alone.hop_start - reading.hop_start) <= 5e-3
        assert abs(alone.success - reading.success) <= 5e-3


def test_a_reading_in_bfloat16_is_not_rounded_to_bins_of_bfloat16() -> None:
    made = reader(network=tiny.network().bfloat16())
    values = [made.read([ask(made, frame)])[0].hop_start for frame in tiny.episode(8)]
    assert any(float(torch.tensor(v).bfloat16()) != v for v in values)


def test_the_order_of_cameras_does_not_matter() -> None:
    (frame,) = tiny.episode(1)
    turned = {name: frame[name] for name in reversed(frame)}
    made = reader()
    assert gap(made.read([ask(made, frame)])[0], made.read([ask(made, turned)])[0]) == 0.0


def test_a_missing_view_is_not_a_copy_of_another() -> None:
    (frame,) = tiny.episode(1)
    made = reader()
    missing = {name: image for name, image in frame.items() if name != "side"}
    copied = {**frame, "side": frame["front"]}
    one, two = (made.read([ask(made, shown)])[0] for shown in (missing, copied))
    assert gap(one, two) > 1e-3


def test_a_view_that_nothing_shows_changes_nothing_for_others_in_the_pass() -> None:
    made = reader()
    few = ask(made, {"front": tiny.episode(1)[0]["front"]}, start=Seen(), goal=Seen())
    many = ask(made, tiny.episode(1, seed=5)[0])
    assert gap(made.read([few, many])[0], made.read([few])[0]) <= 1e-5


def test_missing_references_are_nan_and_read_without_crash() -> None:
    made = reader()
    (frame,) = tiny.episode(1)
    blind = made.read([ask(made, frame, start=Seen(), goal=Seen())])[0]
    assert math.isnan(blind.hop_start)
    assert math.isnan(blind.hop_goal)
    assert math.isnan(blind.spread_start)
    assert math.isfinite(blind.success)
    half = made.read([ask(made, frame, goal=Seen())])[0]
    assert math.isfinite(half.hop_start)
    assert math.isnan(half.hop_goal)


def test_the_distributions_of_the_hops_are_those_whose_means_are_told() -> None:
    made = reader()
    frame, later = tiny.episode(2)
    first, second = made.read([ask(made, frame, goal=Seen()), ask(made, later, (frame,))])
    assert first.hops is not None
    assert second.hops is not None
    assert np.isnan(first.hops).any(axis=1).tolist() == [True, False, True]
    assert second.hops.sum(axis=1) == pytest.approx([1.0, 1.0, 1.0])
    means = second.hops @ np.linspace(-1.0, 1.0, 51)
    told = [second.hop_previous, second.hop_start, second.hop_goal]
    assert means == pytest.approx(told, abs=1e-6)


def test_the_first_query_has_moved_nothing() -> None:
    made = reader()
    frame, later = tiny.episode(2)
    assert made.read([ask(made, frame)])[0].hop_previous == 0.0
    assert made.read([ask(made, later, (frame,))])[0].hop_previous != 0.0


def test_history_is_seen_where_the_network_has_some() -> None:
    frames = tiny.episode(4)
    for history, differs in ((0, False), (2, True)):
        made = reader(history)
        short = made.read([ask(made, frames[3], (frames[2],))])[0]
        long = made.read([ask(made, frames[3], (frames[0], frames[1], frames[2]))])[0]
        assert (gap(short, long) > 1e-4) == differs


def test_a_frame_without_views_is_refused() -> None:
    made = reader()
    with pytest.raises(InputError, match="at least one"):
        made.read([ask(made, {})])


def test_nothing_asked_is_nothing_answered() -> None:
    assert reader().read([]) == []
    assert reader().see([]) == []


def test_the_caches_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_reward.reader._FEATURES_KEPT", 5)
    monkeypatch.setattr("robo_reward.reader._PREFIXES_KEPT", 2)
    made = reader()
    frames = tiny.episode(4)
    queries = [replace(ask(made, frame), instruction=f"task {t}") for t, frame in enumerate(frames)]
    first = made.read(queries)
    assert len(made._features) == 5
    assert len(made._prefixes) == 2
    for one, two in zip(made.read(queries), first, strict=True):
        assert gap(one, two) <= 1e-5


def small(made: Reader, most: int) -> list[int]:
    """Let passes of more queries than ``most`` run out of memory; return how many each had."""
    counts: list[int] = []
    read = made.network.backbone.read

    def limited(
        prefix: object, index: torch.Tensor, panel: object, told: object = None
    ) -> torch.Tensor:
        counts.append(len(index))
        if len(index) > most:
            raise torch.OutOfMemoryError("too many")
        return read(prefix, index, panel, told)  # type: ignore[no-any-return]

    made.network.backbone.read = limited  # type: ignore[method-assign, assignment]
    return counts


def test_a_pass_that_does_not_fit_is_made_in_parts_and_says_the_same() -> None:
    made, limited = reader(), reader()
    counts = small(limited, most=3)
    frames = tiny.episode(10)
    expected = made.read([ask(made, frame) for frame in frames])
    got = limited.read([ask(limited, frame) for frame in frames])
    assert counts == [10, 5, 3, 2, 3, 2]
    assert max(gap(*pair) for pair in zip(got, expected, strict=True)) <= 1e-5
    counts.clear()
    limited.read([ask(limited, frame) for frame in frames])
    assert counts == [3, 3, 3, 1], "what was too much once is not tried again"


def test_a_query_that_does_not_fit_alone_is_told() -> None:
    made = reader()
    small(made, most=0)
    with pytest.raises(InputError, match="one query does not fit the device's memory; use a lar"):
        made.read([ask(made, frame) for frame in tiny.episode(2)])


def test_kept_features_and_prefixes_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = reader()
    made.read([ask(made, frame) for frame in tiny.episode(2)])
    one = next(iter(made._features.values())).nbytes
    prefix = next(iter(made._prefixes.values()))
    length = prefix.there.shape[1]
    kept = 2 * 2 * length * 20 * 4 + length + 3 * 20 * 4 + 20 * 4
    assert module._bytes(prefix) == kept, "keys and values of two blocks, mask, names, digest"
    monkeypatch.setattr(module, "_FEATURE_BYTES", 5 * one + 1)
    monkeypatch.setattr(module, "_PREFIX_BYTES", 2 * kept)
    for text in ("one", "two", "six"):
        made.read([ask(made, tiny.episode(1)[0], instruction=text)])
    assert len(made._features) == 5
    assert len(made._prefixes) == 2
