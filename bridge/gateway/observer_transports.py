"""The transports to observers. An observer gets the credentials of its own table only, none of a Charge Point."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.core import addresses
from bridge.core.addresses import CallbackTarget
from bridge.core.callback import CallbackAddress
from bridge.core.destinations import Destinations
from bridge.gateway.observer_runner import ObserverRunner
from bridge.gateway.placement import Placement
from bridge.gateway.public_addresses import command_address
from bridge.gateway.sessions import Clients
from bridge.gateway.transports import DialledTransport, LatePosts, SoapTransport, Transport
from bridge.net.json_client import Target
from bridge.net.tasks import Tasks
from bridge.ocpp.actions import Party
from bridge.ocpp.rpc import Answer


class ObserverTransports:
    """Makes the transports to observers.

    Args:
        clients: The SOAP clients.
        tasks: Owns the tasks of the transports.
        gate_of: Returns what limits the handshakes with a Central System at the same time.
        reply: Answers the SOAP request with a key.
    """

    def __init__(
        self,
        clients: Clients,
        tasks: Tasks,
        gate_of: Callable[[str], asyncio.Semaphore],
        reply: Callable[[str, Answer], None],
    ) -> None:
        self._clients = clients
        self._tasks = tasks
        self._gate_of = gate_of
        self._reply = reply
        self._late = LatePosts()

    def of(self, runner: ObserverRunner) -> Transport:
        """Return the transport to an observer, which reports to `runner`."""
        placement = runner.place.placement
        if placement.speaks_json:
            return DialledTransport(
                lambda: _target(placement),
                runner,
                strict=False,
                html_escaped=placement.system.html_escaped,
                tasks=self._tasks,
                gate=self._gate_of(placement.central_system),
            )
        client = self._clients.central_system[placement.system.protocol]
        address = CallbackAddress(addresses.pinned(placement.url), client.version, fixed=True)
        address.sent_to = command_address(placement.public_url, placement.central_system)
        return SoapTransport(
            Party.CENTRAL_SYSTEM,
            address,
            runner,
            identity=placement.name,
            strict=False,
            clients={client.version: client},
            tasks=self._tasks,
            late=self._late,
            reply=self._reply,
            tls=placement.tls,
            destinations=_anywhere,
            fields=lambda: _fields(placement),
        )


def _fields(placement: Placement) -> tuple[tuple[str, str], ...]:
    return placement.fields(None, "")


def _target(placement: Placement) -> Target:
    return placement.target(_fields(placement))


def _anywhere(callback: CallbackTarget) -> Destinations:
    return Destinations(networks=callback.networks)
