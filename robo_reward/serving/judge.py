"""The model side of a server: loads checkpoints, begins sessions, judges passes. No sockets."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError, InputError, RoboRewardError
from ..protocols import ProgressModel, References, Views
from .answers import Answer, Scored, Unavailable
from .sessions import Stream

log = logging.getLogger(__name__)

_MOST_TOLD = 48 << 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded:
    """A model, and what clients are told of it."""

    model: ProgressModel
    about: dict[str, Any]
    """``fingerprint``, ``period_s``, ``image_size``, and of what a checkpoint says of its
    ``training``: ``views``, ``instructions`` and ``validation``, those of them that are known."""
    place: Path = field(default_factory=Path)

    @property
    def fingerprint(self) -> str:
        """Which model it is."""
        return str(self.about["fingerprint"])

    def check_views(self, *shown: Views) -> None:
        """Refuse pictures of which none is of a view that the model was trained on.

        Raises:
            InputError: If that is so.
        """
        known = self.about["training"].get("views")
        names = sorted({name for views in shown for name in views})
        if known and names and not set(known) & set(names):
            raise InputError(
                f"this model was trained on the views {', '.join(known)}, and what is shown is "
                f"{', '.join(names)}; name the views as in its training, or train one on yours"
            )


type Load = Callable[[Path], Loaded]


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What was asked cannot be judged, and why: the client's mistake."""

    why: str


def open_model(place: Path, *, device: str | None, bf16: bool) -> Loaded:
    """Return the checkpoint in a directory, ready to judge.

    Args:
        place: It, or the directory of a training run.
        device: Where to; None: a GPU if there is one, else the CPU.
        bf16: Multiply matrices in bfloat16, where a pretrained backbone was stored for float32.

    Raises:
        RoboRewardError: If it cannot be loaded, or has no bfloat16.
    """
    from ..checkpoint import load, read_config, resolve

    model = load(place, device=device)
    if bf16:
        _narrow(model.network.backbone, place)
    stored = read_config(resolve(place)).get("training") or {}
    told = ("views", "instructions", "validation")
    training = {name: stored[name] for name in told if stored.get(name)}
    if len(json.dumps(training).encode()) > _MOST_TOLD:
        log.warning("too many instructions to tell clients: they cannot see that theirs is known")
        training.pop("instructions")
    about = {
        "fingerprint": model.fingerprint + ("+bf16" if bf16 else ""),
        "period_s": model.settings.query_period_s,
        "image_size": model.settings.image_size,
        "training": training,
    }
    loaded = Loaded(model=model, about=about, place=place)
    _warm_up(loaded)
    return loaded


def _warm_up(loaded: Loaded) -> None:
    """Judge something once, so that the first client does not wait for what is set up lazily."""
    size = loaded.about["image_size"]
    views = loaded.about["training"].get("views") or ("front",)
    black = {name: np.zeros((size, size, 3), np.uint8) for name in views}
    session = loaded.model.begin("", References(start=black, goal=black))
    loaded.model.score(session, black, 0.0)


def load_another(load: Load, place: Path) -> Loaded:
    """Return a model that is loaded while another one judges.

    Raises:
        RoboRewardError: If it cannot be, whatever the reason.
    """
    try:
        return load(place)
    except RoboRewardError:
        raise
    except Exception as error:  # such as memory that does not hold two models
        log.exception("loading failed")
        raise CheckpointError(
            f"{place} cannot be loaded beside the other ({type(error).__name__}); see the server's "
            "log, and that its device has room for two"
        ) from error


def _narrow(backbone: Any, place: Path) -> None:
    from dataclasses import replace

    from ..hf.backbone import HfBackbone

    if not isinstance(backbone, HfBackbone):
        raise InputError(
            f"--bf16 is for pretrained backbones, and {place} is a compact network; leave it out"
        )
    backbone.config = replace(backbone.config, dtype="bf16")


def begin(loaded: Loaded, instruction: str, references: References) -> Any:
    """Return a model's new session, or a `Refusal`."""
    try:
        loaded.check_views(references.start, references.goal)
        return loaded.model.begin(instruction, references)
    except InputError as error:
        return Refusal(why=str(error))
    except Exception as error:  # a fault of ours must not end the server
        log.exception("beginning a session failed")
        return Refusal(why=f"the model failed ({type(error).__name__}); see the server's log")


type Question = tuple[Stream, Views, float]
"""A session, what it shows, and when, in seconds of its episode."""


def score(asked: Sequence[Question]) -> list[Answer | Refusal]:
    """Return what is said of each: those of one model share a pass.

    Where a pass fails, each is asked alone, so that one that cannot be judged costs no other its
    verdict; a model takes note of nothing before it has judged all.
    """
    told: dict[int, Answer | Refusal] = {}
    groups: dict[int, list[int]] = {}
    for place, (stream, shown, _) in enumerate(asked):
        try:
            stream.model.check_views(shown)
        except InputError as error:
            told[place] = Refusal(why=str(error))
        else:
            groups.setdefault(id(stream.model), []).append(place)
    for places in groups.values():
        together = _pass([asked[place] for place in places])
        if together is None:
            together = [_alone(asked[place]) for place in places]
        told.update(zip(places, together, strict=True))
    return [told[place] for place in range(len(asked))]


def _pass(asked: Sequence[Question]) -> list[Answer | Refusal] | None:
    """Return the answers of one pass; None if it fails."""
    try:
        return _judged(asked)
    except Exception:
        log.info("a pass of %d failed; each is asked alone", len(asked))
        return None


def _alone(asked: Question) -> Answer | Refusal:
    try:
        return _judged([asked])[0]
    except InputError as error:
        return Refusal(why=str(error))
    except Exception as error:  # a fault of ours must not end the server
        log.exception("judging failed")
        return Unavailable(why=f"the model failed ({type(error).__name__}); see the server's log")


def _judged(asked: Sequence[Question]) -> list[Answer | Refusal]:
    model: ProgressModel = asked[0][0].model.model
    streams, shown, times = zip(*asked, strict=True)
    verdicts = model.score_many([one.session for one in streams], shown, times)
    answers: list[Answer | Refusal] = []
    for stream, verdict in zip(streams, verdicts, strict=True):
        answers.append(Scored(verdict=verdict, held=verdict is stream.last))
        stream.last = verdict
    return answers
