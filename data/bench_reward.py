"""``robo-reward bench reward``: the published recipe of progress reward models against ours."""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import tyro

from robo_reward.config import HfConfig
from robo_reward.errors import InputError
from robo_reward.hf.presets import Size

from .bench_label import MadeUp, difference, label, made_up_episode, readings
from .bench_recipe import WholePrompts, texts
from .bench_timing import (
    Row,
    check_agreement,
    check_flags,
    in_turn,
    multiply_adds,
    report,
    square_products,
    thread_time,
)

if TYPE_CHECKING:
    import torch

    from robo_reward.hf.loading import Facts
    from robo_reward.model import Model
    from robo_reward.network import ProgressNetwork

AGREE = {"fp32": 1e-5, "bf16": 5e-3}
"""Most by which a score may depend on caches and packing."""
MFU_LINE = 0.4
"""Share of a GPU's matmul rate that is called good use of it."""


@dataclass(frozen=True, kw_only=True)
class BenchReward:
    """Measure reward queries: the published recipe against one cached query for three anchors.

    Example: robo-reward bench reward --json outputs/bench-reward.json

    The published recipe asks three questions a frame, one after another, each with eight images,
    all encoded anew, and 2,300 characters of rules behind them. Ours is what 'label' does. Both
    have the same weights and views, in turn, in one run; neither generates text, which spares the
    recipe its decoding. Before that, our scores are checked against our own prompt read whole.
    On the CPU, seconds are CPU time a thread, so that other work on the machine does not count.
    """

    json: Path | None = None
    """File that receives the figures."""
    seed: int = 0
    """Seed of weights and pixels."""
    size: Size = "small"
    """Qwen3-VL of random weights: small has 12 million, the others are the published shapes."""
    base: Annotated[str, tyro.conf.arg(name="hf.base")] = ""
    """Directory or hub id of real weights, in place of --size."""
    image_size: Annotated[int, tyro.conf.arg(name="hf.image-size")] = 224
    """Side of the square images, in pixels."""
    lora_rank: Annotated[int, tyro.conf.arg(name="hf.lora-rank")] = 0
    """Rank of adapters that are not merged, such as 'train' leaves; 0: none."""
    dtype: Annotated[Literal["auto", "fp32", "bf16"], tyro.conf.arg(name="hf.dtype")] = "auto"
    """What matrices are multiplied in; auto: bf16 on a GPU, fp32 on the CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU if there is one."""
    queries: int = 64
    """Frames of the episode, each of them asked about."""
    alone: int = 4
    """How many of them the recipe is timed on: it shares nothing, so a few tell."""
    views: int = 3
    """Cameras; the recipe shows 2 images and 2 a camera: eight of three."""
    repeats: int = 3
    """Timed rounds of each way; the median counts."""

    def run(self) -> None:
        """Measure, print a table, and write the figures where asked.

        Raises:
            RoboRewardError: If a flag is unusable, the model does not fit, or scores disagree.
        """
        counts = {"queries": self.queries, "alone": self.alone, "views": self.views}
        check_flags(self.repeats, self.json, **counts)
        if self.alone > self.queries:
            raise InputError(f"--alone must be at most --queries {self.queries}, got {self.alone}")
        import torch

        from .bench_timing import write_figures

        try:
            figures = self.measure()
        except torch.OutOfMemoryError as error:
            raise InputError(
                "a query does not fit the device's memory beside the weights; choose a smaller "
                "--size or --hf.image-size"
            ) from error
        show(figures)
        write_figures(self.json, figures)

    def measure(self) -> dict[str, float]:
        """Return the figures of both ways of judging one episode.

        Raises:
            DisagreementError: If our scores depend on caches and packing.
        """
        import torch

        network, config = self.network()
        episode = made_up_episode(
            seed=self.seed, size=self.image_size, queries=self.queries, views=self.views
        )
        prompts, model = WholePrompts(network, episode), _model(network, config)
        told = np.array([prompts.ours(row) for row in self.rows])
        gap = difference(model, episode, told, self.rows)
        check_agreement("the scores", gap, AGREE[config.dtype])
        return {
            **self.compare(network, config, prompts),
            "max_score_difference": gap,
            "score_spread": spread(model, episode),
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "queries": self.queries,
            "views": self.views,
            "image_size": self.image_size,
            "prompt_tokens": len(prompts.own.numbers),
            "published_prompt_tokens": len(prompts.recipe.numbers),
            "threads": torch.get_num_threads(),
        }

    @property
    def rows(self) -> list[int]:
        """The frames that are asked about alone: spread over the episode."""
        return [int(row) for row in np.linspace(0, self.queries - 1, self.alone).round()]

    def compare(
        self, network: "ProgressNetwork", config: HfConfig, prompts: WholePrompts
    ) -> dict[str, float]:
        """Return speed and work of both ways, and of a product of matrices, timed in turn."""

        def ours() -> object:
            return label(_model(network, config), prompts.episode)

        def published() -> object:
            return [prompts.published(row) for row in self.rows]

        product, product_flop = square_products(_device(network), config.dtype)
        flop = 2 * multiply_adds(ours) / self.queries
        published_flop = 2 * multiply_adds(lambda: prompts.published(self.rows[-1]))
        product()
        on_gpu = _device(network).type == "cuda"
        seconds, published_s, product_s = in_turn(
            ours,
            published,
            product,
            repeats=self.repeats,
            clock=time.perf_counter if on_gpu else thread_time,
        )
        speed, published_speed = self.queries / seconds, self.alone / published_s
        rate = product_flop / product_s
        share = speed * flop / rate
        return {
            "speedup": speed / published_speed,
            "gflop_ratio": published_flop / flop,
            "matmul_fraction": share,
            "mfu_line_share": share / MFU_LINE if on_gpu else math.nan,
            "frames_per_s": speed,
            "published_frames_per_s": published_speed,
            "gflop_per_frame": flop / 1e9,
            "published_gflop_per_frame": published_flop / 1e9,
            "published_matmul_fraction": published_speed * published_flop / rate,
            "matmul_gflop_per_s": rate / 1e9,
        }

    def network(self) -> "tuple[ProgressNetwork, HfConfig]":
        """Return the network that both ways ask, and what it was made by.

        Raises:
            RoboRewardError: If there is no such model or device, or it does not fit.
        """
        import torch

        from robo_reward.hf.backbone import HfBackbone
        from robo_reward.hf.loading import read_facts, read_model
        from robo_reward.hf.random_weights import made_up_facts, random_model
        from robo_reward.network import ProgressNetwork

        device = choose_device(self.device)
        dtype = self.dtype
        if dtype == "auto":
            dtype = "bf16" if device.type == "cuda" else "fp32"
        config = HfConfig(
            base=self.base, image_size=self.image_size, lora_rank=self.lora_rank, dtype=dtype
        )
        facts = read_facts(self.base) if self.base else made_up_facts(self.size, texts())
        check_memory(facts, config, device)
        torch.manual_seed(self.seed)
        held = torch.bfloat16 if dtype == "bf16" else torch.float32
        model = read_model(self.base) if self.base else random_model(facts, held, device)
        backbone = HfBackbone(config, facts, model, will_train=False)
        return ProgressNetwork(backbone, backbone.width).to(device).eval(), config


def choose_device(name: str) -> "torch.device":
    """Return the device of a name; ``auto`` is a GPU if there is one.

    Raises:
        InputError: If a GPU is asked for and there is none.
    """
    import torch

    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise InputError("--device cuda: torch sees no GPU here; leave it out to use the CPU")
    return torch.device(("cuda" if there else "cpu") if name == "auto" else name)


def check_memory(facts: "Facts", config: HfConfig, device: "torch.device") -> None:
    """Refuse a model whose weights alone do not fit, before any of them is made.

    Raises:
        InputError: If they take more than nine tenths of what the device has.
    """
    import torch

    from robo_reward.hf.memory import weigh

    weights = weigh(facts.architecture, config)
    taken = (weights.frozen + weights.trained) * (2 if config.dtype == "bf16" else 4)
    if device.type == "cuda":
        room = torch.cuda.mem_get_info(device)[0]
    else:
        room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if taken > 0.9 * room:
        raise InputError(
            f"the weights take {taken / 1e9:.1f} GB as {config.dtype}, and the memory of "
            f"{device.type} is {room / 1e9:.1f} GB; choose a smaller --size, or --hf.dtype bf16"
        )


def spread(model: "Model", episode: MadeUp) -> float:
    """Return by how much the frames' scores differ: 0 would make any agreement worthless.

    The hop from the last query is left out: at the first frame it is 0 for any network.
    """
    return float(np.ptp(readings(model, episode)[:, 1:], axis=0).max())


def show(figures: dict[str, float]) -> None:
    """Print the table, and what belongs beside it."""
    frames = (figures["frames_per_s"], figures["published_frames_per_s"])
    work = (figures["gflop_per_frame"], figures["published_gflop_per_frame"])
    shares = (100 * figures["matmul_fraction"], 100 * figures["published_matmul_fraction"])
    report(
        f"rewards of {figures['queries']:.0f} frames, {figures['parameters'] / 1e6:,.0f} million "
        f"weights, {figures['threads']:.0f} threads",
        ("ours", "published recipe"),
        [
            Row("frames/s", *frames, figures["speedup"]),
            Row("10⁹ operations a frame", *work, figures["gflop_ratio"]),
            Row("% of the matmul rate", *shares, shares[0] / shares[1]),
        ],
    )
    print(
        f"scores depend on caches and packing by {figures['max_score_difference']:.1e} at most; "
        f"between frames they differ by up to {figures['score_spread']:.2g}"
    )
    if not math.isnan(figures["mfu_line_share"]):
        print(f"{figures['mfu_line_share']:.0%} of the line at {MFU_LINE:.0%} of the matmul rate")


def _device(network: "ProgressNetwork") -> "torch.device":
    return next(network.parameters()).device


def _model(network: "ProgressNetwork", config: HfConfig) -> "Model":
    """Return a model that has seen nothing yet."""
    from robo_reward.model import Model, ModelSettings

    return Model(network, ModelSettings(image_size=config.image_size), fingerprint="")
