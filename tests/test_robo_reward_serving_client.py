"""The client: a progress model like any other, until the server is late, gone or another one."""

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import tiny
from serving import GIVEN, TEXT, HeldUp, grey, loaded, running, until

from robo_reward.errors import InputError, NoVerdictError, ServerError
from robo_reward.fake_model import FakeProgressModel
from robo_reward.protocols import References, Verdict
from robo_reward.serving import Scored, ServedModel, Unavailable, connect
from robo_reward.serving.judge import Loaded
from robo_reward.serving.wire import LENGTHS
from robo_reward.testing import check_progress_model

GREYS = [grey(level) for level in (0.0, 0.2, 0.6, 1.0)]


def values(verdict: Verdict) -> np.ndarray:
    return np.array(astuple(verdict), np.float64)


def test_a_served_model_keeps_the_promises_of_a_progress_model() -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        check_progress_model(asking, GREYS, GIVEN, query_period_s=0.4)


@pytest.mark.parametrize("history", [0, 2])
def test_a_served_network_keeps_them_too(history: int) -> None:
    with running(tiny.model(history=history)) as server, server.connect() as asking:
        check_progress_model(asking, tiny.episode(5), tiny.references(), query_period_s=0.4)


@pytest.mark.parametrize("how", [{}, {"fusion": "filter"}])
def test_verdicts_are_those_of_the_model_itself(how: dict[str, Any]) -> None:
    from robo_reward.tracker import TrackerSettings

    local = tiny.model(tracker=TrackerSettings(margin=0.1, **how))
    served = tiny.model(tracker=TrackerSettings(margin=0.1, **how))
    texts, shown = ("open", "close", "ß漢"), [tiny.episode(6, seed) for seed in range(3)]
    with running(served) as server, server.connect() as asking:
        mine = [local.begin(text, tiny.references()) for text in texts]
        theirs = [asking.begin(text, tiny.references()) for text in texts]
        for n in range(6):
            views, times = [episode[n] for episode in shown], [0.3 * n] * 3
            expected = local.score_many(mine, views, times)
            got = asking.score_many(theirs, views, times)
            for one, two in zip(got, expected, strict=True):
                assert values(one) == pytest.approx(values(two), abs=1e-6, nan_ok=True)


def test_a_verdict_that_is_only_repeated_is_the_same_object() -> None:
    with running(FakeProgressModel(query_period_s=0.4)) as server, server.connect() as asking:
        session = asking.begin(TEXT, GIVEN)
        first = asking.score(session, grey(0.2), 0.0)
        assert asking.score(session, grey(0.9), 0.1) is first
        (answer,) = asking.ask([session], [grey(0.9)], [0.2])
        assert isinstance(answer, Scored)
        assert answer.held
        assert answer.verdict is first
        later = asking.score(session, grey(0.2), 0.4)
        assert later is not first
        assert later.progress == first.progress


def test_an_answer_that_came_too_late_is_never_taken_for_that_of_a_later_frame() -> None:
    model = HeldUp()
    with running(model) as server, server.connect(deadline_s=0.3) as asking:
        session = asking.begin(TEXT, GIVEN)
        (answer,) = asking.ask([session], [grey(0.2)], [0.0])
        assert isinstance(answer, Unavailable)
        assert "no answer came within the deadline" in answer.why
        model.free.set()
        later = asking.ask([session], [grey(0.8)], [1.0], deadline_s=20.0)[0]
        assert isinstance(later, Scored)
        assert later.verdict.progress == pytest.approx(0.8, abs=0.01)
    assert model.passes == [[0.0], [1.0]]


def test_without_a_verdict_the_protocol_raises_and_tells_those_there_are() -> None:
    model = HeldUp()
    model.free.set()
    with running(model) as server, server.connect() as asking:
        good, bad = asking.begin(TEXT, GIVEN), asking.begin(TEXT, GIVEN)
        with pytest.raises(
            NoVerdictError, match="no verdict on 1 of 2 frames: the model failed"
        ) as told:
            asking.score_many([good, bad], [grey(0.6), {}], [0.0, 0.0])
        first, second = told.value.verdicts
        assert first is not None
        assert first.progress == pytest.approx(0.6, abs=0.01)
        assert second is None
        assert isinstance(told.value, ServerError)


def test_a_lost_server_is_no_verdict_and_a_new_one_takes_new_sessions_alone(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    with running(FakeProgressModel(), listen=listen) as server:
        asking = server.connect(begin_s=5.0)
        session = asking.begin(TEXT, GIVEN)
        asking.score(session, grey(0.2), 0.0)
    (answer,) = asking.ask([session], [grey(0.3)], [1.0])
    assert isinstance(answer, Unavailable)
    with pytest.raises(NoVerdictError, match="begin a new one"):
        asking.score(session, grey(0.3), 2.0)
    with running(FakeProgressModel(), listen=listen), asking:
        (still,) = asking.ask([session], [grey(0.3)], [3.0])
        assert isinstance(still, Unavailable), "nobody goes on with half an episode"
        fresh = asking.begin(TEXT, GIVEN)
        assert asking.score(fresh, grey(1.0), 0.0).progress == 1.0
        (still,) = asking.ask([session], [grey(0.3)], [4.0])
        assert isinstance(still, Unavailable)


def test_a_loss_that_nobody_noticed_is_mended_when_a_session_begins(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    with running(FakeProgressModel(), listen=listen) as server:
        asking = server.connect(begin_s=5.0)
    with running(FakeProgressModel(), listen=listen), asking:
        fresh = asking.begin(TEXT, GIVEN)
        assert asking.score(fresh, grey(1.0), 0.0).progress == 1.0


def test_a_server_that_starts_again_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    with running(FakeProgressModel(), listen=listen) as server:
        asking = server.connect(begin_s=0.5)
    asking.ask([], [], [])
    asking.close()
    with pytest.raises(ServerError, match=r"no reward server listens at unix:.*; start one"):
        asking.begin(TEXT, GIVEN)
    with pytest.raises(ServerError, match=r"robo-reward serve --model DIR --listen unix:"):
        connect(listen)


@contextmanager
def impostor(reply: bytes, *, greets: bool = True) -> Iterator[str]:
    """A server that says the same whatever it is asked."""
    head = msgpack.packb({"kind": "welcome", "number": 0, "told": {"fingerprint": "x"}})
    welcome = LENGTHS.pack(len(head), 0) + head
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def talk() -> None:
            made, _ = server.accept()
            with made:
                made.recv(1 << 16)
                made.sendall(welcome + reply if greets else reply)
                over.wait(20.0)

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            thread.join(20.0)


def framed(**told: Any) -> bytes:
    head = msgpack.packb(told)
    return LENGTHS.pack(len(head), 0) + head


DONE = framed(kind="done", number=0, told={})


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", LENGTHS.pack(0, 0), framed(kind=1), framed(), DONE],
)
def test_whoever_speaks_otherwise_is_no_reward_server(reply: bytes) -> None:
    with impostor(reply, greets=False) as address, pytest.raises(ServerError):
        connect(address, begin_s=5.0)


def test_a_server_that_does_not_answer_is_given_up() -> None:
    with impostor(b"", greets=False) as address:
        began = time.monotonic()
        with pytest.raises(ServerError, match="does not answer"):
            connect(address, begin_s=0.3)
        assert time.monotonic() - began < 20.0


def begun(number: int) -> bytes:
    return framed(kind="begun", number=number, told={"session": 1, "fingerprint": "x"})


@pytest.mark.parametrize(
    "told",
    [
        {"is": "scored", "verdict": {"progress": 0.5}, "held": False},
        {"is": "scored"},
        {"is": "maybe", "why": "x"},
        {},
    ],
)
def test_half_a_verdict_is_none(told: dict[str, Any]) -> None:
    answer = framed(kind="answer", number=2, told=told)
    with impostor(begun(1) + answer) as address, connect(address, begin_s=5.0) as asking:
        session = asking.begin(TEXT, GIVEN)
        (found,) = asking.ask([session], [grey(0.5)], [0.0])
        assert isinstance(found, Unavailable)
        assert "does not speak as a reward server does" in found.why


def test_what_is_asked_wrongly_is_told_before_anything_is_sent() -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        session = asking.begin(TEXT, GIVEN)
        with pytest.raises(InputError, match="must be a uint8 array"):
            asking.score(session, {"front": np.zeros((2, 2, 3))}, 0.0)  # type: ignore[dict-item]
        with pytest.raises(InputError, match="times must be finite"):
            asking.score(session, grey(0.5), float("nan"))
        with pytest.raises(InputError, match="send smaller or fewer"):
            asking.score(session, {"front": np.zeros((4000, 4000, 3), np.uint8)}, 0.0)
        assert asking.score(session, grey(1.0), 0.0).progress == 1.0


def test_a_deadline_that_is_over_costs_no_session() -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        session = asking.begin(TEXT, GIVEN)
        for over in (0.0, -1.0):
            (answer,) = asking.ask([session], [grey(0.5)], [0.0], deadline_s=over)
            assert isinstance(answer, Unavailable)
        assert asking.score(session, grey(1.0), 0.0).progress == 1.0


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e12])
def test_a_deadline_of_a_question_is_a_time(seconds: float) -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        session = asking.begin(TEXT, GIVEN)
        with pytest.raises(InputError, match="deadline_s must be seconds, up to an hour"):
            asking.ask([session], [grey(0.5)], [0.0], deadline_s=seconds)


def test_who_asks_too_often_has_reloaded_nothing_and_knows_no_health() -> None:
    with running(FakeProgressModel(), rate=1.0) as server:
        server.engine.clock = lambda: 0.0
        with server.connect() as asking:
            asking.health()
            for ask in (asking.reload, asking.health):
                with pytest.raises(ServerError, match="more than 1 requests a second"):
                    ask()


def test_a_time_that_goes_back_is_refused_and_leaves_no_trace() -> None:
    with running(tiny.model()) as server, server.connect() as asking:
        session = asking.begin(TEXT, tiny.references())
        frames = tiny.episode(3)
        first = asking.score(session, frames[0], 5000.0)
        with pytest.raises(InputError, match=r"a frame of 0 s came after one of 5000 s"):
            asking.score(session, frames[1], 0.0)
        assert asking.score(session, frames[2], 5000.0) is first


def test_a_session_that_began_too_late_ends_on_the_server() -> None:
    model = HeldUp()
    with running(model) as server, server.connect(begin_s=0.3, deadline_s=0.3) as asking:
        first = asking.begin(TEXT, GIVEN)
        asking.ask([first], [grey(0.5)], [0.0])
        with pytest.raises(ServerError, match="did not answer"):
            asking.begin(TEXT, GIVEN)
        with pytest.raises(ServerError, match="another session of this connection"):
            asking.begin(TEXT, GIVEN)
        model.free.set()
        until(lambda: server.count("sessions") == 2.0)
        asking.terms = replace(asking.terms, begin_s=20.0)
        held = [first, asking.begin(TEXT, GIVEN), asking.begin(TEXT, GIVEN)]
        assert server.count("sessions") == len(held)


def test_what_ended_is_told_again_where_a_session_could_not_begin() -> None:
    wrong = References(start={"front": np.zeros((4, 4, 3))})  # type: ignore[dict-item]
    with running(FakeProgressModel()) as server, server.connect() as asking:
        asking.begin(TEXT, GIVEN)  # nobody holds it
        gc.collect()
        with pytest.raises(InputError, match="must be a uint8 array"):
            asking.begin(TEXT, wrong)
        held = asking.begin(TEXT, GIVEN)
        assert held is not None
        assert server.count("sessions") == 1.0


def test_what_ended_is_told_again_after_a_begin_that_came_too_often() -> None:
    now = [0.0]
    with running(FakeProgressModel(), rate=1.0) as server:
        server.engine.clock = lambda: now[0]
        with server.connect() as asking:
            asking.begin(TEXT, GIVEN)  # nobody holds it
            gc.collect()
            with pytest.raises(ServerError, match="ask less often"):
                asking.begin(TEXT, GIVEN)
            now[0] = 1.0
            held = asking.begin(TEXT, GIVEN)
            assert held is not None
            assert server.count("sessions") == 1.0


def test_sessions_under_another_model_do_not_pile_up(tmp_path: Path) -> None:
    def another(place: Path) -> Loaded:
        return loaded(FakeProgressModel(), "second")

    listen = f"unix:{tmp_path}/s"
    with (
        running(FakeProgressModel(), load=another, listen=listen) as server,
        server.connect() as asking,
    ):
        asking.reload("second")
        for _ in range(5):
            with pytest.raises(ServerError, match="connect anew, or with follow=True"):
                asking.begin(TEXT, GIVEN)
        assert server.count("sessions") == 1.0


def test_threads_that_share_a_client_get_their_own_answers() -> None:
    levels = [n / 10 for n in range(10)]
    found: dict[float, float] = {}
    with running(FakeProgressModel()) as server, server.connect() as asking:

        def ask(level: float) -> None:
            session = asking.begin(TEXT, GIVEN)
            for n in range(5):
                found[level] = asking.score(session, grey(level), float(n)).progress

        threads = [threading.Thread(target=ask, args=(level,)) for level in levels]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20.0)
    assert [found[level] for level in levels] == pytest.approx(levels, abs=0.01)


def test_a_thread_that_has_no_turn_in_time_has_no_answer() -> None:
    model = HeldUp()
    with running(model) as server, server.connect() as asking:
        session = asking.begin(TEXT, GIVEN)
        first = threading.Thread(target=asking.score, args=(session, grey(0.5), 0.0))
        first.start()
        assert model.began.wait(20.0)
        (answer,) = asking.ask([session], [grey(0.5)], [1.0], deadline_s=0.1)
        assert answer == Unavailable(why="another thread of this program was asking")
        model.free.set()
        first.join(20.0)


def test_sessions_that_nobody_holds_end_on_the_server() -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        for _ in range(20):
            session = asking.begin(TEXT, GIVEN)
            gc.collect()
        assert session is not None
        assert server.count("sessions") <= 2


def test_large_images_arrive_whole() -> None:
    with running(FakeProgressModel()) as server, server.connect() as asking:
        shown = {name: np.full((900, 1600, 3), 51, np.uint8) for name in ("a", "b", "c")}
        session = asking.begin(TEXT, References(start=shown))
        assert asking.score(session, shown, 0.0).progress == pytest.approx(0.2)


@pytest.mark.parametrize("how", [{"deadline_s": 0.0}, {"begin_s": -1.0}, {"deadline_s": 4000.0}])
def test_deadlines_are_times(how: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be seconds, above 0 and up to an hour"):
        connect("tcp://127.0.0.1:1", **how)


def test_the_token_travels_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBO_REWARD_TOKEN", "a-secret")
    with running(FakeProgressModel(), token="another") as server:
        with pytest.raises(ServerError, match="the token is missing or wrong") as told:
            server.connect()
        assert "a-secret" not in str(told.value)
    with running(FakeProgressModel(), token="a-secret") as server, server.connect() as asking:
        assert isinstance(asking, ServedModel)
        assert "a-secret" not in repr(asking.terms)
