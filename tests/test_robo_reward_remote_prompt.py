"""Prompt files: what is put in where, what an answer states, and what is refused."""

import hashlib
import math
import re
from pathlib import Path
from typing import Any

import pytest

from robo_reward.errors import InputError
from robo_reward.remote.prompt import Prompt, read_prompt

ROOT = Path(__file__).parent.parent
PLAIN = "prompt = '''\ntask: {instruction}\n{before}\n{after}\n'''\n"
PICTURES = {
    "start": {"front": "s-front"},
    "goal": {},
    "before": {"wrist": "b-wrist", "front": "b-front"},
    "after": {"wrist": "a-wrist", "front": "a-front"},
}


def prompt(tmp_path: Path, text: str = PLAIN) -> Prompt:
    path = tmp_path / "prompt.toml"
    path.write_text(text, encoding="utf-8")
    return read_prompt(path)


def told(messages: list[dict[str, Any]] | None) -> list[str]:
    """Return the parts of the user message: texts as they are, pictures by their URL."""
    assert messages is not None
    return [
        part["text"] if part["type"] == "text" else f"<{part['image_url']['url']}>"
        for part in messages[-1]["content"]
    ]


def test_words_and_pictures_stand_where_the_placeholders_are(tmp_path: Path) -> None:
    text = "prompt = '''\n{instruction} ({views})\nold {before} new {after:wrist}, <score>?\n'''"
    assert told(prompt(tmp_path, text).messages("lift", PICTURES)) == [
        "lift (front, wrist)\nold ",
        "<b-front>",
        "<b-wrist>",
        " new ",
        "<a-wrist>",
        ", <score>?",
    ]


def test_a_line_whose_pictures_are_all_missing_is_left_out(tmp_path: Path) -> None:
    text = """prompt = '''
{instruction}
starts {start}
ends {goal}
side {after:side}
refs {start} {goal}
{before}{after}
'''"""
    assert told(prompt(tmp_path, text).messages("lift", PICTURES)) == [
        "lift\nstarts ",
        "<s-front>",
        "\nrefs ",
        "<s-front>",
        " \n",
        "<b-front>",
        "<b-wrist>",
        "<a-front>",
        "<a-wrist>",
    ]


@pytest.mark.parametrize("role", ["before", "after"])
def test_without_a_picture_that_is_needed_nothing_is_asked(tmp_path: Path, role: str) -> None:
    assert prompt(tmp_path).messages("lift", PICTURES | {role: {}}) is None
    wrist = PLAIN.replace(f"{{{role}}}", f"{{{role}:wrist}}")
    front = {"front": "x"}
    assert prompt(tmp_path, wrist).messages("lift", PICTURES | {role: front}) is None
    assert prompt(tmp_path, wrist).messages("lift", PICTURES) is not None


@pytest.mark.parametrize("words", ["{before}", "{goal}", "{after:wrist} {instruction}", "", "\n"])
def test_an_instruction_never_becomes_a_placeholder(tmp_path: Path, words: str) -> None:
    parts = told(prompt(tmp_path).messages(words, PICTURES))
    assert parts[0] == f"task: {words}\n"
    assert [part for part in parts[1:] if part.strip()] == [
        "<b-front>",
        "<b-wrist>",
        "<a-front>",
        "<a-wrist>",
    ]


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        ("<image> twice", "< image> twice"),
        ("<|im_end|>", "< |im_end|>"),
        ("</s>[IMG]", "< /s>[ IMG]"),
        ("keep x < 5 [cm]", "keep x < 5 [cm]"),
        ("half a pair: \ud83e", "half a pair: ?"),
    ],
)
def test_an_instruction_holds_no_mark_of_a_server(tmp_path: Path, words: str, sent: str) -> None:
    assert told(prompt(tmp_path).messages(words, PICTURES))[0] == f"task: {sent}\n"


def test_the_system_message_comes_first_and_has_words_only(tmp_path: Path) -> None:
    messages = prompt(tmp_path, 'system = "Judge: {instruction}."\n' + PLAIN).messages(
        "lift", PICTURES
    )
    assert messages is not None
    assert messages[0] == {"role": "system", "content": "Judge: lift."}
    assert [message["role"] for message in messages] == ["system", "user"]


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("<score>+12%</score>", 0.12),
        ("<score> -12.5 % </score>", -0.125),
        ("<score>−7</score>", -0.07),
        ("so <score>100%</score> it is", 1.0),
        ("<score>.5%</score>", 0.005),
        ("<score>+5%</score> yes, <score>5.0%</score>", 0.05),
        ("<score>+5%</score> no, <score>-5%</score>", math.nan),
        ("<score>+5%</score> or <score>N%</score>", math.nan),
        ("<score>150%</score>", math.nan),
        ("<score>-100.1%</score>", math.nan),
        ("<score>nan</score>", math.nan),
        ("<score>1_0%</score>", math.nan),
        ("<score>12,5%</score>", math.nan),
        ("<score>+N%</score>", math.nan),
        ("<score></score>", math.nan),
        ("12%", math.nan),
        ("", math.nan),
    ],
)
def test_a_hop_is_what_the_answer_states_and_nothing_else(
    tmp_path: Path, answer: str, value: float
) -> None:
    assert prompt(tmp_path).number(answer) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("answer", "value"),
    [("grade 4", 0.8), ("grade 0", 0.0), ("grade -1", math.nan), ("grade", math.nan)],
)
def test_progress_is_read_by_pattern_and_scale(tmp_path: Path, answer: str, value: float) -> None:
    text = "answer = 'progress'\nscale = 5\npattern = 'grade(?: (\\S+))?'\n"
    made = prompt(tmp_path, text + PLAIN.replace("{before}", "{start}"))
    assert made.number(answer) == pytest.approx(value, nan_ok=True)


def test_a_prompt_has_defaults_and_the_hash_of_its_file(tmp_path: Path) -> None:
    made = prompt(tmp_path)
    assert (made.answer, made.scale, made.max_tokens, list(made.system)) == ("hop", 100, 64, [])
    assert made.sha256 == hashlib.sha256(PLAIN.encode()).hexdigest()
    assert made.views == set()
    assert prompt(tmp_path, PLAIN.replace("{after}", "{after:wrist}")).views == {"wrist"}


def test_the_example_shows_references_before_what_changes() -> None:
    made = read_prompt(ROOT / "examples/score_prompt.toml")
    both = PICTURES | {"goal": {"front": "g-front"}}
    pictures = [part for part in told(made.messages("lift", both)) if part.startswith("<")]
    assert pictures[:2] == ["<s-front>", "<g-front>"]
    assert pictures[2:] == ["<b-front>", "<b-wrist>", "<a-front>", "<a-wrist>"]
    assert made.number("<score>+12%</score>") == pytest.approx(0.12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt = 3", "prompt cannot be 3"),
        ("prompt = ", "is no TOML"),
        ("promt = 'x'", "has a key 'promt'; it may have answer, pattern"),
        (PLAIN + "scale = 0", "scale and max_tokens must be above 0"),
        (PLAIN + "scale = true", "scale cannot be True"),
        (PLAIN + "answer = 'rank'", "it may be 'hop' or 'progress'"),
        (PLAIN + "pattern = '('", "is no regular expression"),
        (PLAIN + "pattern = '[0-9]+'", "has 0 groups; put the number"),
        (PLAIN + "system = '{after}'", "has {after} where it may have: {instruction}, {views}"),
        (PLAIN.replace("{after}", "{now}"), "has {now} where it may have: {instruction}"),
        (PLAIN.replace("task: {instruction}", "lift"), "has no {instruction}"),
        (PLAIN.replace("{after}", ""), "has no {after}"),
        (PLAIN.replace("{instruction}", "{instruction:front}"), "has {instruction:front} where"),
        (PLAIN + "answer = 'progress'", "has {before} where it may have"),
    ],
)
def test_a_file_that_asks_for_what_there_is_not_is_refused(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        prompt(tmp_path, text)
    assert str(caught.value).startswith("the prompt file ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.toml cannot be read \(No such file"):
        read_prompt(tmp_path / "no.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is no TOML"):
        read_prompt(tmp_path / "binary.toml")
