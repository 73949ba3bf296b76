"""Remote models: what is asked of a server, what becomes of its answers, and of its failures."""

import dataclasses
import math
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai_server import OUTRIGHT, PROMPT, Asked, Said, Server, closed_port, config, serving

from robo_reward.errors import InputError, ServerError
from robo_reward.protocols import References, Verdict, Views
from robo_reward.remote.client import KEY, make_client
from robo_reward.remote.model import RemoteModel, open_remote
from robo_reward.targets import hop
from robo_reward.testing import HARD_TEXTS, check_progress_model

TEXT = "open the drawer"
NAN = math.nan


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)


def views(grey: int, *names: str) -> Views:
    return {name: np.full((16, 24, 3), grey, np.uint8) for name in names or ("front", "wrist")}


BOTH = References(start=views(0), goal=views(255))
START = References(start=views(0))


def truthful(asked: Asked) -> Said:
    """Answer the hop between the greys that are shown, as shares of 255."""
    before, after = (grey / 255 for grey in asked.greys)
    return f"<score>{100 * float(hop(before, after)):+.6f}%</score>"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(truthful) as started:
        yield started


def remote(server: Server, folder: Path, text: str = PROMPT, **changes: Any) -> RemoteModel:
    """Open a model that does not wait long before it tries again."""
    model = open_remote(config(server.url, folder, text, **changes))
    model.reader.client = dataclasses.replace(model.reader.client, pause_s=0.01)
    return model


def verdicts(
    model: RemoteModel, greys: list[int], references: References = BOTH, **shown: Any
) -> list[Verdict]:
    """Judge one frame a query in one pass."""
    frames = [views(grey, **shown) for grey in greys]
    labels = model.label(frames, TEXT, references, fps=2.5)
    told = [field.name for field in dataclasses.fields(Verdict)]
    return [Verdict(**{name: getattr(labels, name)[i] for name in told}) for i in range(len(greys))]


def counts(model: RemoteModel) -> tuple[int, ...]:
    return tuple(model.reader.counts[k] for k in ("number", "unparsable", "refused", "failed"))


def test_a_server_keeps_the_promises_of_a_progress_model(server: Server, tmp_path: Path) -> None:
    model = remote(server, tmp_path)
    frames = [views(grey) for grey in (10, 60, 200, 120, 255)]
    check_progress_model(model, frames, BOTH, query_period_s=0.4, tolerance=1e-4)


def test_three_anchors_are_asked_and_agree_with_what_is_seen(
    server: Server, tmp_path: Path
) -> None:
    model = remote(server, tmp_path)
    told = verdicts(model, [0, 51, 204, 102])
    for name in ("progress", "forward", "backward", "incremental"):
        assert [getattr(v, name) for v in told] == pytest.approx([0, 0.2, 0.8, 0.4], abs=1e-4)
    for name in ("success_prob", "match_prob", "confidence", "lower"):
        assert all(math.isnan(getattr(v, name)) for v in told)
    assert all(v.valid and not v.success for v in told)
    pairs = [(0, 0), (255, 0), (0, 51), (0, 51), (255, 51), (51, 204), (0, 204), (255, 204)]
    pairs += [(204, 102), (0, 102), (255, 102)]
    assert sorted(asked.greys for asked in server.asked) == sorted(pairs)
    assert counts(model) == (11, 0, 0, 0)


def test_answers_that_disagree_are_fused_by_their_weight(tmp_path: Path) -> None:
    """Φ̄ = .3, d = .2/.7, w = exp(−20 d²) = .19541; Φ(1) = .3 + w/2 · (1 − .3) · .5 = .33420."""
    said = {0: "<score>20%</score>", 255: "<score>-60%</score>", 100: "<score>+50%</score>"}
    with serving(lambda asked: said[asked.greys[0]]) as server:
        first, second = verdicts(remote(server, tmp_path), [100, 101])
    assert (first.progress, first.incremental) == pytest.approx((0.3, 0.0))
    assert (second.forward, second.backward) == pytest.approx((0.2, 0.4))
    assert second.progress == pytest.approx(0.33420, abs=1e-5)
    assert second.incremental == pytest.approx(0.5)


def test_a_request_is_deterministic_bounded_and_shows_every_view(
    server: Server, tmp_path: Path
) -> None:
    verdicts(remote(server, tmp_path, "max_tokens = 7\n" + PROMPT), [51], START)
    (asked,) = server.asked
    assert {k: v for k, v in asked.body.items() if k != "messages"} == {
        "model": "tiny",
        "temperature": 0,
        "max_tokens": 7,
    }
    told = [f"{TEXT}\nrefs ", "0", "0", " \nbefore ", "0", "0", "\nafter ", "51", "51"]
    assert asked.parts == told
    assert "authorization" not in asked.headers


def test_large_images_are_shrunk_and_keep_their_shape(tmp_path: Path) -> None:
    from openai_server import picture

    sizes = []

    def look(asked: Asked) -> Said:
        parts = asked.body["messages"][-1]["content"]
        sizes.extend(picture(p["image_url"]["url"]).shape for p in parts if "image_url" in p)
        return "<score>0%</score>"

    wide = {"front": np.zeros((100, 400, 3), np.uint8), "wrist": np.zeros((20, 30, 3), np.uint8)}
    with serving(look) as server:
        model = remote(server, tmp_path, longest_side=64)
        model.label([wide], TEXT, References(start=wide), fps=2.5)
    assert sizes == [(16, 64, 3), (20, 30, 3)] * 3


def test_requests_are_sent_together_and_only_so_many(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=30)  # each answer waits for two others

    def answer(asked: Asked) -> Said:
        together.wait()
        return truthful(asked)

    with serving(answer) as server:
        model = remote(server, tmp_path, in_flight=3, timeout=60.0)
        told = verdicts(model, [0, 51, 204, 102, 153], START)
    assert (len(server.asked), server.most_at_once) == (9, 3)
    assert [v.progress for v in told] == pytest.approx([0, 0.2, 0.8, 0.4, 0.6], abs=1e-4)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("I cannot tell.", (0, 1, 0, 0)),
        ("", (0, 1, 0, 0)),
        ("<score>+500%</score>", (0, 1, 0, 0)),
        ({"content": None}, (0, 0, 1, 0)),
        ({"content": "<score>1%</score>", "refusal": "no"}, (0, 0, 1, 0)),
        (400, (0, 0, 1, 0)),
        (500, (0, 0, 0, 1)),
        (503, (0, 0, 0, 1)),
        (b"<html>", (0, 0, 0, 1)),
        (b'{"choices": []}', (0, 0, 0, 1)),
        (b"[" * (2 << 20), (0, 0, 0, 1)),
        (None, (0, 0, 0, 1)),
    ],
)
def test_what_is_no_answer_is_nan_for_its_anchor_and_counted(
    tmp_path: Path, said: Said, expected: tuple[int, ...]
) -> None:
    """At the second frame, the question from the goal fails: Φ̄ is Φ_F alone."""
    with serving(lambda a: said if a.greys == (255, 51) else truthful(a)) as server:
        model = remote(server, tmp_path)
        told = verdicts(model, [0, 51, 102])
    assert [v.backward for v in told] == pytest.approx([0, NAN, 0.4], abs=1e-4, nan_ok=True)
    assert [v.progress for v in told] == pytest.approx([0, 0.2, 0.4], abs=1e-4)
    assert all(v.valid for v in told)
    assert counts(model) == (7 + expected[0], *expected[1:])
    assert f"answers: 8, of which a number: 7 ({expected[1]} unparsable" in model.remarks()[0]


def test_without_any_answer_the_verdict_is_invalid_and_nan(tmp_path: Path) -> None:
    """Nothing of the frame is used: the next is compared as if the progress had been held."""
    with serving(lambda a: "?" if a.greys[1] in (51, 10) else truthful(a)) as server:
        model = remote(server, tmp_path)
        told = verdicts(model, [10, 51, 51, 102, 102])
    assert [v.valid for v in told] == [False, False, False, True, True]
    for name in ("progress", "forward", "backward", "incremental"):
        assert all(math.isnan(getattr(v, name)) for v in told[:3])
    assert [v.progress for v in told[3:]] == pytest.approx([0.4, 0.4], abs=1e-4)
    assert counts(model) == (6, 8, 0, 0)


def test_a_hop_that_is_not_answered_moves_nothing_and_is_nan(tmp_path: Path) -> None:
    """Φ(1) = 0 + ½ · (.4 − 0) = .2: half of the way, as there is no hop that confirms it."""
    with serving(lambda a: 500 if a.greys == (1, 102) else truthful(a)) as server:
        first, second, third = verdicts(remote(server, tmp_path), [1, 102, 102])
    assert math.isnan(second.incremental)
    assert second.progress == pytest.approx((first.progress + 0.4) / 2, abs=1e-3)
    assert third.incremental == pytest.approx(0.0, abs=1e-3)


def test_a_question_whose_picture_is_missing_is_not_asked(server: Server, tmp_path: Path) -> None:
    """The start shows the front alone, and a frame without the wrist cannot be asked about."""
    model = remote(server, tmp_path, PROMPT.replace("{after}", "{after:wrist}"))
    session = model.begin(TEXT, START)
    blind = model.score(session, views(51, "front"), 0.0)
    assert (blind.valid, math.isnan(blind.progress), server.asked) == (False, True, [])
    assert model.score(session, views(51), 0.4).progress == pytest.approx(0.2, abs=1e-4)
    assert counts(model) == (2, 0, 0, 0)
    with pytest.raises(InputError, match="without any view cannot be judged"):
        model.score(model.begin(TEXT, BOTH), {}, 0.0)


def outright(asked: Asked) -> Said:
    return f"{100 * int(asked.parts[-2]) / 255:.6f}%"


@pytest.mark.parametrize("references", [BOTH, START, References()])
def test_progress_that_is_said_outright_is_the_progress(
    tmp_path: Path, references: References
) -> None:
    with serving(lambda a: "lost" if a.parts[-2] == "204" else outright(a)) as server:
        model = remote(server, tmp_path, OUTRIGHT)
        told = verdicts(model, [51, 204, 102, 153], references)
    assert [v.progress for v in told] == pytest.approx([0.2, NAN, 0.4, 0.6], nan_ok=True)
    assert [v.incremental for v in told] == pytest.approx([0.2, NAN, 0.4, 0.6], nan_ok=True)
    assert [v.valid for v in told] == [True, False, True, True]
    assert math.isnan(told[0].forward) != bool(references.start)
    assert math.isnan(told[0].backward) != bool(references.goal)
    assert len(server.asked) == 4


def test_any_instruction_can_be_asked(server: Server, tmp_path: Path) -> None:
    model = remote(server, tmp_path)
    for text in HARD_TEXTS:
        assert model.score(model.begin(text, BOTH), views(51), 0.0).valid
    assert [len(asked.parts) for asked in server.asked] == [12] * 2 * len(HARD_TEXTS)


def test_labels_do_not_depend_on_later_frames(server: Server, tmp_path: Path) -> None:
    model = remote(server, tmp_path)
    greys = [0, 51, 30, 204, 102]
    long = verdicts(model, greys)
    for length in (1, 3):
        short = verdicts(model, greys[:length])
        assert [str(v) for v in short] == [str(v) for v in long[:length]]


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    tries: list[int] = []

    def busy(asked: Asked) -> Said:
        tries.append(1)
        return 429 if len(tries) < 3 else truthful(asked)

    with serving(busy) as server:
        server.headers["Retry-After"] = "0"
        model = remote(server, tmp_path)
        assert verdicts(model, [51], START)[0].progress == pytest.approx(0.2, abs=1e-4)
    assert (len(tries), counts(model)) == (3, (1, 0, 0, 0))


def test_a_server_that_asks_for_more_time_than_there_is_is_not_waited_for(tmp_path: Path) -> None:
    with serving(lambda asked: 429) as server:
        server.headers["Retry-After"] = "100000"
        model = remote(server, tmp_path)
        assert not verdicts(model, [51], START)[0].valid
        assert len(server.asked) == 1
    assert counts(model) == (0, 0, 0, 1)


def test_an_answer_that_takes_too_long_has_failed(tmp_path: Path) -> None:
    over = threading.Event()

    def slow(asked: Asked) -> Said:
        over.wait(timeout=60)
        return truthful(asked)

    with serving(slow) as server:
        model = remote(server, tmp_path, timeout=0.2)
        assert not verdicts(model, [51], START)[0].valid
        over.set()
    assert counts(model) == (0, 0, 0, 1)
    assert model.reader.example == "no answer in 0.2 s"


def test_a_server_that_dies_stops_the_run_in_one_sentence(tmp_path: Path) -> None:
    with serving(lambda a: None if a.greys[1] > 100 else truthful(a)) as server:
        model = remote(server, tmp_path, give_up_after=5, in_flight=2)
        with pytest.raises(ServerError, match="gave no answer to 5 requests in a row") as caught:
            verdicts(model, list(range(90, 190)))
    assert "\n" not in str(caught.value)
    assert server.url in str(caught.value)
    assert model.reader.counts["failed"] == 5
    assert len({asked.greys[1] for asked in server.asked}) < 50, "the rest is not asked"


def test_failures_with_answers_between_them_do_not_stop_the_run(tmp_path: Path) -> None:
    with serving(lambda a: 500 if a.greys[0] == 255 else truthful(a)) as server:
        model = remote(server, tmp_path, give_up_after=2)
        assert all(v.valid for v in verdicts(model, [0, 51, 102, 153]))
    assert counts(model) == (7, 0, 0, 4)


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, f"the key in {KEY} is missing"), (403, "may not ask this"), (404, "no such model")],
)
def test_a_refusal_of_everything_stops_at_once(tmp_path: Path, status: int, words: str) -> None:
    with serving(lambda asked: status) as server:
        model = remote(server, tmp_path, in_flight=1)
        with pytest.raises(ServerError, match=words):
            verdicts(model, list(range(50)))
        assert len(server.asked) < 50, "of 149"


def test_an_absent_server_is_named_before_anything_is_asked(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    with pytest.raises(ServerError, match=f"no server answers at {url} .*start it, or mend"):
        open_remote(config(url, tmp_path))


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_refuses_us_is_told_before_anything_is_asked(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.models = status
    with pytest.raises(ServerError, match=f"refuses us .HTTP {status}"):
        open_remote(config(server.url, tmp_path))


def test_a_server_without_a_list_of_models_will_do(server: Server, tmp_path: Path) -> None:
    server.models = 404
    assert verdicts(remote(server, tmp_path), [51], START)[0].valid


def test_the_key_is_sent_and_told_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "as")  # stands in what the server says: "as told"
    with serving(lambda asked: 400) as server:
        model = remote(server, tmp_path)
        verdicts(model, [51], START)
    assert server.asked[0].headers["authorization"] == "Bearer as"
    assert model.reader.example == 'HTTP 400: {"error": "*** told"}'
    monkeypatch.setenv(KEY, "s3cret")
    client = make_client(server.url, timeout_s=1.0)
    assert "s3cret" not in f"{client!r} {model.about()} {model.fingerprint}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:8000", "is no address of a server; give one like http://127.0.0.1:8000/v1"),
        ("ftp://127.0.0.1/v1", "is no address of a server"),
        ("http://", "is no address of a server"),
        ("http://127.0.0.1:port/v1", "is no address (Invalid port"),
        ("http://me:word@127.0.0.1/v1", "holds more than an address"),
        ("http://127.0.0.1/v1?key=word", "holds more than an address"),
    ],
)
def test_what_is_no_address_is_refused(url: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        make_client(url, timeout_s=1.0)
    assert "word" not in str(caught.value)


def test_a_key_never_travels_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_client("http://example.org/v1", timeout_s=1.0).host == "example.org"
    monkeypatch.setenv(KEY, "s3cret")
    with pytest.raises(InputError, match=f"would carry the key in {KEY} in the clear") as caught:
        make_client("http://example.org/v1", timeout_s=1.0)
    assert "s3cret" not in str(caught.value)
    assert make_client("https://example.org:8443/v1/", timeout_s=1.0).host == "example.org:8443"
    for local in ("http://localhost:1/v1", "http://[::1]:1/v1", "http://127.0.0.2:1/v1"):
        assert make_client(local, timeout_s=1.0).key == "s3cret"
    monkeypatch.setenv(KEY, "two\nlines")
    with pytest.raises(InputError, match="holds characters that no key has"):
        make_client("https://example.org/v1", timeout_s=1.0)


def test_the_fingerprint_tells_apart_whatever_decides_on_a_label(
    server: Server, tmp_path: Path
) -> None:
    first = remote(server, tmp_path).fingerprint
    host = server.url.removeprefix("http://").removesuffix("/v1")
    assert first.startswith(f"openai:{host}/tiny#")
    assert remote(server, tmp_path, in_flight=2, timeout=3.0).fingerprint == first
    others = [
        remote(server, tmp_path, PROMPT + "# other").fingerprint,
        remote(server, tmp_path, query_period=0.8).fingerprint,
        remote(server, tmp_path, longest_side=64).fingerprint,
        remote(server, tmp_path, model="small").fingerprint,
    ]
    assert len({first, *others}) == 5
