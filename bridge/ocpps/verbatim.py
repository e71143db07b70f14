"""Bodies that pass unchanged between two parties that speak the same older version: 1.5 to 1.5, 1.2 to 1.2.

The records of OCPP 1.6 cannot hold all of such a Body: they have no place for a Reserved of connector 0, the hash of a
SendLocalList, the groups of transactionData and long texts. So the bridge reads the Body, for the rules of the Session,
and sends the received element. A Call or CallResult holds the element beside the record (`Verbatim`). If the Session
has changed a value of the record since (the alias of a transactionId), that value is changed in the element.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree

from bridge.dialects.dialect import Dialect
from bridge.ocpp.losses import Loss, Losses, LossReason
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.readings import SAMPLES
from bridge.ocpp.rpc import Verbatim
from bridge.ocpp.shapes import plain
from bridge.ocpp.tolerance import nothing_left
from bridge.ocpps.wsdl import ComplexType, Element, SimpleType
from bridge.ocpps.xml import children, local_name, namespace, text_of

# The reasons of the Dialect's Losses that are faults in either version.
_OF_SHAPE = frozenset({LossReason.SIBLING_SHAPE, LossReason.UNREADABLE})
# The reasons of Losses that arise only because texts of OCPP 1.6 are shorter.
_TOO_LONG_FOR_16 = frozenset({LossReason.TRUNCATED, LossReason.OVERLONG})
_TAG = re.compile(rb"<[^<>]+>")
_FRACTION = re.compile(r"(?<=:[0-9]{2})\.[0-9]+")


def kept(body: etree._Element, service: str, version: str, read: Request | Response) -> Verbatim | None:
    """Return a Body's element with all namespaces that are declared around it; None if it does not pass.

    A MeterValues without a value does not pass: the bridge answers it in every version. A MeterValues whose values were
    all dropped in reading passes.

    Args:
        body: The element as it was received.
        service: The namespace of the called service. Only that is changed in an element of another namespace.
        version: The OCPP version of the element.
        read: The record that was read from it.
    """
    if nothing_left(read) and not any(map(_is_value, body.iter("*"))):
        return None
    source, came = _source(body), namespace(body)
    return Verbatim(version=version, body=source if came == service else _moved(source, came, service), read=read)


def _moved(source: bytes, before: str, after: str) -> bytes:
    """Return the element with another namespace for `before`. Prefixes and everything else stay."""
    declared = re.compile(rb'(\sxmlns(?::[^\s=]+)?=")' + re.escape(escape(before).encode()) + b'"')
    new = rb"\g<1>" + after.encode() + b'"'
    return _TAG.sub(lambda tag: declared.sub(new, tag[0]), source)


def _is_value(element: etree._Element) -> bool:
    return local_name(element).lower() in SAMPLES and bool(text_of(element).strip())


def _source(element: etree._Element) -> bytes:
    return etree.tostring(element, encoding="UTF-8", xml_declaration=False, with_tail=False)


def of_shape(losses: tuple[Loss, ...]) -> tuple[Loss, ...]:
    """Return the Losses of the Dialect that are faults in the Body.

    The other Losses are differences between versions, and a Body that passes unchanged does not have them.
    """
    return tuple(loss for loss in losses if loss.reason in _OF_SHAPE)


def of_tolerance(losses: tuple[Loss, ...], element: Element) -> tuple[Loss, ...]:
    """Return the Losses of the tolerance that are faults in an `element`, and no differences between versions.

    A text may be longer than OCPP 1.6 allows where the older version sets no limit.
    """
    return tuple(
        loss
        for loss in losses
        if loss.reason not in _TOO_LONG_FOR_16 or loss.path.rpartition(".")[2] in _limited_in(element)
    )


def written(verbatim: Verbatim, payload: Request | Response, dialect: Dialect) -> bytes | None:
    """Return the element of a Body that passes, with the changes that the Session made to its record.

    Args:
        verbatim: The Body as it was received.
        payload: The record with the changes.
        dialect: The Dialect of the Body's version.

    Returns:
        None if a change cannot be made in the element: in a list, or where the changed element is absent.
    """
    if payload is verbatim.read or payload == verbatim.read:
        return verbatim.body
    name = type(payload).__name__
    before, after = (dialect.downgrade(name, plain(record))[0] for record in (verbatim.read, payload))
    root = etree.fromstring(verbatim.body)
    return _source(root) if _changed(root, before, after) else None


def _changed(node: etree._Element, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Change in `node` each value in which `before` and `after` differ. Return whether that was possible."""
    for name in before.keys() | after.keys():
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        found = [child for child in children(node) if local_name(child) == name]
        if new is None:
            for child in found:
                node.remove(child)
        elif len(found) != 1 or isinstance(new, list | tuple):
            return False
        elif isinstance(new, dict):
            if not isinstance(old, dict) or not _changed(found[0], old, new):
                return False
        else:
            found[0][:] = []
            found[0].text = str(new).lower() if isinstance(new, bool) else str(new)
    return True


def without_fractions(body: bytes, element: Element, message: str) -> tuple[bytes, tuple[Loss, ...]]:
    """Cut the fractions of a second from the times in a Body (`fractions = false`).

    Args:
        body: The octets of the Body's element.
        element: The element by the WSDL.
        message: The name of the message, for the Losses.

    Returns:
        The octets of the element, and the Losses.
    """
    root, losses = etree.fromstring(body), Losses()
    for node in root.iter("*"):
        name, text = local_name(node), node.text or ""
        if name in _times_in(element) and _FRACTION.search(text):
            node.text = _FRACTION.sub("", text)
            losses.add(message, _path(node), LossReason.FRACTION)
    told = losses.all()
    return (_source(root), told) if told else (body, ())


@lru_cache
def _times_in(element: Element) -> frozenset[str]:
    """Return the names of the elements in `element` that hold a time."""
    return frozenset(name for name, kind in _leaves(element) if kind.base == "dateTime")


@lru_cache
def _limited_in(element: Element) -> frozenset[str]:
    """Return the names of the elements in `element` whose text has a limit."""
    return frozenset(name for name, kind in _leaves(element) if kind.max_length is not None)


def _leaves(element: Element) -> Iterator[tuple[str, SimpleType]]:
    kind = element.type
    for inner in kind.elements if isinstance(kind, ComplexType) else ():
        if isinstance(inner.type, ComplexType):
            yield from _leaves(inner)
        else:
            yield inner.name, inner.type


def _path(node: etree._Element) -> str:
    names = [local_name(above) for above in (node, *node.iterancestors())]
    return ".".join(reversed(names[:-1]))
