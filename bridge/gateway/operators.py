"""The tokens of the admin API: those of the configuration, and the one that the bridge keeps beside its store."""

from __future__ import annotations

import logging

from msgspec import Struct

from bridge.admin import token_file
from bridge.admin.access import Credential
from bridge.admin.token_file import Unwritable
from bridge.config import Admin
from bridge.config.access import OWN
from bridge.ocpp import tenants
from bridge.watching import logs

_log = logging.getLogger("bridge.admin")


class ValidTokens(Struct, frozen=True, kw_only=True):
    """The tokens that are valid under one configuration.

    Attributes:
        credentials: All valid tokens.
        own: The token that the bridge made, None if `admin.token` is set.
    """

    credentials: tuple[Credential, ...]
    own: bytes | None


class Operators:
    """Reads the tokens of the admin API of a bridge whose store is at `store_url`."""

    def __init__(self, store_url: str) -> None:
        self._file = token_file.beside(store_url)
        self._in_memory: bytes | None = None
        self._news: tuple[int, str, dict[str, str]] | None = None

    def valid(self, admin: Admin) -> ValidTokens:
        """Return the valid tokens for `admin`.

        Without `admin.token`, they include the token of the file beside the store. The file is made if it does not
        exist.

        Raises:
            ConfigurationError: The file cannot be used.
        """
        own = self._kept() if admin.token is None else None
        token = own if admin.token is None else admin.token.reveal()
        assert token is not None
        credentials = (
            Credential(name=OWN, token=token.strip(), role="operate", tenant=tenants.ALL),
            *(
                Credential(
                    name=each.name,
                    token=each.file.reveal().strip(),
                    role=each.role,
                    tenant=tenants.named(each.tenant),
                )
                for each in admin.tokens
            ),
        )
        return ValidTokens(credentials=credentials, own=own)

    def _kept(self) -> bytes:
        if self._file is None:
            return self._remembered("the store is in memory")
        try:
            token = token_file.found(self._file)
            if token is None:
                token = token_file.found_or_made(self._file)
                self._news = (logging.INFO, "a token for the admin API was made", {"file": str(self._file)})
        except Unwritable as error:
            return self._remembered(str(error))
        return token

    def _remembered(self, reason: str) -> bytes:
        if self._in_memory is None:
            self._in_memory = token_file.new_token()
            text = "the token of the admin API is in memory only, and another one after a restart: set admin.token_file"
            self._news = (logging.WARNING, text, {"reason": reason})
        return self._in_memory

    def report(self) -> None:
        """Log the place of a token that was made since the last report."""
        if self._news is not None:
            level, text, fields = self._news
            logs.fields(_log, level, text, **fields)
            self._news = None
