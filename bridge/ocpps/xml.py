"""Bytes from a stranger to elements. Nothing in them makes the parser read, fetch or expand anything."""

from __future__ import annotations

from codecs import BOM_UTF8
from copy import deepcopy
from xml.sax.saxutils import escape

from lxml import etree

from bridge.errors import ErrorCode, MessageError


def parse(data: bytes) -> etree._Element:
    """The root element of the document `data`. Raises MessageError (FormationViolation).

    The caller has limited the size; libxml2 itself limits depth (256) and the length of a text (10 MB). A byte order
    mark and white space before the declaration, which real devices send, are forgiven (quirk 20).
    """
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(data.removeprefix(BOM_UTF8).lstrip(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise MessageError(ErrorCode.FormationViolation, f"not well-formed XML: {_first_line(error)}") from error
    if root is None:
        raise MessageError(ErrorCode.FormationViolation, "not well-formed XML: there is no element")
    # SOAP 1.2 part 1, section 5: a message "MUST NOT contain a Document Type Declaration". Entities are not resolved
    # above, and would otherwise silently vanish from the text (rule 114).
    if root.getroottree().docinfo.doctype:
        raise MessageError(ErrorCode.FormationViolation, "a SOAP message must not have a document type declaration")
    return root


def local_name(element: etree._Element) -> str:
    """The name without its namespace; "" for a comment or a processing instruction."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def namespace(element: etree._Element) -> str:
    """The namespace of an element, "" if it has none."""
    tag = element.tag
    return tag[1:].partition("}")[0] if isinstance(tag, str) and tag.startswith("{") else ""


def children(element: etree._Element) -> list[etree._Element]:
    """The child elements, without comments and processing instructions."""
    return [child for child in element if isinstance(child.tag, str)]


def text_of(element: etree._Element) -> str:
    """All text in it and below, comments aside."""
    return "".join(element.itertext(etree.Element, with_tail=True)) if len(element) else element.text or ""


def markup_of(element: etree._Element) -> str:
    """What stands in it, as XML source. A copy declares the namespaces that it uses, and none that is only in scope."""
    inner = [etree.tostring(deepcopy(child), encoding="unicode") for child in element]
    return escape(element.text or "") + "".join(inner)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
