"""Frames: what goes in comes out, and nothing else comes out of anything."""

import os
import struct
import time
from contextlib import suppress
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robo_reward.errors import InputError
from robo_reward.protocols import References
from robo_reward.serving.messages import (
    Begin,
    Health,
    Hello,
    Reload,
    Request,
    Score,
    decode,
    encode,
    read_answer,
    read_reply,
)
from robo_reward.serving.wire import (
    LENGTHS,
    MOST_BYTES,
    MOST_HEADER,
    WireError,
    described,
    lengths,
    pack,
    seen,
    unpack,
)

SOAK_S = float(os.environ.get("SOAK_SECONDS", "300"))


def image(height: int = 2, width: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def opened(frame: bytes) -> tuple[bytes, bytes]:
    """Header and pixels of a frame."""
    head, pixels = lengths(frame[: LENGTHS.size])
    begin = LENGTHS.size
    assert len(frame) == begin + head + pixels
    return frame[begin : begin + head], frame[begin + head :]


def again(request: Request) -> Request:
    return decode(*opened(encode(request)))


def score(**how: Any) -> Score:
    views = {"front": image(), "wrist": image(4, 1, 1)}
    told: dict[str, Any] = {"number": 7, "session": 3, "time": 1.5, "budget_ms": 200}
    return Score(**told | {"views": views} | how)


def test_a_frame_is_two_lengths_a_header_and_pixels() -> None:
    frame = pack({"a": 1}, [{"front": image()}])
    assert frame[:8] == struct.pack(">II", 4, 18)
    assert msgpack.unpackb(frame[8:12]) == {"a": 1}
    assert frame[12:] == image().tobytes()


def test_a_question_arrives_as_it_was_sent() -> None:
    sent = score()
    got = again(sent)
    assert isinstance(got, Score)
    assert (got.number, got.session, got.time, got.budget_ms) == (7, 3, 1.5, 200)
    assert list(got.views) == ["front", "wrist"]
    for name, pixels in sent.views.items():
        assert np.array_equal(got.views[name], pixels)
        assert got.views[name].dtype == np.uint8
        assert not got.views[name].flags.writeable


def test_images_that_do_not_lie_in_one_piece_arrive_too() -> None:
    turned = image(4, 4)[::-1, ::2]
    got = again(score(views={"front": turned}))
    assert isinstance(got, Score)
    assert np.array_equal(got.views["front"], turned)


@pytest.mark.parametrize("text", ["close the drawer", "", "<image> \x00 ß 漢", "x" * 10_000])
def test_a_beginning_arrives_as_it_was_sent(text: str) -> None:
    references = References(start={"front": image()}, goal={"front": image(seed=1)})
    got = again(Begin(number=1, instruction=text, references=references, ended=(4, 5)))
    assert isinstance(got, Begin)
    assert (got.instruction, got.ended) == (text, (4, 5))
    assert np.array_equal(got.references.start["front"], image())
    assert np.array_equal(got.references.goal["front"], image(seed=1))
    bare = again(Begin(number=1, instruction=text, references=References()))
    assert isinstance(bare, Begin)
    assert bare.references == References()


@pytest.mark.parametrize(
    "request_",
    [Hello(token="secret"), Reload(number=1, directory="x", end=True), Health(number=9)],
)
def test_what_shows_nothing_arrives_as_it_was_sent(request_: Request) -> None:
    assert again(request_) == request_


def test_a_text_that_no_text_can_be_is_told_to_the_sender() -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        encode(Begin(number=1, instruction="\ud800", references=References()))


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(Hello(token="secret"))


@pytest.mark.parametrize(
    ("head", "pixels"),
    [(0, 0), (MOST_HEADER + 1, 0), (10, MOST_BYTES), (2**32 - 1, 2**32 - 1)],
)
def test_lengths_are_checked_before_anything_is_read(head: int, pixels: int) -> None:
    with pytest.raises(WireError, match="at most"):
        lengths(LENGTHS.pack(head, pixels))


def test_a_smaller_cap_can_be_set() -> None:
    assert lengths(LENGTHS.pack(10, 90), most=100) == (10, 90)
    with pytest.raises(WireError, match="at most 99 in all"):
        lengths(LENGTHS.pack(10, 90), most=99)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        msgpack.packb({"a": 1}) + b"\x00",
        msgpack.packb({"a": msgpack.ExtType(5, b"code")}),
        msgpack.packb({"a": msgpack.Timestamp(1)}),
        b"\x81\xa1\xff\x01",
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * 5000 + b"\xc0",
    ],
)
def test_a_header_is_a_map_of_plain_values(head: bytes) -> None:
    with pytest.raises(WireError):
        unpack(head)


@pytest.mark.parametrize(
    "told",
    [
        ["front", "u1", 2, 3],
        ["front", "f4", 2, 3, 3],
        ["front", "O", 2, 3, 3],
        ["front", "u1", 2, 3, 4],
        ["front", "u1", 0, 3, 3],
        ["front", "u1", -2, -3, 3],
        ["front", "u1", 2.0, 3, 3],
        ["front", "u1", True, 18, 3],
        ["front", "u1", 4097, 3, 3],
        [5, "u1", 2, 3, 3],
        ["n" * 257, "u1", 2, 3, 3],
        "front",
        None,
    ],
)
def test_only_small_uint8_images_with_three_colours_are_taken(told: Any) -> None:
    with pytest.raises(WireError):
        seen([[told]], memoryview(bytes(18)))


def test_pixels_must_be_those_that_are_described() -> None:
    one = ["front", "u1", 2, 3, 3]
    with pytest.raises(WireError, match="fewer pixels"):
        seen([[one]], memoryview(bytes(17)))
    with pytest.raises(WireError, match="more pixels"):
        seen([[one]], memoryview(bytes(19)))
    with pytest.raises(WireError, match="same name"):
        seen([[one, one]], memoryview(bytes(36)))
    with pytest.raises(WireError, match="17 images at once"):
        seen([[[f"v{n}", "u1", 1, 1, 3] for n in range(17)]], memoryview(bytes(51)))
    (views,) = seen([[one]], memoryview(bytes(18)))
    assert views["front"].shape == (2, 3, 3)


def test_what_may_not_be_sent_is_told_to_the_sender() -> None:
    with pytest.raises(InputError, match="must be a uint8 array, got float64"):
        described({"front": np.zeros((2, 2, 3))})  # type: ignore[dict-item]
    with pytest.raises(InputError, match="sides of 1 to 4096"):
        described({"front": np.zeros((4097, 1, 3), np.uint8)})
    with pytest.raises(InputError, match="17 images"):
        described({str(n): image() for n in range(17)})
    with pytest.raises(InputError, match="send smaller or fewer images"):
        encode(score(views={"a": np.zeros((4096, 4096, 3), np.uint8)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"number": -1}, "number must be a whole number"),
        ({"number": 2**60}, "number must be a whole number"),
        ({"session": "3"}, "session must be a whole number"),
        ({"session": True}, "session must be a whole number"),
        ({"time": float("nan")}, "time must be finite"),
        ({"time": float("inf")}, "time must be finite"),
        ({"time": 1}, "time must be a number"),
        ({"budget_ms": 10**9}, "budget_ms must be a whole number from 0 to 3600000"),
        ({"images": []}, "images must be 1 lists"),
        ({"images": {"a": 1}}, "images must be 1 lists"),
        ({"images": [7]}, "images must be described by a list"),
        ({"kind": 5}, "kind must be a text"),
        ({"kind": "eval"}, "no request is called 'eval'"),
        ({"kind": "begin", "instruction": "x" * 20_000}, "images must be 2 lists"),
    ],
)
def test_every_field_is_checked(change: dict[str, Any], message: str) -> None:
    head, pixels = opened(encode(score()))
    told = unpack(head) | change
    if change.get("kind") == "eval":
        pixels = b""
    with pytest.raises(WireError, match=message):
        decode(msgpack.packb(told), pixels)


def test_long_instructions_and_pixels_where_there_are_none_are_refused() -> None:
    begin = {"kind": "begin", "number": 1, "ended": [], "images": [[], []]}
    with pytest.raises(WireError, match="instruction must be a text of at most 16384 bytes"):
        decode(msgpack.packb(begin | {"instruction": "x" * 16_385}), b"")
    with pytest.raises(WireError, match="ended must be a list"):
        decode(msgpack.packb(begin | {"instruction": "x", "ended": 5}), b"")
    with pytest.raises(WireError, match="shows no images"):
        decode(msgpack.packb({"kind": "health", "number": 1}), b"x")


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=12,
)
NAMES = ("kind", "number", "session", "time", "budget_ms", "images", "instruction", "ended")
KINDS = ("hello", "begin", "score", "reload", "health", "answer")


def only_wire_errors(head: bytes, pixels: bytes) -> None:
    """Whatever comes, it is a request or refused."""
    with suppress(WireError):
        assert isinstance(decode(head, pixels), Request.__value__)
    with suppress(WireError):
        read_answer(read_reply(head))


def fuzz(examples: int) -> None:
    how = settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )

    @how
    @given(st.binary(max_size=200), st.binary(max_size=60))
    def bytes_of_any_kind(head: bytes, pixels: bytes) -> None:
        only_wire_errors(head, pixels)

    @how
    @given(
        st.dictionaries(st.sampled_from(NAMES), PLAIN, max_size=8),
        st.sampled_from(KINDS),
        st.binary(max_size=60),
    )
    def headers_of_any_kind(told: dict[str, Any], kind: str, pixels: bytes) -> None:
        only_wire_errors(msgpack.packb(told | {"kind": kind}), pixels)

    @how
    @given(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 10_000), st.booleans())
    def frames_with_a_changed_byte(place: int, value: int, cut: int, begins: bool) -> None:
        references = References(start={"a": image()}, goal={"b": image()})
        made = Begin(number=1, instruction="x", references=references) if begins else score()
        head, pixels = opened(encode(made))
        changed = bytearray(head)
        changed[place % len(head)] = value
        only_wire_errors(bytes(changed), pixels[: len(pixels) - cut % 3])

    @how
    @given(st.binary(min_size=8, max_size=8))
    def lengths_of_any_kind(prefix: bytes) -> None:
        try:
            head, pixels = lengths(prefix)
        except WireError:
            return
        assert 0 < head <= MOST_HEADER
        assert head + pixels <= MOST_BYTES

    for one in (
        bytes_of_any_kind,
        headers_of_any_kind,
        frames_with_a_changed_byte,
        lengths_of_any_kind,
    ):
        one()


def test_nothing_that_is_received_leads_to_anything_but_a_request_or_a_refusal() -> None:
    fuzz(150)


@pytest.mark.soak
def test_five_minutes_of_anything_lead_to_nothing_else() -> None:
    end = time.monotonic() + SOAK_S
    while time.monotonic() < end:
        fuzz(2000)
