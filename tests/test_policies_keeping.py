"""Kept rollouts: a dataset that others read, and that says what was said at each decision."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from policy_fixtures import TASK, played_in, starts, wave

from data.lerobot_dataset import open_dataset
from policies.keeping import keep_rollouts
from policies.learner import Scores
from policies.playing import ReplayError
from policies.scoring import Potentials
from policies.trials import Start, Trial
from sim.beds import find_bed
from sim.env import TabletopEnv


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    with played_in(partial(TabletopEnv, TASK, pixels=False, terminate_on_success=False)) as player:
        first = player.play(wave, starts(3, 4))
        again = player.play(wave, [Start(seed=3, group=7, played=first[0].played(2))])
    return first + again


def said_of(trial: Trial) -> tuple[Potentials, Scores]:
    count = len(trial)
    potentials = Potentials(progress=np.arange(count + 1) / 10, apart=np.full(count + 1, np.nan))
    return potentials, Scores(log_prob=-np.arange(count) - 1.0, residual=np.zeros(count + 1))


def kept(place: Path, trials: list[Trial]) -> int:
    judged, scores = zip(*map(said_of, trials), strict=True)
    return keep_rollouts(place, find_bed(TASK), trials, judged, scores, image_size=32)


def test_every_frame_is_there_with_the_decision_it_belongs_to(
    trials: list[Trial], tmp_path: Path
) -> None:
    place = tmp_path / "kept"
    lost = replace(trials[1], lost=True)
    assert kept(place, [trials[0], lost, trials[2]]) == 2
    dataset = open_dataset(place)
    assert len(dataset) == 2
    assert dataset.episode(0).length == 21
    assert dataset.episode(0).behaviour == "policy"
    facts = dataset.facts.episodes.to_pylist()
    assert [row["seed"] for row in facts] == [3, 3]
    assert [row["potential_end"] for row in facts] == pytest.approx([0.5, 0.3])
    assert [row["declared"] for row in facts] == [False, False]
    (shown,) = [v for n, v in dataset.frames(0, views=("front",)) if n == 20]
    assert shown["front"].shape == (32, 32, 3)
    table = pq.ParquetDataset(place / "data").read().to_pydict()
    first = [number for number, e in enumerate(table["episode_index"]) if e == 0]

    def column(name: str, rows: list[int]) -> list[float]:
        return [np.ravel(table[name][row])[0] for row in rows]

    held = [n for n in range(5) for _ in range(4)] + [5]
    assert column("refine.potential", first) == pytest.approx([n / 10 for n in held])
    assert column("refine.log_prob", first)[:-1] == pytest.approx([-n - 1.0 for n in held[:-1]])
    assert np.isnan(column("refine.log_prob", first)[-1])
    decided = [row for row in first if np.ravel(table["refine.decision"][row])[0]]
    assert decided == [0, 4, 8, 12, 16, 20]
    actions = np.array([table["action"][row] for row in first[:20]])
    assert np.array_equal(actions, trials[0].played(5))


def test_what_came_before_a_restart_belongs_to_no_decision(
    trials: list[Trial], tmp_path: Path
) -> None:
    kept(tmp_path / "kept", trials[2:])
    table = pq.ParquetDataset(tmp_path / "kept" / "data").read().to_pydict()
    said = [np.ravel(value)[0] for value in table["refine.potential"]]
    assert np.isnan(said[:8]).all()
    assert said[8:] == pytest.approx([n / 10 for n in (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3)])


def test_actions_that_lead_elsewhere_are_an_error(trials: list[Trial], tmp_path: Path) -> None:
    other = replace(trials[0], state=trials[0].state + 1.0)
    with pytest.raises(ReplayError, match="the rollout of seed 3 cannot be shown again: at step 0"):
        kept(tmp_path / "kept", [other])
    assert not (tmp_path / "kept").exists()
