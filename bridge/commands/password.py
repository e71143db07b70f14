"""`password`: the hash that stands for a password in the configuration, or a token for a Charge Point's address."""

from __future__ import annotations

import getpass
import os
import secrets
import sys

from bridge.access import passwords

# What the token of a configuration has at least, in the words of bridge.config.access: 24 characters, one a digit.
_TOKEN_OCTETS = 32


def run(*, token: bool, hexadecimal: bool) -> int:
    """Print one line. The password comes from the terminal, twice, or is all of standard input but its last newline."""
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
    """Letters, digits, - and _. Nearly always with a digit among them."""
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
