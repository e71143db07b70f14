"""A WSDL as frozen records: the operations of one service and the types of their messages.

The codec, the Spyne service and the tests read these records and name no message. This module reads the documents in
`wsdl/` and the official ones alike. It reads only the subset of WSDL 1.1 and XML Schema that the OCPP services use: one
service with one SOAP 1.2 document/literal port, and types that are sequences. It refuses any other document. It does
not use messages, HTTP or Spyne.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from lxml import etree

from bridge.distribution import files
from bridge.errors import Complaint, ConfigurationError

_WSDL = "{http://schemas.xmlsoap.org/wsdl/}"
_SOAP = "{http://schemas.xmlsoap.org/wsdl/soap12/}"
_XSD = "{http://www.w3.org/2001/XMLSchema}"
# WS-Addressing 1.0 names its metadata namespace differently from the draft that the OCPP documents use.
_ADDRESSING = ("{http://www.w3.org/2006/05/addressing/wsdl}", "{http://www.w3.org/2007/05/addressing/metadata}")
_HTTP_TRANSPORT = "http://schemas.xmlsoap.org/soap/http"
# No OCPP type is nested in more than five; the limit keeps a broken document from exhausting the stack.
_DEEPEST = 30
_BUILTIN = frozenset({"string", "int", "dateTime", "decimal", "boolean", "anyURI"})


@dataclass(frozen=True, slots=True)
class SimpleType:
    """The type of a text: `base` is the local name of the built-in type below all restrictions.

    The `name` of a built-in type is its own. A limit that is not given is None, or an empty enumeration.
    """

    name: str
    base: str
    max_length: int | None = None
    fraction_digits: int | None = None
    enumeration: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attribute:
    """An XML attribute; it has no namespace."""

    name: str
    type: SimpleType
    required: bool
    default: str | None


@dataclass(frozen=True, slots=True)
class Element:
    """An element in the service's namespace. `max_occurs` is None for "unbounded"."""

    name: str
    type: SimpleType | ComplexType
    min_occurs: int
    max_occurs: int | None

    @property
    def is_list(self) -> bool:
        """Whether the element may be repeated."""
        return self.max_occurs != 1


@dataclass(frozen=True, slots=True)
class ComplexType:
    """A sequence of `elements`, or a `text` with attributes (the meter values of OCPP 1.5); never both.

    A type without a name of its own is named after the element that holds it, `MeterValue.value`.
    """

    name: str
    elements: tuple[Element, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    text: SimpleType | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of a service.

    Attributes:
        name: The name, which is the action of OCPP.
        request: The element in the Body of the request.
        response: The element in the Body of the response.
        soap_action: The `action` parameter of the request's content type.
        request_action: The wsa:Action of the request. OCPP-S 1.6 section 3.4: the operation's name after a slash; this
            is also the value where the WSDL gives none, as that of OCPP 1.2.
        response_action: The wsa:Action of the response: the same with `Response` appended.
        response_actions: All values of wsa:Action that a response may have. Where the WSDL gives none, the value of
            WS-Addressing 1.0 Metadata section 4.4.4 is among them, which SteVe writes.
        headers: The local names of the elements in the request's Header.
    """

    name: str
    request: Element
    response: Element
    soap_action: str
    request_action: str
    response_action: str
    response_actions: frozenset[str]
    headers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A service and its operations. Two Services are equal if they describe the same, even by different documents.

    Attributes:
        name: The name of the service.
        namespace: The namespace of all its elements and fault codes.
        operations: The operations by name, in the order of the WSDL's portType.
        source: The document as it was read.
        port: The name of the service's port.
    """

    name: str
    namespace: str
    operations: Mapping[str, Operation]
    source: bytes = field(repr=False, compare=False)
    port: str

    def describe(self, address: str) -> bytes:
        """Return the WSDL with `address` as the URL of the service. Raises ValueError if XML cannot hold `address`."""
        root = _parse(self.source)
        for element in root.iter(f"{_SOAP}address"):
            element.set("location", address)
        return etree.tostring(root.getroottree(), xml_declaration=True, encoding="UTF-8")

    def schema(self) -> etree.XMLSchema:
        """Return the WSDL's schema, compiled anew at each call, to validate the content of a Body.

        XML Schema ignores white space around a dateTime, an int or a boolean, but libxml2 does not: remove it first.
        """
        return _compile(_schema(_parse(self.source)))


def load(path: Path) -> Service:
    """Return the service that the WSDL at `path` describes.

    Raises ConfigurationError, with the file and the reason, if the file cannot be read, is not XML, has a DOCTYPE, or
    is not a WSDL of the kind that OCPP uses.
    """
    try:
        source = path.read_bytes()
        return _service(source)
    except OSError as error:
        wrong = _Unusable("", error.strerror or str(error))
    except etree.LxmlError as error:
        wrong = _Unusable("", f"cannot be read as XML: {error}")
    except _Unusable as error:
        wrong = error
    raise ConfigurationError([Complaint(source=str(path), key=wrong.where, text=wrong.text)])


def default_folder() -> Path:
    """Return the folder `wsdl`, in the installed package or at the top of a checkout. Raises ConfigurationError."""
    return files.folder("wsdl")


def folder_of(version: str) -> Path:
    """Return the folder of the bridge's own WSDLs of one OCPP version. Raises ConfigurationError."""
    return default_folder() / folder_name(version)


def folder_name(version: str) -> str:
    """Return the name of the folder of one OCPP version's WSDLs, for the bridge's own and the operator's alike."""
    return f"ocpp{version.replace('.', '')}"


class _Unusable(Exception):
    """The document cannot be used. `where` is the place at fault, in the document's own names; `text` is the reason."""

    def __init__(self, where: str, text: str) -> None:
        super().__init__(f"{where}: {text}")
        self.where = where
        self.text = text


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def _parse(source: bytes) -> etree._Element:
    root = etree.fromstring(source, _parser())
    if root.getroottree().docinfo.internalDTD is not None:
        raise _Unusable("", "has a DOCTYPE, which no WSDL needs")
    if root.tag != f"{_WSDL}definitions":
        raise _Unusable("", f"is not a WSDL: its root is {_show(root)}")
    return root


def _service(source: bytes) -> Service:
    root = _parse(source)
    namespace = _need(root, "targetNamespace", "definitions")
    schema = _schema(root)
    types = _Types(schema, namespace)
    service = _only(root, f"{_WSDL}service", "definitions")
    name = _need(service, "name", "service")
    port = _only(service, f"{_WSDL}port", f"service {name}")
    _need(_only(port, f"{_SOAP}address", f"service {name}"), "location", f"service {name}")
    binding = _named(root, "binding", _reference(port, "binding", namespace, f"service {name}"))
    port_type = _named(root, "portType", _reference(binding, "type", namespace, "binding"))
    reader = _Operations(root, namespace, types, binding, _need(port_type, "name", "portType"))
    operations = [reader.read(element) for element in port_type.findall(f"{_WSDL}operation")]
    _compile(schema)
    return Service(
        name=name,
        namespace=namespace,
        operations=MappingProxyType({operation.name: operation for operation in operations}),
        source=source,
        port=_need(port, "name", f"service {name}"),
    )


class _Operations:
    """Reads the operations of one binding: the bodies from its messages, all else from the binding itself."""

    def __init__(
        self, root: etree._Element, namespace: str, types: _Types, binding: etree._Element, port_type: str
    ) -> None:
        self._root = root
        self._namespace = namespace
        self._port_type = port_type
        self._types = types
        soap = _only(binding, f"{_SOAP}binding", "binding")
        if soap.get("transport") != _HTTP_TRANSPORT:
            raise _Unusable("binding", "is not SOAP 1.2 over HTTP")
        self._style = soap.get("style", "document")
        self._bound = {_need(item, "name", "binding"): item for item in binding.findall(f"{_WSDL}operation")}

    def read(self, element: etree._Element) -> Operation:
        name = _need(element, "name", "portType")
        where = f"operation {name}"
        bound = self._bound.get(name)
        if bound is None:
            raise _Unusable(where, "is not in the binding")
        soap = _only(bound, f"{_SOAP}operation", where)
        if soap.get("style", self._style) != "document":
            raise _Unusable(where, "is not of style document")
        request, response = (_only(element, f"{_WSDL}{transport}", where) for transport in ("input", "output"))
        for transport in ("input", "output"):
            body = _only(_only(bound, f"{_WSDL}{transport}", where), f"{_SOAP}body", where)
            self._literal(body, where)
        own = f"/{name}Response"
        default = f"{self._namespace.rstrip('/')}/{self._port_type}{own}"
        said = _addressing(response)
        return Operation(
            name=name,
            request=self._types.element(self._part(request, None, where)),
            response=self._types.element(self._part(response, None, where)),
            soap_action=_need(soap, "soapAction", where),
            request_action=_addressing(request) or f"/{name}",
            response_action=said or own,
            response_actions=frozenset([own, default] if said is None else [said]),
            headers=tuple(self._headers(_only(bound, f"{_WSDL}input", where), where)),
        )

    def _headers(self, bound: etree._Element, where: str) -> list[str]:
        names = []
        for header in bound.findall(f"{_SOAP}header"):
            self._literal(header, where)
            names.append(self._types.element(self._part(header, _need(header, "part", where), where)).name)
        return names

    def _part(self, element: etree._Element, part: str | None, where: str) -> str:
        """Return the name of the global element of a message's part: of the part called `part`, or of the only one."""
        name = _reference(element, "message", self._namespace, where)
        parts = _named(self._root, "message", name).findall(f"{_WSDL}part")
        chosen = [item for item in parts if part in (None, item.get("name"))]
        if len(chosen) != 1:
            raise _Unusable(where, f"needs exactly one part {part or ''} in message {name}, found {len(chosen)}")
        return _reference(chosen[0], "element", self._namespace, f"message {name}")

    @staticmethod
    def _literal(element: etree._Element, where: str) -> None:
        if element.get("use") != "literal":
            raise _Unusable(where, "is not of use literal")


class _Types:
    """The schema's global elements and named types. Each record is made at the first use."""

    def __init__(self, schema: etree._Element, namespace: str) -> None:
        if schema.get("targetNamespace") != namespace:
            raise _Unusable("types", "the schema's targetNamespace is not that of the service")
        if schema.get("elementFormDefault") != "qualified":
            raise _Unusable("types", "the schema's elements are not qualified")
        self._namespace = namespace
        self._elements: dict[str, etree._Element] = {}
        self._definitions: dict[str, etree._Element] = {}
        self._made: dict[str, SimpleType | ComplexType] = {}
        self._open: list[str] = []
        for child in _children(schema):
            name = _need(child, "name", "types")
            home = self._elements if child.tag == f"{_XSD}element" else self._definitions
            if child.tag not in (f"{_XSD}element", f"{_XSD}simpleType", f"{_XSD}complexType"):
                raise _Unusable("types", f"{_show(child)} is not supported")
            if name in home:
                raise _Unusable("types", f"{name} is defined twice")
            home[name] = child

    def element(self, name: str) -> Element:
        """Return the global element `name`."""
        if name not in self._elements:
            raise _Unusable("types", f"has no element {name}")
        return self._element(self._elements[name], "types")

    def _element(self, element: etree._Element, owner: str) -> Element:
        name = _need(element, "name", owner)
        where = f"{owner}.{name}"
        unknown = set(map(str, element.attrib)) - {"name", "type", "minOccurs", "maxOccurs"}
        if unknown:
            raise _Unusable(where, f"the attribute {min(unknown)} is not supported")
        most = element.get("maxOccurs", "1")
        return Element(
            name=name,
            type=self._type_of(element, where),
            min_occurs=_count(element.get("minOccurs", "1"), where),
            max_occurs=None if most == "unbounded" else _count(most, where),
        )

    def _type_of(self, element: etree._Element, where: str) -> SimpleType | ComplexType:
        """Return the type that an element or attribute names or contains."""
        if element.get("type") is not None:
            return self._named(element, "type", where)
        return self._define(_single(element, where), where)

    def _simple(self, element: etree._Element, where: str) -> SimpleType:
        type_ = self._type_of(element, where)
        if not isinstance(type_, SimpleType):
            raise _Unusable(where, f"{type_.name} is not a simple type")
        return type_

    def _named(self, element: etree._Element, attribute: str, where: str) -> SimpleType | ComplexType:
        namespace, name = _qname(element, attribute, where)
        if f"{{{namespace}}}" == _XSD:
            if name not in _BUILTIN:
                raise _Unusable(where, f"the type {name} is not supported")
            return SimpleType(name=name, base=name)
        if namespace != self._namespace or name not in self._definitions:
            raise _Unusable(where, f"there is no type {name}")
        if name not in self._made:
            self._made[name] = self._define(self._definitions[name], name)
        return self._made[name]

    def _define(self, definition: etree._Element, name: str) -> SimpleType | ComplexType:
        """Return the type called `name`. A type must not contain itself, since the records form a finite tree."""
        if name in self._open:
            raise _Unusable(name, "contains itself")
        if len(self._open) == _DEEPEST:
            raise _Unusable(name, f"is nested in more than {_DEEPEST} types")
        self._open.append(name)
        type_ = self._content(definition, name)
        self._open.pop()
        return type_

    def _content(self, definition: etree._Element, name: str) -> SimpleType | ComplexType:
        if definition.tag == f"{_XSD}simpleType":
            return self._restricted(_single(definition, name), name)
        if definition.tag != f"{_XSD}complexType" or set(map(str, definition.attrib)) - {"name"}:
            raise _Unusable(name, f"{_show(definition)} is not supported here")
        children = _children(definition)
        if not children:
            return ComplexType(name=name)
        content = _single(definition, name)
        if content.tag == f"{_XSD}simpleContent":
            return self._extended(_single(content, name), name)
        if content.tag != f"{_XSD}sequence" or content.attrib:
            raise _Unusable(name, f"{_show(content)} is not supported here")
        elements = []
        for child in _children(content):
            if child.tag != f"{_XSD}element":
                raise _Unusable(name, f"{_show(child)} is not supported in a sequence")
            elements.append(self._element(child, name))
        if len({element.name for element in elements}) != len(elements):
            raise _Unusable(name, "has two elements of one name")
        return ComplexType(name=name, elements=tuple(elements))

    def _restricted(self, restriction: etree._Element, name: str) -> SimpleType:
        """Return a simple type, with the limits of its base where it has none of its own."""
        if restriction.tag != f"{_XSD}restriction":
            raise _Unusable(name, f"{_show(restriction)} is not supported here")
        base = self._named(restriction, "base", name)
        if not isinstance(base, SimpleType):
            raise _Unusable(name, f"{base.name} is not a simple type")
        max_length, fraction_digits = base.max_length, base.fraction_digits
        enumeration = []
        for facet in _children(restriction):
            value = _need(facet, "value", name)
            if facet.tag == f"{_XSD}maxLength":
                max_length = _count(value, name)
            elif facet.tag == f"{_XSD}fractionDigits":
                fraction_digits = _count(value, name)
            elif facet.tag == f"{_XSD}enumeration":
                enumeration.append(value)
            else:
                raise _Unusable(name, f"{_show(facet)} is not supported here")
        return SimpleType(name, base.base, max_length, fraction_digits, tuple(enumeration) or base.enumeration)

    def _extended(self, extension: etree._Element, name: str) -> ComplexType:
        """Return the type of a text with attributes."""
        if extension.tag != f"{_XSD}extension":
            raise _Unusable(name, f"{_show(extension)} is not supported here")
        text = self._named(extension, "base", name)
        if not isinstance(text, SimpleType):
            raise _Unusable(name, f"{text.name} is not a simple type")
        return ComplexType(
            name=name,
            attributes=tuple(self._attribute(child, name) for child in _children(extension)),
            text=text,
        )

    def _attribute(self, element: etree._Element, owner: str) -> Attribute:
        if element.tag != f"{_XSD}attribute":
            raise _Unusable(owner, f"{_show(element)} is not supported here")
        name = _need(element, "name", owner)
        return Attribute(
            name=name,
            type=self._simple(element, f"{owner}.{name}"),
            required=element.get("use") == "required",
            default=element.get("default"),
        )


def _schema(root: etree._Element) -> etree._Element:
    return _only(_only(root, f"{_WSDL}types", "definitions"), f"{_XSD}schema", "types")


def _compile(schema: etree._Element) -> etree.XMLSchema:
    # Elements above the schema may declare the prefixes in its attribute values, and the copy that lxml compiles lacks
    # those declarations. The serialised schema has them.
    alone = etree.fromstring(etree.tostring(schema, with_tail=False), _parser())
    try:
        return etree.XMLSchema(alone)
    except etree.XMLSchemaParseError as error:
        raise _Unusable("types", f"the schema is not valid: {error}") from error


def _children(element: etree._Element) -> list[etree._Element]:
    """Return the child elements without xsd:annotation."""
    return [child for child in element.iterchildren("*") if child.tag != f"{_XSD}annotation"]


def _single(element: etree._Element, where: str) -> etree._Element:
    children = _children(element)
    if len(children) != 1:
        raise _Unusable(where, f"{_show(element)} needs exactly one definition inside, found {len(children)}")
    return children[0]


def _only(element: etree._Element, tag: str, where: str) -> etree._Element:
    found = element.findall(tag)
    if len(found) != 1:
        raise _Unusable(where, f"needs exactly one {etree.QName(tag).localname}, found {len(found)}")
    return found[0]


def _named(root: etree._Element, kind: str, name: str) -> etree._Element:
    found = [child for child in root.findall(f"{_WSDL}{kind}") if child.get("name") == name]
    if len(found) != 1:
        raise _Unusable("definitions", f"needs exactly one {kind} {name}, found {len(found)}")
    return found[0]


def _need(element: etree._Element, attribute: str, where: str) -> str:
    value = element.get(attribute)
    if value is None:
        raise _Unusable(where, f"{_show(element)} has no {attribute}")
    return value


def _qname(element: etree._Element, attribute: str, where: str) -> tuple[str, str]:
    """Return the namespace and local name of an attribute's value, with its prefix resolved in the element's scope."""
    prefix, colon, name = _need(element, attribute, where).strip().rpartition(":")
    namespace = element.nsmap.get(prefix if colon else None)
    if colon and namespace is None:
        raise _Unusable(where, f"the prefix {prefix} is not declared")
    return namespace or "", name


def _reference(element: etree._Element, attribute: str, expected: str, where: str) -> str:
    """Return the local name in an attribute's value, whose namespace must be `expected`."""
    namespace, name = _qname(element, attribute, where)
    if namespace != expected:
        raise _Unusable(where, f"{attribute} {name} is not in the namespace {expected}")
    return name


def _addressing(element: etree._Element) -> str | None:
    return next((value for space in _ADDRESSING if (value := element.get(f"{space}Action"))), None)


def _count(text: str, where: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise _Unusable(where, f"{text!r} is not a count")
    return int(text)


def _show(element: etree._Element) -> str:
    return etree.QName(element).localname
