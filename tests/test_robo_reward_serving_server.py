"""A server in this process: who is judged, who is told why not, and what is refused."""

import asyncio
import os
import socket
import struct
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import GIVEN, TEXT, HeldUp, Raw, Running, grey, loaded, nothing_else, running, until

from robo_reward.errors import CheckpointError, InputError, ServerError
from robo_reward.fake_model import FakeProgressModel
from robo_reward.protocols import References
from robo_reward.serving import Scored, Stale, Unavailable
from robo_reward.serving.caps import Caps
from robo_reward.serving.engine import Engine
from robo_reward.serving.judge import Loaded
from robo_reward.serving.messages import Reply, Score
from robo_reward.serving.metrics import Metrics
from robo_reward.serving.wire import LENGTHS, MOST_BYTES

SOAK_S = float(os.environ.get("SOAK_SECONDS", "300"))
IMAGE = ["front", "u1", 4, 6, 3]
PIXELS = bytes(72)


def begun(raw: Raw, number: int = 1) -> int:
    raw.say(kind="begin", number=number, instruction=TEXT, ended=[], images=[[], []])
    told = raw.hear()
    assert told["kind"] == "begun"
    session: int = told["told"]["session"]
    return session


def question(raw: Raw, session: int, number: int, at: float, budget_ms: int = 10_000) -> None:
    told = {"kind": "score", "number": number, "session": session, "time": at}
    raw.say(PIXELS, **told, budget_ms=budget_ms, images=[[IMAGE]])


def test_a_newer_frame_of_a_session_replaces_the_one_that_waits() -> None:
    model = HeldUp()
    with running(model) as server, server.raw() as raw:
        raw.greet()
        session = begun(raw)
        question(raw, session, 2, 0.0)
        assert model.began.wait(20.0)
        for number in (3, 4, 5):
            question(raw, session, number, 0.1 * number)
        first, second = raw.hear(), raw.hear()
        assert [one["number"] for one in (first, second)] == [3, 4]
        assert all(one["told"]["is"] == "stale" for one in (first, second))
        model.free.set()
        last = [raw.hear(), raw.hear()]
        assert [(one["number"], one["told"]["is"]) for one in last] == [
            (2, "scored"),
            (5, "scored"),
        ]
    assert model.passes == [[0.0], [0.5]], "what was replaced left no trace"


def test_a_frame_that_waits_too_long_is_answered_while_the_pass_runs_and_never_judged() -> None:
    model = HeldUp()
    with running(model) as server, server.raw() as raw:
        raw.greet()
        one, two = begun(raw), begun(raw, 2)
        question(raw, one, 3, 0.0)
        assert model.began.wait(20.0)
        question(raw, two, 4, 7.0, budget_ms=50)
        told = raw.hear()
        assert (told["number"], told["told"]["is"]) == (4, "stale")
        assert "50 ms" in told["told"]["why"]
        model.free.set()
        assert raw.hear()["number"] == 3
        assert server.count("answers_total", kind="stale") == 1.0
    assert model.passes == [[0.0]]


def test_clients_share_passes() -> None:
    model = HeldUp()
    with running(model) as server, server.raw() as first, server.raw() as second:
        ours = []
        for raw in (first, second):
            raw.greet()
            ours += [begun(raw), begun(raw, 2)]
        question(first, ours[0], 3, 0.0)
        assert model.began.wait(20.0)
        question(first, ours[1], 4, 1.0)
        question(second, ours[2], 3, 2.0)
        question(second, ours[3], 4, 3.0)
        until(lambda: server.count("waiting") == 3)
        model.free.set()
        assert [first.hear()["number"] for _ in range(2)] == [3, 4]
        assert [second.hear()["number"] for _ in range(2)] == [3, 4]
    assert [sorted(times) for times in model.passes] == [[0.0], [1.0, 2.0, 3.0]]


def test_a_pass_is_no_larger_than_it_may_be() -> None:
    model = HeldUp()
    with running(model, together=2) as server, server.raw() as raw:
        raw.greet()
        sessions = [begun(raw, number) for number in range(1, 6)]
        for number, session in enumerate(sessions, 10):
            question(raw, session, number, 0.0)
        until(lambda: server.count("waiting") >= 3)
        model.free.set()
        assert sorted(raw.hear()["number"] for _ in sessions) == [10, 11, 12, 13, 14]
    assert max(map(len, model.passes)) == 2


def test_health_and_metrics_are_told_while_a_pass_runs() -> None:
    model = HeldUp()
    with running(model) as server, server.connect(deadline_s=0.2) as asking:
        session = asking.begin(TEXT, GIVEN)
        (answer,) = asking.ask([session], [grey(0.5)], [0.0])
        assert isinstance(answer, Unavailable)
        told = asking.health()
        assert told["status"] == "ok"
        assert told["busy_s"] > 0.0
        assert (told["sessions"], told["connections"]) == (1, 1)
        assert b"robo_reward_sessions 1.0" in server.engine.metrics.text()
        assert b'robo_reward_model_info{fingerprint="first"} 1.0' in server.engine.metrics.text()


def test_one_that_cannot_be_judged_costs_the_others_nothing() -> None:
    model = HeldUp()
    with running(model) as server, server.connect() as asking:
        sessions = [asking.begin(TEXT, GIVEN) for _ in range(3)]
        server.call(lambda: None)
        model.free.set()
        answers = asking.ask(sessions, [grey(0.2), {}, grey(0.6)], [0.0] * 3)
        assert isinstance(answers[1], Unavailable)
        assert "the model failed (RuntimeError)" in answers[1].why
        good = [one.verdict.progress for one in answers if isinstance(one, Scored)]
        assert good == pytest.approx([0.2, 0.6], abs=0.01)


def test_a_frame_that_shows_nothing_is_the_clients_mistake() -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        session = asking.begin(TEXT, GIVEN)
        with pytest.raises(InputError, match="a frame without any view cannot be judged"):
            asking.score(session, {}, 0.0)
        assert asking.score(session, grey(1.0), 0.0).progress == 1.0


def test_views_that_the_model_cannot_use_are_refused() -> None:
    trained = loaded(FakeProgressModel(), views=["front", "wrist"])
    with running(trained) as server, server.connect() as asking:
        with pytest.raises(
            InputError, match="trained on the views front, wrist, and what is shown"
        ):
            asking.begin(TEXT, References(start=grey(0.0, "top")))
        session = asking.begin(TEXT, GIVEN)
        with pytest.raises(InputError, match="and what is shown is top; name the views"):
            asking.score(session, grey(0.0, "top"), 0.0)
        assert asking.score(session, grey(1.0, "top", "wrist"), 0.0).progress == 1.0
        assert asking.training["views"] == ["front", "wrist"]


def refusal(raw: Raw) -> str:
    told = raw.hear()
    assert (told["kind"], told["number"]) == ("refused", 0)
    assert raw.ended()
    return str(told["told"]["why"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LENGTHS.pack(10, MOST_BYTES), "at most 4096 in all"),
        (LENGTHS.pack(2**32 - 1, 2**32 - 1), "at most 4096 in all"),
        (LENGTHS.pack(0, 0), "at most 4096 in all"),
        (LENGTHS.pack(1, 0) + b"\xc1", "no msgpack"),
        (b"GET / HTTP/1.1\r\n\r\n", "at most 4096 in all"),
    ],
)
def test_strangers_are_refused_before_anything_is_kept(content: bytes, message: str) -> None:
    with running(FakeProgressModel()) as server:
        with server.raw() as raw:
            raw.bytes(content)
            assert message in refusal(raw)
        until(lambda: server.count("refused_total") == 1.0)
        with server.connect() as asking:
            asking.begin(TEXT, GIVEN)


def test_what_is_malformed_or_too_large_ends_the_connection_and_its_sessions_alone() -> None:
    with running(FakeProgressModel()) as server, server.connect() as other:
        session = other.begin(TEXT, GIVEN)
        for content in (LENGTHS.pack(10, MOST_BYTES), LENGTHS.pack(1, 0) + b"\x01"):
            with server.raw() as raw:
                raw.greet()
                begun(raw)
                raw.bytes(content)
                assert refusal(raw)
        until(lambda: server.count("sessions") == 1.0)
        assert other.score(session, grey(0.5), 0.0).progress == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("token", ["", "wrong", "secre", "secret2"])
def test_without_the_token_nothing_is_told(token: str) -> None:
    with running(FakeProgressModel(), token="secret") as server:
        with server.raw() as raw:
            told = raw.greet(token=token)
            assert (told["kind"], told["told"]["why"]) == (
                "refused",
                "the token is missing or wrong",
            )
            assert raw.ended()
        with server.raw() as raw:
            assert raw.greet(token="secret")["kind"] == "welcome"


def test_another_version_of_the_protocol_is_refused_on_both_sides() -> None:
    with running(FakeProgressModel()) as server, server.raw() as raw:
        why = raw.greet(version=2)["told"]["why"]
        assert "speaks version 1 of the protocol and the client version 2" in why


def test_greetings_come_first_and_once() -> None:
    with running(FakeProgressModel()) as server:
        with server.raw() as raw:
            raw.say(kind="health", number=1)
            assert refusal(raw) == "the first message must be hello"
        with server.raw() as raw:
            raw.greet()
            raw.say(kind="hello", version=1, token="")
            assert refusal(raw) == "hello is said once"


def test_there_are_only_so_many_connections() -> None:
    with running(FakeProgressModel(), connections=1) as server:
        with server.connect():
            with server.raw() as raw:
                assert "has 1 connections" in raw.greet()["told"]["why"]
                assert raw.ended()
            with pytest.raises(ServerError, match="has 1 connections, and no more"):
                server.connect()
        until(lambda: server.count("connections") == 0.0)
        server.connect().close()


def test_those_who_say_nothing_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_TOKEN", "secret")
    monkeypatch.setattr("robo_reward.serving.server.STRANGERS", 3)
    how: dict[str, Any] = {"token": "secret", "connections": 2}
    with running(FakeProgressModel(), **how) as server, ExitStack() as opened:
        raws = [opened.enter_context(server.raw()) for _ in range(7)]
        assert all(raw.ended() for raw in raws[:4]), "the oldest give way"
        with server.connect() as one, server.connect() as two:
            assert (one.fingerprint, two.health()["connections"]) == ("first", 2)


def test_there_are_only_so_many_sessions() -> None:
    with (
        running(FakeProgressModel(), sessions=3, sessions_each=2) as server,
        server.connect() as one,
        server.connect() as two,
    ):
        held = [one.begin(TEXT, GIVEN), one.begin(TEXT, GIVEN), two.begin(TEXT, GIVEN)]
        with pytest.raises(ServerError, match="holds 3 sessions, and no more"):
            two.begin(TEXT, GIVEN)
        del held[0]
        with pytest.raises(ServerError, match="holds 3 sessions, and no more"):
            two.begin(TEXT, GIVEN)
        held.append(one.begin(TEXT, GIVEN))  # tells of the one that nobody holds any more
        assert len(held) == 3


def test_a_connection_begins_one_session_at_a_time() -> None:
    model = HeldUp()
    with running(model) as server, server.raw() as raw:
        raw.greet()
        session = begun(raw)
        question(raw, session, 2, 0.0)
        assert model.began.wait(20.0)
        for number in (3, 4):
            raw.say(kind="begin", number=number, instruction=TEXT, ended=[], images=[[], []])
        told = raw.hear()
        assert (told["number"], told["told"]["is"]) == (4, "unavailable")
        model.free.set()
        assert [raw.hear()["kind"] for _ in range(2)] == ["answer", "begun"]


def test_who_asks_too_often_is_told() -> None:
    with running(FakeProgressModel(), rate=3.0) as server, server.raw() as raw:
        raw.greet()
        for number in range(1, 6):
            raw.say(kind="health", number=number)
        kinds = [raw.hear()["kind"] for _ in range(5)]
        assert kinds[:3] == ["done"] * 3
        assert "answer" in kinds[3:]


def send_often(raw: Raw, content: bytes) -> None:
    for _ in range(200):
        raw.bytes(content)


def test_who_reads_no_replies_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_reward.serving.link._MOST_UNREAD", 1 << 16)
    head = msgpack.packb({"kind": "health", "number": 1})
    asked = (LENGTHS.pack(len(head), 0) + head) * 1000
    with running(FakeProgressModel(), rate=1e9) as server, server.raw() as raw:
        raw.greet()
        with pytest.raises(ConnectionError):
            send_often(raw, asked)
        until(lambda: server.count("connections") == 0.0)


def test_a_frame_whose_time_was_over_before_the_pass_is_not_judged() -> None:
    model, now, told = FakeProgressModel(), [0.0], list[Reply]()
    client = SimpleNamespace(number=1, beginning=False, gone=False, send=told.append)

    async def late() -> None:
        engine = Engine(loaded(model), nothing_else, Metrics(), caps=Caps(), clock=lambda: now[0])
        begun = model.begin(TEXT, GIVEN)
        stream = engine.sessions.add(1, engine.loaded, begun, now[0])
        question = Score(number=1, session=stream.number, time=0.0, budget_ms=9000, views=grey(0.5))
        engine.score(client, question, 10)
        now[0] = 10.0
        running = asyncio.create_task(engine.run())
        while not told:
            await asyncio.sleep(0.001)
        engine.stop()
        await running

    asyncio.run(asyncio.wait_for(late(), 20.0))
    assert [one.told["is"] for one in told] == ["stale"]


def test_requests_are_numbered_upwards() -> None:
    with running(FakeProgressModel()) as server, server.raw() as raw:
        raw.greet()
        session = begun(raw)
        question(raw, session, 5, 0.0)
        assert raw.hear()["told"]["is"] == "scored"
        question(raw, session, 5, 1.0)
        told = raw.hear()
        assert (told["kind"], told["number"]) == ("refused", 5)


def test_sessions_of_others_and_sessions_that_nobody_asks_about_are_not_there() -> None:
    with running(FakeProgressModel(), idle=0.3) as server, server.raw() as one:
        one.greet()
        session = begun(one)
        with server.raw() as two:
            two.greet()
            question(two, session, 1, 0.0)
            assert two.hear()["told"]["is"] == "unavailable"
        until(lambda: server.count("sessions") == 0.0)
        question(one, session, 2, 0.0)
        assert "nobody asked about it for too long" in one.hear()["told"]["why"]


def test_half_a_frame_does_not_hold_anybody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robo_reward.serving.link.BODY_S", 0.2)
    monkeypatch.setattr("robo_reward.serving.server.HELLO_S", 0.4)
    with running(FakeProgressModel()) as server:
        with server.raw() as silent:
            assert silent.hear()["kind"] == "refused"
        with server.raw() as raw:
            raw.greet()
            raw.bytes(LENGTHS.pack(50, 0)[:5])
            assert "did not come" in refusal(raw)


class Store:
    """Models by the name of their directory."""

    def __init__(self, **models: Any) -> None:
        self.models, self.asked = models, list[str]()

    def __call__(self, place: Path) -> Loaded:
        self.asked.append(str(place))
        if place.name not in self.models:
            raise CheckpointError(f"{place} is no model: it has no config.json")
        return loaded(self.models[place.name], place.name)


def constant(level: float) -> FakeProgressModel:
    return FakeProgressModel(progress=lambda _: level, query_period_s=0.1)


def test_a_new_model_judges_new_sessions_and_old_ones_keep_theirs(tmp_path: Path) -> None:
    store = Store(second=constant(0.75))
    listen = f"unix:{tmp_path}/s"
    with (
        running(constant(0.25), load=store, listen=listen) as server,
        server.connect(follow=True) as asking,
    ):
        old = asking.begin(TEXT, GIVEN)
        assert asking.score(old, grey(0), 0.0).progress == 0.25
        assert asking.reload("models/second") == "second"
        new = asking.begin(TEXT, GIVEN)
        answers = asking.ask([old, new], [grey(0), grey(0)], [1.0, 1.0])
        assert [one.verdict.progress for one in answers if isinstance(one, Scored)] == [0.25, 0.75]
        assert asking.fingerprint == asking.health()["fingerprint"] == "second"
        assert server.count("reloads_total", outcome="done") == 1.0


def test_sessions_can_be_told_to_end_with_their_model(tmp_path: Path) -> None:
    store = Store(second=constant(0.75))
    listen = f"unix:{tmp_path}/s"
    with (
        running(constant(0.25), load=store, listen=listen) as server,
        server.connect(follow=True) as asking,
    ):
        old = asking.begin(TEXT, GIVEN)
        asking.reload("second", end=True)
        (answer,) = asking.ask([old], [grey(0)], [1.0])
        assert isinstance(answer, Unavailable)
        assert asking.score(asking.begin(TEXT, GIVEN), grey(0), 0.0).progress == 0.75


def test_sessions_of_every_earlier_model_end_with_it(tmp_path: Path) -> None:
    store = Store(second=constant(0.5), third=constant(0.75))
    listen = f"unix:{tmp_path}/s"
    with (
        running(constant(0.25), load=store, listen=listen) as server,
        server.connect(follow=True) as asking,
    ):
        held = [asking.begin(TEXT, GIVEN)]
        asking.reload("second")
        held.append(asking.begin(TEXT, GIVEN))
        asking.reload("third", end=True)
        answers = asking.ask(held, [grey(0)] * 2, [1.0] * 2)
        assert [type(one) for one in answers] == [Unavailable, Unavailable]
        assert len(server.engine.sessions) == 0


@dataclass(frozen=True, kw_only=True)
class SlowToBegin(FakeProgressModel):
    """A model whose sessions wait to be begun."""

    free: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)

    def begin(self, instruction: str, references: References) -> Any:
        self.began.set()
        assert self.free.wait(20.0), "the test never let it begin"
        return super().begin(instruction, references)


def ask_to_begin(raw: Raw, pixels: bytes = b"", image: list[Any] | None = None) -> None:
    images = [[image] if image else [], []]
    raw.say(pixels, kind="begin", number=1, instruction=TEXT, ended=[], images=images)


def test_a_session_that_is_being_begun_ends_with_its_model_too(tmp_path: Path) -> None:
    model, store = SlowToBegin(), Store(second=constant(0.5))
    with (
        running(model, load=store, listen=f"unix:{tmp_path}/s") as server,
        server.raw() as raw,
        server.connect() as other,
    ):
        raw.greet()
        ask_to_begin(raw)
        assert model.began.wait(20.0)
        other.reload("second", end=True)
        model.free.set()
        assert "its model was replaced" in raw.hear()["told"]["why"]
        assert len(server.engine.sessions) == 0


def test_a_session_that_was_begun_for_one_that_left_is_not_kept() -> None:
    model = SlowToBegin()
    with running(model) as server, server.connect() as other:
        with server.raw() as raw:
            raw.greet()
            ask_to_begin(raw)
            assert model.began.wait(20.0)
        until(lambda: server.count("connections") == 1.0)
        model.free.set()
        other.begin(TEXT, GIVEN)
        assert len(server.engine.sessions) == 1


def test_what_sessions_begin_with_is_counted_while_it_waits() -> None:
    model, side = SlowToBegin(), 500
    image, pixels = ["front", "u1", side, side, 3], bytes(3 * side**2)
    with running(model, waiting_mb=1) as server, ExitStack() as opened:
        raws = [opened.enter_context(server.raw()) for _ in range(4)]
        for raw in raws:
            raw.greet()
        ask_to_begin(raws[0], pixels, image)
        assert model.began.wait(20.0)
        ask_to_begin(raws[1], pixels, image)
        assert "the server is full" in raws[1].hear()["told"]["why"]
        ask_to_begin(raws[2])
        until(lambda: server.engine.waiting.bytes > len(pixels) + 100)
        raws[2].socket.close()  # it waits no more
        until(lambda: server.count("connections") == 3.0)
        model.free.set()
        assert raws[0].hear()["kind"] == "begun"
        ask_to_begin(raws[3], pixels, image)
        assert raws[3].hear()["kind"] == "begun"
        assert server.engine.waiting.bytes == 0


def test_a_client_that_did_not_ask_for_it_refuses_another_model(tmp_path: Path) -> None:
    store = Store(second=constant(0.75))
    listen = f"unix:{tmp_path}/s"
    with running(constant(0.25), load=store, listen=listen) as server, server.connect() as asking:
        old = asking.begin(TEXT, GIVEN)
        asking.reload("second")
        with pytest.raises(ServerError, match="now serves model second, and first was asked"):
            asking.begin(TEXT, GIVEN)
        assert asking.score(old, grey(0), 0.0).progress == 0.25


def test_a_bad_checkpoint_leaves_the_old_one_in_service(tmp_path: Path) -> None:
    with running(constant(0.25), load=Store(), listen=f"unix:{tmp_path}/s") as server:
        with server.connect() as asking:
            with pytest.raises(InputError, match="the old model stays: models/x is no model"):
                asking.reload("models/x")
            assert asking.score(asking.begin(TEXT, GIVEN), grey(0), 0.0).progress == 0.25
        assert server.count("reloads_total", outcome="refused") == 1.0


def test_a_model_that_does_not_fit_beside_the_old_one_changes_nothing(tmp_path: Path) -> None:
    def no_room(place: Path) -> Loaded:
        raise MemoryError(place)

    listen = f"unix:{tmp_path}/s"
    with running(constant(0.25), load=no_room, listen=listen) as server, server.connect() as asking:
        with pytest.raises(InputError, match=r"cannot be loaded beside the other \(MemoryError\)"):
            asking.reload("second")
        assert asking.health()["status"] == "ok"


def test_the_model_is_replaced_between_passes_and_the_directory_read_again(tmp_path: Path) -> None:
    model, store = HeldUp(), Store(first=constant(0.75))
    late: list[Any] = []
    with (
        running(loaded(model, "first"), load=store, listen=f"unix:{tmp_path}/s") as server,
        server.connect() as asking,
        server.connect() as other,
    ):
        session = asking.begin(TEXT, GIVEN)
        ask = threading.Thread(target=lambda: late.append(asking.score(session, grey(0.5), 0.0)))
        ask.start()
        assert model.began.wait(20.0)
        assert other.reload() == "first"
        assert store.asked == ["first"]
        model.free.set()
        ask.join(20.0)
    assert late[0].progress == pytest.approx(0.5, abs=0.01)


def test_only_who_may_reloads() -> None:
    store = Store(second=constant(0.75))
    with running(constant(0.25), load=store) as server, server.connect() as asking:
        with pytest.raises(InputError, match="over a unix socket or with a token"):
            asking.reload("second")
        assert store.asked == []


def test_a_token_from_elsewhere_reloads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_TOKEN", "secret")
    monkeypatch.setattr("robo_reward.serving.link.is_loopback", lambda host: False)
    store = Store(second=constant(0.75))
    with running(constant(0.25), load=store, token="secret") as server, server.connect() as asking:
        with pytest.raises(InputError, match="only clients of this machine reload"):
            asking.reload("second")
        assert store.asked == []


def test_a_token_lets_one_reload_over_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_TOKEN", "secret")
    store = Store(second=constant(0.75))
    with running(constant(0.25), load=store, token="secret") as server, server.connect() as asking:
        assert asking.reload("second") == "second"


def test_a_server_that_is_stopped_finishes_its_pass_and_tells_the_others() -> None:
    model = HeldUp()
    with running(model) as server, server.raw() as raw:
        raw.greet()
        one, two = begun(raw), begun(raw, 2)
        question(raw, one, 3, 0.0)
        assert model.began.wait(20.0)
        question(raw, two, 4, 0.0)
        until(lambda: server.count("waiting") == 1.0)
        server.call(server.engine.stop)
        model.free.set()
        told = [raw.hear(), raw.hear()]
        assert [(one["number"], one["told"]["is"]) for one in told] == [
            (3, "scored"),
            (4, "unavailable"),
        ]
        assert told[1]["told"]["why"] == "the server was stopped"
        assert raw.ended()


def not_listened(listen: str) -> str:
    """Why a server cannot listen somewhere."""
    with pytest.raises(InputError) as told, running(FakeProgressModel(), listen=listen):
        pass
    return str(told.value)


def test_a_unix_socket_is_its_users_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "s"
    with running(FakeProgressModel(), listen=f"unix:{path}") as server:
        assert path.stat().st_mode & 0o777 == 0o600
        assert "is in use by another server; end it" in not_listened(f"unix:{path}")
        server.connect().close()
    assert not path.exists()


def test_a_socket_that_a_killed_server_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with running(FakeProgressModel(), listen=f"unix:{path}") as server:
        server.connect().close()
    path.write_text("mine")
    assert "there is a file that is no socket; move it" in not_listened(f"unix:{path}")
    assert path.read_text() == "mine"


def test_of_two_servers_one_takes_a_path_that_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / "s", list[str]()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    unlink = Path.unlink

    def another_comes(self: Path, missing_ok: bool = False) -> None:
        monkeypatch.undo()
        told.append(not_listened(f"unix:{path}"))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", another_comes)
    with running(FakeProgressModel(), listen=f"unix:{path}") as server:
        assert "is in use by another server; end it" in told[0]
        server.connect().close()
    with running(FakeProgressModel(), listen=f"unix:{path}") as server:
        server.connect().close()


def test_a_port_that_is_in_use_is_told() -> None:
    with running(FakeProgressModel()) as server:
        assert "cannot be listened on (Address already in use)" in not_listened(server.address)


@pytest.mark.parametrize(
    "how",
    [{"connections": 0}, {"together": 0}, {"idle": 0.0}, {"rate": 0.5}, {"gather": -1.0}],
)
def test_caps_let_something_through(how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="--caps"):
        Caps(**how)


def shower(server: Running, examples: int) -> None:
    """Send anything, after a greeting or without; the server goes on for everybody else."""

    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(
        st.booleans(), st.lists(st.binary(max_size=80), max_size=4), st.booleans(), st.booleans()
    )
    def anything(greets: bool, parts: list[bytes], framed: bool, begins: bool) -> None:
        with server.raw() as raw, suppress(OSError, EOFError):
            if greets:
                raw.greet()
            if begins:
                raw.say(kind="begin", number=1, instruction="x", ended=[], images=[[], []])
            for part in parts:
                raw.bytes(struct.pack(">II", len(part), 0) + part if framed else part)
            raw.socket.shutdown(socket.SHUT_WR)
            while True:
                assert raw.hear()["kind"] in ("welcome", "begun", "refused", "answer", "done")

    anything()


def fuzzed(seconds: float, examples: int) -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        session, end, rounds = asking.begin(TEXT, GIVEN), time.monotonic() + seconds, 0
        while rounds == 0 or time.monotonic() < end:
            shower(server, examples)
            rounds += 1
            verdict = asking.score(session, grey(0.5), float(rounds))
            assert verdict.progress == pytest.approx(0.5, abs=0.01)
        until(lambda: server.count("connections") == 1.0)
        assert asking.health()["status"] == "ok"


def test_a_server_survives_whatever_is_sent() -> None:
    fuzzed(0.0, 40)


@pytest.mark.soak
def test_a_server_survives_five_minutes_of_whatever_is_sent() -> None:
    fuzzed(SOAK_S, 500)


def test_answers_are_exactly_one_of_three_kinds() -> None:
    model = HeldUp()
    model.free.set()
    with running(model) as server, server.connect() as asking:
        session = asking.begin(TEXT, GIVEN)
        (answer,) = asking.ask([session], [grey(0.5)], [0.0])
        assert isinstance(answer, Scored)
        assert not isinstance(answer, Stale | Unavailable)
        assert np.isfinite(answer.verdict.progress)
