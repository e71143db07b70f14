"""The tenant of a request: which endpoints have one, and the identities in their answers.

Inside the bridge, a Charge Point has a key (`bridge.ocpp.tenants`). A request is about one tenant, that of its address.
The identity in its address becomes a key before the handler runs, and the keys in its answer become identities again.
An answer with the key of another tenant is never sent: that is a fault of the bridge.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from msgspec import Struct, structs

from bridge.ocpp.tenants import identity_of, tenant_of

# "tenant": about one tenant, at the same path below /tenants/{tenant} too. "bridge": about the whole bridge, and not
# for a token of one tenant. "everybody": the same for all.
Scope = Literal["tenant", "bridge", "everybody"]
# What the sender may do. "read": change nothing.
Role = Literal["read", "operate"]
T = TypeVar("T")


class ForeignTenant(Exception):
    """An answer holds the key of a Charge Point of another tenant than that of the request."""


def with_identities(answer: T, tenant: str) -> T:
    """Return an answer with identities in place of the keys of `tenant`.

    Keys are in the fields `identity` of records, which may be in lists and in other records.

    Raises:
        ForeignTenant: A key is of another tenant.
    """
    given: Any = answer
    if isinstance(given, Struct):
        changes = {}
        for name in given.__struct_fields__:
            value: Any = getattr(given, name)
            found: Any
            if name == "identity":
                found = _identity(value, tenant)
            elif isinstance(value, Struct | list | tuple):
                found = with_identities(value, tenant)
            else:
                continue
            if found is not value:
                changes[name] = found
        given = structs.replace(given, **changes) if changes else given
    elif isinstance(given, list | tuple):
        items = [with_identities(item, tenant) for item in given]
        if any(new is not old for new, old in zip(items, given, strict=True)):
            given = type(given)(items)
    changed: T = given
    return changed


def _identity(key: str | None, tenant: str) -> str | None:
    if not key:
        return key
    if tenant_of(key) != tenant:
        raise ForeignTenant(f"an answer for {tenant!r} holds a key of {tenant_of(key)!r}")
    return identity_of(key) if tenant else key
