"""How far progress moves when a view is left out: by hand, and independent of how it is asked."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from tiny_vlm import make_tiny_vlm

from data.adapt import Adapt
from data.compaction import FILE
from data.decoding import DecodeConfig
from data.label import Label
from data.train import Train
from robo_reward.calibration import Calibration
from robo_reward.checkpoint import CONFIG, build, load
from robo_reward.config import HfConfig
from robo_reward.errors import InputError
from robo_reward.model import Model, ModelSettings
from robo_reward.protocols import References, Views
from robo_reward.reader import Query, Reader, Seen
from robo_reward.testing import check_progress_model
from robo_reward.tracker import Reading, Tracker, TrackerSettings, anchored

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = "open the drawer"
SURE = Calibration(bias=0.1, slopes=(1.0, -1.0, 0.5, 0.5, 0.5, -3.0))
COMPARED = TrackerSettings(calibration=SURE)


def model(history: int = 0) -> Model:
    return tiny.model(history=history, tracker=COMPARED, view_disagreement=True)


def reader(*, compare_views: bool = True) -> Reader:
    return Reader(tiny.network(), image_size=16, history=0, compare_views=compare_views)


def ask(made: Reader, frame: Views, references: References, past: tuple[Views, ...] = ()) -> Query:
    start, goal, now, *before = made.see([references.start, references.goal, frame, *past])
    return Query(instruction=TEXT, start=start, goal=goal, past=tuple(before), frame=now)


def less(views: Views, left_out: str) -> Views:
    return {name: image for name, image in views.items() if name != left_out}


def told(reading: Reading) -> float:
    assert reading.view_disagreement is not None
    return reading.view_disagreement


def test_it_is_how_far_progress_moves_when_nobody_shows_that_view() -> None:
    frame, before = tiny.episode(2)
    shown, plain = tiny.references(), reader(compare_views=False)
    whole = anchored(plain.read([ask(plain, frame, shown, (before,))])[0])
    moves = []
    for view in tiny.VIEWS:
        ends = References(start=less(shown.start, view), goal=less(shown.goal, view))
        query = ask(plain, less(frame, view), ends, (less(before, view),))
        moves.append(anchored(plain.read([query])[0]) - whole)
    made = reader()
    got = told(made.read([ask(made, frame, shown, (before,))])[0])
    assert got == pytest.approx(math.sqrt(np.mean(np.square(moves))), abs=1e-5)
    assert got > 1e-3


def test_it_changes_nothing_else_that_a_query_says() -> None:
    frames, one, two = tiny.episode(5), reader(), reader(compare_views=False)
    both = [made.read([ask(made, f, tiny.references()) for f in frames]) for made in (one, two)]
    for compared, plain in zip(*both, strict=True):
        assert plain.view_disagreement is None
        assert replace(compared, view_disagreement=None) == plain


def test_one_view_alone_disagrees_with_none() -> None:
    made, (frame,) = reader(), tiny.episode(1)
    alone = ask(made, {"front": frame["front"]}, tiny.references())
    assert told(made.read([alone])[0]) == 0.0


def test_only_views_that_the_frame_shows_are_left_out() -> None:
    made, (frame,) = reader(), tiny.episode(1)
    shown = less(frame, "side")
    query = ask(made, shown, tiny.references())
    whole = anchored(made.read([query])[0])
    moved = [anchored(made.read([query.without(name)])[0]) - whole for name in shown]
    assert told(made.read([query])[0]) == pytest.approx(math.sqrt(np.mean(np.square(moved))))


def test_nothing_is_known_to_move_without_an_anchor() -> None:
    made, (frame,) = reader(), tiny.episode(1)
    assert told(made.read([ask(made, frame, References())])[0]) == 0.0


def test_queries_together_alone_and_with_other_views_disagree_alike() -> None:
    made, frames = reader(), tiny.episode(6)
    queries = [ask(made, frame, tiny.references()) for frame in frames]
    queries[1] = ask(made, less(frames[1], "wrist"), tiny.references())
    queries[2] = replace(queries[2], instruction="close it")
    queries[4] = replace(queries[4], goal=Seen())
    together = made.read(queries)
    for query, reading in zip(queries, together, strict=True):
        assert abs(told(made.read([query])[0]) - told(reading)) <= 1e-5
        assert abs(told(reader().read([query])[0]) - told(reading)) <= 1e-5


def test_it_takes_one_pass_more_a_view_and_encodes_no_image_twice() -> None:
    made, frames = reader(), tiny.episode(4)
    read, encode, passes, images = made.network.seam.read, made.network.seam.encode, [], []
    made.network.backbone.read = lambda p, i, panel, told: (
        passes.append(len(i)),
        read(p, i, panel, told),
    )[1]  # type: ignore[assignment, method-assign]
    made.network.backbone.encode = lambda given: (images.append(len(given)), encode(given))[1]  # type: ignore[assignment, method-assign]
    made.read([ask(made, frame, tiny.references()) for frame in frames])
    assert passes == [4, 4, 4, 4]
    assert sum(images) == 3 * (4 + 2)


@pytest.mark.parametrize("history", [0, 2])
def test_a_model_that_compares_views_keeps_its_promises(history: int) -> None:
    made = model(history)
    check_progress_model(made, tiny.episode(6), tiny.references(), query_period_s=0.4)


def test_labels_do_not_look_ahead_nor_depend_on_the_order_of_cameras() -> None:
    frames, shown = tiny.episode(150), tiny.references()
    whole = model().label(frames, TEXT, shown, fps=5)
    assert len(set(whole.view_disagreement.tolist())) > 50
    assert whole.features.shape == (150, 6)
    for count in (1, 7, 129):
        cut = model().label(frames[:count], TEXT, shown, fps=5)
        assert cut.view_disagreement == pytest.approx(whole.view_disagreement[:count], abs=1e-5)
        assert cut.confidence == pytest.approx(whole.confidence[:count], abs=1e-5)
    turned = [{name: frame[name] for name in reversed(frame)} for frame in frames]
    again = model().label(turned, TEXT, shown, fps=5)
    assert np.array_equal(again.view_disagreement, whole.view_disagreement)


def test_confidence_falls_as_views_disagree() -> None:
    reading = Reading(
        hop_previous=0.0,
        hop_start=0.5,
        hop_goal=-0.5,
        spread_previous=0.1,
        spread_start=0.1,
        spread_goal=0.1,
        success=0.0,
        match=1.0,
    )
    sure = [
        Tracker(COMPARED).update(replace(reading, view_disagreement=moved)).confidence
        for moved in (0.0, 0.5)
    ]
    logits = [math.log(p / (1 - p)) for p in sure]
    assert logits[0] - logits[1] == pytest.approx(3.0 * 0.5)


def test_a_calibration_must_have_been_fitted_with_it() -> None:
    plain = Calibration(bias=0.1, slopes=(1.0, -1.0, 0.5, 0.5, 0.5))
    for fitted, compared in ((plain, True), (SURE, False)):
        with pytest.raises(InputError, match="features, and view_disagreement is"):
            ModelSettings(
                image_size=16,
                tracker=TrackerSettings(calibration=fitted),
                view_disagreement=compared,
            )


def test_a_trained_model_keeps_it_and_labels_have_a_column(
    train_command: Train, tiny_dataset: Path, tmp_path: Path
) -> None:
    train_command.run()
    assert "view_disagreement" not in (train_command.out / "best" / CONFIG).read_text()
    compared = replace(train_command, out=tmp_path / "compared", view_disagreement=True)
    compared.run()
    stored = json.loads((compared.out / "best" / CONFIG).read_text())
    assert stored["settings"]["view_disagreement"] is True
    assert len(stored["settings"]["tracker"]["calibration"]["slopes"]) == 6
    assert load(compared.out).further == ("view_disagreement",)
    Label(
        dataset=str(tiny_dataset),
        model=compared.out,
        out=tmp_path / "labels",
        decode=DecodeConfig(processes=0),
    ).run()
    table = pq.read_table(tmp_path / "labels" / FILE)
    assert table.schema.names[-2:] == ["view_disagreement", "valid"]
    assert (table["view_disagreement"].to_numpy() >= 0).all()
    adapt = Adapt(model=compared.out, dataset=compared.dataset, out=tmp_path / "adapted")
    assert adapt.command().view_disagreement


def test_a_pretrained_backbone_masks_the_view_where_it_stands(tmp_path: Path) -> None:
    base = str(make_tiny_vlm(tmp_path / "vlm", "qwen3_vl", scale=4.0))
    torch.manual_seed(0)
    network = build(HfConfig(base=base, image_size=32, lora_rank=0, dtype="fp32"))
    made = Reader(network, image_size=32, history=0, compare_views=True)
    frames = tiny.episode(3)
    queries = [ask(made, frame, tiny.references()) for frame in frames]
    together = made.read(queries)
    for query, reading in zip(queries, together, strict=True):
        assert told(reading) > 0.0
        assert abs(told(made.read([query])[0]) - told(reading)) <= 1e-5
    masked = replace(queries[0], frame=queries[0].frame.without("side"))
    assert told(made.read([masked])[0]) != told(together[0])
