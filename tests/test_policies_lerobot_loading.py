"""From a directory to an adapter: what is found, and what is refused in a sentence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lerobot.policies import MultiTaskDiTConfig
from lerobot.utils import import_utils
from safetensors.torch import load_file, save_file
from tiny_lerobot import make_act, make_smolvla, situation

from policies.lerobot_adapter import HEADS
from policies.lerobot_loading import load_lerobot_policy
from robo_reward.errors import CheckpointError, InputError, RoboRewardError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SmolVLA that nobody changes."""
    return make_smolvla(tmp_path_factory.mktemp("whole") / "vla")


@pytest.fixture
def source(whole: Path, tmp_path: Path) -> Path:
    """One that may be spoilt."""
    place = tmp_path / "vla"
    place.mkdir()
    for path in whole.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    return place


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_checkpoint_of_a_training_run_is_found_in_its_folder(source: Path) -> None:
    run = source.parent / "000020"
    run.mkdir()
    source.rename(run / "pretrained_model")
    assert load_lerobot_policy(run, device="cpu").chunk == 3


def test_views_are_what_the_processor_is_given_before_it_renames(source: Path) -> None:
    plain = load_lerobot_policy(source, device="cpu")
    path = source / "policy_preprocessor.json"
    stored = json.loads(path.read_text())
    renames = {"observation.images.top": "observation.images.front"}
    stored["steps"][0]["config"]["rename_map"] = renames
    path.write_text(json.dumps(stored))
    made = load_lerobot_policy(source, device="cpu")
    assert made.cameras == {
        "top": "observation.images.top",
        "wrist": "observation.images.wrist",
    }
    seen = situation()
    views = {"top": seen.views["front"], "wrist": seen.views["wrist"]}
    turned = type(seen)(views=views, state=seen.state, instructions=seen.instructions)
    assert np.array_equal(made.act(turned), plain.act(seen))


def test_weights_of_half_the_size_become_float32(source: Path) -> None:
    path = source / "model.safetensors"
    half = {name: weight.bfloat16() for name, weight in load_file(path).items()}
    save_file(half, path, {"format": "pt"})
    made = load_lerobot_policy(source, device="cpu")
    assert {weight.dtype for weight in made.parameters()} == {torch.float32}
    assert np.isfinite(made.act(situation())).all()


def test_nothing_is_printed(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_lerobot_policy(source, device="cpu").save(source.parent / "saved")
    load_lerobot_policy(source.parent / "saved", device="cpu")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("kind", ["diffusion", "vqbet", "tdmpc", "pi0", "my_policy"])
def test_a_type_without_a_likelihood_is_refused(source: Path, kind: str) -> None:
    edit(source / "config.json", type=kind)
    with pytest.raises(
        InputError, match=f"a LeRobot {kind} policy, .* act, smolvla, multi_task_dit"
    ):
        load_lerobot_policy(source)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"type": None}, "is no LeRobot policy: its config.json names no type"),
        ({"use_peft": True}, "holds a PEFT adapter and not the weights; merge it"),
        ({"n_obs_steps": 3}, "looks at the last 3 observations"),
        ({"use_cache": False}, "without its cache the expert reads nothing"),
        ({"nonsense": 1}, "cannot be loaded as LeRobot .* would"),
        ({"num_vlm_layers": 1}, "cannot be loaded as LeRobot .* would"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(
    source: Path, changes: dict[str, Any], told: str
) -> None:
    edit(source / "config.json", **changes)
    with pytest.raises(RoboRewardError, match=told):
        load_lerobot_policy(source)


def test_other_observations_than_images_and_state_are_refused(source: Path) -> None:
    stored = json.loads((source / "config.json").read_text())
    features = stored["input_features"]
    features["observation.environment_state"] = {"type": "ENV", "shape": [4]}
    edit(source / "config.json", input_features=features)
    with pytest.raises(InputError, match=r"looks at observation\.environment_state, which"):
        load_lerobot_policy(source)


def test_statistics_that_are_missing_are_refused(source: Path) -> None:
    for path in source.glob("policy_*.safetensors"):
        kept = {k: v for k, v in load_file(path).items() if not k.startswith("action.")}
        save_file(kept or {"observation.state.mean": load_file(path)["action.mean"]}, path)
    with pytest.raises(InputError, match="has no statistics of action, so its numbers are not in"):
        load_lerobot_policy(source)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "policy_preprocessor.json", "policy_postprocessor.json"]
)
def test_a_directory_that_is_not_whole_is_refused(source: Path, name: str) -> None:
    (source / name).unlink()
    with pytest.raises(InputError, match=f"is no whole LeRobot policy: it has no {name}"):
        load_lerobot_policy(source)


def test_damaged_files_are_refused(source: Path) -> None:
    load_lerobot_policy(source, device="cpu").save(source)
    for name, told in (
        (HEADS, "cannot be read"),
        ("model.safetensors", "cannot be loaded"),
        ("config.json", "is damaged"),
    ):
        (source / name).write_bytes(b"broken")
        with pytest.raises(CheckpointError, match=told):
            load_lerobot_policy(source)


def test_heads_of_another_policy_are_refused(source: Path, tmp_path: Path) -> None:
    load_lerobot_policy(make_act(tmp_path / "act"), device="cpu").save(tmp_path / "other")
    (source / HEADS).write_bytes((tmp_path / "other" / HEADS).read_bytes())
    with pytest.raises(CheckpointError, match="does not fit the policy beside it"):
        load_lerobot_policy(source)


def test_a_killed_save_is_mended(source: Path) -> None:
    old = source.rename(source.with_name(f"{source.name}.old-{2**22 + 1}"))
    assert load_lerobot_policy(source, device="cpu").chunk == 3
    assert source.is_dir()
    assert not old.exists()


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a directory nor a model that can be had"):
        load_lerobot_policy("nobody/has-this-policy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"is no LeRobot policy: it has no config\.json"):
        load_lerobot_policy(tmp_path / "empty")


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan")])
def test_no_noise_is_refused(source: Path, noise: float) -> None:
    with pytest.raises(InputError, match="noise must be above 0"):
        load_lerobot_policy(source, noise=noise)


def test_a_package_that_is_missing_is_named(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(import_utils._require_package_cache, "diffusers", False)
    MultiTaskDiTConfig(device="cpu", n_obs_steps=1, objective="flow_matching").save_pretrained(
        source
    )
    with pytest.raises(InputError, match="needs a package that is not here: 'diffusers'"):
        load_lerobot_policy(source)
