"""The reward column by hand, and in the file that ``label`` writes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
import torch

from data.compaction import FILE
from data.decoding import DecodeConfig
from data.label import Label
from data.rewards import ends_done, row_rewards
from robo_reward.checkpoint import ModelConfig, build, save
from robo_reward.episodes import Episode
from robo_reward.errors import InputError
from robo_reward.model import ModelSettings

GAMMA = 0.9
ALL = np.ones(3, np.bool_)


def test_each_row_is_paid_for_the_step_after_it() -> None:
    phi = np.array([0.2, 0.5, 0.4])
    open_end = row_rewards(phi, ALL, done=False, gamma=GAMMA)
    assert open_end[:2] == pytest.approx([0.9 * 0.5 - 0.2, 0.9 * 0.4 - 0.5])
    assert math.isnan(open_end[2])
    ended = row_rewards(phi, ALL, done=True, gamma=GAMMA)
    assert ended == pytest.approx([0.25, -0.14, -0.4])


def test_the_potential_is_held_where_a_verdict_is_missing_or_does_not_count() -> None:
    phi = np.array([math.nan, 0.5, 0.9, 0.6])
    valid = np.array([False, True, False, True])
    got = row_rewards(phi, valid, done=True, gamma=GAMMA)
    assert got == pytest.approx([0.9 * 0.5, 0.9 * 0.5 - 0.5, 0.9 * 0.6 - 0.5, -0.6])


def test_rows_between_queries_sum_up_to_the_shaping_of_the_chunk() -> None:
    """Queries at rows 0 and 3: γ³ Φ′ − Φ."""
    phi = np.array([0.2, 0.2, 0.2, 0.7])
    got = row_rewards(phi, np.ones(4, np.bool_), done=False, gamma=GAMMA)
    assert (got[:3] * GAMMA ** np.arange(3)).sum() == pytest.approx(GAMMA**3 * 0.7 - 0.2)


@pytest.mark.parametrize("seed", range(5))
def test_a_success_sums_up_to_minus_its_first_potential(seed: int) -> None:
    phi = np.random.default_rng(seed).random(30)
    got = row_rewards(phi, np.ones(30, np.bool_), done=True, gamma=GAMMA)
    assert (got * GAMMA ** np.arange(30)).sum() == pytest.approx(-phi[0])


def test_the_reward_of_a_row_does_not_depend_on_what_comes_after_the_next() -> None:
    phi = np.random.default_rng(0).random(30)
    valid = np.ones(30, np.bool_)
    whole = row_rewards(phi, valid, done=False, gamma=GAMMA)
    cut = row_rewards(phi[:10], valid[:10], done=False, gamma=GAMMA)
    assert np.array_equal(whole[:9], cut[:9])
    assert math.isnan(cut[9])


def test_one_row_and_a_discount_out_of_range() -> None:
    one = np.array([0.4])
    assert row_rewards(one, ALL[:1], done=True, gamma=GAMMA) == pytest.approx([-0.4])
    with pytest.raises(InputError, match=r"gamma must be in \[0, 1\], got 1.5"):
        row_rewards(one, ALL[:1], done=True, gamma=1.5)


@pytest.mark.parametrize(
    ("outcome", "success", "ends"),
    [
        (True, None, True),
        (True, [False, False, True], True),
        (True, [False, True, False], False),
        (False, [False, False, False], False),
        (False, None, False),
        (None, None, False),
    ],
)
def test_only_a_success_that_is_still_one_at_the_end_terminates(
    outcome: bool | None, success: list[bool] | None, ends: bool
) -> None:
    episode = Episode(
        index=0,
        length=3,
        fps=10.0,
        views=("front",),
        instructions=("lift the cube",),
        outcome=outcome,
        success=None if success is None else np.array(success),
    )
    assert ends_done(episode) is ends


@pytest.fixture
def command(tiny_dataset: Path, tmp_path: Path) -> Label:
    torch.manual_seed(0)
    config = ModelConfig(backbone=tiny.SHAPE, settings=ModelSettings(image_size=16))
    network = build(tiny.SHAPE)
    for head in network.hop_heads:
        torch.nn.init.normal_(head.weight)  # type: ignore[arg-type]
    save(tmp_path / "model", network, config)
    return Label(
        dataset=str(tiny_dataset),
        model=tmp_path / "model",
        out=tmp_path / "labels",
        decode=DecodeConfig(processes=0),
    )


def test_the_file_holds_the_reward_and_its_discount(command: Label) -> None:
    replace(command, gamma=0.5).run()
    table = pq.read_table(command.out / FILE)
    assert table.schema.metadata[b"gamma"] == b"0.5"
    phi = table["progress_sparse"].to_numpy().astype(np.float64)
    reward, index = table["reward"].to_numpy(), table["episode_index"].to_numpy()
    follows = np.append(index[1:] == index[:-1], False)
    expected = 0.5 * np.roll(phi, -1) - phi
    assert reward[follows] == pytest.approx(expected[follows], abs=1e-6)
    last = reward[~follows]
    assert last[[0, 2]] == pytest.approx(-phi[~follows][[0, 2]], abs=1e-6), "successes"
    assert math.isnan(last[1]), "a failure"
    assert not np.isnan(reward[follows]).any()


def test_a_discount_out_of_range_is_refused_before_anything_is_read(command: Label) -> None:
    with pytest.raises(InputError, match=r"--gamma must be in \[0, 1\], got 1.01"):
        replace(command, gamma=1.01, dataset="nowhere").run()
    assert not command.out.exists()
