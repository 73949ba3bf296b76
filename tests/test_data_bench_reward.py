"""The bench of rewards: both ways are what they say, the work is counted right."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from tiny_vlm import make_tiny_vlm

from data import bench_reward, bench_timing
from data.bench_label import TASK, MadeUp, difference, made_up_episode, readings
from data.bench_recipe import OPENING, RULES, WholePrompts, texts
from data.bench_reward import BenchReward, check_memory, choose_device
from data.bench_timing import DisagreementError, check_agreement, multiply_adds, square_products
from robo_reward.config import HfConfig
from robo_reward.errors import InputError, RoboRewardError
from robo_reward.hf.backbone import SLOTS, HfBackbone
from robo_reward.hf.families import FAMILIES
from robo_reward.hf.prompt import Template, Words
from robo_reward.hf.random_weights import made_up_facts
from robo_reward.model import Model, ModelSettings

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE, QUERIES, VIEWS, LAYERS = 32, 5, 2, 3
FIGURES = {
    "speedup",
    "gflop_ratio",
    "matmul_fraction",
    "max_score_difference",
    "score_spread",
    "frames_per_s",
    "published_frames_per_s",
    "gflop_per_frame",
    "published_gflop_per_frame",
    "published_matmul_fraction",
    "matmul_gflop_per_s",
    "mfu_line_share",
    "parameters",
    "queries",
    "views",
    "image_size",
    "prompt_tokens",
    "published_prompt_tokens",
    "threads",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_tiny_vlm(tmp_path_factory.mktemp("vlm") / "qwen", "qwen3_vl", scale=4.0))


@pytest.fixture(autouse=True)
def small_square(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bench_timing.SQUARE, "cpu", (64, 2))


def bench(base: str, **changes: Any) -> BenchReward:
    told = {"queries": QUERIES, "alone": 2, "views": VIEWS, "repeats": 1, "image_size": SIZE}
    return BenchReward(base=base, device="cpu", **(told | changes))


def episode(size: int = SIZE) -> MadeUp:
    return made_up_episode(seed=0, size=size, queries=QUERIES, views=VIEWS)


def test_the_bench_writes_its_figures(
    base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(base, json=tmp_path / "new/reward.json").run()
    figures = json.loads((tmp_path / "new/reward.json").read_text())
    assert set(figures) == FIGURES
    assert (figures["queries"], figures["views"], figures["image_size"]) == (QUERIES, VIEWS, SIZE)
    assert figures["max_score_difference"] < 1e-5 < 1e-2 < figures["score_spread"]
    ours, theirs = figures["gflop_per_frame"], figures["published_gflop_per_frame"]
    assert figures["gflop_ratio"] == theirs / ours > 3
    rate = figures["matmul_gflop_per_s"]
    for way in ("", "published_"):
        used = figures[f"{way}frames_per_s"] * figures[f"{way}gflop_per_frame"] / rate
        assert figures[f"{way}matmul_fraction"] == pytest.approx(used)
    assert figures["mfu_line_share"] is None, "not on a CPU"
    shown = capsys.readouterr().out
    assert "published recipe" in shown
    assert "% of the matmul rate" in shown
    assert "the line at" not in shown


def macs_of_tokens(count: int, reach: int) -> int:
    """Multiply-adds of ``count`` tokens in the tiny language model, each seeing ``reach``."""
    projections = 64 * 64 + 2 * 64 * 32 + 64 * 64
    rotary = 3 * 8  # a product of positions and frequencies
    return count * (LAYERS * (projections + 3 * 64 * 96 + 2 * 64 * reach) + rotary)


def macs_of_images(count: int) -> int:
    """Multiply-adds of the tiny vision tower: 16 patches and 4 tokens an image, 2 layers."""
    patch = 3 * 2 * 8 * 8 * 32 + 2 * (4 * 32 * 32 + 2 * 32 * 48 + 2 * 16 * 32)
    mergers = 3 * (128 * 128 + 128 * 64)  # what enters the prompt, and two levels of DeepStack
    return count * (16 * patch + 4 * mergers)


HEADS = 3 * 64 * 51 + 2 * 64


def test_the_work_counted_is_that_of_tokens_and_images_counted_by_hand(base: str) -> None:
    command = bench(base)
    figures = command.measure()
    prompts = WholePrompts(command.network()[0], episode())
    whole = len(prompts.recipe.numbers) + SLOTS
    assert figures["published_prompt_tokens"] == whole - SLOTS
    eight = 2 + 2 * VIEWS
    published = 3 * (macs_of_tokens(whole, whole) + macs_of_images(eight) + HEADS)
    assert figures["published_gflop_per_frame"] * 1e9 == pytest.approx(2 * published, rel=1e-12)
    words = prompts.backbone.words
    moments = prompts.backbone.writer.shown(prompts.names, ("before", "after"), by_view=False)
    room = 64 - len(words(TASK, 64))  # an instruction takes the same room, however short
    suffix = len(moments.numbers) + SLOTS
    prefix = len(prompts.own.numbers) - len(moments.numbers) + room
    assert figures["prompt_tokens"] == len(prompts.own.numbers)
    ours = macs_of_tokens(prefix, prefix) + macs_of_images(2 * VIEWS + QUERIES * VIEWS)
    ours += QUERIES * (macs_of_tokens(suffix, prefix + suffix) + HEADS)
    assert figures["gflop_per_frame"] * 1e9 == pytest.approx(2 * ours / QUERIES, rel=1e-12)


@pytest.mark.parametrize("query", [0, 3])
def test_the_recipe_asks_three_times_with_eight_images_and_the_rules_last(
    base: str, query: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = bench(base, views=3)
    network, _ = command.network()
    made = made_up_episode(seed=0, size=SIZE, queries=QUERIES, views=3)
    asked = []
    whole = HfBackbone.whole

    def heard(self: HfBackbone, prompt: Template, images: torch.Tensor) -> torch.Tensor:
        asked.append((prompt, images.numpy()))
        return whole(self, prompt, images)

    monkeypatch.setattr(HfBackbone, "whole", heard)
    hops = WholePrompts(network, made).published(query)
    assert hops.shape == (3,)
    assert len(set(hops)) == 3
    start, goal = made.references.start, made.references.goal
    befores = (made.frames[max(query - 1, 0)], start, goal)
    words = cast(HfBackbone, network.backbone).words
    rules = words(RULES, len(RULES))
    for (prompt, images), before in zip(asked, befores, strict=True):
        shown = [start["view_000"], goal["view_000"], *before.values()]
        np.testing.assert_array_equal(images, [*shown, *made.frames[query].values()])
        assert prompt.order.tolist() == list(range(8)), "images are told in this order"
        assert prompt.numbers[-len(rules) :].tolist() == rules
        assert prompt.images.max() < len(prompt.numbers) - len(rules)


def test_our_prompt_read_whole_says_what_caches_and_packing_say(base: str) -> None:
    network, config = bench(base).network()
    made = episode()
    model = Model(network, ModelSettings(image_size=config.image_size), fingerprint="")
    told = np.array([WholePrompts(network, made).ours(row) for row in range(QUERIES)])
    assert told[0, 0] == 0.0
    assert np.abs(told - readings(model, made)).max() < 1e-5
    assert np.ptp(told, axis=0).min() > 1e-3, "an agreement of constants would show nothing"
    told[4, 3] += 0.5
    assert difference(model, made, told[[1, 4]], [1, 4]) == pytest.approx(0.5, abs=1e-4)
    with pytest.raises(DisagreementError, match=r"the scores of both ways differ by 2e-05, more"):
        check_agreement("the scores", 2e-5, bench_reward.AGREE["fp32"])


def test_scores_that_depend_on_caches_stop_the_bench(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = WholePrompts.ours
    monkeypatch.setattr(WholePrompts, "ours", lambda self, query: ours(self, query) + 1e-4)
    with pytest.raises(DisagreementError, match="more than 1e-05"):
        bench(base).measure()


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_random_weights_need_no_base(dtype: Any) -> None:
    figures = bench("", dtype=dtype, queries=2, alone=1, views=3).measure()
    assert figures["parameters"] == pytest.approx(12e6, rel=0.02)
    assert figures["max_score_difference"] < bench_reward.AGREE[dtype]
    assert figures["score_spread"] > 1e-2
    assert figures["gflop_ratio"] > 3


def test_the_texts_are_as_long_as_the_published_ones() -> None:
    words = Words(made_up_facts("small", texts()).tokenizer, FAMILIES["qwen3_vl"])
    assert len(RULES) == pytest.approx(2322, rel=0.01)
    assert len(words(RULES, 9999)) == pytest.approx(540, rel=0.02)
    assert len(words(OPENING, 9999)) == pytest.approx(113, rel=0.15)


def test_the_matmul_rate_is_that_of_the_products_counted() -> None:
    for dtype in ("fp32", "bf16"):
        multiply, flop = square_products(torch.device("cpu"), dtype)
        assert flop == 2 * 2 * 64**3 == 2 * multiply_adds(multiply)


def test_adapters_that_are_not_merged_can_be_asked_for(base: str) -> None:
    plain, adapted = bench(base).network()[0], bench(base, lora_rank=4).network()[0]
    assert not any(weight.requires_grad for weight in cast(Any, plain.backbone).model.parameters())
    names = {name for name, _ in adapted.named_parameters()}
    assert any("lora_A" in name for name in names)


def test_a_model_that_does_not_fit_is_refused_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, config = made_up_facts("8b", texts()), HfConfig(dtype="bf16", lora_rank=0)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4 * 10**9 // 4096}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    told = "the weights take 16.3 GB as bf16, and the memory of cpu is 4.0 GB; choose a smaller"
    with pytest.raises(InputError, match=re.escape(told)):
        check_memory(facts, config, torch.device("cpu"))
    with pytest.raises(InputError, match=r"the weights take 32\.6 GB as fp32"):
        bench("", size="8b").run()
    check_memory(made_up_facts("small", texts()), config, torch.device("cpu"))


def test_a_query_that_does_not_fit_is_told_in_a_sentence(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(WholePrompts, "ours", full)
    with pytest.raises(InputError, match="a query does not fit the device's memory beside the"):
        bench(base).run()


def test_what_cannot_be_measured_is_refused(base: str, tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"repeats": 0}, "--repeats must be at least 1, got 0"),
        ({"alone": 0}, "--alone must be at least 1, got 0"),
        ({"alone": 6}, "--alone must be at most --queries 5, got 6"),
        ({"image_size": 40}, "image_size 40 must be a multiple of 16, such as 32"),
        ({"base": str(tmp_path)}, "has no config.json"),
    ]
    for changes, told in wrong:
        with pytest.raises(RoboRewardError, match=re.escape(told)):
            replace(bench(base), **changes).run()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="--device cuda: torch sees no GPU here"):
        choose_device("cuda")
