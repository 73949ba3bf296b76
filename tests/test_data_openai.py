"""`label` and `eval` with a model on a server: the sidecar, the screen, what is refused, a kill."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import LENGTH, grey
from openai_server import PROMPT, Asked, Said, Server, closed_port, config, serving

from data import labelling
from data.compaction import FILE
from data.decoding import DecodeConfig
from data.evaluating import Eval
from data.label import Label
from data.labelling import LOG
from data.report import Report
from robo_reward.cli import main
from robo_reward.config import OpenAIConfig
from robo_reward.errors import InputError, RoboRewardError, ServerError
from robo_reward.remote.client import KEY
from robo_reward.targets import hop

TEXT = PROMPT.replace("{after}", "{after:front}").replace("{before}", "{before:front}")
FIRST, LAST = grey("front", 0), grey("front", LENGTH - 1)
QUERIES = (0, 4, 8)


def truthful(asked: Asked) -> Said:
    """Answer by how far the front view's grey is from that of the first to that of the last."""
    before, after = ((seen - FIRST) / (LAST - FIRST) for seen in asked.greys)
    return f"<score>{100 * float(hop(min(before, 1), min(after, 1))):.4f}%</score>"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(truthful) as started:
        yield started


@pytest.fixture
def command(tiny_dataset: Path, server: Server, tmp_path: Path) -> Label:
    """References of episode 0: its front view has no grey of its own."""
    asked = config(server.url, tmp_path, TEXT)
    return Label(
        dataset=str(tiny_dataset),
        out=tmp_path / "out",
        reference="0",
        openai=asked,
        decode=DecodeConfig(processes=0),
    )


def metadata(out: Path) -> dict[str, str]:
    found = pq.read_schema(out / FILE).metadata
    return {key.decode(): value.decode() for key, value in found.items()}


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir())


def test_the_sidecar_has_the_progress_that_the_server_sees(command: Label) -> None:
    command.run()
    table = pq.read_table(command.out / FILE)
    assert table.num_rows == 3 * LENGTH
    for episode in (1, 2):  # as bright as episode 0, and 3 or 6 brighter
        rows = slice(episode * LENGTH, (episode + 1) * LENGTH)
        phi = table["progress_sparse"].to_numpy()[rows]
        seen = [min((8 * n + 3 * episode) / (LAST - FIRST), 1.0) for n in QUERIES]
        assert phi[::4] == pytest.approx(seen, abs=1e-3)
        assert phi[1:4] == pytest.approx([phi[0]] * 3), "rows between hold the verdict"
    for name in ("confidence", "progress_lower", "success_prob", "match_prob"):
        assert np.isnan(table[name].to_numpy()).all()
    assert all(table["valid"].to_pylist())


def test_the_sidecar_says_who_was_asked_what_and_what_came_of_it(
    command: Label, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Episode 0 sees no goal: 1 + 2 + 2 questions; the others are asked 2 + 3 + 3 each."""
    server.answer = lambda a: "no idea\x1b[2J" if a.greys[0] == LAST else truthful(a)
    command.run()
    told = metadata(command.out)
    assert f"http://{told['openai_host']}/v1" == server.url
    assert told["openai_model"] == "tiny"
    assert re.fullmatch("[0-9a-f]{64}", told["openai_prompt_sha256"])
    expected = {"number": 15, "unparsable": 6, "refused": 0, "failed": 0}
    assert json.loads(told["openai_answers"]) == expected
    assert told["model_fingerprint"].startswith(f"openai:{told['openai_host']}/tiny#")
    assert told["causal"] == "yes"
    printed = capsys.readouterr().out
    assert "answers: 21, of which a number: 15 (6 unparsable, 0 refused, 0 failed)" in printed
    assert r"one that was none: 'no idea\x1b[2J'" in printed


def test_nothing_but_nonsense_gives_nan_and_no_crash(
    command: Label, server: Server, tmp_path: Path, tiny_dataset: Path
) -> None:
    server.answer = lambda asked: "lorem ipsum"
    command.run()
    table = pq.read_table(command.out / FILE)
    assert not any(table["valid"].to_pylist())
    assert np.isnan(table["progress_sparse"].to_numpy()).all()
    every = [json.loads(line) for line in (command.out / LOG).read_text().splitlines()]
    lines = [line for line in every if "frames" in line]
    assert [(line["valid_share"], line["last_progress"]) for line in lines] == [(0.0, None)] * 3
    page = tmp_path / "report.html"
    Report(dataset=tiny_dataset, labels=command.out, out=page, image_size=32, max_media=1).run()
    assert "nothing valid" in page.read_text(encoding="utf-8")


def test_labels_of_a_frame_do_not_depend_on_when_others_are_asked(command: Label) -> None:
    command.run()
    alone = replace(command, out=command.out / "alone", openai=replace(command.openai, in_flight=1))
    alone.run()
    one, other = (pq.read_table(made.out / FILE) for made in (command, alone))
    for name in one.column_names:
        np.testing.assert_array_equal(one[name].to_numpy(), other[name].to_numpy())


def test_an_absent_server_ends_the_program_with_one_sentence_before_any_decoding(
    command: Label, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(labelling, "asked", None)
    url = f"http://127.0.0.1:{closed_port()}/v1"
    flags = ["--dataset", command.dataset, "--out", str(command.out), "--openai.url", url]
    asked = ["--openai.model", "tiny", "--openai.prompt", str(command.openai.prompt)]
    with pytest.raises(SystemExit) as ended:
        main(["label", *flags, *asked])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith(f"robo-reward label: no server answers at {url} ")
    assert told.count("\n") == 1
    assert not command.out.exists()


def test_a_server_that_dies_midway_leaves_the_old_labels(command: Label, server: Server) -> None:
    server.answer = lambda a: None if len(server.asked) > 6 else truthful(a)
    command.out.mkdir()
    (command.out / FILE).write_text("mine")
    mortal = replace(command, overwrite=True, openai=replace(command.openai, give_up_after=3))
    with pytest.raises(ServerError, match="gave no answer to 3 requests in a row"):
        mortal.run()
    assert (command.out / FILE).read_text() == "mine"


def test_a_key_is_in_no_file_and_on_no_screen(
    command: Label,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(KEY, "s3cret-k3y")
    command.run()
    assert server.asked[0].headers["authorization"] == "Bearer s3cret-k3y"
    told = capfd.readouterr()
    files = b"".join((command.out / name).read_bytes() for name in names(command.out))
    assert "s3cret-k3y" not in told.out + told.err
    assert b"s3cret-k3y" not in files


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"openai": OpenAIConfig()}, "give --model (a directory) or --openai.url (a server): none"),
        ({"model": Path("some/model")}, "--openai.url (a server): both are named"),
        ({"openai": OpenAIConfig(timeout=3.0)}, "say where by --openai.url"),
        ({"views": ("wrist",)}, "shows the view front, but there are wrist; name one of those"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_sentence(
    command: Label, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RoboRewardError, match=re.escape(words)) as caught:
        replace(command, **changes).run()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", [{"model": ""}, {"prompt": None}])
def test_without_a_name_or_a_prompt_nothing_is_asked(
    command: Label, server: Server, missing: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=r"--openai\.model .its name there. and --openai\.prompt"):
        replace(command, openai=replace(command.openai, **missing)).run()
    assert server.asked == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"in_flight": 0}, "--openai.in-flight must be at least 1"),
        ({"give_up_after": 0}, "--openai.give-up-after must be at least 1"),
        ({"longest_side": 4}, "--openai.longest-side must be at least 16"),
        ({"query_period": 0.0}, "--openai.query-period must be seconds above 0"),
        ({"timeout": float("inf")}, "--openai.timeout must be seconds above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        config("http://127.0.0.1:1/v1", tmp_path, **changes)


def test_an_evaluation_measures_a_model_on_a_server(
    tiny_dataset: Path, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says nothing of success, so it declares it from a progress of .95 on."""
    Eval(
        dataset=(str(tiny_dataset),),
        out=tmp_path / "eval",
        reference="0",
        probes=("frozen",),
        draws=20,
        openai=config(server.url, tmp_path, TEXT),
    ).run()
    told = json.loads((tmp_path / "eval/eval.json").read_text())
    assert told["model"] == "tiny"
    assert json.loads(told["openai_answers"])["unparsable"] == 0
    assert set(told["figures"]["mae"]["values"]) == {
        "model",
        "clock",
        "constant_hop",
        "pixel_distance",
        "truth",
    }
    assert told["figures"]["mae"]["values"]["model"]["value"] < 0.3
    assert told["figures"]["valid_share"]["values"]["model"]["value"] is None
    assert told["figures"]["success_auroc"]["values"]["model"]["value"] is not None
    assert "answers: " in capsys.readouterr().out


def test_help_of_label_imports_nothing_heavy() -> None:
    code = (
        "import sys, data.label; heavy = {'torch', 'httpx', 'lerobot'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
