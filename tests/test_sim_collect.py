"""Collecting: what is in the dataset, the same for any number of workers, and bad input."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.lerobot_dataset import open_dataset
from robo_reward.cli import main
from robo_reward.errors import InputError, OutputError
from sim.beds import find_bed
from sim.collect import DEFAULT_MIX, Collect
from sim.env import TabletopEnv
from sim.experts import BEHAVIOURS
from sim.pieces import Plan
from sim.replay import ReplayError, check_replay
from sim.rollouts import assign, features, mix_of, parse_mix
from sim.tasks.pick_to_bin import COLOURS


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four episodes at 64 pixels."""
    out = tmp_path_factory.mktemp("collected") / "bin"
    mix = "expert=.25 early_release=.25 wrong_object=.25 miss=.25"
    Collect(out=out, episodes=4, seed=40, mix=mix, image_size=64, storage="images", workers=1).run()
    return out


@pytest.fixture(scope="module")
def stock(root: Path) -> Any:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset("local/bin", root=root)


def episodes(root: Path) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in sorted((root / "meta/episodes").glob("*/*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def rows(root: Path, number: int) -> dict[str, np.ndarray]:
    """Columns other than images of one episode."""
    names = ["episode_index", "observation.state", "action", *features(find_bed("pick_to_bin"))]
    tables = [
        pq.read_table(path, columns=list(dict.fromkeys(names)))
        for path in sorted((root / "data").glob("*/*.parquet"))
    ]
    found = [row for table in tables for row in table.to_pylist()]
    chosen = [row for row in found if row["episode_index"] == number]
    return {name: np.array([row[name] for row in chosen]) for name in chosen[0]}


def test_stock_lerobot_reads_4_episodes_with_three_views(stock: Any) -> None:
    assert (stock.num_episodes, stock.fps) == (4, 20)
    assert 4 * 80 < len(stock) < 4 * 130
    item = stock[5]
    for view in ("front", "side", "wrist"):
        assert tuple(item[f"observation.images.{view}"].shape) == (3, 64, 64)
        assert float(item[f"observation.images.{view}"].std()) > 0.05
    assert item["task"] in {f"put the {colour} cube into the bin" for colour in COLOURS}
    assert stock.meta.features["truth.goals"]["names"] == list(COLOURS)


def test_every_episode_says_what_it_is_and_ends_with_its_final_observation(root: Path) -> None:
    for number, episode in enumerate(episodes(root)):
        table = rows(root, number)
        goal = episode["tasks"][0].split()[2]
        own = table["truth.goals"][:, list(COLOURS).index(goal)]
        assert episode["seed"] == 40 + number
        assert table["truth.is_final"].tolist() == [False] * (len(own) - 1) + [True]
        assert np.array_equal(table["action"][-1], table["action"][-2])
        assert table["next.success"][-1] == table["next.success"][-2]
        assert np.array_equal(own, table["truth.progress"])
        done = table["truth.progress"] == 1.0
        assert np.array_equal(table["next.success"][:-1], done[1:])
        assert np.array_equal(table["truth.stage"] == 5, done)
        if episode["behaviour"] == "expert":
            assert (episode["failure_mode"], episode["onset_frame"]) == ("none", -1)
            assert done.sum() > 10
            assert table["next.reward"].sum() == 1.0
        else:
            assert episode["failure_mode"] in {"dropped", "wrong_object", "missed_grasp"}
            assert 0 < episode["onset_frame"] < len(own)
            assert not done.any()
            assert table["next.reward"].sum() == 0.0


def test_stored_actions_reproduce_the_stored_states(root: Path) -> None:
    env = TabletopEnv(pixels=False, terminate_on_success=False)
    for number, episode in enumerate(episodes(root)):
        table = rows(root, number)
        observation, _ = env.reset(seed=episode["seed"])
        actions = table["action"][:-1].astype(np.float32)
        states = [observation["agent_pos"]] + [env.step(a)[0]["agent_pos"] for a in actions]
        assert np.array_equal(np.array(states), table["observation.state"].astype(np.float32))


def test_the_description_names_goals_paraphrases_versions_seed_and_mix(root: Path) -> None:
    described = json.loads((root / "meta/robo_reward.json").read_text())
    assert described["goals"]["red"] == "put the red cube into the bin"
    assert set(described["goals"]) == set(COLOURS)
    for task in described["goals"].values():
        assert len(described["paraphrases"][task]) == 6
    assert described["seed"] == 40
    assert "wrong_object=.25" in described["mix"]
    assert {"robo-reward", "mujoco"} <= set(described["versions"])


def small(out: Path, **changes: Any) -> Collect:
    """Two pieces, of five episodes and of two."""
    flags = {"task": "press_button", "episodes": 7, "seed": 7, "image_size": 16}
    return Collect(out=out, storage="images", **(flags | changes))


def test_a_replay_that_differs_is_told(root: Path) -> None:
    plan = Plan(
        task="pick_to_bin",
        mix="",
        behaviours=("expert",) * 4,
        seed=40,
        image_size=64,
        storage="images",
    )
    assert check_replay(root, plan, episodes=2)[1] == 1
    with pytest.raises(ReplayError, match="episode 0 does not replay: its state at frame 0"):
        check_replay(root, replace(plan, seed=41), episodes=1)


def test_another_robot_with_more_variety_is_collected_and_replayed(tmp_path: Path) -> None:
    variety = ("texture", "distractors", "height")
    small(tmp_path / "d", episodes=1, mix="expert=1", robot="so101", variety=variety).run()
    info = json.loads((tmp_path / "d/meta/info.json").read_text())
    assert info["robot_type"] == "so101"
    assert info["features"]["observation.state"]["shape"] == [9]
    described = json.loads((tmp_path / "d/meta/robo_reward.json").read_text())
    assert described["variety"] == list(variety)
    assert open_dataset(tmp_path / "d").episode(0).outcome


def test_meta_world_is_collected_and_replayed(tmp_path: Path) -> None:
    pytest.importorskip("metaworld", reason="Meta-World is an extra: robo-reward[metaworld]")
    small(tmp_path / "d", task="metaworld/drawer-close", episodes=1, mix="expert=1").run()
    info = json.loads((tmp_path / "d/meta/info.json").read_text())
    assert (info["robot_type"], info["fps"]) == ("sawyer", 80)
    assert open_dataset(tmp_path / "d").episode(0).outcome


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"robot": "r2d2"}, "no robot 'r2d2'; there are: panda, so101"),
        ({"robot": "so101", "task": "insert_peg"}, "insert_peg"),
        ({"variety": ("smell",)}, "no variation 'smell'"),
        ({"task": "metaworld/drawer-open", "robot": "panda"}, "has its own robot and look"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, flags: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Collect(out=tmp_path / "d", **flags).run()


def test_an_unknown_task_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'juggle'; there are: pick_to_bin, .*swap_cubes"):
        Collect(out=tmp_path / "d", task="juggle").run()


def test_a_behaviour_that_the_task_does_not_know_is_refused_but_left_out_of_the_default(
    tmp_path: Path,
) -> None:
    with pytest.raises(InputError, match="early_release, which press_button does not know"):
        small(tmp_path / "d", mix="early_release=1").run()
    mix = mix_of("", find_bed("press_button"), default=DEFAULT_MIX)
    assert set(mix) == set(BEHAVIOURS) - {"early_release"}
    assert sum(mix.values()) == pytest.approx(1.0)


def test_the_default_mix_has_every_behaviour_in_exact_shares_for_any_seed() -> None:
    mix = parse_mix(DEFAULT_MIX)
    assert set(mix) == set(BEHAVIOURS)
    assert sum(mix.values()) == pytest.approx(1.0)
    for seed in (0, 1):
        counts = Counter(assign(mix, 100, seed))
        assert counts["expert"] == 40
        assert counts["wrong_object"] == counts["early_release"] == 12
    assert assign(mix, 20, 0) != assign(mix, 20, 1)
    assert assign(mix, 20, 0) == assign(mix, 20, 0)
    assert len(assign(mix, 7, 0)) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expert=.5 dance=.5", r"'dance'; there are: expert, noise, early_release"),
        ("expert", r"'expert'; write NAME=SHARE"),
        ("expert=many", r"'expert=many'; write NAME=SHARE"),
        ("expert=-1 noise=2", "no usable shares"),
        ("expert=0", "no usable shares"),
        ("expert=nan", "no usable shares"),
        ("expert=inf", "no usable shares"),
    ],
)
def test_a_bad_mix_is_refused_with_what_to_write(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Collect(out=tmp_path / "d", mix=text).run()
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "--episodes is 0"),
        ({"seed": -1}, "--seed is -1"),
        ({"workers": -2}, "--workers is -2"),
        ({"replay": -1}, "--replay is -1"),
        ({"image_size": 4}, "image size is 4"),
    ],
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Collect(out=tmp_path / "d", **options).run()


def test_an_existing_dataset_is_kept_unless_overwrite_is_given(root: Path) -> None:
    before = (root / "meta/info.json").read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        Collect(out=root, episodes=1).run()
    assert (root / "meta/info.json").read_bytes() == before
    Collect(out=root, episodes=1, overwrite=True, dry_run=True).run()
    assert (root / "meta/info.json").read_bytes() == before


def test_an_output_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        Collect(out=tmp_path / "file" / "d", episodes=1, dry_run=True).run()


def test_a_dry_run_says_what_it_would_do_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["collect", "--out", str(tmp_path / "d"), "--episodes", "20", "--dry-run"])
    said = capsys.readouterr().out
    assert "would collect 20 episodes" in said
    assert "8 expert" in said
    assert not (tmp_path / "d").exists()


def test_the_command_prints_one_sentence_and_exits_with_2_on_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["collect", "--out", str(tmp_path / "d"), "--mix", "dance=1"])
    assert stop.value.code == 2
    assert "there are: expert" in capsys.readouterr().err
