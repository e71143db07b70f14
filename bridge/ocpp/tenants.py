"""Tenants, and the key of a Charge Point: its identity together with its tenant.

Several operators can share a bridge. Each of them is a tenant, and an identity names a Charge Point only within its
tenant. Everything inside the bridge that names a Charge Point therefore holds its key: tables in memory, records in the
store, facts, recorded messages, the audit. The key in the default tenant is the identity itself, so that a bridge
without tenants stores and compares what it did before. In another tenant, the key is the tenant's name, a separator
and the identity.

The separator is a control character. No identity holds one (`bridge.ocpp.identity`), and XML cannot carry this one, so
that no peer can send a key. `key_of` refuses an identity with one. A key never leaves the bridge: `identity_of` takes
it apart where a message, an answer of the API, an event or a line of the log is written.
"""

from __future__ import annotations

import re

# The default tenant: its name within the bridge, and its name in the configuration and the API.
DEFAULT, DEFAULT_NAME = "", "default"
# Stands for all tenants in the configuration.
ALL = "*"
# ASCII's unit separator.
SEPARATOR = "\x1f"
# A label of a host name (RFC 1123), in lower case: a tenant's name is a segment of a URL and a part of a key.
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# A tenant in a key, as it is or as `repr` writes it.
_TENANT = re.compile(r"[a-z0-9-]+(?:\x1f|\\x1f)")


def key_of(tenant: str, identity: str) -> str:
    """Return the key of a Charge Point. Raises ValueError if `identity` holds the separator.

    Without an identity, the key stands for something in the tenant that has none, and is a key of no Charge Point.
    """
    if SEPARATOR in identity:
        raise ValueError("an identity holds no control character")
    return f"{tenant}{SEPARATOR}{identity}" if tenant else identity


def tenant_of(key: str) -> str:
    """Return the tenant of a key, which is DEFAULT for an identity."""
    return key.partition(SEPARATOR)[0] if SEPARATOR in key else DEFAULT


def identity_of(key: str) -> str:
    """Return the identity in a key."""
    return key.rpartition(SEPARATOR)[2]


def renamed(key: str, identity: str) -> str:
    """Return the key of another identity in the tenant of `key`."""
    return key_of(tenant_of(key), identity)


def without_tenants(text: str) -> str:
    """Return a sentence without the tenants of the keys in it."""
    return _TENANT.sub("", text) if "\x1f" in text or "\\x1f" in text else text


def named(name: str) -> str:
    """Return the tenant that the configuration or the API calls `name`: "" and "default" are the default tenant."""
    return DEFAULT if name == DEFAULT_NAME else name


def name_of(tenant: str) -> str:
    """Return the name of a tenant in the configuration and the API."""
    return tenant or DEFAULT_NAME


def takes(name: str, tenant: str) -> bool:
    """Return whether something whose key `tenant` of the configuration is `name` is for `tenant`, or for all."""
    return name == ALL or named(name) == tenant


def is_name(text: str) -> bool:
    """Return whether `text` can be the name of a tenant."""
    return _NAME.fullmatch(text) is not None
