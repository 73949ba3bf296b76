"""The command `adapt`: what it trains, what it measures, what it says and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_dataset

import robo_reward
from data.adapt import RESULT, Adapt, blocks_of
from data.train import Train
from robo_reward.errors import InputError, RoboRewardError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def one_episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("datasets") / "new", "images", episodes=1)


@pytest.fixture
def command(train_command: Train, one_episode: Path, tmp_path: Path) -> Adapt:
    """Six steps from a model of six steps."""
    train_command.run()
    return Adapt(
        model=train_command.out,
        dataset=(str(one_episode),),
        rehearse=train_command.dataset,
        out=tmp_path / "adapted",
        steps=6,
        cache=train_command.cache,
    )


def learned(directory: Path) -> dict[str, np.ndarray]:
    found = robo_reward.load(directory).network.state_dict()
    return {name: tensor.numpy() for name, tensor in found.items()}


def test_it_makes_a_model_and_tells_both_errors_before_and_after(
    command: Adapt, capsys: pytest.CaptureFixture[str]
) -> None:
    before = learned(command.model)
    command.run()
    printed = capsys.readouterr().out
    assert "rehearsed" in printed
    assert "judged between frames that were learned" in printed
    told = json.loads((command.out / RESULT).read_text())["datasets"]
    assert [item["new"] for item in told] == [True, False]
    assert all(0.0 <= item[name] <= 1.0 for item in told for name in ("before", "after"))
    after = learned(command.out)
    assert any(not np.array_equal(after[name], before[name]) for name in before)
    assert all(np.array_equal(learned(command.model)[name], before[name]) for name in before)


def test_training_begins_with_the_weights_of_the_model(command: Adapt) -> None:
    still = replace(command, steps=1, learning_rate=1e-12)
    still.run()
    before, after = learned(command.model), learned(command.out)
    moved = {name for name in before if not np.allclose(before[name], after[name], atol=1e-6)}
    assert all("running" in name or "num_batches" in name for name in moved)
    told = json.loads((command.out / RESULT).read_text())["datasets"]
    assert told[1]["after"] == pytest.approx(told[1]["before"], abs=0.05)


@pytest.mark.parametrize("fusion", ["filter", "weighted"])
def test_an_adapted_model_fuses_as_its_start_did(command: Adapt, fusion: str) -> None:
    (path,) = command.model.glob("best/config.json")
    stored = json.loads(path.read_text())
    assert stored["settings"]["tracker"]["fusion"] == "filter"
    stored["settings"]["tracker"]["fusion"] = fusion
    path.write_text(json.dumps(stored))
    assert command.command().fusion == fusion


def test_half_of_what_is_drawn_is_new_however_much_is_rehearsed(command: Adapt) -> None:
    assert command.command().weights == (0.5, 0.5)
    more = replace(command, rehearse=("a", "b", "c"), share=0.25)
    assert more.command().weights == pytest.approx((0.25, 0.25, 0.25, 0.25))
    assert replace(command, rehearse=()).command().weights == (1.0,)


def test_of_a_single_demonstration_three_blocks_are_kept_back(
    command: Adapt, tiny_dataset: Path
) -> None:
    assert command.command().withhold == ("0:2:3", "0:6:7", "0:10:10")[:2]
    assert replace(command, dataset=(str(tiny_dataset),)).command().withhold == ()


@pytest.mark.parametrize(
    ("length", "blocks"),
    [(100, [(20, 25), (50, 55), (80, 85)]), (12, [(2, 3), (6, 7)]), (2, [])],
)
def test_blocks_are_a_twentieth_each(length: int, blocks: list[tuple[int, int]]) -> None:
    assert blocks_of(length) == blocks


def test_without_rehearsal_it_says_that_the_model_forgets(
    command: Adapt, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(command, rehearse=(), dry_run=True).run()
    assert "nothing is rehearsed" in capsys.readouterr().out
    assert not command.out.exists()


def test_an_interrupted_run_goes_on_and_another_model_is_not_mistaken_for_its_start(
    command: Adapt, train_command: Train, tmp_path: Path
) -> None:
    command.run()
    replace(command, resume=True).run()
    other = replace(train_command, out=tmp_path / "other", seed=5)
    other.run()
    with pytest.raises(RoboRewardError, match="another start"):
        replace(command, model=other.out, resume=True).run()


def test_a_start_of_another_shape_is_refused(command: Adapt, train_command: Train) -> None:
    wide = replace(train_command.backbone, width=32)
    wrong = replace(
        train_command, out=command.out, start=command.model, backbone=wide, overwrite=True
    )
    with pytest.raises(InputError, match="has width 16, not 32, which is not what was asked for"):
        wrong.run()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": ()}, "names nothing new"),
        ({"share": 1.0}, "--share must lie between 0 and 1"),
        ({"share": float("nan")}, "--share must lie between 0 and 1"),
    ],
)
def test_flags_that_leave_one_side_out_are_refused(
    command: Adapt, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        replace(command, **changes)  # type: ignore[arg-type]


def test_what_is_no_model_is_refused(command: Adapt, tmp_path: Path) -> None:
    with pytest.raises(RoboRewardError, match="is no model"):
        replace(command, model=tmp_path).run()
