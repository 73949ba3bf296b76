"""Base models are loaded whole or refused with a sentence; nothing that could run code is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_vlm import make_tiny_vlm

from robo_reward.errors import CheckpointError, InputError
from robo_reward.hf.loading import REFUSED, blank_model, locate, read_facts, read_model
from robo_reward.hf.preprocessing import Pixels, patchify


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_tiny_vlm(tmp_path / "vlm", "qwen3_vl")


def change(place: Path, edit: Callable[[dict[str, Any]], object]) -> str:
    path = place / "config.json"
    stored = json.loads(path.read_text())
    edit(stored)
    path.write_text(json.dumps(stored))
    return str(place)


def test_the_facts_are_those_of_the_files(place: Path) -> None:
    facts = read_facts(str(place))
    assert facts.family.name == "qwen3_vl"
    assert facts.pixels == Pixels(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    shape = facts.geometry
    assert (shape.patch, shape.merge, shape.frames, shape.levels, shape.most) == (8, 2, 2, 3, 0)
    assert shape.side(32) == 2
    assert json.loads(facts.tokenizer)["model"]["type"] == "BPE"


def test_a_blank_model_takes_the_weights_of_a_read_one(place: Path) -> None:
    read = read_model(str(place))
    blank = blank_model(read_facts(str(place)), torch.float32)
    blank.load_state_dict(read.state_dict(), strict=True)
    buffers = dict(read.named_buffers())
    assert buffers
    for name, buffer in blank.named_buffers():
        assert torch.equal(buffer, buffers[name]), "what is computed is not left blank"


@pytest.mark.parametrize("name", [kind.replace("*", "old/x") for kind in REFUSED])
def test_files_that_can_run_code_are_refused(place: Path, name: str) -> None:
    (place / "old").mkdir()
    (place / name).touch()
    with pytest.raises(InputError, match=f"holds {name}: such files can run code.*remove them"):
        read_model(str(place))


def test_a_model_that_brings_code_is_refused(place: Path) -> None:
    base = change(place, lambda stored: stored.update(auto_map={"AutoModel": "evil.Model"}))
    with pytest.raises(InputError, match=r"asks to run code of its own \(auto_map\), which"):
        read_facts(base)


def test_a_model_of_ours_is_not_taken_for_a_pretrained_one(place: Path) -> None:
    base = change(place, lambda stored: stored.pop("model_type"))
    with pytest.raises(InputError, match="has no model_type; a model of robo-reward is trained"):
        read_facts(base)


@pytest.mark.parametrize("kind", ["llama", "evil"])
def test_another_family_is_refused_with_those_that_are_there(place: Path, kind: str) -> None:
    base = change(place, lambda stored: stored.update(model_type=kind))
    sentence = f"is a {kind!r} model, which cannot be a backbone; this version reads qwen3_vl, "
    with pytest.raises(InputError, match=sentence + "qwen2_5_vl, smolvlm"):
        read_facts(base)


def test_sliding_attention_is_refused(tmp_path: Path) -> None:
    place = make_tiny_vlm(tmp_path / "vlm", "qwen2_5_vl")

    def slide(stored: dict[str, Any]) -> None:
        stored["text_config"]["layer_types"] = ["sliding_attention"] * 3

    with pytest.raises(InputError, match="has layers of sliding attention"):
        read_facts(change(place, slide))


def test_a_configuration_as_older_versions_wrote_it_says_the_same(tmp_path: Path) -> None:
    place = make_tiny_vlm(tmp_path / "vlm", "qwen2_5_vl")
    expected = read_facts(str(place)).architecture["text_config"]

    def flatten(stored: dict[str, Any]) -> None:
        text = stored.pop("text_config")
        rope = text.pop("rope_parameters")
        left = ("model_type", "dtype", "layer_types")
        stored.update({name: value for name, value in text.items() if name not in left})
        stored["rope_theta"] = rope["rope_theta"]
        stored["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}

    got = read_facts(change(place, flatten)).architecture["text_config"]
    assert got["rope_parameters"].pop("type") == "mrope"
    assert {**got, "dtype": None} == {**expected, "dtype": None}


def test_a_place_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config.json; give the directory of a model"):
        read_facts(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json is damaged .*; copy the model again"):
        read_facts(str(tmp_path))
    for base in ("no/such/place", "nobody/nothing-at-all", ""):
        with pytest.raises(InputError, match="neither a directory nor a model that can be had"):
            locate(base)


def test_a_hub_id_is_read_like_a_directory(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    kept = tmp_path / "hub/models--Qwen--Qwen3-VL-2B-Instruct"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs/main").write_text("0" * 40)
    shutil.copytree(place, kept / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for base in ("Qwen/Qwen3-VL-2B-Instruct", "qwen3-vl-2b"):
        assert locate(base) == kept / "snapshots" / ("0" * 40)
        assert read_facts(base) == read_facts(str(place))


def test_a_model_without_tokenizer_or_processor_is_refused(place: Path) -> None:
    tokenizer = place / "tokenizer.json"
    tokenizer.rename(place / "away.json")
    with pytest.raises(InputError, match="lacks a tokenizer or an image processor"):
        read_facts(str(place))
    (place / "away.json").rename(tokenizer)
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="lacks a tokenizer or an image processor"):
        read_facts(str(place))


def test_a_tokenizer_without_the_marks_of_an_image_is_refused(place: Path) -> None:
    from robo_reward.hf.families import FAMILIES
    from robo_reward.hf.prompt import Words

    with pytest.raises(InputError, match=r"has no token '<fake_token_around_image>'.*copy the tok"):
        Words(read_facts(str(place)).tokenizer, FAMILIES["smolvlm"])


def test_a_damaged_tokenizer_is_refused(place: Path) -> None:
    from robo_reward.hf.families import FAMILIES
    from robo_reward.hf.prompt import Words

    with pytest.raises(InputError, match=r"tokenizer\.json is damaged .*; copy it again"):
        Words(read_facts(str(place)).tokenizer[:-9], FAMILIES["qwen3_vl"])


def test_missing_and_damaged_weights_are_refused(place: Path) -> None:
    path = place / "model.safetensors"
    weights = load_file(path)
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    save_file({n: t for n, t in weights.items() if "lm_head" not in n}, path, {"format": "pt"})
    read_model(str(place))
    save_file({n: t for n, t in weights.items() if n != name}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"lacks 1 weights .*\.0\.mlp\.up_proj\.weight"):
        read_model(str(place))
    save_file(weights | {name: torch.zeros(2, 2)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"another shape, such as .*up_proj\.weight"):
        read_model(str(place))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=r"cannot be loaded .*; copy it again"):
        read_model(str(place))
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        read_model(str(place))


def test_pixels_are_scaled_channel_by_channel() -> None:
    images = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)
    scaled = Pixels(mean=(0.5, 0.5, 0.0), std=(0.5, 0.25, 1.0)).normalise(images)
    assert scaled.shape == (1, 3, 1, 1)
    assert scaled.flatten().tolist() == pytest.approx([-1.0, 2.0, 0.2])


def test_patches_that_merge_lie_side_by_side() -> None:
    pixels = torch.arange(16.0).view(1, 1, 4, 4).expand(1, 3, 4, 4)
    patches = patchify(pixels, patch=1, merge=2, frames=2)
    assert patches.shape == (16, 6)
    assert patches[:, 0].tolist() == [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    assert torch.equal(patches[:, 0], patches[:, 5])
