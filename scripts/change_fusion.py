"""A trained model with the other fusion, its confidence and thresholds fitted anew.

Usage: python scripts/change_fusion.py filter|weighted MODEL OUT CACHE DATASET …

DATASET … are those that MODEL was trained on, in the same order: the validation episodes of its
seed are judged again. Weights stay as they are. Prints mean |error| there, by dataset.
"""

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from data.evaluate import agreement, calibrate, judge
from data.train import Train
from data.training_run import TrainingRun
from robo_reward.checkpoint import read_model_config, save
from robo_reward.config import CompactConfig
from robo_reward.errors import InputError
from robo_reward.model import Model
from robo_reward.tracker import TrackerSettings


def main(fusion: str, model: str, out: str, cache: str, *datasets: str) -> None:
    """Judge the validation episodes, fit to them, and write the model."""
    import robo_reward

    config, network = read_model_config(Path(model)), robo_reward.load(model).network
    known = config.training
    if not isinstance(config.backbone, CompactConfig):
        raise InputError(f"{model} has a pretrained backbone, which this script does not open")
    command = Train(
        dataset=datasets,
        out=Path(out),
        seed=known["seed"],
        validation=known["validation_share"],
        query_period=config.settings.query_period_s,
        cache=Path(cache),
        backbone=config.backbone,
    )
    run = TrainingRun(command)
    run.fill_cache()
    tracker = TrackerSettings(fusion=fusion)  # type: ignore[arg-type]
    settings = replace(config.settings, tracker=tracker)
    judged = judge(Model(network, settings, fingerprint=""), run.validation.cases())
    errors: dict[str, list[float]] = defaultdict(list)
    for number, item in zip(run.split.judged(), judged, strict=True):
        source = datasets[run.dataset.source(number)]
        errors[Path(source).name].append(agreement(item.labels.progress, item.case)["mae"])
    for name, told in errors.items():
        print(f"{name}: {sum(told) / len(told):.3f}")
    settings = replace(settings, tracker=calibrate(tracker, judged))
    save(Path(out), network, replace(config, settings=settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
