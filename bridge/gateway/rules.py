"""Build Rules from the configuration: for a Charge Point, and for a Central System that POSTs commands."""

from __future__ import annotations

from bridge.access import passwords
from bridge.access.passwords import Expected
from bridge.access.rules import Asks, Rule
from bridge.config import CentralSystem, ChargePoint, Route, Secret
from bridge.ocpp import identity as identities


def rule_of(identity: str, own: ChargePoint, route: Route) -> Rule:
    """Return the Rule of a Charge Point, with the only authentication that it may use."""
    asks: Asks = "none"
    if route.authentication != "auto":
        asks = route.authentication
    elif own.password is not None:
        asks = "basic"
    return Rule(
        identity=identity,
        asks=asks,
        passwords=_expected(own.password),
        certificate_name=identities.normal(own.certificate_name),
        networks=own.networks or route.networks,
        token=None if own.token is None else own.token.reveal(),
        exact=route.tolerance == "strict",
    )


def rules_of_central_system(name: str, system: CentralSystem) -> tuple[Rule, ...]:
    """Return the Rules of a Central System that sends commands over SOAP, all of which apply.

    The user of HTTP Basic does not matter.
    """
    identity = f"central system {name}"
    rules = []
    if system.networks:
        rules.append(Rule(identity=identity, asks="network", networks=system.networks, any_user=True))
    if system.password is not None:
        expected = _expected(system.password)
        rules.append(Rule(identity=identity, asks="basic", passwords=expected, any_user=True))
    return tuple(rules)


def _expected(password: Secret | None) -> tuple[Expected, ...]:
    return () if password is None else (passwords.read(password.reveal()),)
