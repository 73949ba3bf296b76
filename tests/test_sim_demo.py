"""The demo: everything from collecting to the report, small."""

import json
import math
from pathlib import Path

import pytest

from data.heldout import HeldOut
from data.lerobot_dataset import open_dataset
from robo_reward.errors import InputError
from sim.demo import Demo, mean_and_spread, print_table, write_metrics


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo") / "out"
    Demo(out=out, episodes=8, held_out=8, steps=2, image_size=64, rollouts=4).run()
    return out


def test_it_writes_the_figures_of_the_model_and_of_every_baseline(small: Path) -> None:
    metrics = json.loads((small / "metrics.json").read_text())
    names = {"spearman_success", "spearman_failure", "mae", "success_auroc", "match_auroc"}
    assert names | {"wall_s", "baselines", "spread", "seeds"} <= set(metrics)
    assert set(metrics["baselines"]) == {"clock", "constant_hop", "pixel_distance"}
    assert metrics["episodes"] == 8
    assert 0 <= metrics["mae"] <= 1
    assert metrics["baselines"]["clock"]["spearman_success"] > 0.9


def test_it_leaves_model_labels_and_report(small: Path) -> None:
    assert list((small / "model-0/best").glob("model-*.safetensors"))
    assert (small / "labels/progress.parquet").is_file()
    assert "<html" in (small / "report.html").read_text()[:2000]


def test_a_policy_is_refined_by_a_learned_reward_and_judged(small: Path) -> None:
    policy = json.loads((small / "metrics.json").read_text())["policy"]
    assert 0.0 <= policy["success_start"] <= 1.0
    assert 0.0 <= policy["success_end"] <= 1.0
    assert (policy["rollouts"], policy["evaluated"]) == (4, 8)
    refined = json.loads((small / "policy/refined/policy/policy.json").read_text())
    assert refined["about"]["training"]["refined"]["reward"] == str(small / "policy/model")
    assert (small / "policy/refined/curve.png").is_file()


def test_training_and_held_out_episodes_share_no_seed(small: Path) -> None:
    parts = {name: (first, first + count) for name, count, first in Demo()._parts()}
    assert parts["train"][1] <= parts["held-out"][0]


def test_wrong_words_come_with_the_goal_pictures_of_either_colour(small: Path) -> None:
    cases = HeldOut(open_dataset(small / "held-out"), size=16).match_cases()
    assert len(cases) % 3 == 0
    assert len(cases) > 0
    for right, wrong, contradicted in zip(cases[::3], cases[1::3], cases[2::3], strict=True):
        assert (right.match, wrong.match, contradicted.match) == (1, 0, 0)
        assert wrong.instruction == contradicted.instruction != right.instruction
        assert contradicted.references is right.references


def test_figures_of_several_seeds_become_mean_and_spread() -> None:
    told = mean_and_spread([{"mae": 0.1}, {"mae": 0.3}])
    assert told["mae"] == pytest.approx((0.2, 0.1))


def test_what_has_no_number_is_null_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_metrics(path, [{"mae": math.nan}], {"clock": {"mae": 0.5}}, {"wall_s": 1.0})
    content = json.loads(path.read_text())
    assert content["mae"] is None
    assert content["wall_s"] == 1.0
    assert content["baselines"]["clock"]["mae"] == 0.5


def test_the_table_names_the_baselines(capsys: pytest.CaptureFixture[str]) -> None:
    figures = dict.fromkeys(
        ("spearman_success", "spearman_failure", "mae", "constant_max"), 0.5
    ) | {"success_auroc": 1.0, "match_auroc": math.nan}
    print_table([figures], {"pixel_distance": {"mae": 0.25}})
    printed = capsys.readouterr().out
    assert "pixel distance" in printed
    assert "0.250" in printed
    assert "–" in printed


def test_nothing_to_do_is_refused() -> None:
    with pytest.raises(InputError, match="must be at least 1"):
        Demo(held_out=0)
