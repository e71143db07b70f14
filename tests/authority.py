"""Certificates, made for one test and gone with it: authorities of our own, and what they vouch for."""

from __future__ import annotations

import ssl
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import trustme


class Authority:
    """Issues certificates into a folder, as the PEM files that a configuration names."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = str(folder / f"{name}.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(
        self, file: str, *names: str, common_name: str | None = None, not_after: datetime | None = None
    ) -> dict[str, Any]:
        """The keys `certificate` and `key` of a table of TLS, for who is called `names`; a file of the same name is
        replaced."""
        kind = trustme.KeyType.RSA
        issued = self._ca.issue_cert(*names, common_name=common_name, key_type=kind, not_after=not_after)
        paths = {"certificate": str(self._folder / f"{file}.pem"), "key": str(self._folder / f"{file}.key")}
        with open(paths["certificate"], "wb") as chain:  # noqa: PTH123
            chain.writelines(blob.bytes() for blob in issued.cert_chain_pems)
        issued.private_key_pem.write_to_path(paths["key"])
        return paths

    def client(self, shown: dict[str, Any] | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this authority, shows a certificate or none, and speaks one `version`, if
        one is named."""
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(shown["certificate"], shown["key"])
        if version is not None:
            only(context, version)
        return context


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    """Let it speak one version of TLS, however old."""
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
