"""How large a training run's network is, told before anything is built or fetched."""

from typing import TYPE_CHECKING, Any

from robo_reward.checkpoint import build, read_config, resolve

if TYPE_CHECKING:
    from .train import Train


def size_lines(command: "Train", views: int) -> list[str]:
    """Return what the network's size is, a line each, beginning with its parameters.

    Raises:
        RoboRewardError: If a base model cannot be read or does not fit its settings.
    """
    if not command.hf.base:
        parameters = sum(p.numel() for p in build(command.backbone).parameters())
        return [f"{parameters / 1e6:.1f} M parameters"]
    return _pretrained(command, views)


def _pretrained(command: "Train", views: int) -> list[str]:
    from robo_reward.hf.memory import Load, Shape, weigh
    from robo_reward.hf.presets import architecture

    sizes = _started_with(command) or architecture(command.hf.base)
    if sizes is None:
        from robo_reward.hf.loading import read_facts

        sizes = read_facts(command.hf.base).architecture
    shape, weights = Shape.of(sizes, command.hf), weigh(sizes, command.hf)
    sampling = command.sampling
    load = Load(
        images=sampling.episodes * (sampling.frames + 2) * views,
        prefixes=sampling.episodes * sampling.prefixes,
        pairs=sampling.episodes * sampling.prefixes * sampling.pairs,
        views=views,
    )
    total, trained = weights.frozen + weights.trained, weights.trained
    held, moving = weights.training_bytes / 1e9, shape.activations(load) / 1e9
    return [
        f"{total / 1e6:.1f} M parameters, {trained / 1e6:.1f} M of them trained "
        f"({100 * trained / total:.2g} %)",
        f"memory to train, estimated: {held + moving:.1f} GB, {held:.1f} for weights and their "
        f"moments, {moving:.1f} for a step of at most {load.images} images, {load.prefixes} "
        f"prefixes and {load.pairs} pairs",
        f"memory to judge, estimated: {weights.judging_bytes / 1e9:.1f} GB for weights, "
        f"{shape.kept_prefix(views) / 1e6:.1f} MB a prefix, {shape.kept_image() / 1e6:.2f} MB "
        "an image",
    ]


def _started_with(command: "Train") -> dict[str, Any] | None:
    """Return the architecture in the model that training begins with, which needs no base."""
    if command.start is None:
        return None
    base: dict[str, Any] = read_config(resolve(command.start)).get("base", {})
    return base.get("architecture")
