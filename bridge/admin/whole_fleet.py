"""Answers for the whole fleet: what each process of the bridge knows, merged as the endpoint says."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bridge.admin import problems
from bridge.admin.endpoints import AdminEndpoint, AdminRequest, SentRequest
from bridge.admin.other_nodes import OtherNodes, SentPart
from bridge.admin.problems import RequestRefused

_log = logging.getLogger("bridge.admin")
# The header fields of an answer that is not about all Charge Points: the nodes that have not answered, and the number
# of slots that no process has answered for.
MISSING_NODES, MISSING_SLOTS = "OCPP-Bridge-Missing-Nodes", "OCPP-Bridge-Missing-Slots"
# The most octets of a request that is sent to other processes.
_MOST_CONTENT = 15_000_000
# The numbers of a part may be exact decimals.
_encode = msgspec.json.Encoder(decimal_format="number").encode


class WholeAnswer(Struct, frozen=True, kw_only=True):
    """What all processes know that have answered.

    Attributes:
        given: The merged record.
        nodes: The names of the nodes that have not answered.
        slots: The number of slots that no process has answered for.
    """

    given: Any
    nodes: tuple[str, ...] = ()
    slots: int = 0

    def headers(self) -> dict[str, str]:
        """Return the header fields that say what is missing."""
        headers = {}
        if self.nodes:
            headers[MISSING_NODES] = ", ".join(self.nodes)
        if self.slots > 0:
            headers[MISSING_SLOTS] = str(self.slots)
        return headers


async def asked_first(
    endpoint: AdminEndpoint, asked: AdminRequest[Any, Any], sent: SentRequest, others: OtherNodes | None
) -> WholeAnswer:
    """Return what all processes know, or have done if none of them refuses it. See `whole`."""
    assert endpoint.of_all is not None
    if others is None or not endpoint.of_all.trial:
        return await whole(endpoint, asked, sent, others)
    if len(sent.body or b"") > _MOST_CONTENT:
        text = f"several processes take {_MOST_CONTENT} octets at most: send it in parts"
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text)
    trial = replace(sent, query={**sent.query, endpoint.of_all.trial: "true"})
    checked = await whole(endpoint, endpoint.read(trial), trial, others)
    if checked.headers():
        text = "some processes of the bridge do not answer now, and nothing was changed"
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "5"})
    if endpoint.read(trial).query == asked.query:
        return checked
    done = await whole(endpoint, asked, sent, others)
    if done.headers():
        text = "some processes of the bridge did not answer: a part may not be done. Send it again"
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "5"})
    return done


async def whole(
    endpoint: AdminEndpoint, asked: AdminRequest[Any, Any], sent: SentRequest, others: OtherNodes | None
) -> WholeAnswer:
    """Return what all processes know.

    Args:
        endpoint: The endpoint.
        asked: The request.
        sent: The same as plain data.
        others: The other processes, None for a single process.

    Raises:
        RequestRefused: A process refuses it, or none may speak for its Charge Points now (503).
    """
    assert endpoint.of_all is not None
    if others is None:
        return WholeAnswer(given=endpoint.of_all.merge(asked, [await endpoint.handled(asked)]))
    slots = others.slots
    own, found = await asyncio.gather(_own(endpoint, asked, slots), others.parts(sent))
    parts = [] if own is None or isinstance(own, RequestRefused) else [own]
    refusals = [own] if isinstance(own, RequestRefused) else []
    missing = [] if slots else [others.node]
    for node, told in found.items():
        if told is not None and told.refusal:
            refusals.append(problems.read(told.refusal))
        elif told is None or (part := _read(endpoint, node, told.part)) is None:
            missing.append(node)
        else:
            parts.append(part)
            slots += told.slots
    if refusals:
        raise problems.together(refusals)
    if not parts:
        text = "no process of the bridge may speak for its Charge Points now"
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "5"})
    given = endpoint.of_all.merge(asked, parts)
    return WholeAnswer(given=given, nodes=tuple(sorted(missing)), slots=others.slots_of_all - slots)


async def _own(endpoint: AdminEndpoint, asked: AdminRequest[Any, Any], slots: int) -> Any:
    """Return what this process knows, None if it may not speak for its Charge Points, or a RequestRefused."""
    try:
        return await endpoint.handled(asked) if slots else None
    except RequestRefused as refused:
        return refused


def _read(endpoint: AdminEndpoint, node: str, part: bytes) -> Any:
    assert endpoint.of_all is not None
    try:
        return msgspec.json.decode(part, type=endpoint.of_all.part)
    except msgspec.MsgspecError:
        _log.exception("the part of %s that the node %s has told cannot be read", endpoint.name, node)
        return None


async def part_of(endpoint: AdminEndpoint, sent: SentRequest, slots: int) -> SentPart:
    """Return what this process knows, for another one. `slots` is the number of slots that it speaks for."""
    try:
        return SentPart(slots=slots, part=_encode(await endpoint.handled(endpoint.read(sent))))
    except RequestRefused as refused:
        return SentPart(slots=0, refusal=problems.answer(refused).body or b"")


def refuse_gaps(answer: WholeAnswer) -> None:
    """Raise RequestRefused if something is missing in an answer that cannot say so."""
    if answer.headers():
        text = "some processes of the bridge do not answer now, and the file would lack their Charge Points"
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"Retry-After": "5"})
