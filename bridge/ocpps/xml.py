"""The parser of XML from untrusted peers. No document makes the parser read a file, fetch a URL or expand an entity."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

from lxml import etree
from msgspec import Struct

from bridge.errors import ErrorCode, MessageError, Why
from bridge.ocpp.message_size import LARGE

# Encodings in which each "<", "=" and "&" is written with that octet: the number of such octets is never below the
# number of the characters. UTF-16 is recognised by its first octets.
_COUNTABLE = re.compile(rb"utf-?8|utf-?16|us-ascii|ascii|iso-8859-\d+|latin-?1|windows-125\d|cp125\d", re.IGNORECASE)
_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([^\"']{0,40})")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff", b"<\0", b"\0<")
# The least octets of a node: none is shorter than `&a;`, and in any encoding a character has one octet or more.
_SHORTEST = 3


# The parser reads no file, fetches no URL and expands no entity.
_CLOSED: Any = {"resolve_entities": False, "load_dtd": False, "no_network": True, "huge_tree": False}
# Messages share a parser, because making one costs as much as reading a small message. A parser reads one document at a
# time. Large ones have a parser of their own, so that no small one waits for a large one that a thread reads.
_PARSER, _PARSER_OF_LARGE = etree.XMLParser(**_CLOSED), etree.XMLParser(**_CLOSED)


class XmlBounds(Struct, frozen=True):
    """The limits on a document.

    Attributes:
        depth: The most levels of elements. libxml2 itself limits them to 256.
        nodes: The most elements, attributes, comments and so on.
    """

    depth: int = 32
    nodes: int = 80_000


PLAIN_BOUNDS = XmlBounds()


def parse(data: bytes, bounds: XmlBounds = PLAIN_BOUNDS) -> etree._Element:
    """Return the root element of the document `data`. Raises MessageError (FormationViolation).

    The caller limits the size; libxml2 itself limits the length of a text (10 MB). A byte order mark and white space
    before the declaration, which real devices send, are ignored (quirk 20).
    """
    if data[:1] != b"<":
        data = data.removeprefix(BOM_UTF8).lstrip()
    try:
        size = len(data)
        if size > _SHORTEST * bounds.nodes and not _surely_fewer(data, bounds.nodes):
            target: Any = _Count(bounds.nodes)
            etree.fromstring(data, etree.XMLParser(target=target, **_CLOSED))
        root: etree._Element | None = etree.fromstring(data, _PARSER if size <= LARGE else _PARSER_OF_LARGE)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MessageError(ErrorCode.FormationViolation, f"not well-formed XML: {_first_line(error)}") from error
    if root is None:
        raise MessageError(ErrorCode.FormationViolation, "not well-formed XML: there is no element")
    # SOAP 1.2 part 1, section 5: a message "MUST NOT contain a Document Type Declaration". The parser resolves no
    # entities: they would silently vanish from the text (rule 114).
    if root.getroottree().docinfo.doctype:
        raise _doctype()
    if _deeper_than(bounds.depth)(root):
        text = f"elements lie more than {bounds.depth} deep in each other (limits.xml_depth)"
        raise MessageError(ErrorCode.FormationViolation, text, why=Why.TOO_DEEP)
    return root


def _doctype() -> MessageError:
    return MessageError(ErrorCode.FormationViolation, "a SOAP message must not have a document type declaration")


def _surely_fewer(data: bytes, nodes: int) -> bool:
    """Return whether a document certainly has no more than `nodes` nodes, from a count of its octets alone.

    The caller counts the nodes of any other document one by one before it makes a tree, which costs memory.
    """
    declared = _ENCODING.match(data)
    countable = declared is None or _COUNTABLE.fullmatch(declared[1]) is not None
    known = data.startswith(_UTF_16) or (data.startswith(b"<") and not data.startswith(b"<\0"))
    return countable and known and data.count(b"<") + data.count(b"=") + data.count(b"&") <= nodes


class _Count:
    """A target of lxml's parser that counts nodes and makes no tree. Raises MessageError at the first above `most`."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def start(self, tag: str, attributes: Mapping[str, str], namespaces: Mapping[str, str]) -> None:
        self._take(1 + len(attributes) + len(namespaces or ()))

    def comment(self, text: str) -> None:
        self._take(1)

    def pi(self, target: str, data: str | None = None) -> None:
        self._take(1)

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise _doctype()

    def close(self) -> None:
        """Return nothing: there is no tree."""

    def _take(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            text = f"more than {self._most} elements and attributes (limits.xml_nodes)"
            raise MessageError(ErrorCode.FormationViolation, text, why=Why.TOO_LARGE)


@cache
def _deeper_than(depth: int) -> etree.XPath:
    """Return an XPath that says whether there is an element `depth` levels below the root."""
    return etree.XPath(f"boolean({'/*' * (depth + 1)})")


def local_name(element: etree._Element) -> str:
    """Return the name of an element without its namespace, "" for a comment or a processing instruction."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def namespace(element: etree._Element) -> str:
    """Return the namespace of an element, "" if it has none."""
    tag = element.tag
    return tag[1:].partition("}")[0] if isinstance(tag, str) and tag.startswith("{") else ""


def children(element: etree._Element) -> list[etree._Element]:
    """Return the child elements, without comments and processing instructions."""
    return list(element.iterchildren("*"))


def text_of(element: etree._Element) -> str:
    """Return all text in an element and in the elements below, without comments."""
    return "".join(element.itertext(etree.Element, with_tail=True)) if len(element) else element.text or ""


def markup_of(element: etree._Element) -> str:
    """Return the content of an element as XML source, which declares only the namespaces that it uses."""
    inner = [etree.tostring(deepcopy(child), encoding="unicode") for child in element]
    return escape(element.text or "") + "".join(inner)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
