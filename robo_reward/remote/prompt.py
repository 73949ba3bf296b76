"""The prompt file: what a remote model is asked, and where in its answer the number stands. Pure.

The file is TOML; `read_prompt` says what may be in it. Pictures and words are put in where the
text has a placeholder in braces. The text is split at its placeholders first, so nothing that is
put in can become one.
"""

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError

type Answer = Literal["hop", "progress"]
type Pictures = Mapping[str, Mapping[str, str]]
"""Role → view name → URL of the picture."""

WORDS = ("instruction", "views")
ROLES: dict[Answer, tuple[str, ...]] = {
    "hop": ("start", "goal", "before", "after"),
    "progress": ("start", "goal", "after"),
}
"""Whose pictures a prompt may show, by what is asked."""
NEEDED: dict[Answer, frozenset[str]] = {
    "hop": frozenset({"before", "after"}),
    "progress": frozenset({"after"}),
}
"""Whose pictures it must show."""
SCORE = r"<score>\s*([^<]*?)\s*%?\s*</score>"
_KEYS: dict[str, type | tuple[type, ...]] = {
    "answer": str,
    "pattern": str,
    "scale": (int, float),
    "max_tokens": int,
    "system": str,
    "prompt": str,
}
_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]+))?\}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)")
_MARKS = re.compile(r"<(?=\S)|\[(?=[A-Z])")


@dataclass(frozen=True)
class Placeholder:
    """Where something is put in."""

    name: str
    """One of `WORDS`, or a role."""
    view: str = ""
    """The only view whose picture is shown; empty: all, in the order of their names."""


type Line = Sequence[str | Placeholder]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked, ready to be filled in."""

    answer: Answer
    """Whether the model says a hop (before → after), or progress outright."""
    pattern: re.Pattern[str]
    """Finds the number in an answer: its one group."""
    scale: float
    """The number that stands for 1."""
    max_tokens: int
    """Most tokens of an answer."""
    system: Sequence[Line]
    """System message; no line: none is sent."""
    lines: Sequence[Line]
    """User message."""
    sha256: str
    """Of the file."""

    @property
    def views(self) -> set[str]:
        """The views that the file calls by name."""
        pieces = [piece for line in self.lines for piece in line]
        return {piece.view for piece in pieces if isinstance(piece, Placeholder)} - {""}

    def shown(self, pictures: Pictures) -> set[str]:
        """Return the roles of which a picture would be shown."""
        pieces = [piece for line in self.lines for piece in line if isinstance(piece, Placeholder)]
        return {piece.name for piece in pieces if _chosen(piece, pictures)}

    def messages(self, instruction: str, pictures: Pictures) -> list[dict[str, Any]] | None:
        """Return the messages of a chat request; None where a picture that it needs is missing.

        A line whose pictures are all missing is left out.
        """
        if not NEEDED[self.answer] <= self.shown(pictures):
            return None
        words = {
            "instruction": _harmless(instruction),
            "views": _harmless(", ".join(sorted(pictures["after"]))),
        }
        told = [{"role": "user", "content": _filled(self.lines, words, pictures)}]
        if self.system:
            text = "".join(part["text"] for part in _filled(self.system, words, {}))
            told.insert(0, {"role": "system", "content": text})
        return told

    def number(self, text: str) -> float:
        """Return the hop in [−1, 1], or progress in [0, 1], that an answer states; else NaN.

        An answer that has no number, two different ones, or one beyond its range states none.
        """
        found = {_value(match.group(1) or "") for match in self.pattern.finditer(text)}
        value = found.pop() / self.scale if len(found) == 1 else math.nan
        least = -1.0 if self.answer == "hop" else 0.0
        return value if least <= value <= 1.0 else math.nan


def read_prompt(path: Path) -> Prompt:
    """Return the prompt in a TOML file.

    Its keys: ``prompt``, the user message, with ``{instruction}``, ``{views}`` (the names of the
    cameras) and pictures: ``{start}``, ``{goal}``, ``{before}``, ``{after}`` for all views, or
    ``{after:wrist}`` for one; ``system``, the system message, if any; ``answer``, ``"hop"`` (the
    default: from before to after) or ``"progress"`` (of ``{after}``); ``pattern``, a regular
    expression whose one group is the number, by default that of ``<score>…</score>``; ``scale``,
    the number that stands for 1, by default 100; ``max_tokens`` of an answer, by default 64.

    Raises:
        InputError: If it cannot be read, or asks for what there is not.
    """
    try:
        content = path.read_bytes()
        told = tomllib.loads(content.decode())
    except OSError as error:
        raise InputError(
            f"the prompt file {path} cannot be read ({error.strerror}); name a TOML file, such as "
            "examples/score_prompt.toml"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"the prompt file {path} is no TOML ({error}); mend it there, or begin with "
            "examples/score_prompt.toml"
        ) from error
    return _prompt(told, f"the prompt file {path}", hashlib.sha256(content).hexdigest())


def _prompt(told: dict[str, Any], where: str, sha256: str) -> Prompt:
    for key, value in told.items():
        if key not in _KEYS:
            raise InputError(f"{where} has a key {key!r}; it may have {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise InputError(f"{where}: {key} cannot be {value!r}; it is text or a number")
    answer = told.get("answer", "hop")
    if answer not in ROLES:
        raise InputError(f"{where}: answer is {answer!r}; it may be 'hop' or 'progress'")
    scale, tokens = told.get("scale", 100), told.get("max_tokens", 64)
    if not (0 < scale < math.inf and tokens > 0):
        raise InputError(f"{where}: scale and max_tokens must be above 0, got {scale} and {tokens}")
    prompt = Prompt(
        answer=answer,
        pattern=_pattern(told.get("pattern", SCORE), where),
        scale=scale,
        max_tokens=tokens,
        system=_parsed(told.get("system", ""), WORDS, where),
        lines=_parsed(told.get("prompt", ""), (*WORDS, *ROLES[answer]), where),
        sha256=sha256,
    )
    _check_whole(prompt, where)
    return prompt


def _check_whole(prompt: Prompt, where: str) -> None:
    pieces = [piece for line in prompt.lines for piece in line]
    names = {piece.name for piece in pieces if isinstance(piece, Placeholder)}
    for needed in ("instruction", *sorted(NEEDED[prompt.answer])):
        if needed not in names:
            raise InputError(
                f"{where}: its prompt has no {{{needed}}}, so the model would not be shown it; put "
                "it where it belongs"
            )


def _pattern(text: str, where: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(
            f"{where}: pattern {text!r} is no regular expression ({error}); mend it"
        ) from error
    if pattern.groups != 1:
        raise InputError(
            f"{where}: pattern {text!r} has {pattern.groups} groups; put the number, and nothing "
            "else, between round brackets"
        )
    return pattern


def _parsed(text: str, allowed: Sequence[str], where: str) -> list[Line]:
    """Return the lines of a text, each split at its placeholders; a lone word in braces is one."""
    return [_line(line, allowed, where) for line in text.strip("\n").split("\n") if text]


def _line(text: str, allowed: Sequence[str], where: str) -> Line:
    pieces: list[str | Placeholder] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        name, view = match.group(1), match.group(2) or ""
        if name not in allowed or (view and name in WORDS):
            known = ", ".join(f"{{{one}}}" for one in allowed)
            raise InputError(f"{where} has {match.group(0)} where it may have: {known}")
        pieces += [text[end : match.start()], Placeholder(name, view)]
        end = match.end()
    return [*pieces, text[end:]]


def _chosen(piece: Placeholder, pictures: Pictures) -> list[str]:
    """Return the pictures that a placeholder shows."""
    shown = pictures.get(piece.name, {})
    names = sorted(shown) if not piece.view else [piece.view]
    return [shown[name] for name in names if name in shown]


def _filled(
    lines: Sequence[Line], words: Mapping[str, str], pictures: Pictures
) -> list[dict[str, Any]]:
    """Return the parts of a message: texts and pictures in turn."""
    parts: list[dict[str, Any]] = []
    text = ""
    for line in lines:
        roles = [p for p in line if isinstance(p, Placeholder) and p.name not in words]
        if roles and not any(_chosen(piece, pictures) for piece in roles):
            continue
        for piece in line:
            if isinstance(piece, str):
                text += piece
            elif piece.name in words:
                text += words[piece.name]
            else:
                for url in _chosen(piece, pictures):
                    parts += [{"type": "text", "text": text}] if text else []
                    parts.append({"type": "image_url", "image_url": {"url": url}})
                    text = ""
        text += "\n"
    return [*parts, {"type": "text", "text": text.rstrip("\n")}] if text.strip() else parts


def _harmless(text: str) -> str:
    """Return a text in which no server finds a mark of its own, such as <image> or [IMG].

    What is no character, such as half of a pair, becomes a question mark.
    """
    text = text.encode(errors="replace").decode()
    return _MARKS.sub(lambda match: match.group(0) + " ", text)


def _value(text: str) -> float:
    plain = text.strip().replace("−", "-")
    return float(plain) if _NUMBER.fullmatch(plain) else math.nan
