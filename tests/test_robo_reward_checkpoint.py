"""Checkpoints: exact, self-contained, and refused with a sentence when they are not whole."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes

import robo_reward
from robo_reward import checkpoint
from robo_reward.calibration import Calibration
from robo_reward.card import CARD
from robo_reward.checkpoint import CONFIG, ModelConfig, load, read_config, resolve, save
from robo_reward.errors import CheckpointError
from robo_reward.model import ModelSettings
from robo_reward.tracker import TrackerSettings

SETTINGS = ModelSettings(
    image_size=tiny.SIZE,
    query_period_s=0.3,
    tracker=TrackerSettings(
        success_threshold=0.7,
        match_threshold=0.2,
        calibration=Calibration(bias=0.5, slopes=(1.0, 2.0, 3.0, 4.0, 5.0)),
    ),
)
CONFIGURED = ModelConfig(backbone=tiny.SHAPE, settings=SETTINGS, training={"spearman": 0.9})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    save(tmp_path / "model", tiny.network(), CONFIGURED)
    return tmp_path / "model"


def weights(place: Path) -> Path:
    (found,) = place.glob("*.safetensors")
    return found


def change_config(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads((place / CONFIG).read_text())
    change(stored)
    (place / CONFIG).write_text(json.dumps(stored))


def change_weights(place: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the weights and the hash that the configuration names."""
    path = weights(place)
    tensors = from_bytes(path.read_bytes())
    change(tensors)
    content = to_bytes(tensors)
    digest = hashlib.sha256(content).hexdigest()
    path.unlink()
    checkpoint.weights_file(place, digest).write_bytes(content)
    change_config(place, lambda stored: stored.update(weights_sha256=digest))


def refused(place: Path, sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence) as told:
        load(place)
    assert str(place.parent) in str(told.value), "the message says where"


def test_a_loaded_model_is_the_saved_one(place: Path) -> None:
    loaded = load(place, device="cpu")
    expected = tiny.network().state_dict()
    got = loaded.network.state_dict()
    assert set(got) == set(expected)
    assert all(torch.equal(got[name], expected[name]) for name in got)
    assert loaded.settings == SETTINGS
    labels = [
        model.label(tiny.episode(5), "open", tiny.references(), fps=3)
        for model in (loaded, tiny.model(tracker=SETTINGS.tracker, query_period_s=0.3))
    ]
    assert tiny.furthest(*labels) == 0.0


def test_a_checkpoint_that_names_no_fusion_is_weighted_and_one_that_names_it_keeps_it(
    place: Path,
) -> None:
    change_config(place, lambda stored: stored["settings"]["tracker"].pop("fusion"))
    assert load(place).settings == SETTINGS
    assert SETTINGS.tracker.fusion == "weighted"
    filtered = replace(SETTINGS, tracker=replace(SETTINGS.tracker, fusion="filter"))
    save(place, tiny.network(), replace(CONFIGURED, settings=filtered))
    assert load(place).settings == filtered


def test_a_fusion_of_another_version_is_refused(place: Path) -> None:
    change_config(place, lambda stored: stored["settings"]["tracker"].update(fusion="mean"))
    refused(place, "no fusion 'mean'; there are weighted, filter")


def test_the_fingerprint_names_weights_and_settings(place: Path, tmp_path: Path) -> None:
    first = load(place).fingerprint
    assert first == load(place).fingerprint
    assert save(tmp_path / "copy", tiny.network(), CONFIGURED) == first
    assert save(tmp_path / "other", tiny.network(seed=1), CONFIGURED) != first
    slower = ModelConfig(backbone=tiny.SHAPE, settings=ModelSettings(image_size=tiny.SIZE))
    assert save(tmp_path / "slower", tiny.network(), slower) != first


def test_a_figure_that_is_no_number_is_stored_as_null(place: Path) -> None:
    told = ModelConfig(
        backbone=tiny.SHAPE, settings=SETTINGS, training={"mae": float("nan"), "step": 3}
    )
    save(place, tiny.network(), told)
    assert read_config(place)["training"] == {"mae": None, "step": 3}
    assert "NaN" not in (place / CONFIG).read_text()


def test_saving_again_replaces_and_leaves_nothing_else(place: Path) -> None:
    save(place, tiny.network(seed=1), CONFIGURED)
    assert set(place.iterdir()) == {place / CARD, place / CONFIG, weights(place)}
    got = load(place).network.state_dict()["hop_heads.0.weight"]
    assert torch.equal(got, tiny.network(seed=1).state_dict()["hop_heads.0.weight"])


def test_a_save_that_is_killed_before_the_configuration_leaves_the_old_model(
    place: Path, monkeypatch: pytest.MonkeyPatch
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
            save(place, tiny.network(seed=1), CONFIGURED)
    assert load(place).fingerprint == before
    save(place, tiny.network(seed=1), CONFIGURED)
    assert set(place.iterdir()) == {place / CARD, place / CONFIG, weights(place)}


def test_a_removed_checkpoint_leaves_what_is_not_its_own(place: Path) -> None:
    (place / "notes.txt").write_text("mine")
    checkpoint.remove(place)
    assert [path.name for path in place.iterdir()] == ["notes.txt"]
    (place / "notes.txt").unlink()
    checkpoint.remove(place)
    assert not place.exists()
    checkpoint.remove(place)


def test_the_directory_of_a_run_stands_for_its_best_model(place: Path) -> None:
    run = place.parent / "run"
    run.mkdir()
    place.rename(run / "best")
    assert resolve(run) == run / "best"
    assert load(run).settings == SETTINGS


def test_the_package_loads_models(place: Path) -> None:
    assert isinstance(robo_reward.load(place), robo_reward.Model)
    assert isinstance(robo_reward.load(str(place)), robo_reward.Model)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "is no model: it has no config.json; give the directory")


def test_missing_weights_are_refused(place: Path) -> None:
    weights(place).unlink()
    refused(place, r"model-\w+\.safetensors cannot be read .No such file.*copy the model again")


def test_a_missing_weight_is_refused_by_name(place: Path) -> None:
    change_weights(place, lambda tensors: tensors.pop("match_head.bias"))
    refused(place, "does not fit the network.*Missing key.*match_head.bias")


def test_an_extra_weight_is_refused_by_name(place: Path) -> None:
    change_weights(place, lambda tensors: tensors.update(stranger=torch.zeros(1)))
    refused(place, "does not fit the network.*Unexpected key.*stranger")


def test_a_weight_of_another_shape_is_refused(place: Path) -> None:
    change_weights(place, lambda tensors: tensors.update({"match_head.bias": torch.zeros(2)}))
    refused(place, "size mismatch for match_head.bias")


def test_a_flipped_byte_is_noticed(place: Path) -> None:
    content = bytearray(weights(place).read_bytes())
    content[-100] ^= 1
    weights(place).write_bytes(content)
    refused(place, "not the file that config.json was written with; copy both again")


def test_a_file_that_was_cut_off_is_noticed(place: Path) -> None:
    weights(place).write_bytes(weights(place).read_bytes()[:-1])
    refused(place, "not the file that config.json was written with")


def test_another_format_is_refused_with_the_version_that_wrote_it(place: Path) -> None:
    change_config(place, lambda stored: stored.update(format=99, code_version="7.8.9"))
    refused(place, "has format 99.*reads format 2.*7.8.9.*or train again")


def test_another_preprocessing_is_refused(place: Path) -> None:
    change_config(place, lambda stored: stored.update(preprocessing="crop-3"))
    refused(place, "preprocessing 'crop-3'")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "{}", "\x00\xff"])
def test_a_damaged_configuration_is_refused(place: Path, text: str) -> None:
    (place / CONFIG).write_bytes(text.encode("latin-1"))
    refused(place, "config.json is damaged .*; train or copy the model again")


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored.pop("settings"),
        lambda stored: stored.pop("training"),
        lambda stored: stored["settings"].update(unknown=1),
        lambda stored: stored["settings"].pop("tracker"),
        lambda stored: stored["settings"]["tracker"].pop("calibration"),
        lambda stored: stored["settings"]["tracker"]["calibration"].update(slopes=[1.0]),
        lambda stored: stored["backbone"].update(width="wide"),
        lambda stored: stored["backbone"].update(width=21),
        lambda stored: stored["backbone"].pop("type"),
        lambda stored: stored.update(backbone=None),
    ],
)
def test_a_configuration_that_describes_no_model_is_refused(
    place: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    change_config(place, change)
    refused(place, "does not describe a model .*; train or copy it again")


def test_a_configuration_without_the_hash_of_the_weights_is_refused(place: Path) -> None:
    change_config(place, lambda stored: stored.pop("weights_sha256"))
    refused(place, "model-None.safetensors cannot be read")


def test_an_unknown_backbone_is_refused(place: Path) -> None:
    change_config(place, lambda stored: stored["backbone"].update(type="cloud"))
    refused(place, "this version has no backbone 'cloud', only compact, hf")
