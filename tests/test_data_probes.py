"""Each probe: what it changes, and who passes it."""

from dataclasses import replace

import bright
import numpy as np
import pytest

from data.estimators import CLOCK, trivial_estimators, truth_estimator
from data.evaluate import Case
from data.probe_changes import at_queries
from data.probes import COUNTERFACTUAL, Probe, Shown, astray, order, probes_for, rise
from data.probing import Prober, pair_passes, pairs
from robo_reward.goals import Goal

NAN = float("nan")
PERIOD = 0.4
RISE = np.linspace(0, 1, 10).tolist()
PROBES = probes_for(("front", "side"))
OTHER = Goal(instructions=("dim the lamp",), progress=np.zeros(10), success=np.zeros(10), match=0.0)


def lamp() -> Case:
    words = ("light the lamp, please",)
    return bright.case(RISE, paraphrases=words, rivals=(OTHER,))


def changed(name: str, case: Case) -> Case | None:
    return PROBES[name].change(case, np.random.default_rng(0))


def seen(case: Case) -> list[float]:
    return [float(np.mean(list(views.values()))) / 255 for views in case.frames(1)]


def test_every_probe_says_what_must_happen_and_has_a_bound() -> None:
    for name, probe in PROBES.items():
        assert probe.name == name
        assert len(probe.says) > 20
        assert np.isfinite([probe.at_least, probe.at_most]).any()
        assert not probe.partner or PROBES[probe.partner].kind == "sensitivity"
    partnered = {name for name, probe in PROBES.items() if probe.partner}
    assert partnered == {"paraphrase", "grain", "without_front", "without_side"}


@pytest.mark.parametrize("name", ["frozen", "reversed", "shuffled", "clipped_30", "clipped_60"])
def test_frames_and_truth_move_together(name: str) -> None:
    case = changed(name, lamp())
    assert case is not None
    assert seen(case) == pytest.approx(case.truth.tolist(), abs=0.003)
    lengths = {"clipped_30": 3, "clipped_60": 6}
    assert len(case.done) == len(case.truth) == lengths.get(name, 10)


def test_words_change_and_pixels_stay() -> None:
    wrong, told = changed(COUNTERFACTUAL, lamp()), changed("paraphrase", lamp())
    assert wrong is not None
    assert told is not None
    assert (wrong.instruction, wrong.truth.max(), wrong.match) == ("dim the lamp", 0.0, 0.0)
    assert told.instruction == "light the lamp, please"
    assert seen(wrong) == seen(told) == seen(lamp())


def test_what_is_obscured_cannot_be_known() -> None:
    case = changed("black_frames", lamp())
    assert case is not None
    assert seen(case)[3:] == [0.0] * 7
    assert case.truth.tolist() == pytest.approx([*RISE[:3], *[RISE[2]] * 7])


@pytest.mark.parametrize("name", ["sticker", "goal_photo"])
def test_whoever_says_that_it_is_done_says_so_early(name: str) -> None:
    case = changed(name, lamp())
    assert case is not None
    assert case.truth.tolist() == pytest.approx(RISE[:3])
    assert not case.done.any()
    plain, shown = seen(lamp())[:3], seen(case)
    assert all(after > before + 0.05 for before, after in zip(plain, shown, strict=True))


def test_a_view_is_taken_away_in_every_frame() -> None:
    case = changed("without_front", lamp())
    assert case is not None
    assert {name for views in case.frames(1) for name in views} == {"side"}


def test_grain_moves_pixels_and_nothing_else() -> None:
    case = changed("grain", lamp())
    assert case is not None
    assert case.truth.tolist() == RISE
    assert seen(case)[1:-1] == pytest.approx(RISE[1:-1], abs=0.02)
    assert next(iter(case.frames(1)))["front"].std() > 1


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_leaves_the_plain_case_alone_and_is_the_same_again(name: str) -> None:
    case = replace(lamp(), behaviour="wrong_object")
    before = seen(case)
    first, again = changed(name, case), changed(name, case)
    assert first is not None
    assert again is not None
    assert seen(first) == seen(again)
    assert first.instruction == again.instruction
    assert (seen(case), case.truth.tolist()) == (before, RISE)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("wrong_object", lamp()),
        (COUNTERFACTUAL, replace(lamp(), rivals=())),
        (COUNTERFACTUAL, replace(lamp(), match=0.0)),
        ("paraphrase", replace(lamp(), paraphrases=())),
        ("without_front", bright.case(RISE, frames=lambda every: [{"side": np.zeros((4, 4, 3))}])),
        ("without_side", bright.case(RISE, frames=lambda every: [{"side": np.zeros((4, 4, 3))}])),
        ("goal_photo", bright.case(RISE, references=bright.References())),
    ],
)
def test_a_probe_may_not_apply(name: str, case: Case) -> None:
    assert changed(name, case) is None


def test_a_wrong_object_is_left_as_it_is() -> None:
    taken = replace(lamp(), behaviour="wrong_object")
    assert changed("wrong_object", taken) is taken


def test_with_a_single_view_none_is_taken_away() -> None:
    assert not [name for name in probes_for(("front",)) if name.startswith("without")]


def test_rows_between_queries_are_left_out() -> None:
    case = bright.case(RISE, rivals=(OTHER,))
    short = at_queries(case, list(case.frames(4)), 4)
    assert short.truth.tolist() == pytest.approx([RISE[0], RISE[4], RISE[8]])
    assert seen(short) == pytest.approx(short.truth.tolist(), abs=0.003)
    assert (short.fps, len(short.done), len(short.rivals[0].progress)) == (2.5 / 4, 3, 3)


def test_a_recorded_success_without_truth_is_taken_to_rise() -> None:
    done = np.array([0.0, 0.0, 1.0])
    recorded = bright.case([NAN] * 3, done=done)
    assert at_queries(recorded, list(recorded.frames(1)), 1).truth.tolist() == [0, 0.5, 1]
    failed = replace(recorded, done=np.zeros(3), clean=False)
    assert np.isnan(at_queries(failed, list(failed.frames(1)), 1).truth).all()


def found() -> Prober:
    estimators = {
        "model": bright.seeing(),
        **trivial_estimators(PERIOD),
        "truth": truth_estimator(PERIOD),
    }
    prober = Prober(estimators=estimators, probes=PROBES, period_s=PERIOD)
    prober.ask(replace(lamp(), behaviour="wrong_object"))
    return prober


def test_the_truth_passes_every_probe_that_applies() -> None:
    effects = found().findings().effects
    told = {name: PROBES[name].passes(values["truth"])[0] for name, values in effects.items()}
    assert told.pop("wrong_object") == 1.0
    assert set(told.values()) == {1.0}, told


def test_the_clock_fails_whatever_is_not_paired() -> None:
    effects = found().findings().effects
    passed = {name for name, values in effects.items() if PROBES[name].passes(values[CLOCK])[0]}
    assert passed == {"wrong_object", "paraphrase", "grain", "without_front", "without_side"}


def test_who_sees_passes_what_a_clock_does_not() -> None:
    effects = found().findings().effects
    assert not {name for name, of in effects.items() if not PROBES[name].passes(of["model"])[0]}


def test_a_pair_counts_only_where_the_clock_fails_it() -> None:
    effects = found().findings().effects
    asked = pairs(PROBES.values(), tuple(PROBES))
    assert [probe.name for probe in asked] == ["paraphrase", "grain", "without_front",
                                              "without_side"]  # fmt: skip
    for probe in asked:
        assert pair_passes(probe, PROBES, effects, "model").tolist() == [1.0]
        assert pair_passes(probe, PROBES, effects, CLOCK).tolist() == [0.0]
    still = {name: {**of, CLOCK: of["truth"]} for name, of in effects.items()}
    assert np.isnan(pair_passes(asked[0], PROBES, still, "model")).all()
    assert pairs(PROBES.values(), ("paraphrase",)) == []


@pytest.mark.parametrize("truth", [[1.0], [0.0, 1.0], [0.5, 0.5, 0.5]])
def test_the_shortest_episodes_are_asked_about_too(truth: list[float]) -> None:
    estimators = {"model": bright.seeing(), **trivial_estimators(PERIOD)}
    prober = Prober(estimators=estimators, probes=PROBES, period_s=PERIOD)
    still = replace(OTHER, progress=np.zeros(len(truth)), success=np.zeros(len(truth)))
    prober.ask(bright.case(truth, rivals=(still,), paraphrases=("light the lamp now",)))
    effects = prober.findings().effects
    assert set(effects) == set(PROBES)
    assert effects["paraphrase"]["model"].tolist() == [0.0]


def test_findings_do_not_depend_on_which_other_probes_are_asked() -> None:
    alone = Prober(
        estimators={"model": bright.seeing()},
        probes={"shuffled": PROBES["shuffled"]},
        period_s=PERIOD,
    )
    alone.ask(lamp())
    again = Prober(estimators={"model": bright.seeing()}, probes=PROBES, period_s=PERIOD)
    again.ask(lamp())
    first, second = alone.findings().effects, again.findings().effects
    assert first["shuffled"]["model"].tolist() == second["shuffled"]["model"].tolist()


def shown(before: list[float], after: list[float], truth: list[float], **changes: object) -> Shown:
    return Shown(
        before=bright.case(before),
        case=bright.case(truth),
        plain=bright.track(before),
        changed=bright.track(after, **changes),
    )


def test_what_a_probe_measures_by_hand() -> None:
    assert astray(shown([0, 0.9], [0, 0.3], [0, 0.2])) == pytest.approx(0.1)
    assert astray(shown([0, 0.9], [0, 0.0], [0, 0.3])) == pytest.approx(-0.3)
    never = replace(shown([0, 0.9], [0, 0.0], [0, 0.1]), plain=bright.track([0.0, 0.0]))
    assert astray(never) == pytest.approx(0.8)
    assert rise(shown(RISE, [0.1, 0.2, 0.3, 0.3, 0.45, 0.2], [0] * 6)) == pytest.approx(0.25)
    declared = np.array([False] * 5 + [True])
    assert rise(shown(RISE, [0.1] * 6, [0] * 6, declared=declared)) == 1.0
    assert np.isnan(rise(shown([0], [0], [0])))
    assert np.isnan(order(shown([0, 1], [0, 1], [0.5, 0.5])))
    assert order(shown([0, 1], [0.5, 0.5], [0, 1])) == 0.0


def test_bounds_hold_at_both_ends_and_nan_stays_unknown() -> None:
    probe: Probe = PROBES["clipped_30"]
    got = probe.passes(np.array([-0.21, -0.19, 0.0, 0.19, 0.21, NAN]))
    assert got[:5].tolist() == [0, 1, 1, 1, 0]
    assert np.isnan(got[5])
