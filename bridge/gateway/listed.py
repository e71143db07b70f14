"""The Charge Points that are listed: in the configuration file, or by an operator through the admin API.

What is called an identity here is the key of a Charge Point, with its tenant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from bridge.config import ChargePoint, Secret
from bridge.ocpp.tenants import identity_of, renamed, tenant_of

Source = Literal["file", "api"]


class ListedChargePoint(Struct, frozen=True, kw_only=True):
    """A Charge Point with settings of its own. `source` says where they are from."""

    identity: str
    own: ChargePoint
    source: Source


class ListedChargePoints:
    """The listed Charge Points by identity, whose letter case does not count. Those of the file go first.

    Args:
        file: The settings in the configuration file, by identity in normal form.
        provisioned: The settings that operators gave, by identity in normal form.
    """

    def __init__(self, file: Mapping[str, ChargePoint], provisioned: Mapping[str, ChargePoint]) -> None:
        self._entries: dict[str, ListedChargePoint] = {}
        self._renamed: dict[str, list[str]] = {}  # several by one name are a mistake; the first holds
        self._tokens: dict[str, Counter[Secret]] = {}  # by tenant
        for identity, own in file.items():
            self._put(ListedChargePoint(identity=identity, own=own, source="file"))
        for identity, own in provisioned.items():
            self.provision(identity, own)

    def __contains__(self, identity: str) -> bool:
        return identity.casefold() in self._entries

    def __iter__(self) -> Iterator[ListedChargePoint]:
        return iter(self._entries.values())

    def get(self, identity: str) -> ListedChargePoint | None:
        """Return the listed Charge Point, None if it is not listed."""
        return self._entries.get(identity.casefold())

    def identity_of(self, name: str) -> str | None:
        """Return the identity of the Charge Point whose settings call it `name` at its Central System, or None.

        `name` is a key as well: the name, with the tenant.
        """
        found = self._renamed.get(name.casefold())
        return found[0] if found else None

    def has_tokens(self, tenant: str) -> bool:
        """Return whether any Charge Point of a tenant has a token."""
        return bool(self._tokens.get(tenant))

    def is_token(self, secret: Secret, tenant: str) -> bool:
        """Return whether `secret` is the token of a Charge Point of a tenant."""
        return secret in self._tokens.get(tenant, ())

    def provision(self, identity: str, own: ChargePoint) -> None:
        """List a Charge Point with the settings that an operator gave. Does nothing if the file lists it."""
        listed = self.get(identity)
        if listed is None or listed.source == "api":
            self.withdraw(identity)
            self._put(ListedChargePoint(identity=identity, own=own, source="api"))

    def withdraw(self, identity: str) -> None:
        """Remove the settings that an operator gave to a Charge Point, if there are any."""
        listed = self.get(identity)
        if listed is None or listed.source == "file":
            return
        del self._entries[identity.casefold()]
        if (name := _name(listed)) is not None:
            self._renamed[name].remove(listed.identity)
            if not self._renamed[name]:
                del self._renamed[name]
        if (token := listed.own.token) is not None:
            tokens = self._tokens[tenant_of(listed.identity)]
            tokens[token] -= 1
            tokens += Counter()  # drops tokens that no Charge Point has any more

    def _put(self, listed: ListedChargePoint) -> None:
        self._entries[listed.identity.casefold()] = listed
        if (name := _name(listed)) is not None:
            self._renamed.setdefault(name, []).append(listed.identity)
        if listed.own.token is not None:
            self._tokens.setdefault(tenant_of(listed.identity), Counter())[listed.own.token] += 1


def filled(template: str, identity: str) -> str:
    """Return the name at the Central System that `template` makes of an identity."""
    return template.replace("{identity}", identity)


def _name(listed: ListedChargePoint) -> str | None:
    """Return the casefolded name at the Central System that the settings give, as a key, or None."""
    template = listed.own.central_system_identity
    if not template:
        return None
    return renamed(listed.identity, filled(template, identity_of(listed.identity))).casefold()
