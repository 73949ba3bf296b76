"""Certificates that tests make for themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest


def certificate(place: Path, host: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """A certificate of a host that nobody else trusts, and its key."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("there is no openssl to make a certificate with")
    cert, key = place / "cert.pem", place / "key.pem"
    made = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout {key} -out {cert}"
    subprocess.run(
        [program, *made.split(), "-addext", f"subjectAltName={host}"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return cert, key
