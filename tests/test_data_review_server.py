"""The review's server: who may ask, what a request may hold, and that a kill loses nothing."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from conftest import grey
from reviewing import Serving, serving, write_labels

from data.lerobot_dataset import open_dataset
from data.review import Review
from data.review_frames import FramePictures
from data.review_guard import Guard
from data.review_server import listen
from robo_reward.errors import InputError

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def labels(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labels(tmp_path_factory.mktemp("server") / "labels", tiny_dataset)


@pytest.fixture(scope="module")
def served(tiny_dataset: Path, labels: Path) -> Iterator[Serving]:
    with serving(tiny_dataset, labels) as found:
        yield found


@pytest.fixture(scope="module")
def client(served: Serving) -> Iterator[httpx.Client]:
    for wrong in ("", "wrong", "ü"):
        assert httpx.get(f"{served.base}/", params={"token": wrong}).status_code == 403
    with served.enter() as found:
        yield found


def test_the_token_works_once_and_leaves_a_strict_cookie(
    served: Serving, client: httpx.Client
) -> None:
    again = httpx.get(served.address)
    assert again.status_code == 403
    assert "works once" in again.text
    assert "set-cookie" not in again.headers
    assert client.get("/").status_code == 200
    (cookie,) = client.cookies.jar
    rest = {name.lower(): value for name, value in cookie._rest.items()}
    assert rest["samesite"] == "Strict"
    assert "httponly" in rest
    assert served.base.rpartition(":")[2] in cookie.name
    assert client.get(served.address).status_code == 200


@pytest.mark.parametrize("path", ["/", "/episodes", "/episodes/0", "/frames/0/0/0", "/nothing"])
def test_without_the_cookie_everything_is_forbidden(
    served: Serving, client: httpx.Client, path: str
) -> None:
    for cookies in ({}, {"robo_reward_review": "x"}, dict.fromkeys(client.cookies, "wrong")):
        with httpx.Client(cookies=cookies) as stranger:
            assert stranger.get(served.base + path).status_code == 403
    assert httpx.post(served.base + "/write").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1:1"},
        {"Host": "localhost"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_hosts_and_other_pages_are_refused_even_with_the_cookie(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    assert client.get("/episodes", headers=headers).status_code == 403
    assert client.post("/undo", headers=headers).status_code == 403


def test_our_own_page_may_ask_by_either_name(served: Serving, client: httpx.Client) -> None:
    port = served.base.rpartition(":")[2]
    for name in ("127.0.0.1", "localhost"):
        own = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}
        assert client.get("/episodes", headers=own).status_code == 200


def test_every_answer_forbids_framing_sniffing_and_foreign_scripts(client: httpx.Client) -> None:
    for path in ("/", "/episodes", "/nothing", "/frames/0/0/0"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/../../etc/passwd", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/frames/0/..%2f..%2f0/0", 404),
        ("/frames/0/front/0", 404),
        ("/frames/0/2/0", 404),
        ("/frames/0/0/12", 404),
        ("/frames/0/0/-1", 404),
        ("/frames/3/0/0", 404),
        ("/frames/999999999999/0/0", 404),
        ("/episodes/3", 404),
        ("/episodes/1e9", 404),
        ("/undo", 405),
    ],
)
def test_what_is_not_there_is_not_found(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 400, "must be JSON"),
        (b"\xff\xfe", 400, "must be JSON"),
        (b"[" * 60_000, 400, "must be JSON"),
        (b"[]", 400, "must say the decision before it"),
        (b'{"decision": {}}', 400, "must say the decision before it"),
        (b'{"before": null, "decision": {}}', 400, "must say the decision before it"),
        (b'{"before": {}}', 400, "must be a JSON object"),
        (b'{"before": {}, "decision": {"keyframes": [99]}}', 400, "the frames 0 to 11"),
        (b'{"before": {}, "decision": {"accepted": NaN}}', 400, "true or false"),
        (b'{"before": {"note": 1}, "decision": {"accepted": true}}', 400, "a note must be text"),
        (b'{"note": "' + b"n" * 70_000 + b'"}', 413, ""),
    ],
)
def test_a_body_that_is_no_decision_is_refused_and_changes_nothing(
    client: httpx.Client, body: bytes, status: int, message: str
) -> None:
    answer = client.put("/episodes/1", content=body, headers=JSON)
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert client.get("/episodes").json()["changed"] == 0


def test_a_form_of_another_page_is_no_decision(client: httpx.Client) -> None:
    answer = client.put("/episodes/1", data={"accepted": "true"})
    assert (answer.status_code, answer.json()["error"]) == (
        400,
        "a decision must be sent as application/json",
    )


def test_pictures_are_those_of_the_frames(client: httpx.Client) -> None:
    for view, name in enumerate(("front", "wrist")):
        for frame in (0, 7, 11):
            answer = client.get(f"/frames/1/{view}/{frame}")
            assert answer.headers["content-type"] == "image/jpeg"
            image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
            assert image.shape == (32, 48, 3)
            assert abs(float(image.mean()) - grey(name, frame, 1)) < 3


def test_a_kill_after_an_answer_loses_no_decision(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = write_labels(tmp_path / "labels", tiny_dataset)
    with serving(tiny_dataset, folder) as first, first.enter() as client:
        for number in range(3):
            note = {"note": f"note {number}", "keyframes": [number, 10]}
            body = {"before": {}, "decision": note}
            assert client.put(f"/episodes/{number}", json=body).status_code == 200
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(timeout=30)
    with serving(tiny_dataset, folder) as second, second.enter() as client:
        told = client.get("/episodes").json()
        assert told["changed"] == 3
        assert [told["decisions"][str(n)]["note"] for n in range(3)] == [
            "note 0",
            "note 1",
            "note 2",
        ]
        assert client.post("/undo").json()["episode"] == 2
        version = client.post("/write").json()
        place = str(folder / "versions/0002")
        assert version == {"version": "0002", "folder": place, "warning": ""}
        said = second.end()
    assert f"version 0002: {folder / 'versions/0002'}" in said
    assert "nothing is left to write" in said
    review = json.loads((folder / "versions/0002/review.json").read_text())
    assert sorted(review["episodes"]) == ["0", "1"]
    with serving(tiny_dataset, folder) as third:
        assert any(f"--labels {folder}/versions/0002 goes on" in line for line in third.lines)


def test_a_second_tab_erases_nothing(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = write_labels(tmp_path / "labels", tiny_dataset)
    first, stale = {"keyframes": [0, 4]}, {"accepted": True}
    with serving(tiny_dataset, folder) as served, served.enter() as client:
        answer = client.put("/episodes/1", json={"before": {}, "decision": first})
        assert answer.status_code == 200
        answer = client.put("/episodes/1", json={"before": {}, "decision": stale})
        assert answer.status_code == 409
        assert "episode 1 was decided otherwise meanwhile" in answer.json()["error"]
        assert client.get("/episodes/1").json()["decision"]["keyframes"] == [0, 4]
        for before in ({}, first):  # what is decided already may come again
            answer = client.put("/episodes/1", json={"before": before, "decision": first})
            assert answer.status_code == 200
        answer = client.put("/episodes/1", json={"before": first, "decision": {**first, **stale}})
        assert answer.json()["decision"]["accepted"]


def test_who_writes_second_is_told_what_the_version_does_not_hold(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    folder = write_labels(tmp_path / "labels", tiny_dataset)
    body = {"before": {}, "decision": {"accepted": True}}
    warnings = []
    for_me, for_you = (serving(tiny_dataset, folder, name) for name in ("me", "you"))
    with for_me as mine, for_you as yours:
        for number, served in enumerate((mine, yours)):
            with served.enter() as client:
                client.put(f"/episodes/{number}", json=body)
                warnings.append(client.post("/write").json()["warning"])
        said = mine.end(), yours.end()
    assert warnings[0] == ""
    assert "goes on from version 0001, so what was decided in 0002 is not in it" in warnings[1]
    assert warnings[1] in said[1]
    assert "not in it" not in said[0]


# ---- the parts ----


def test_a_port_that_is_taken_is_named() -> None:
    with listen(0) as heard:
        assert heard.getsockname()[0] == "127.0.0.1"
        port = heard.getsockname()[1]
        with pytest.raises(InputError, match=rf"--port {port} .*in use.*name another"):
            listen(port)


def test_a_taken_port_lets_go_of_the_draft(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = write_labels(tmp_path / "labels", tiny_dataset)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for _ in range(2):
            with pytest.raises(InputError, match="cannot be used"):
                Review(dataset=tiny_dataset, labels=folder, port=taken.getsockname()[1]).run()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"port": 65536}, "--port 65536 is not between 0 and 65535"),
        ({"reviewer": "../me"}, "is part of a file name"),
        ({"reviewer": ""}, "is part of a file name"),
    ],
)
def test_flags_are_checked_before_anything_is_read(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Review(dataset=Path("nowhere"), labels=Path("nowhere"), **flags).run()


def test_a_guard_admits_one_and_knows_nobody_before() -> None:
    guard = Guard(80)
    token = guard.address.partition("=")[2]
    assert not guard.known({}, None)
    assert not guard.known({}, "")
    assert guard.admit(None) is None
    cookie = guard.admit(token)
    assert cookie not in (None, token)
    assert guard.admit(token) is None
    assert guard.known({}, cookie)
    assert not guard.known({}, token)
    assert guard.stranger({})
    assert not guard.stranger({"Host": "localhost:80"})


@pytest.mark.parametrize("storage", ["tiny_dataset", "tiny_video_dataset"])
def test_a_window_begins_where_it_is_asked_to(storage: str, request: pytest.FixtureRequest) -> None:
    dataset = open_dataset(request.getfixturevalue(storage))
    for episode, first, count in ((0, 0, 12), (1, 5, 4), (2, 11, 1)):
        means = [float(one.mean()) for one in dataset.window(episode, "wrist", first, count)]
        told = [grey("wrist", frame, episode) for frame in range(first, first + count)]
        assert means == pytest.approx(told, abs=3)
    with pytest.raises(InputError, match="episode 0 has no frames 8 to 12"):
        next(dataset.window(0, "wrist", 8, 5))


def test_pictures_are_kept_up_to_a_limit(tiny_dataset: Path) -> None:
    dataset = open_dataset(tiny_dataset)
    one = FramePictures(dataset).jpeg(0, "front", 0)
    pictures = FramePictures(dataset, kept_bytes=12 * len(one))
    before = pictures.jpeg(0, "front", 3)
    for episode in (1, 2):
        pictures.jpeg(episode, "wrist", 0)
    assert pictures._size <= 12 * len(one)
    assert pictures.jpeg(0, "front", 3) == before
    with pytest.raises(InputError, match="has no frame 12"):
        pictures.jpeg(0, "front", 12)
