"""Command `password`: print the hash of a password for the configuration, or a token for a Charge Point's URL."""

from __future__ import annotations

import getpass
import os
import secrets
import sys

from bridge.access import passwords

# Random octets of a token: 43 characters. bridge.config.access requires 24 characters, one of them a digit.
_TOKEN_OCTETS = 32


def run(*, token: bool, hexadecimal: bool) -> int:
    """Print a hash, or a token if `token` is true.

    The password is typed twice at the terminal, or is all of standard input without its last newline.

    Args:
        token: Whether to print a random token. No password is read then.
        hexadecimal: Whether the password is given as hexadecimal digits.

    Returns:
        0, or 2 if there is no valid password.
    """
    if token:
        print(_token())
        return 0
    password = _asked() if sys.stdin.isatty() else _without_newline(sys.stdin.buffer.read())
    if password is not None and hexadecimal:
        password = _octets(password)
    if not password:
        print("ocpp-bridge password: no password, or not the same one twice, or not hexadecimal", file=sys.stderr)
        return 2
    print(passwords.hashed(password, os.urandom(16)))
    return 0


def _token() -> str:
    """Return a random token of letters, digits, - and _, with at least one digit."""
    while True:
        token = secrets.token_urlsafe(_TOKEN_OCTETS)
        if any(char.isdigit() for char in token):
            return token


def _asked() -> bytes | None:
    first = getpass.getpass("Password: ")
    return first.encode() if first == getpass.getpass("Again: ") else None


def _octets(text: bytes) -> bytes | None:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        return None


def _without_newline(data: bytes) -> bytes:
    return data.removesuffix(b"\n").removesuffix(b"\r") if data.endswith(b"\r\n") else data.removesuffix(b"\n")
