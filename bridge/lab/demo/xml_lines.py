"""Show a SOAP envelope as lines for a reader: the main values of the Header, then the content of the Body. Pure.

An element that fits on one line is shown on one line. Prefixes are those of the wire. Unused namespace declarations
are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias
from xml.sax.saxutils import escape

from lxml import etree

from bridge.lab.demo.lines import columns, deeper, joined, printable, wrapped

Prefixes: TypeAlias = Mapping[str | None, str]

_XML_NS = "http://www.w3.org/XML/1998/namespace"
# The headers that distinguish one message from another, with their names on the screen.
_HEADERS = {"chargeBoxIdentity": "identity", "MessageID": "MessageID", "RelatesTo": "RelatesTo", "From": "From"}
_UUID = re.compile(r"(urn:uuid:[0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def xml_lines(text: str, width: int) -> list[str]:
    """Return the lines for the envelope `text`, at most `width` columns each. Raises XMLSyntaxError."""
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True)
    root = etree.fromstring(text.encode(), parser)
    lines = joined(_headers(root), width, between=", ")
    for body in root.findall("{*}Body"):
        for child in body.iterchildren(tag=etree.Element):
            lines += _element(child, {}, "", width)
    return lines


def _headers(root: etree._Element) -> list[str]:
    """Return the main headers. A UUID is cut short, because its first digits are enough to distinguish UUIDs."""
    found = []
    for header in root.iterfind("{*}Header/*"):
        name = etree.QName(header).localname
        if name in _HEADERS:
            value = _UUID.sub(r"\1...", _text("".join(map(str, header.itertext())).strip()))
            found.append(f"{_HEADERS[name]} {value}")
    return found


def _element(element: etree._Element, known: Prefixes, indent: str, width: int) -> list[str]:
    flat = _flat(element, known)
    if columns(indent + flat) <= width:
        return [indent + flat]
    inner = _children(element)
    if not inner:
        return wrapped(flat, width, indent=indent)
    tag, declared = _tag(element, known)
    lines = wrapped(f"<{tag}>", width, indent=indent)
    if indent and not any(map(_children, inner)):
        lines += joined((_flat(child, declared) for child in inner), width, indent=deeper(indent, width))
    else:
        for child in inner:
            lines += _element(child, declared, deeper(indent, width), width)
    return [*lines, *wrapped(f"</{_name(element)}>", width, indent=indent)]


def _flat(element: etree._Element, known: Prefixes) -> str:
    tag, declared = _tag(element, known)
    content = "".join(_flat(child, declared) for child in _children(element)) or _text(element.text or "")
    return f"<{tag}>{content}</{_name(element)}>" if content else f"<{tag}/>"


def _children(element: etree._Element) -> list[etree._Element]:
    return list(element.iterchildren(tag=etree.Element))


def _tag(element: etree._Element, known: Prefixes) -> tuple[str, Prefixes]:
    """Return the text between < and >, and the prefixes that are declared inside the element."""
    used = {prefix for part in element.iter(etree.Element) for prefix in _prefixes(part)}
    fresh = {p: uri for p, uri in element.nsmap.items() if p in used and known.get(p) != uri}
    parts = [_name(element)]
    parts += [f"xmlns{f':{prefix}' if prefix else ''}={_quoted(uri)}" for prefix, uri in fresh.items()]
    parts += [f"{_attribute(element, str(name))}={_quoted(str(value))}" for name, value in element.items()]
    return " ".join(parts), {**known, **fresh}


def _prefixes(element: etree._Element) -> set[str | None]:
    """Return the prefixes that `element` uses in its name, in its attributes, and in a QName text such as a Subcode."""
    named = {_attribute(element, str(name)).partition(":")[0] for name, _ in element.items()}
    return {element.prefix, (element.text or "").strip().partition(":")[0], *named}


def _name(element: etree._Element) -> str:
    name = etree.QName(element).localname
    return f"{element.prefix}:{name}" if element.prefix else name


def _attribute(element: etree._Element, name: str) -> str:
    qname = etree.QName(name)
    prefixes = {uri: prefix for prefix, uri in element.nsmap.items()} | {_XML_NS: "xml"}
    return f"{prefixes.get(qname.namespace)}:{qname.localname}" if qname.namespace else qname.localname


def _quoted(value: str) -> str:
    return '"' + _text(value).replace('"', "&quot;") + '"'


def _text(text: str) -> str:
    """Return `text` escaped for display. Line breaks become references, because they are part of the text."""
    return printable(escape(text), lambda code: f"&#{code};")
