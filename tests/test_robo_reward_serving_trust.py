"""Addresses, tokens and certificates: what leaves this machine is encrypted and asked for."""

import ssl
from pathlib import Path

import pytest
from certificates import certificate

from robo_reward.errors import InputError
from robo_reward.serving.address import Address, is_address, is_loopback, parse
from robo_reward.serving.trust import (
    TOKEN,
    client_context,
    read_token,
    same_token,
    server_context,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:outputs/s.sock", Address("unix", path="outputs/s.sock")),
        ("tcp://127.0.0.1:70", Address("tcp", host="127.0.0.1", port=70)),
        ("tcp://localhost:0", Address("tcp", host="localhost", port=0)),
        ("tcp://[::1]:9", Address("tcp", host="::1", port=9)),
        ("tls://robot.example:443", Address("tls", host="robot.example", port=443)),
        ("tls://0.0.0.0:443", Address("tls", host="0.0.0.0", port=443)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert parse(text, to="--listen") == address
    assert str(address) == text
    assert is_address(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outputs/model", "is no address of a reward server"),
        ("http://127.0.0.1:80", "is no address of a reward server"),
        ("tcp://127.0.0.1", "is no address of a reward server"),
        ("tcp://:80", "is no address of a reward server"),
        ("tcp://127.0.0.1:http", "is no address of a reward server"),
        ("tcp://127.0.0.1:65536", "ports end at 65535"),
        ("unix:", "needs a path of at most 100 bytes"),
        ("unix:" + "x" * 101, "needs a path of at most 100 bytes"),
        ("tcp://0.0.0.0:80", "must be encrypted: give tls://"),
        ("tcp://10.0.0.1:80", "must be encrypted: give tls://"),
        ("tcp://robot.example:80", "must be encrypted: give tls://"),
    ],
)
def test_what_is_no_address_or_leaves_the_machine_in_the_clear_is_refused(
    text: str, message: str
) -> None:
    with pytest.raises(InputError, match=f"^--listen .*{message}"):
        parse(text, to="--listen")


def test_a_directory_is_no_address() -> None:
    assert not is_address("outputs/model")
    assert not is_address("truth")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *((host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example")),
    ],
)
def test_loopback_is_this_machine_alone(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected
    assert Address("tls", host=host).local == expected


def test_a_unix_socket_is_of_this_machine() -> None:
    assert Address("unix", path="x").local


def test_a_token_comes_from_a_file_or_else_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert read_token(None) == ""
    monkeypatch.setenv(TOKEN, "from-the-environment")
    assert read_token(None) == "from-the-environment"
    file = tmp_path / "token"
    file.write_text("from-a-file\n")
    assert read_token(file) == "from-a-file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read .No such file"),
        (b"", "is empty; write a token there"),
        (b"two\nlines", "holds characters that no token has"),
        ("schlüssel".encode(), "holds characters that no token has"),
        (b"\xff\xfe", "cannot be read"),
        (b"x" * 1025, "holds characters that no token has, or too many"),
    ],
)
def test_what_is_no_token_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_token(file)


def test_tokens_are_compared_whole() -> None:
    assert same_token("secret", "secret")
    for other in ("", "secre", "secret ", "Secret", "ß\ud800"):
        assert not same_token(other, "secret")


NEAR, FAR = Address("tls", host="127.0.0.1"), Address("tls", host="0.0.0.0")


def test_beyond_this_machine_it_takes_a_token_and_a_certificate(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    for address in (NEAR, FAR):
        with pytest.raises(InputError, match="needs --cert and --key"):
            server_context(address, "token", None, None)
        with pytest.raises(InputError, match="needs --cert and --key"):
            server_context(address, "token", cert, None)
    with pytest.raises(InputError, match="reachable from elsewhere and no token is set"):
        server_context(FAR, "", cert, key)
    made = server_context(FAR, "token", cert, key)
    assert made is not None
    assert made.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert server_context(NEAR, "", cert, key) is not None


def test_sockets_of_this_machine_need_no_certificate() -> None:
    for address in (Address("unix", path="x"), Address("tcp", host="127.0.0.1")):
        assert server_context(address, "", None, None) is None
        assert client_context(address, None) is None
        with pytest.raises(InputError, match="are for tls://"):
            server_context(address, "", Path("cert"), None)


def test_unreadable_certificates_are_told(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    with pytest.raises(InputError, match=r"cannot be used \(No such file"):
        server_context(NEAR, "", tmp_path / "absent", key)
    broken = tmp_path / "broken"
    broken.write_text("no certificate")
    with pytest.raises(InputError, match="give the PEM files"):
        server_context(NEAR, "", broken, key)
    with pytest.raises(InputError, match="give the PEM files"):
        server_context(NEAR, "", cert, broken)
    for trusted in (broken, tmp_path / "absent"):
        with pytest.raises(InputError, match=r"the certificates .* cannot be read"):
            client_context(NEAR, trusted)


def test_a_client_checks_whom_it_talks_to(tmp_path: Path) -> None:
    cert, _ = certificate(tmp_path)
    made = client_context(NEAR, cert)
    assert made is not None
    assert made.verify_mode == ssl.CERT_REQUIRED
    assert made.check_hostname
