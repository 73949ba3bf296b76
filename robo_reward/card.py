"""The model card: what a checkpoint was made from, how well it does, and where it ends."""

from collections.abc import Mapping
from typing import Any

CARD = "README.md"
"""File of a checkpoint's directory that is for people."""
LISTED = 20
"""Instructions that a card lists at most."""

_FIGURES = {
    "mae": "mean \\|Φ − truth\\|",
    "spearman_success": "rank correlation with true progress, undisturbed successes",
    "spearman_failure": "the same, all other episodes",
    "constant_max": "largest Φ where nothing is done",
    "success_auroc": "AUROC of the success score, by episode",
    "time_to_go_error": "mean error of the seconds until success, successes",
    "episodes": "episodes judged",
    "failures": "of them, in which nothing was ever done",
    "failures_claimed": "of those, come to a Φ above .8",
}
_TEXT = """---
library_name: robo-reward
pipeline_tag: robotics
tags: [robotics, reward-model, progress]
---
# Progress reward model {fingerprint}

Says how far a robot has got with a task, from 0 to 1, from the cameras {views}, an instruction,
and pictures of the start and of the goal.

```python
import robo_reward

model = robo_reward.load("{name}")
labels = model.label(frames, "{instruction}", references, fps=30)
```

## Made from

{made}

## How well it does

{figures}

## Where it ends

{limits}
"""


def model_card(name: str, fingerprint: str, stored: Mapping[str, Any]) -> str:
    """Return the card of a checkpoint as Markdown.

    Args:
        name: Of the checkpoint's directory.
        fingerprint: Of the checkpoint.
        stored: What its ``config.json`` holds.
    """
    training = stored["training"]
    instructions = list(training.get("instructions") or ["…"])
    return _TEXT.format(
        name=name,
        fingerprint=fingerprint,
        views=", ".join(f"`{_inline(view)}`" for view in training.get("views") or ["?"]),
        instruction=_inline(instructions[0]),
        made=_bullets(_made(stored, training, instructions)),
        figures=_figures(training.get("validation") or {}),
        limits=_bullets(_limits(stored["settings"], training)),
    )


def _made(
    stored: Mapping[str, Any], training: Mapping[str, Any], instructions: list[str]
) -> list[str]:
    shape = stored["backbone"]
    over = f" over `{_inline(shape['base'])}`" if "base" in shape else ""
    told = [f"a {shape['type']} backbone{over}, robo-reward {stored['code_version']}"]
    if "datasets" in training:
        told.append(f"datasets {', '.join(map(_inline, training['datasets']))}")
    if "episodes" in training:
        counts = training["episodes"]
        told.append(f"{counts['training']} episodes, {counts['validation']} kept back to validate")
    if "step" in training:
        told.append(f"{training['step']} steps, seed {training.get('seed')}")
    told += [f"“{_inline(text)}”" for text in instructions[:LISTED]]
    left = len(instructions) - LISTED
    return [*told, f"and {left} other instructions"] if left > 0 else told


def _figures(validation: Mapping[str, Any]) -> str:
    rows = [
        f"| {meaning} | {validation[key]:.3g} |"
        for key, meaning in _FIGURES.items()
        if validation.get(key) is not None
    ]
    if not rows:
        return "Nothing was kept back, so nobody knows."
    return "\n".join(["On episodes kept back from training:", "", "| | |", "|---|---|", *rows])


def _limits(settings: Mapping[str, Any], training: Mapping[str, Any]) -> list[str]:
    tracker = settings["tracker"]
    told = [
        f"One query every {settings['query_period_s']:g} s; frames between two hold the last one.",
        "Cameras, robots, things and words that are not named above were never seen.",
        "Success is a head of its own: it is declared above "
        f"{tracker['success_threshold']:.2f}, twice in a row; Φ alone declares nothing.",
    ]
    if tracker["calibration"] is None:
        told.append("Confidence is not calibrated: it is NaN.")
    return told + [_inline(text) for text in training.get("limits") or []]


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _inline(text: str) -> str:
    """Return a text that stays within its line, whatever it holds."""
    return " ".join(str(text).split()).replace("`", "'").replace('"', "'")[:200]
