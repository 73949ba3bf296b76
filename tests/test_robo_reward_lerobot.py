"""The LeRobot plug-in: settings, pixels, and what a batch of items teaches."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LENGTH, OTHER_TASK, TASK, VIEWS, data_file, grey, rewrite
from lerobot.configs.rewards import RewardModelConfig
from lerobot.configs.types import FeatureType, PipelineFeatureType, PolicyFeature
from lerobot.processor import PolicyProcessorPipeline
from lerobot_plugin import SIZE, batch, config, dataset, meta, preprocessor

from data.lerobot_dataset import open_dataset
from robo_reward.batch import PairBatch
from robo_reward.config import CompactConfig
from robo_reward.episodes import Episode
from robo_reward.errors import CheckpointError, DatasetError, InputError, RoboRewardError
from robo_reward.goals import episode_goals
from robo_reward.images import resize
from robo_reward.lerobot import MultiviewProgressConfig
from robo_reward.lerobot.pairing import Shown, pair_batch
from robo_reward.lerobot.table import GoalTable, camera_views, read_table
from robo_reward.lerobot_rows import OWN_FILE
from robo_reward.plan import SamplingConfig
from robo_reward.targets import hop

FRONT, WRIST = (f"observation.images.{view}" for view in VIEWS)
SURE = SamplingConfig(
    prefixes=4,
    pairs=6,
    other_goal=0,
    foreign=0,
    other_picture=0,
    drop_start=0,
    drop_goal=0,
    unseen=0,
)


def shown(episodes: list[int], frames: list[list[int]]) -> Shown:
    """Return items whose greys tell view, frame and episode."""
    pixels = np.zeros((len(episodes), len(frames[0]), 2, SIZE, SIZE, 3), np.uint8)
    for i, (episode, row) in enumerate(zip(episodes, frames, strict=True)):
        for j, number in enumerate(row):
            for k, view in enumerate(VIEWS):
                pixels[i, j, k] = grey(view, number, episode)
    return Shown(VIEWS, pixels, np.array(episodes), np.array(frames))


def seen(pairs: PairBatch, frame: int) -> tuple[int, int]:
    """Return (episode, frame) that the front view's grey tells."""
    value = int(pairs.images[pairs.frames[frame, 0], 0, 0, 0]) - grey("front", 0)
    return (value % 8) // 3, value // 8


def test_lerobot_knows_the_type_and_stores_its_settings(tmp_path: Path) -> None:
    made = config(views=["front"], foreign=0.4)
    made._save_pretrained(tmp_path)
    assert made.type == "multiview_progress"
    assert RewardModelConfig.get_choice_class(made.type) is MultiviewProgressConfig
    assert RewardModelConfig.from_pretrained(tmp_path) == made
    assert made.sampling().foreign == 0.4
    assert made.get_optimizer_preset().grad_clip_norm == 1.0
    assert made.get_scheduler_preset().num_warmup_steps == 50


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"before": 0}, "before must be at least 1"),
        ({"swap": 1.5}, "swap is a probability"),
        ({"shift": -1.0}, "shift must be a share"),
        ({"backbone": CompactConfig(history=1)}, "history must be 0"),
        ({"backbone": CompactConfig(belief=True)}, "belief off"),
        ({"optimizer_lr": 0.0}, "learning rate must be positive"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(settings: Any, told: str) -> None:
    with pytest.raises(RoboRewardError, match=told):
        MultiviewProgressConfig(device="cpu", **settings)


def test_a_model_whose_images_were_resized_otherwise_is_refused() -> None:
    with pytest.raises(CheckpointError, match="trained with preprocessing 'old'"):
        config(preprocessing="old")


def test_input_features_need_a_camera() -> None:
    made = config()
    with pytest.raises(InputError, match=r"no observation\.images"):
        made.validate_features()
    made.input_features[FRONT] = PolicyFeature(FeatureType.VISUAL, (3, 8, 8))
    made.validate_features()


def test_far_offsets_give_the_first_and_the_last_frame_exactly(tiny_dataset: Path) -> None:
    source = dataset(tiny_dataset, config())
    row = LENGTH + 5  # frame 5 of episode 1
    images = source[row][FRONT]
    assert images.shape == (4, 3, 32, 48)
    expected = [grey("front", number, 1) for number in (0, 3, 5, 11)]
    assert (images[:, 0, 0, 0] * 255).round().tolist() == expected


def test_pixels_are_those_that_robo_reward_resizes(tiny_dataset: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(2, 4, 32, 48, 3), dtype=np.uint8)
    expected = np.stack([[resize(frame, SIZE) for frame in item] for item in pixels])
    given = torch.from_numpy(pixels).movedim(-1, 2)
    for images in (given, given.to(torch.float32) / 255.0):
        out = preprocessor(config())({FRONT: images, "task": [TASK, TASK]})
        assert out[FRONT].dtype == torch.uint8
        assert np.array_equal(out[FRONT].numpy(), expected)


ITEM = {"task": TASK, "index": torch.tensor(3)}
MANY = {"task": [TASK, TASK], "index": torch.tensor([3, 4])}


@pytest.mark.parametrize(
    ("shape", "told", "expected"),
    [
        ((2, 4, 3, 8, 8), MANY, (2, 4)),
        ((2, 3, 8, 8), MANY, (2, 1)),
        ((4, 3, 8, 8), ITEM, (1, 4)),
        ((3, 8, 8), ITEM, (1, 1)),
        ((4, 3, 8, 8), {"index": torch.tensor(3)}, (1, 4)),
        ((2, 3, 8, 8), {"index": torch.tensor([3, 4])}, (2, 1)),
        ((3, 8, 8), {}, (1, 1)),
    ],
)
def test_items_and_batches_with_or_without_times_are_told_apart(
    shape: tuple[int, ...], told: dict[str, Any], expected: tuple[int, int]
) -> None:
    out = preprocessor(config())({FRONT: torch.zeros(shape), **told})
    assert out[FRONT].shape == (*expected, SIZE, SIZE, 3)
    if "task" in told:
        assert len(out["task"]) == len(out["index"]) == expected[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({FRONT: torch.zeros(4, 3, 8, 8)}, "could be T images or B items"),
        ({FRONT: torch.zeros(4, 8, 8, 3), "task": TASK}, r"images must be \(B, T, 3, H, W\)"),
        ({FRONT: torch.full((3, 8, 8), 2.0)}, r"must lie in \[0, 1\], got 2 to 2"),
        ({FRONT: torch.full((3, 8, 8), torch.nan)}, "must lie in"),
        ({FRONT: torch.zeros(3, 8, 8, dtype=torch.int32)}, "must be uint8 or floats"),
        ({"observation.state": torch.zeros(3)}, "no view to look at"),
        ({FRONT: torch.zeros(2, 3, 8, 8), WRIST: torch.zeros(1, 3, 8, 8), **MANY}, "different num"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        preprocessor(config())(given)


def test_a_pipeline_that_was_saved_and_loaded_does_the_same(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    made = config(views=list(VIEWS))
    items = batch(dataset(tiny_dataset, made), [1, 14])
    first = preprocessor(made)
    first.save_pretrained(tmp_path)
    again: Any = PolicyProcessorPipeline.from_pretrained(
        tmp_path, config_filename="policy_preprocessor.json"
    )
    one, two = first(items), again(items)
    assert set(one) == set(two) >= {FRONT, WRIST, "task", "index", "episode_index"}
    for name in (FRONT, WRIST, "index", "episode_index"):
        assert torch.equal(one[name], two[name]), name


def test_views_that_were_not_asked_for_are_left_out_and_others_may_be_missing() -> None:
    given = {FRONT: torch.zeros(3, 8, 8), "observation.images.depth": torch.zeros(1, 8, 8)}
    out = preprocessor(config(views=["front", "wrist"]))({**given, "task": TASK})
    assert sorted(key for key in out if key.startswith("observation.images.")) == [FRONT]
    with pytest.raises(InputError, match="the batch has depth, front, the model wants top"):
        preprocessor(config(views=["top"]))(given)


def test_the_step_tells_what_it_makes_of_features() -> None:
    step = preprocessor(config()).steps[0]
    camera = {FRONT: PolicyFeature(FeatureType.VISUAL, (3, 32, 48))}
    state = {"observation.state": PolicyFeature(FeatureType.STATE, (2,))}
    made = step.transform_features({PipelineFeatureType.OBSERVATION: camera | state})
    assert made[PipelineFeatureType.OBSERVATION][FRONT].shape == (SIZE, SIZE, 3)
    assert made[PipelineFeatureType.OBSERVATION]["observation.state"].shape == (2,)


def test_the_table_knows_what_the_other_trainer_knows(tiny_dataset: Path) -> None:
    table, other = read_table(meta(tiny_dataset)), open_dataset(tiny_dataset)
    assert sorted(table.goals) == [0, 1, 2]
    for number, goals in table.goals.items():
        for mine, theirs in zip(goals, episode_goals(other.episode(number)), strict=True):
            assert mine.instructions == theirs.instructions
            assert mine.match == theirs.match
            assert np.array_equal(mine.progress, theirs.progress)
            assert np.array_equal(mine.success, theirs.success)
    own, button = table.goals[1]
    assert own.progress[[0, 3, 11]] == pytest.approx([0, 3 / 9, 0.5])
    assert button.instructions == (OTHER_TASK, "press the blue button")
    assert (own.match, button.match, button.progress[7]) == (1.0, 0.0, 0.25)


def test_frames_are_clamped_to_their_episode_as_lerobot_clamps_them(tiny_dataset: Path) -> None:
    table = read_table(meta(tiny_dataset))
    frames = table.frames(np.array([1, 1, 0]), np.array([17, 12, 1]), before=2)
    assert frames.tolist() == [[0, 3, 5, 11], [0, 0, 0, 11], [0, 0, 1, 11]]
    with pytest.raises(DatasetError, match="index 11 is no frame of episode 1"):
        table.frames(np.array([1]), np.array([11]), before=2)
    with pytest.raises(DatasetError, match="nothing is known of episode 7"):
        table.frames(np.array([7]), np.array([0]), before=2)


def test_a_dataset_that_is_not_on_disk_or_damaged_is_told(copy: Path) -> None:
    known = meta(copy)
    rewrite(data_file(copy), lambda table: table.slice(0, 30))
    with pytest.raises(DatasetError, match=r"episode 2 of .* has 6 rows, but .* claims 12"):
        read_table(known)
    data_file(copy).write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_table(known)
    shutil.rmtree(copy / "data")
    with pytest.raises(DatasetError, match="has no data files"):
        read_table(known)
    (copy / OWN_FILE).write_text("{")
    with pytest.raises(DatasetError, match=r"robo_reward\.json cannot be read as JSON"):
        read_table(known)


def test_cameras_are_found_by_name_and_depth_maps_are_none(tiny_dataset: Path) -> None:
    assert camera_views(meta(tiny_dataset)) == ("front", "wrist")
    assert camera_views(meta(tiny_dataset), ["wrist"]) == ("wrist",)
    with pytest.raises(InputError, match="no view top, its cameras are front wrist"):
        camera_views(meta(tiny_dataset), ["front", "top"])
    blind = SimpleNamespace(camera_keys=["observation.image", "d"], depth_keys=["d"])
    with pytest.raises(InputError, match=r"no view observation\.images\.<view>, its cameras are"):
        camera_views(blind)


def test_pairs_carry_the_truth_of_the_frames_they_show(tiny_dataset: Path) -> None:
    table = read_table(meta(tiny_dataset))
    items = shown([0, 1], [[0, 3, 5, 11], [0, 6, 8, 11]])
    pairs = pair_batch(items, table, SURE, period=2, rng=np.random.default_rng(0))
    assert len(pairs) == 2 * SURE.prefixes * SURE.pairs
    assert len(pairs.images) == 8 * 2  # each frame once, two views
    for i in range(len(pairs)):
        (episode, p), (same, q) = seen(pairs, pairs.before[i]), seen(pairs, pairs.after[i])
        top = 0.5 if episode == 1 else 1.0
        phi, then = min(q / 9, top), min(p / 9, top)
        assert same == episode
        assert pairs.hop_previous[i] == pytest.approx(0.0 if p == q else float(hop(then, phi)))
        assert pairs.hop_start[i] == pytest.approx(phi)
        assert pairs.hop_goal[i] == pytest.approx(phi - 1.0)
        assert pairs.success[i] == float(phi == 1.0)
        assert pairs.match[i] == 1.0
        left = max(0.9 - q / 10, 0.0) if episode == 0 else np.nan
        assert pairs.time_to_go[i] == pytest.approx(left, nan_ok=True)
    for prefix in range(len(pairs.instructions)):
        assert seen(pairs, pairs.start[prefix])[1] == 0
        assert seen(pairs, pairs.goal[prefix]) == (0, 11)  # the one success in the batch


def test_references_come_from_others_of_the_task_as_often_as_told(tiny_dataset: Path) -> None:
    table = read_table(meta(tiny_dataset))
    config = SamplingConfig(**{**SURE.__dict__, "prefixes": 400, "pairs": 1})
    items = shown([0, 2], [[0, 3, 5, 11], [0, 6, 8, 11]])
    pairs = pair_batch(items, table, config, period=2, rng=np.random.default_rng(0))
    own = [i < 400 for i in range(800)]  # the first 400 draws are of episode 0
    others = [
        (seen(pairs, goal)[0] == 2) == mine for goal, mine in zip(pairs.goal, own, strict=True)
    ]
    assert np.mean(others) == pytest.approx(0.75, abs=0.05)


def test_a_foreign_instruction_teaches_only_that_it_is_not_pursued() -> None:
    facts: dict[str, Any] = {"length": 4, "fps": 10.0, "views": VIEWS, "outcome": True}
    table = GoalTable(
        {
            0: Episode(index=0, instructions=("stack",), **facts),
            1: Episode(index=1, instructions=("sweep",), first_row=4, **facts),
        }
    )
    config = SamplingConfig(**{**SURE.__dict__, "foreign": 1.0})
    items = shown([0, 1], [[0, 1, 2, 3], [0, 1, 2, 3]])
    pairs = pair_batch(items, table, config, period=1, rng=np.random.default_rng(0))
    assert set(pairs.instructions) == {"stack", "sweep"}
    assert set(pairs.match) == {0.0}
    for name in ("hop_previous", "hop_start", "hop_goal", "success"):
        assert np.isnan(getattr(pairs, name)[pairs.before != pairs.after]).all(), name


def test_a_failure_without_truth_teaches_only_that_it_did_not_succeed() -> None:
    failed = Episode(
        index=0, length=4, fps=10.0, views=VIEWS, instructions=("stack",), outcome=False
    )
    items = shown([0], [[0, 1, 2, 3]])
    rng = np.random.default_rng(0)
    pairs = pair_batch(items, GoalTable({0: failed}), SURE, period=1, rng=rng)
    assert np.isnan(pairs.hop_start).all()
    assert np.isnan(pairs.match).all()
    assert set(pairs.success) == {0.0}
    assert set(pairs.goal) == {-1}  # nothing shows the goal
