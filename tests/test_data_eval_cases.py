"""Several datasets in one evaluation: names, numbers, and probes that belong to one of them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny

from data.eval_cases import Asked, gather, joined, told_apart
from data.evaluate import Case
from data.probes import Probe, probes_for
from robo_reward.errors import InputError
from robo_reward.protocols import References

ASKED = Asked(layout="lerobot", views=(), reference="auto", chosen=None, model=tiny.model())


@pytest.fixture
def two(tiny_dataset: Path, tmp_path: Path) -> list[str]:
    shutil.copytree(tiny_dataset, tmp_path / "other")
    return [str(tiny_dataset), str(tmp_path / "other")]


def test_the_episodes_of_all_follow_each_other_under_names_that_differ(two: list[str]) -> None:
    cases, probes = gather(two, ASKED)
    first = Path(two[0]).name
    assert [case.name for case in cases[:1] + cases[3:]] == [
        f"{first} episode 0", "other episode 0", "other episode 1", "other episode 2",
    ]  # fmt: skip
    assert [case.dataset for case in cases] == [first] * 3 + ["other"] * 3
    assert [case.number for case in cases] == [0, 1, 2] * 2
    assert {"frozen", "without_front"} < set(probes)


def test_one_dataset_keeps_the_plain_names(two: list[str]) -> None:
    cases, _ = gather(two[:1], ASKED)
    assert [case.name for case in cases] == [f"episode {n}" for n in range(3)]


def test_chosen_episodes_are_those_of_each_dataset(two: list[str]) -> None:
    cases, _ = gather(two, replace(ASKED, chosen=[1]))
    assert [case.number for case in cases] == [1, 1]


def test_an_episode_that_one_of_them_lacks_is_an_error(two: list[str]) -> None:
    with pytest.raises(InputError, match="9"):
        gather(two, replace(ASKED, chosen=[9]))


def test_datasets_of_one_name_are_told_apart_by_their_place() -> None:
    assert told_apart(["a/pick", "b/pick", "c/push"]) == ["a/pick", "b/pick", "push"]


def case(dataset: str) -> Case:
    return Case(
        name="", instruction="", references=References(), frames=lambda every: (), fps=10.0,
        truth=np.zeros(1), done=np.zeros(1), match=1.0, dataset=dataset,
    )  # fmt: skip


def named(told: str) -> Probe:
    sticker = probes_for(("front",))["sticker"]
    return replace(sticker, change=lambda case, rng: replace(case, instruction=told))


def test_a_probe_changes_the_cases_of_its_own_dataset() -> None:
    """The probes of two simulated tasks have one name, and each knows its own scene."""
    probes = joined({"pick": {"held": named("pick's")}, "push": {"held": named("push's")}})
    rng = np.random.default_rng(0)
    changed = {one: probes["held"].change(case(one), rng) for one in ("pick", "push", "real")}
    assert changed["pick"] is not None
    assert changed["pick"].instruction == "pick's"
    assert changed["push"] is not None
    assert changed["push"].instruction == "push's"
    assert changed["real"] is None


def test_a_dataset_that_is_named_twice_would_count_twice(two: list[str]) -> None:
    with pytest.raises(InputError, match="names one dataset twice"):
        gather([two[0], two[0]], ASKED)
