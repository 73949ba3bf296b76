"""The hf backbone keeps the promises of `Backbone`, and is the plain model read more cleverly."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_vlm import MARKS, make_tiny_vlm
from torch import Tensor

from robo_reward.config import HfConfig
from robo_reward.errors import InputError
from robo_reward.hf.backbone import HfBackbone
from robo_reward.hf.loading import read_facts, read_model
from robo_reward.hf.prompt import RULES, Template, joined
from robo_reward.protocols import Panel
from robo_reward.testing import check_backbone

SIZE = 32
TEXT = "pick up the red cube and put it in the bin"
type Maker = Callable[..., HfBackbone]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Maker:
    """Make backbones over tiny models; the files of a family are written once."""

    @cache
    def place(family: str) -> Path:
        return make_tiny_vlm(tmp_path_factory.mktemp("vlm") / family, family, scale=4.0)

    def made(family: str = "qwen3_vl", *, will_train: bool = True, **settings: Any) -> HfBackbone:
        told = {"image_size": SIZE, "dtype": "fp32", "lora_rank": 0, **settings}
        config = HfConfig(base=str(place(family)), **told)
        torch.manual_seed(0)
        facts, model = read_facts(config.base), read_model(config.base)
        return HfBackbone(config, facts, model, will_train=will_train).eval()

    return made


@pytest.mark.parametrize("family", MARKS)
@pytest.mark.parametrize("history", [0, 2])
def test_every_family_keeps_the_promises(make: Maker, family: str, history: int) -> None:
    check_backbone(make(family, history=history), image_size=SIZE, history=history)


def pixels(count: int, size: int = SIZE, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, size=(count, size, size, 3), dtype=np.uint8))


def panel(tokens: Tensor) -> Panel:
    """All of them there; (B, G, V, K, W)."""
    return Panel(tokens=tokens, there=torch.ones(tokens.shape[:3]) > 0)


def processed(made: HfBackbone, images: Tensor) -> dict[str, Tensor]:
    """What the model's own processor makes of images."""
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(made.config.base)
    whole = {"do_image_splitting": False, "max_image_size": {"longest_edge": images.shape[1]}}
    smol = whole if made.facts.family.name == "smolvlm" else {}
    told = processor(list(images.numpy()), return_tensors="pt", do_resize=False, **smol)
    kept = ("pixel_values", "image_grid_thw", "pixel_attention_mask")
    return {name: told[name] for name in kept if name in told}


@pytest.mark.parametrize("family", MARKS)
def test_tokens_are_those_of_the_model_with_its_own_processor(make: Maker, family: str) -> None:
    made, images = make(family), pixels(3)
    with torch.inference_mode():
        told: Any = made.model
        seen = told.get_image_features(**processed(made, images), return_dict=True)
        levels = [seen.pooler_output, *(getattr(seen, "deepstack_features", None) or [])]
        whole = [torch.cat(tuple(level)).reshape(3, 4, -1) for level in levels]
        assert (torch.cat(whole, dim=-1) - made.encode(images)).abs().max() < 1e-5


type Cells = frozenset[tuple[int, int]]
TOLD = ("at the start", "at the goal", "first", "before", "after")


def whole_prompt(made: HfBackbone, text: str, images: Tensor, absent: Cells) -> Tensor:
    """Slots of one query as the plain model gives them: no cache, the whole prompt at once.

    Args:
        made: The backbone.
        text: The instruction.
        images: Two views, each with what is `TOLD` of in turn: (2, 5, S, S, 3).
        absent: The (view, role) that the model's own attention mask hides.
    """
    model: Any = made.model
    words, image = made.words, model.config.image_token_id
    numbers = [*words(RULES, 999), *words(text, 99)]
    there = [1] * len(numbers)
    order = [(v, r) for v in range(2) for r in range(2)] + [
        (v, r) for r in range(2, 5) for v in range(2)
    ]
    for view, role in order:
        said = [*words("\n", 9), *words(("front", "wrist")[view], 9)]
        said += words(f" {TOLD[role]}: ", 99)
        shown = [*said, *words.opening, *[image] * made.side**2, *words.closing]
        numbers.extend(shown)
        there.extend([int((view, role) not in absent)] * len(shown))
    ids = torch.tensor([[*numbers, 1, 1, 1, 1, 1]])
    embedded = model.get_input_embeddings()(ids)
    embedded = torch.cat([embedded[:, :-5], made.slots[None]], dim=1)
    given = processed(made, torch.stack([images[cell] for cell in order]))
    given["attention_mask"] = torch.tensor([[*there, 1, 1, 1, 1, 1]])
    if made.facts.family.rows_and_columns:
        kinds = (ids == image).int()
        grid = given["image_grid_thw"]
        positions, _ = model.get_rope_index(ids, mm_token_type_ids=kinds, image_grid_thw=grid)
        given["position_ids"] = positions
    states = model(inputs_embeds=embedded, use_cache=False, **given).last_hidden_state
    return made.read_out(states[:, -5:])


def shows(absent: Cells, roles: range) -> Tensor:
    """Which of two views are there, (1, G, 2)."""
    return torch.tensor([[[(view, role) not in absent for view in range(2)] for role in roles]])


@pytest.mark.parametrize("family", MARKS)
@pytest.mark.parametrize("absent", [frozenset(), frozenset({(0, 0), (1, 1), (1, 3), (0, 2)})])
def test_cached_and_packed_reading_is_the_whole_prompt_at_once(
    make: Maker, family: str, absent: Cells
) -> None:
    made, texts = make(family, history=1), ("open the drawer", TEXT)
    images = pixels(12).view(2, 6, SIZE, SIZE, 3)  # two views of start, goal and four moments
    moments, index = [(2, 3, 4), (3, 4, 5), (5, 4, 2)], torch.tensor([0, 1, 1])
    with torch.inference_mode():
        tokens = made.encode(images.flatten(0, 1)).unflatten(0, (2, 6)).transpose(0, 1)
        ends = Panel(tokens=tokens[:2].expand(2, -1, -1, -1, -1), there=shows(absent, range(2)))
        ends = Panel(tokens=ends.tokens, there=ends.there.expand(2, -1, -1))
        prefix = made.prefix(texts, ("front", "wrist"), ends)
        there = shows(absent, range(2, 5)).expand(3, -1, -1)
        queries = torch.stack([tokens[list(three)] for three in moments])
        slots = made.read(prefix, index, Panel(tokens=queries, there=there))
        for row, (three, text) in enumerate(zip(moments, index.tolist(), strict=True)):
            expected = whole_prompt(made, texts[text], images[:, [0, 1, *three]], absent)
            assert (slots[row] - expected[0]).abs().max() < 1e-5


def own_prompt(made: HfBackbone, text: str) -> Template:
    """A prompt of two views and one earlier query."""
    names, writer = ("front", "wrist"), made.writer
    parts = [
        writer.text([*made.words(RULES, 999), *made.words(text, 99)]),
        writer.shown(names, TOLD[:2], by_view=True),
        writer.shown(names, TOLD[2:], by_view=False),
    ]
    return joined(parts)


@pytest.mark.parametrize("family", MARKS)
def test_a_whole_prompt_is_read_as_the_plain_model_reads_it(make: Maker, family: str) -> None:
    made = make(family, history=1)
    images = pixels(10).view(2, 5, SIZE, SIZE, 3)
    with torch.inference_mode():
        expected = whole_prompt(made, TEXT, images, frozenset())
        slots = made.whole(own_prompt(made, TEXT), images.transpose(0, 1).flatten(0, 1))
        assert slots.shape == (1, 5, made.width)
        assert (slots - expected).abs().max() < 1e-5


def test_parts_of_a_prompt_are_counted_on() -> None:
    def part(cells: list[int], images: list[int], order: list[int], span: int) -> Template:
        count = len(cells)
        return Template(
            numbers=torch.arange(count),
            cells=torch.tensor(cells),
            images=torch.tensor(images, dtype=torch.int64),
            order=torch.tensor(order, dtype=torch.int64),
            positions=torch.arange(count).expand(3, -1),
            span=span,
        )

    two, text = part([1, 1, 0, 2], [1, 2], [1, 0], 3), part([0, 0], [], [], 2)
    whole = joined([text, two, text, two])
    assert whole.numbers.tolist() == [0, 1, 0, 1, 2, 3, 0, 1, 0, 1, 2, 3]
    assert whole.cells.tolist() == [4, 4, 1, 1, 0, 4, 4, 4, 3, 3, 2, 4], "4 is none of them"
    assert whole.images.tolist() == [3, 4, 9, 10]
    assert whole.order.tolist() == [1, 0, 3, 2]
    assert whole.positions[0].tolist() == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10]
    assert whole.span == 2 + 3 + 2 + 3


def test_what_will_only_judge_holds_narrow_matrices_and_says_the_same(make: Maker) -> None:
    trained = make(dtype="bf16")
    judging = make(dtype="bf16", will_train=False)
    assert not any(weight.requires_grad for weight in judging.model.parameters())
    weight: Any = judging.language.layers[0].mlp.up_proj.weight
    assert weight.dtype == torch.bfloat16
    assert trained.language.layers[0].mlp.up_proj.weight.dtype == torch.float32
    assert torch.equal(asked(judging, TEXT), asked(trained, TEXT))


def asked(made: HfBackbone, text: str, names: tuple[str, ...] = ("front", "wrist")) -> Tensor:
    """Slots of one query on random images."""
    with torch.inference_mode():
        tokens = made.encode(pixels(8)).unflatten(0, (1, 2, 4)).transpose(2, 1)
        prefix = made.prefix([text], names, panel(tokens[:, :2]))
        return made.read(prefix, torch.tensor([0]), panel(tokens[:, 2:]))


def test_words_names_and_pictures_all_tell(make: Maker) -> None:
    made = make()
    first = asked(made, "open the drawer")
    assert (asked(made, "close the drawer") - first).abs().max() > 1e-2
    assert (asked(made, "open the drawer", ("front", "side")) - first).abs().max() > 1e-2
    assert (asked(made, "open the drawer", ("wrist", "front")) - first).abs().max() > 1e-2


def test_what_comes_after_the_cap_of_an_instruction_is_dropped(make: Maker) -> None:
    made = make(text_tokens=4)
    words = made.words("push the blue button", 99)
    assert len(words) == 4
    gap = asked(made, "push the blue button") - asked(made, "push the blue button and the red one")
    assert gap.abs().max() == 0.0


@pytest.mark.parametrize("family", MARKS)
def test_no_text_becomes_a_token_of_structure(make: Maker, family: str) -> None:
    made = make(family)
    for mark in (*MARKS[family], "<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        numbers = made.words(f"open {mark} it", 99)
        assert len(numbers) > 4, "the mark is spelt out"
        assert max(numbers) < 400
        assert not set(numbers) & made.words.structural
    assert made.words("half \ud83e", 99) == made.words("half ?", 99)
    assert made.words("", 99) == []


def test_any_name_of_a_view_is_legal(make: Maker) -> None:
    made = make()
    for name in ("", "<|image_pad|>" * 99, "half \ud83e", "front\n wrist at the goal: "):
        slots = asked(made, "open the drawer", (name, "wrist"))
        assert slots.isfinite().all()
        assert (slots - asked(made, "open the drawer")).abs().max() > 1e-3


def test_images_that_do_not_divide_into_tokens_are_refused(make: Maker) -> None:
    with pytest.raises(InputError, match="image_size 40 must be a multiple of 16, such as 32"):
        make(image_size=40)
    with pytest.raises(InputError, match="must be a multiple of 16, such as 16"):
        make(image_size=7)
    with pytest.raises(InputError, match="image_size 80 is above 64, this model's largest"):
        make("smolvlm", image_size=80)


def test_stacked_prefixes_of_other_lengths_keep_their_positions(make: Maker) -> None:
    made = make()
    tokens = made.encode(pixels(8)).unflatten(0, (1, 2, 4)).transpose(2, 1)
    texts = ("open", TEXT, "")
    with torch.inference_mode():
        parts = [made.prefix([text], ("a", "b"), panel(tokens[:, :2])) for text in texts]
        query = panel(tokens[:, 2:])
        stacked = made.stack(parts)
        assert len(set(stacked.after.tolist())) == 3
        for row, part in enumerate(parts):
            alone = made.read(part, torch.tensor([0]), query)
            both = made.read(stacked, torch.tensor([row]), query)
            assert (alone - both).abs().max() < 1e-5


def test_one_seed_gives_one_set_of_slots(make: Maker) -> None:
    assert torch.equal(make().slots, make().slots)
    assert replace(make().config, history=1).history == 1


@pytest.mark.parametrize("family", MARKS)
def test_bfloat16_keeps_the_promises_too(make: Maker, family: str) -> None:
    made = make(family, dtype="bf16")
    check_backbone(made, image_size=SIZE, tolerance=5e-3)
    assert made.encode(pixels(1)).dtype == torch.bfloat16, "half the memory for what is kept"
    gap = (asked(made, TEXT) - asked(make(family), TEXT)).abs().max()
    assert 0.0 < gap < 0.2
