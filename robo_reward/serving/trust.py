"""Tokens and certificates: read from files or the environment, never from the command line."""

import hmac
import os
import ssl
from pathlib import Path

from ..errors import InputError
from .address import Address

TOKEN = "ROBO_REWARD_TOKEN"
"""Environment variable that holds the token of a server, for both sides."""
_MOST_TOKEN = 1024


def read_token(file: Path | None) -> str:
    """Return the token in a file, or else in the environment; empty where there is none.

    Raises:
        InputError: If it cannot be read, or is no token.
    """
    where, token = TOKEN, os.environ.get(TOKEN, "")
    if file is not None:
        where = f"--token-file {file}"
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"{where} cannot be read ({_told(error)}); give a file with one line"
            ) from error
        if not token:
            raise InputError(f"{where} is empty; write a token there: openssl rand -hex 32")
    if not (token.isascii() and len(token) <= _MOST_TOKEN and token.isprintable()):
        raise InputError(f"{where} holds characters that no token has, or too many; set it again")
    return token


def same_token(given: str, expected: str) -> bool:
    """Return whether two tokens are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


def server_context(address: Address, token: str, cert: Path | None, key: Path | None) -> "Context":
    """Return what encrypts the connections of a server; None on this machine's own sockets.

    Raises:
        InputError: If it would be reachable from elsewhere without token and TLS, or a file is
            unusable.
    """
    if address.kind != "tls":
        if cert or key:
            raise InputError(f"--cert and --key are for tls:// and --listen is {address}")
        return None
    if not (cert and key):
        raise InputError(f"--listen {address} needs --cert and --key: a certificate and its key")
    if not address.local and not token:
        raise InputError(
            f"--listen {address} is reachable from elsewhere and no token is set: give "
            f"--token-file, or set {TOKEN}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--cert {cert} and --key {key} cannot be used ({_told(error)}); give the PEM files of "
            "a certificate and its key, without a password"
        ) from error
    return context


def client_context(address: Address, trust: Path | None) -> "Context":
    """Return what encrypts a connection to a server and checks that it is the one; None on sockets.

    Args:
        address: The server.
        trust: Certificates to trust; None: the system's (``SSL_CERT_FILE`` names others).

    Raises:
        InputError: If they cannot be read.
    """
    if address.kind != "tls":
        return None
    try:
        return ssl.create_default_context(cafile=trust)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the certificates {trust} cannot be read ({_told(error)}); give a PEM file"
        ) from error


def _no_password() -> str:
    raise ValueError("it has a password")


def _told(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


type Context = ssl.SSLContext | None
