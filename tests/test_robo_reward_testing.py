"""The shipped fakes keep the promises, and the shipped checks notice who breaks one."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from robo_reward.errors import InputError
from robo_reward.fake_backbone import FakeBackbone, FakePrefix
from robo_reward.protocols import Panel, References, Verdict, Views
from robo_reward.testing import FakeProgressModel, check_backbone, check_progress_model


def grey(level: float) -> Views:
    return {"front": np.full((4, 4, 3), round(255 * level), np.uint8)}


GREYS = [grey(level) for level in (0.0, 0.2, 0.6, 1.0)]
GIVEN = References(start=grey(0.0), goal=grey(1.0))


def run(model: FakeProgressModel, instruction: str, given: References) -> list[Verdict]:
    session = model.begin(instruction, given)
    return [model.score(session, views, 0.4 * t) for t, views in enumerate(GREYS)]


@pytest.mark.parametrize("history", [0, 2])
def test_the_fake_backbone_keeps_its_promises(history: int) -> None:
    check_backbone(FakeBackbone(history=history), image_size=12, history=history)


def test_the_fake_backbone_is_the_same_every_time() -> None:
    torch.manual_seed(1)
    one = FakeBackbone().state_dict()
    torch.manual_seed(2)
    two = FakeBackbone().state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_fake_model_keeps_its_promises() -> None:
    check_progress_model(FakeProgressModel(), GREYS, GIVEN, query_period_s=0.4)


def test_the_fake_model_reads_progress_off_the_pixels() -> None:
    verdicts = run(FakeProgressModel(), "any", GIVEN)
    assert [v.progress for v in verdicts] == pytest.approx([0.0, 0.2, 0.6, 1.0])
    assert [v.incremental for v in verdicts] == pytest.approx([0.0, 0.2, 0.6, 1.0])
    assert [v.success for v in verdicts] == [False] * 4
    assert verdicts[3].success_prob == 0.0, "success needs two queries"


def test_the_fake_model_can_be_scripted_and_told_what_is_pursued() -> None:
    script = {id(views): phi for views, phi in zip(GREYS, (0.9, 0.95, 0.97, 0.1), strict=True)}
    model = FakeProgressModel(progress=lambda views: script[id(views)], instruction="open")
    told = run(model, "open", GIVEN)
    assert [v.success for v in told] == [False, False, True, False]
    assert all(v.valid for v in told)
    assert [v.valid for v in run(model, "close", GIVEN)] == [True, False, False, False]


def test_the_fake_model_without_references_says_what_it_cannot_know() -> None:
    verdicts = run(FakeProgressModel(), "any", References())
    assert all(math.isnan(v.forward) and math.isnan(v.backward) for v in verdicts)
    with pytest.raises(InputError, match="at least one"):
        FakeProgressModel().score(FakeProgressModel().begin("any", GIVEN), {}, 0.0)


class Copies(FakeBackbone):
    """Reads whatever stands in for a missing view."""

    def read(
        self, prefix: FakePrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        return super().read(
            prefix, index, Panel(tokens=panel.tokens, there=torch.ones_like(panel.there)), told
        )


class ByPlace(FakeBackbone):
    """Tells views apart by their order."""

    def prefix(self, instructions: Any, views: Any, panel: Panel) -> FakePrefix:
        return super().prefix(instructions, [str(i) for i in range(len(views))], panel)


class Leaks(FakeBackbone):
    """Lets the queries of a batch see each other."""

    def read(
        self, prefix: FakePrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        slots = super().read(prefix, index, panel, told)
        return slots - slots.mean(dim=0)


class Normalises(FakeBackbone):
    """Lets the images of a batch see each other."""

    def encode(self, images: Tensor) -> Tensor:
        tokens = super().encode(images)
        return tokens - tokens.mean(dim=0)


class StacksBackwards(FakeBackbone):
    """Loses the order of prefixes."""

    def stack(self, prefixes: Any) -> FakePrefix:
        return super().stack(prefixes[::-1])


class Forgetful(FakeBackbone):
    """Answers the same question differently."""

    def read(
        self, prefix: FakePrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        slots = super().read(prefix, index, panel, told)
        return slots + torch.rand_like(slots)


class Deaf(FakeBackbone):
    """Does not hear what it is told."""

    def read(
        self, prefix: FakePrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        return super().read(prefix, index, panel)


class TellsAll(FakeBackbone):
    """Tells every query what one is told."""

    def read(
        self, prefix: FakePrefix, index: Tensor, panel: Panel, told: Tensor | None = None
    ) -> Tensor:
        spread = None if told is None else told.mean(dim=0, keepdim=True).expand_as(told)
        return super().read(prefix, index, panel, spread)


class Parses(FakeBackbone):
    """Takes an instruction for a template and reads beyond its row."""

    def prefix(self, instructions: Any, views: Any, panel: Panel) -> FakePrefix:
        made = super().prefix(instructions, views, panel)
        shift = sum(text.count("<image>") for text in instructions)
        return FakePrefix(made.state.roll(shift, dims=0), made.names)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Copies, "what stands in for a missing view does not matter"),
        (ByPlace, "told apart by name"),
        (Leaks, "a kept prefix reads as a fresh one"),
        (Normalises, "tokens of an image do not depend on its batch"),
        (StacksBackwards, "stacked prefixes read as prefixes made together"),
        (Forgetful, "the same question has the same answer"),
        (Deaf, "what a query is told must reach its slots"),
        (TellsAll, "what one query is told leaves the others alone"),
        (Parses, "'<image>' of 7 characters must leave other queries alone"),
    ],
)
def test_a_broken_backbone_is_told_which_promise_it_breaks(
    broken: Callable[[], FakeBackbone], promise: str
) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_backbone(broken(), image_size=12)


class Broken(FakeProgressModel):
    """Changes verdicts on their way out."""

    def change(self, verdict: Verdict, session: Any, time: float) -> Verdict:
        raise NotImplementedError

    def score(self, session: Any, views: Views, time: float) -> Verdict:
        return self.change(super().score(session, views, time), session, time)


class Boastful(Broken):
    def change(self, verdict: Verdict, session: Any, time: float) -> Verdict:
        return replace(verdict, success_prob=1.5)


class MakesUpAnchors(Broken):
    def change(self, verdict: Verdict, session: Any, time: float) -> Verdict:
        return replace(verdict, backward=np.nan_to_num(verdict.backward))


class Restless(Broken):
    def change(self, verdict: Verdict, session: Any, time: float) -> Verdict:
        return replace(verdict, match_prob=1.0 - time / 1e3)


class Confuses(Broken):
    """Keeps one memory for all sessions."""

    def change(self, verdict: Verdict, session: Any, time: float) -> Verdict:
        if not hasattr(session.tracker, "calls"):
            session.tracker.calls = MEMORY["calls"]
        MEMORY["calls"] += 1
        return replace(verdict, match_prob=1.0 / (1 + session.tracker.calls))


MEMORY = {"calls": 0}


class Reorders(FakeProgressModel):
    def score_many(self, sessions: Any, views: Any, times: Any) -> list[Verdict]:
        return super().score_many(sessions, views, times)[::-1]


class GoesBack(FakeProgressModel):
    """Takes a frame from before the newest for one that is not due."""

    def score(self, session: Any, views: Views, time: float) -> Verdict:
        return super().score(session, views, max(time, session.shown))


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (Boastful, r"success_prob must lie in \[0, 1\]"),
        (MakesUpAnchors, "backward is NaN exactly where its reference is missing"),
        (Restless, "between queries the last verdict is held"),
        (Confuses, "leaves no trace"),
        (Reorders, "score_many is score"),
        (GoesBack, "a time that goes back is refused"),
    ],
)
def test_a_broken_model_is_told_which_promise_it_breaks(
    broken: Callable[[], FakeProgressModel], promise: str
) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_progress_model(broken(), GREYS, GIVEN, query_period_s=0.4)


def test_too_little_to_check_with_is_told() -> None:
    model = FakeProgressModel()
    with pytest.raises(AssertionError, match="at least 4 frames"):
        check_progress_model(model, GREYS[:3], GIVEN, query_period_s=0.4)
    with pytest.raises(AssertionError, match="start reference"):
        check_progress_model(model, GREYS, References(), query_period_s=0.4)


def test_fakes_of_progress_need_no_torch() -> None:
    code = (
        "import sys, robo_reward.testing as t; t.FakeProgressModel(); t.check_progress_model; "
        "assert 'torch' not in sys.modules; t.FakeBackbone(); assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_name_that_is_not_there_is_told() -> None:
    import robo_reward.testing as testing

    with pytest.raises(AttributeError, match="no attribute 'FakeRobot'"):
        _ = testing.FakeRobot  # type: ignore[attr-defined]


def test_the_trained_shape_and_the_fake_are_exchangeable_in_the_network() -> None:
    from robo_reward.model import Model, ModelSettings
    from robo_reward.network import ProgressNetwork

    network = ProgressNetwork(FakeBackbone(), 8)
    model = Model(network, ModelSettings(image_size=tiny.SIZE), fingerprint="fake")
    check_progress_model(model, tiny.episode(4), tiny.references(), query_period_s=0.4)
