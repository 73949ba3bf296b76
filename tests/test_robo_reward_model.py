"""Sessions and labels: causal, independent, the same however they are asked for."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny

from robo_reward.calibration import Calibration
from robo_reward.errors import InputError
from robo_reward.model import Model, ModelSettings, query_stride
from robo_reward.protocols import References
from robo_reward.testing import HARD_TEXTS, check_progress_model
from robo_reward.tracker import TrackerSettings

TEXT = "open the drawer"
CERTAIN = TrackerSettings(calibration=Calibration(bias=0.1, slopes=(1.0, -1.0, 0.5, 0.5, 0.5)))

FUSIONS = [TrackerSettings(), TrackerSettings(fusion="filter")]


@pytest.mark.parametrize("history", [0, 2])
def test_the_model_keeps_the_promises_of_a_progress_model(history: int) -> None:
    model = tiny.model(history=history, tracker=CERTAIN)
    check_progress_model(model, tiny.episode(6), tiny.references(), query_period_s=0.4)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("history", [0, 2])
def test_labels_never_depend_on_later_frames(history: int, fusion: TrackerSettings) -> None:
    frames = tiny.episode(150)  # queries every 2 frames: more than one pass
    model = tiny.model(history=history, tracker=fusion)
    whole = model.label(frames, TEXT, tiny.references(), fps=5)
    for count in (1, 2, 7, 128, 129, 149):
        again = tiny.model(history=history, tracker=fusion)
        cut = again.label(frames[:count], TEXT, tiny.references(), fps=5)
        assert len(cut.progress) == count
        assert tiny.furthest(cut, whole, count) <= 1e-5


def test_other_later_frames_change_no_label() -> None:
    one, two = tiny.episode(40), tiny.episode(40, seed=1)
    first = tiny.model().label(one, TEXT, tiny.references(), fps=2.5)
    second = tiny.model().label(one[:25] + two[25:], TEXT, tiny.references(), fps=2.5)
    assert tiny.furthest(second, first, 25) <= 1e-5
    assert np.abs(second.forward[25:] - first.forward[25:]).max() > 1e-3


@pytest.mark.parametrize("fusion", FUSIONS)
def test_labels_are_the_verdicts_of_a_session(fusion: TrackerSettings) -> None:
    frames, model = tiny.episode(24), tiny.model(tracker=fusion)
    labels = model.label(frames, TEXT, tiny.references(), fps=10)
    session = model.begin(TEXT, tiny.references())
    verdicts = [model.score(session, views, t / 10) for t, views in enumerate(frames)]
    for name in tiny.COLUMNS:
        told = [getattr(verdict, name) for verdict in verdicts]
        assert getattr(labels, name) == pytest.approx(told, abs=1e-5)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_labels_in_bfloat16_do_not_depend_on_the_pass(fusion: TrackerSettings) -> None:
    frames = tiny.episode(70)
    model = tiny.model(tracker=fusion)
    model.network.bfloat16()
    whole = model.label(frames, TEXT, tiny.references(), fps=2.5)
    for count in (1, 65):
        cut = model.label(frames[:count], TEXT, tiny.references(), fps=2.5)
        assert tiny.furthest(cut, whole, count) <= 5e-3


def test_rows_between_queries_hold_the_last_verdict() -> None:
    labels = tiny.model().label(tiny.episode(11), TEXT, tiny.references(), fps=10)
    steps = labels.progress.reshape(-1)[:8].reshape(2, 4)
    assert np.all(steps == steps[:, :1])
    assert len(np.unique(labels.progress)) == 3
    assert labels.features.shape == (11, 5)


def test_labels_of_queried_frames_alone_are_the_same() -> None:
    frames, model = tiny.episode(11), tiny.model()
    whole = model.label(frames, TEXT, tiny.references(), fps=10)
    few = model.label_queries(iter(frames[::4]), TEXT, tiny.references(), query=np.arange(11) // 4)
    assert tiny.furthest(few, whole) == 0.0


@pytest.mark.parametrize("query", [[], [-1], [3]])
def test_frames_that_hold_a_verdict_that_is_not_there_are_refused(query: list[int]) -> None:
    with pytest.raises(InputError, match="number the 3 queries"):
        tiny.model().label_queries(
            tiny.episode(3), TEXT, tiny.references(), query=np.array(query, np.int64)
        )


def test_the_stride_is_the_period_in_frames_and_at_least_one() -> None:
    model = tiny.model()
    assert [model.stride(fps) for fps in (30, 10, 5, 1)] == [12, 4, 2, 1]


@pytest.mark.parametrize("fps", [6, 8, 12.5, 16, 18, 20, 29.97, 30])
def test_labels_and_sessions_ask_about_the_same_frames(fps: float) -> None:
    asked: dict[float, None] = {}
    model, frames = tiny.model(), tiny.episode(30)
    session = model.begin(TEXT, tiny.references())
    for number, views in enumerate(frames):
        model.score(session, views, number / fps)
        asked[session.asked] = None
    every = model.stride(fps)
    assert list(asked) == [number / fps for number in range(0, 30, every)]


@pytest.mark.parametrize(
    ("period", "fps", "stride"),
    [(0.2, 20, 4), (0.4, 20, 8), (0.4, 12.5, 5), (0.4, 30, 12), (0.4, 6, 3), (0.4, 18, 8)],
)
def test_the_stride_is_the_first_frame_that_is_due(period: float, fps: float, stride: int) -> None:
    assert query_stride(period, fps) == stride


def test_the_order_of_cameras_changes_no_label() -> None:
    frames = tiny.episode(8)
    turned = [{name: views[name] for name in reversed(views)} for views in frames]
    given = tiny.references()
    swapped = References(
        start={name: given.start[name] for name in reversed(given.start)}, goal=given.goal
    )
    one = tiny.model().label(frames, TEXT, given, fps=2.5)
    two = tiny.model().label(turned, TEXT, swapped, fps=2.5)
    assert tiny.furthest(one, two) == 0.0


def test_views_may_come_and_go() -> None:
    frames = tiny.episode(6)
    frames[2] = {"wrist": frames[2]["wrist"]}
    frames[3] = {name: frames[3][name] for name in ("front", "side")}
    labels = tiny.model().label(frames, TEXT, tiny.references(), fps=2.5)
    assert np.isfinite(labels.progress).all()


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_any_instruction_can_be_judged(text: str) -> None:
    labels = tiny.model().label(tiny.episode(3), text, tiny.references(), fps=2.5)
    assert np.isfinite(labels.progress).all()


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_a_session_with_any_instruction_leaves_others_alone(text: str) -> None:
    frame, other = tiny.episode(2)

    def judged(beside: str) -> float:
        model = tiny.model()
        sessions = [model.begin(t, tiny.references()) for t in (TEXT, beside)]
        return model.score_many(sessions, [frame, other], [0.0, 0.0])[0].progress

    assert judged(text) == pytest.approx(judged("push"), abs=1e-6)


def test_without_references_only_hops_count_and_confidence_is_capped() -> None:
    labels = tiny.model(tracker=CERTAIN).label(tiny.episode(5), TEXT, References(), fps=2.5)
    assert np.isnan(labels.forward).all()
    assert np.isnan(labels.backward).all()
    assert np.array_equal(labels.progress, labels.incremental)
    assert labels.progress[0] == 0.0
    assert labels.confidence.max() <= 0.5


def test_one_seed_gives_one_set_of_labels() -> None:
    one, two, other = (
        tiny.model(seed).label(tiny.episode(9), TEXT, tiny.references(), fps=2.5)
        for seed in (0, 0, 1)
    )
    assert tiny.furthest(one, two) == 0.0
    assert np.abs(one.progress - other.progress).max() > 1e-3


def test_sessions_at_different_times_are_scored_in_one_call() -> None:
    model, frames = tiny.model(), tiny.episode(3)
    early, late = (model.begin(TEXT, tiny.references()) for _ in range(2))
    first = model.score(early, frames[0], 0.0)
    got = model.score_many([early, late], [frames[1], frames[2]], [0.1, 7.0])
    assert got[0] == first
    assert not math.isnan(got[1].progress)
    assert model.score_many([], [], []) == []


def test_a_refused_frame_leaves_the_session_as_it_was() -> None:
    model, frames = tiny.model(), tiny.episode(2)
    session, twin = (model.begin(TEXT, tiny.references()) for _ in range(2))
    for made in (session, twin):
        model.score(made, frames[0], 0.0)
    for wrong in ({}, {"front": np.zeros((4, 4, 3))}):
        with pytest.raises(InputError):
            model.score(session, wrong, 0.4)
    assert model.score(session, frames[1], 0.8) == model.score(twin, frames[1], 0.8)


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_a_time_that_is_none_is_refused(time: float) -> None:
    model = tiny.model()
    session = model.begin(TEXT, tiny.references())
    with pytest.raises(InputError, match="finite seconds"):
        model.score(session, tiny.episode(1)[0], time)


def test_a_time_before_that_of_the_newest_frame_is_refused_due_or_not() -> None:
    model, frames = tiny.model(), tiny.episode(2)
    session = model.begin(TEXT, tiny.references())
    for time in (0.0, 0.3, 0.3):
        held = model.score(session, frames[0], time)
    with pytest.raises(InputError, match=r"0\.2 s came after one of 0\.3 s.* begin a new session"):
        model.score(session, frames[1], 0.2)
    assert model.score(session, frames[0], 0.3) is held
    assert model.score(session, frames[1], 0.4) is not held


def test_an_empty_episode_is_refused() -> None:
    with pytest.raises(InputError, match="no frame to label"):
        tiny.model().label([], TEXT, tiny.references(), fps=10)


def test_a_malformed_reference_is_refused() -> None:
    wrong = replace(tiny.references(), goal={"front": np.zeros((4, 4), np.uint8)})
    with pytest.raises(InputError, match=r"'front' must have shape \(H, W, 3\)"):
        tiny.model().begin(TEXT, wrong)


@pytest.mark.parametrize("period", [0.0, -1.0, math.nan, math.inf])
def test_a_query_period_that_is_no_time_is_refused(period: float) -> None:
    with pytest.raises(InputError, match="query_period_s must be positive"):
        ModelSettings(image_size=16, query_period_s=period)


def test_a_network_without_an_image_size_is_refused() -> None:
    with pytest.raises(InputError, match="a network judges images of one size"):
        Model(tiny.network(), ModelSettings(image_size=None), fingerprint="")
