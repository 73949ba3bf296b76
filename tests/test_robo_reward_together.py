"""Episodes judged together: each as it is alone, whatever the others are."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import tiny
from test_robo_reward_belief import model as believing

from robo_reward.errors import DatasetError, InputError
from robo_reward.model import Asked, Labels, Model
from robo_reward.together import QUERIES_A_PASS

TEXT = "open the drawer"


def model(*, belief: bool) -> Model:
    """An untrained model; one that believes is told its own verdicts."""
    return believing() if belief else tiny.model()


def asked(length: int, seed: int) -> Asked:
    frames = tiny.episode(length, seed)
    return Asked(frames, TEXT, tiny.references(seed + 1), np.arange(length))


def told(labels: Labels | DatasetError) -> Labels:
    assert isinstance(labels, Labels)
    return labels


@pytest.mark.parametrize("belief", [False, True])
def test_each_is_what_it_is_alone(belief: bool) -> None:
    lengths = (5, 70, 1, 23)
    together = model(belief=belief).label_together([asked(n, n) for n in lengths])
    for length, labels in zip(lengths, together, strict=True):
        alone = model(belief=belief).label_together([asked(length, length)])[0]
        assert len(told(labels).progress) == length
        assert tiny.furthest(told(labels), told(alone)) <= 1e-5


@pytest.mark.parametrize("belief", [False, True])
def test_the_same_episodes_together_are_the_same_to_the_bit(belief: bool) -> None:
    one, two = (
        model(belief=belief).label_together([asked(9, 0), asked(70, 1)])[0] for _ in range(2)
    )
    np.testing.assert_array_equal(told(one).progress, told(two).progress)
    np.testing.assert_array_equal(told(one).features, told(two).features)


def test_verdicts_are_told_in_order_and_others_share_the_pass() -> None:
    judge, passes = model(belief=True), []
    read = judge.reader.read

    def counted(queries: list) -> list:  # type: ignore[type-arg]
        passes.append([query.belief[0] for query in queries])
        return read(queries)

    judge.reader.read = counted  # type: ignore[method-assign,assignment]
    judge.label_together([asked(3, 0), asked(2, 1)])
    assert [len(beliefs) for beliefs in passes] == [2, 2, 1]
    assert np.isnan(passes[0]).all()
    assert not np.isnan(passes[1] + passes[2]).any()


def test_frames_of_many_episodes_stay_within_a_pass() -> None:
    judge, sizes = tiny.model(), []
    see = judge.reader.see

    def counted(frames: list) -> list:  # type: ignore[type-arg]
        sizes.append(len(frames))
        return see(frames)

    judge.reader.see = counted  # type: ignore[method-assign,assignment]
    judge.label_together([asked(40, seed) for seed in range(4)])
    assert max(sizes) <= QUERIES_A_PASS


def broken(length: int) -> Iterator[dict[str, np.ndarray]]:
    yield from tiny.episode(length)
    raise DatasetError("the video ends early")


def test_an_episode_that_cannot_be_read_costs_no_other() -> None:
    bad = replace(asked(30, 0), queried=broken(20))
    first, second, third = tiny.model().label_together([asked(9, 1), bad, asked(40, 2)])
    assert str(second) == "the video ends early"
    assert tiny.furthest(told(first), told(tiny.model().label_together([asked(9, 1)])[0])) <= 1e-5
    assert len(told(third).progress) == 40
    with pytest.raises(DatasetError, match="the video ends early"):
        tiny.model().label(broken(20), TEXT, tiny.references(), fps=10)


def test_an_episode_without_a_frame_is_refused() -> None:
    with pytest.raises(InputError, match="there is no frame to label"):
        tiny.model().label_together([replace(asked(3, 0), queried=iter(()))])
    assert tiny.model().label_together([]) == []
