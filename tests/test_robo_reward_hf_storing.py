"""Checkpoints over pretrained models: exact, self-contained, strict, and sharing what is frozen."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import load_file, save_file
from safetensors.torch import save as to_bytes
from tiny_vlm import make_tiny_vlm

from robo_reward import checkpoint
from robo_reward.checkpoint import CONFIG, ModelConfig, build, load, save
from robo_reward.config import HfConfig
from robo_reward.errors import CheckpointError, RoboRewardError
from robo_reward.model import ModelSettings
from robo_reward.network import ProgressNetwork
from robo_reward.testing import check_progress_model

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = ModelSettings(image_size=32, query_period_s=0.3)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_vlm(tmp_path_factory.mktemp("vlm") / "qwen3_vl", "qwen3_vl", scale=4.0)


def made(base: Path, **settings: Any) -> tuple[ProgressNetwork, ModelConfig]:
    """A network whose heads and slots are not as new, and its configuration."""
    told = {"image_size": 32, "lora_rank": 0, **settings}
    config = HfConfig(base=str(base), **told)
    torch.manual_seed(0)
    network = build(config)
    with torch.no_grad():
        for tensor in network.learnt().values():
            tensor.add_(torch.randn_like(tensor) * 0.01)
    return network, ModelConfig(backbone=config, settings=SETTINGS)


@pytest.fixture
def place(base: Path, tmp_path: Path) -> Path:
    save(tmp_path / "run/best", *made(base))
    return tmp_path / "run/best"


def file(place: Path, kind: str) -> Path:
    (found,) = place.glob(kind)
    return found


def change_config(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads((place / CONFIG).read_text())
    change(stored)
    (place / CONFIG).write_text(json.dumps(stored))


def refused(place: Path, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence) as told:
        load(place)
    assert str(place.parent) in str(told.value), "the message says where"


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("qwen3_vl", {"lora_rank": 4}),
        ("qwen3_vl", {"dtype": "fp32", "train_vision": True}),
        ("smolvlm", {}),
    ],
)
def test_a_loaded_model_is_the_saved_one_without_its_base(
    family: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    if settings.get("lora_rank"):
        pytest.importorskip("peft")
    gone = make_tiny_vlm(tmp_path / "vlm", family, scale=4.0)
    network, config = made(gone, **settings)
    fingerprint = save(tmp_path / "model", network, config)
    shutil.rmtree(gone)
    loaded = load(tmp_path / "model", device="cpu")
    assert loaded.fingerprint == fingerprint
    assert loaded.settings == SETTINGS
    expected, got = network.state_dict(), loaded.network.state_dict()
    assert set(got) == set(expected)
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype, name
        assert torch.equal(got[name], tensor), name
    saved = checkpoint.Model(network, SETTINGS, fingerprint="")
    frames, references = tiny.episode(4), tiny.references()
    labels = [m.label(frames, "open", references, fps=3) for m in (saved, loaded)]
    assert tiny.furthest(*labels) == 0.0


def test_a_loaded_model_keeps_the_promises_of_a_progress_model(place: Path) -> None:
    model = load(place, device="cpu")
    frames, references = tiny.episode(4), tiny.references()
    check_progress_model(model, frames, references, query_period_s=0.3)


def test_every_file_is_needed_and_none_runs_code(place: Path) -> None:
    kinds = {path.name.split("-")[0].split(".")[0] for path in place.iterdir()}
    assert kinds == {"config", "model", "base", "tokenizer", "README"}
    assert {path.suffix for path in place.iterdir()} == {".json", ".safetensors", ".md"}
    assert len({path.stat().st_mode for path in place.iterdir()}) == 1, "readers read all or none"


def test_checkpoints_of_one_run_share_what_is_frozen(base: Path, place: Path) -> None:
    network, config = made(base)
    with torch.no_grad():
        network.success_head.bias.add_(1.0)
    last = place.parent / "last"
    save(last, network, config)
    assert os.path.samefile(file(place, "base-*"), file(last, "base-*"))
    assert not os.path.samefile(file(place, "model-*"), file(last, "model-*"))
    checkpoint.remove(place)
    assert not place.exists()
    load(last)


def test_saving_another_base_leaves_nothing_of_the_old_one(base: Path, place: Path) -> None:
    save(place, *made(base, dtype="fp32"))
    assert len(list(place.iterdir())) == 5
    load(place)
    compact = ModelConfig(backbone=tiny.SHAPE, settings=SETTINGS)
    save(place, tiny.network(), compact)
    assert len(list(place.iterdir())) == 3


def test_a_save_that_is_killed_before_the_configuration_leaves_the_old_model(
    base: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = checkpoint.write_atomically

    def killed(path: Path, content: bytes) -> None:
        if path.name == CONFIG:
            raise KeyboardInterrupt
        whole(path, content)

    before = load(place).fingerprint
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            save(place, *made(base, dtype="fp32"))
    assert load(place).fingerprint == before


@pytest.mark.parametrize("kind", ["model-*", "base-*", "tokenizer-*"])
def test_missing_and_damaged_files_are_refused(place: Path, kind: str) -> None:
    path = file(place, kind)
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    refused(place, "has been changed; copy|is not the file that config.json")
    path.unlink()
    refused(place, "cannot be read .*; copy the model again")


def test_a_checkpoint_without_slots_is_refused(place: Path) -> None:
    path = file(place, "model-*")
    content = to_bytes({n: t for n, t in from_bytes(path.read_bytes()).items() if "slots" not in n})
    digest = hashlib.sha256(content).hexdigest()
    checkpoint.weights_file(place, digest).write_bytes(content)
    change_config(place, lambda stored: stored.update(weights_sha256=digest))
    refused(place, r"does not fit the network.*Missing key.*backbone\.slots")


def test_a_base_model_is_told_from_a_reward_model(base: Path) -> None:
    refused(base, r"is a qwen3_vl model without slots.*robo-reward train --hf\.base")


def test_frozen_weights_of_another_shape_are_refused(place: Path) -> None:
    path = file(place, "base-*")
    weights = load_file(path)
    name = sorted(weights)[0]
    save_file(weights | {name: weights[name][:1]}, path)
    refused(place, f"does not fit the network: {name}; copy it again")


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored.pop("base"),
        lambda stored: stored["base"].pop("pixels"),
        lambda stored: stored["base"].update(pixels=None),
        lambda stored: stored["base"].pop("architecture"),
        lambda stored: stored["base"].pop("tokenizer_sha256"),
        lambda stored: stored["backbone"].update(rank=1),
        lambda stored: stored["backbone"].update(lora_rank=-1),
    ],
)
def test_a_configuration_that_describes_no_base_is_refused(
    place: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    change_config(place, change)
    refused(place, "does not describe (its base|a) model")


def test_an_unknown_family_is_refused_with_those_that_are_there(place: Path) -> None:
    change_config(place, lambda stored: stored["base"]["architecture"].update(model_type="evil"))
    with pytest.raises(RoboRewardError, match=r"'evil' model.*reads qwen3_vl, qwen2_5_vl, sm"):
        load(place)


def test_the_fingerprint_tells_bases_apart(base: Path, place: Path, tmp_path: Path) -> None:
    network, config = made(base)
    first = load(place).fingerprint
    assert save(tmp_path / "again", network, config) == first
    other = make_tiny_vlm(tmp_path / "other", "qwen3_vl", scale=4.0, seed=1)
    network, _ = made(other)
    same = replace(config)
    assert save(tmp_path / "third", network, same) != first
