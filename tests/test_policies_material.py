"""What a refresh learns from and is judged by, on rollouts written by hand."""

from pathlib import Path

import numpy as np
import pytest
from conftest import FEATURES, OTHER_TASK, SHAPE, TASK, VIEWS, rows, write_dataset

from data.layout import DatasetLayout
from data.lerobot_dataset import open_dataset
from data.split import split_episodes
from data.writer import DatasetWriter
from policies.material import Material, held_potential
from robo_reward.checkpoint import build
from robo_reward.config import CompactConfig
from robo_reward.model import Model, ModelSettings
from robo_reward.protocols import References

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE_OF = CompactConfig(image_size=16, width=16, depth=1, heads=2, channels=8)


def write_kept(root: Path, seeds: list[int], *, fooled: bool) -> Path:
    """Rollouts of which every second failed: it ends at a true progress of .5."""
    layout = DatasetLayout(
        fps=10, image_shapes=dict.fromkeys(VIEWS, SHAPE), features=FEATURES, storage="images"
    )
    goals = {"goals": {"cube": TASK, "button": OTHER_TASK}}
    with DatasetWriter(root, layout, description=goals) as writer:
        for number, seed in enumerate(seeds):
            failed = number % 2
            columns = {
                "seed": seed,
                "success": not failed,
                "declared": bool(failed and fooled),
                "potential_end": 0.4 if failed else 1.0,
            }
            writer.add_episode(rows(failed), task=TASK, columns=columns)
    return root


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("material")
    return [
        write_kept(root / "0000", [1, 2, 3, 4], fooled=True),
        write_kept(root / "0001", [5, 6, 7, 8], fooled=False),
        write_dataset(root / "taught", "images", episodes=5),
    ]


@pytest.fixture
def material(places: list[Path], tmp_path: Path) -> Material:
    opened = [open_dataset(place) for place in places]
    shown = References(goal=next(opened[0].frames(0, views=VIEWS))[1])
    made = Material(opened[:2], opened[2:], lambda _: shown)
    made.divide(0.25, np.random.default_rng(0), {"validation_share": 0.4, "seed": 7})
    made.decode(tmp_path / "apart", tmp_path / "cache", size=16, cap_gb=1.0)
    return made


def model() -> Model:
    return Model(build(SHAPE_OF), ModelSettings(image_size=16, query_period_s=0.2), fingerprint="")


def test_outcomes_are_those_of_the_environment_and_of_the_run(material: Material) -> None:
    kinds = [outcome.kind for outcome in material.outcomes]
    assert kinds == ["succeeded", "fooled"] * 2 + ["succeeded", "failed"] * 2
    assert [outcome.truth for outcome in material.outcomes] == [1.0, 0.5] * 4
    assert material.rollouts == 8


def test_what_is_rehearsed_is_divided_as_the_training_of_the_model_did(material: Material) -> None:
    learnt, held = material.split.training, material.split.validation
    assert sorted(learnt + held) == list(range(13))
    assert [number - 8 for number in held if number >= 8] == split_episodes(5, 0.4, 7)[1]
    assert {material.outcomes[n].kind for n in held if n < 8} == {"succeeded", "fooled", "failed"}


def test_frames_of_rollouts_are_kept_apart(material: Material, tmp_path: Path) -> None:
    counts = [len(list((tmp_path / n).glob("*/episode_*"))) for n in ("apart", "cache")]
    assert counts == [8, 5]


def test_rollouts_have_their_share_of_the_draws(material: Material, tmp_path: Path) -> None:
    known = material.sampler(model(), 0.5, tmp_path).known
    new = {number: facts.chance for number, facts in known.items() if number < 8}
    assert sum(new.values()) == pytest.approx(0.5)
    assert sum(facts.chance for facts in known.values()) == pytest.approx(1.0)
    fooled = [chance for n, chance in new.items() if material.outcomes[n].kind == "fooled"]
    assert sum(fooled) == pytest.approx(0.25)


def test_the_dataset_that_references_are_from_shows_starts_and_goals_of_rollouts(
    material: Material, places: list[Path], tmp_path: Path
) -> None:
    for own, sources in ((places[2], {0}), (tmp_path, {0, 2})):
        known = material.sampler(model(), 0.5, own).known
        assert {facts.source for facts in known.values()} == sources


def test_judging_counts_what_was_held_back_alone(material: Material) -> None:
    quality, metrics = material.judged(model())
    held = material.split.validation
    failed = [n for n in held if material.episodes[n].outcome is False]
    assert quality.failures == len(failed)
    assert 0.0 <= quality.error <= 1.0
    assert metrics["episodes"] == len(held)


def test_an_invalid_verdict_leaves_the_last_potential() -> None:
    frames = [{"front": np.full((4, 4, 3), grey, np.uint8)} for grey in (51, 102, 204)]
    labels = model().label(frames, TASK, References(), fps=1.0)
    labels.valid[:] = [False, True, False]
    assert held_potential(labels).tolist() == pytest.approx([0.0, *[labels.progress[1]] * 2])
