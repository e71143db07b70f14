"""The token of the admin API that the bridge makes by itself, in the file `admin-token` beside the store.

The bridge makes the file, and the command line reads it. Only a user who can read the file has the token.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from bridge.errors import Complaint, ConfigurationError

NAME = "admin-token"
_OCTETS = 32  # random octets, which make 43 characters of base64url
_LONGEST = 4096  # octets of the file; a larger file holds no token


class Unwritable(Exception):
    """The file cannot be made. The text says why."""


def beside(store_url: str) -> Path | None:
    """Return the path of the file for the store at `store_url`, or None for a store in memory."""
    path = store_url.removeprefix("sqlite:///")
    return None if path == store_url else Path(path).parent / NAME


def new_token() -> bytes:
    """Return a token that nobody can guess, in characters that a URL holds without escapes."""
    return secrets.token_urlsafe(_OCTETS).encode()


def found_or_made(path: Path) -> bytes:
    """Return the token in the file at `path`. Make the file, readable for its owner only, if it does not exist.

    Raises Unwritable if the file cannot be made, ConfigurationError if the file exists and is unusable.
    """
    while (token := found(path)) is None:
        _make(path)
    return token


def found(path: Path) -> bytes | None:
    """Return the token in the file at `path`, None without a file. Raises ConfigurationError for an unusable file."""
    try:
        # O_NONBLOCK prevents a FIFO at this path from blocking the open.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _unusable(path, "is not a file")
        token = os.read(descriptor, _LONGEST + 1).strip()
    finally:
        os.close(descriptor)
    if not token:
        raise _unusable(path, "is blank: delete it, and the bridge makes a new one")
    if len(token) > _LONGEST:
        raise _unusable(path, f"is larger than {_LONGEST} octets")
    return token


def _make(path: Path) -> None:
    """Make the file at `path` with a new token, unless another process has made it. Raises Unwritable.

    The content is written before the file gets its name, so that every reader of the file finds a token.
    """
    own = path.with_name(f".{NAME}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(new_token() + b"\n")
                file.flush()
                os.fsync(descriptor)
            with suppress(FileExistsError):
                os.link(own, path)
        finally:
            own.unlink()
    except OSError as error:
        raise Unwritable(f"{path} cannot be made: {error.strerror}") from error


def _unusable(path: Path, text: str) -> ConfigurationError:
    return ConfigurationError([Complaint(source=str(path), key="", text=text)])
