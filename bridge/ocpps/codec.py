"""OCPP-S bodies: elements to Calls and answers, and back. Pure, driven by two tables: the WSDL (names, order, lists)
and the model's records. No line here knows a message; what an older version says differently is its Dialect's.

In: element -> plain data, by the WSDL -> dialect -> tolerance -> record.
Out: record -> plain data -> dialect -> element, in WSDL order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from decimal import Decimal
from functools import cache, cached_property
from typing import Any, TypeVar

from lxml import etree
from msgspec import Struct

from bridge.dialects.dialect import Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.enums import JSON_ONLY_UNITS
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.manners import BOOT_FIELDS, PLAIN, Boot, Manners
from bridge.ocpp.messages import BootNotificationResponse, Request, Response
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.shapes import TEXT, plain, shape_of
from bridge.ocpp.tolerance import FROM_TEXT, mend
from bridge.ocpp.validation import record_of, refuse_losses
from bridge.ocpps.envelope import Envelope, read_fault
from bridge.ocpps.wsdl import ComplexType, Element, Operation, Service, SimpleType
from bridge.ocpps.xml import children, local_name, markup_of, text_of

R = TypeVar("R", bound=Struct)
Lose = Callable[[str, Reason], None]

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_RESPELLED = {json_only.value: wsdl and wsdl.value for json_only, wsdl in JSON_ONLY_UNITS.items()}


class Codec:
    """The codec of one service, in the version that `dialect` says. `write_*` give the element for a Body and what was
    lost in making it."""

    def __init__(self, service: Service, dialect: Dialect = OCPP16) -> None:
        self.service = service
        self.dialect = dialect
        self._by_request = {op.request.name: op for op in service.operations.values()}

    # In.

    def operation_of(self, body: etree._Element) -> Operation:
        """The operation whose request `body` is. Raises MessageError (NotImplemented)."""
        operation = self._by_request.get(local_name(body))
        if operation is None:
            text = f"the {self.service.name} has no request <{local_name(body)}>"
            raise MessageError(ErrorCode.NotImplemented, text)
        return operation

    def read_call(
        self,
        envelope: Envelope,
        unique_id: str,
        *,
        strict: bool,
        known: Known | None = None,
        manners: Manners = PLAIN,
    ) -> Call:
        """The Call in `envelope`; `known` is what an older version leaves out. Raises MessageError; AnsweredHere, which
        is one, for a request that is answered here and not sent on."""
        operation = self.operation_of(envelope.body)
        record = ACTIONS[operation.name].request
        payload, losses = self._read(envelope.body, operation.request, record, strict, known, manners)
        return Call(unique_id=unique_id, action=operation.name, payload=payload, losses=losses)

    def read_answer(
        self,
        envelope: Envelope,
        action: str,
        unique_id: str,
        *,
        strict: bool,
        known: Known | None = None,
        manners: Manners = PLAIN,
    ) -> CallResult | CallError:
        """The answer in `envelope` to our Call of `action`. Raises MessageError for what is neither its response nor a
        Fault."""
        fault = read_fault(envelope.body)
        if fault is not None:
            return fault.as_error(unique_id)
        operation = self._operation(action)
        if local_name(envelope.body) != operation.response.name:
            text = f"<{local_name(envelope.body)}> does not answer {action}"
            raise MessageError(ErrorCode.FormationViolation, text)
        record = ACTIONS[action].response
        payload, losses = self._read(envelope.body, operation.response, record, strict, known, manners)
        return CallResult(unique_id=unique_id, payload=payload, losses=losses)

    def _operation(self, action: str) -> Operation:
        operation = self.service.operations.get(action)
        if operation is None:
            text = f"the {self.service.name} of OCPP {self.dialect.version} has no {action}"
            raise MessageError(ErrorCode.NotSupported, text)
        return operation

    def _read(
        self,
        body: etree._Element,
        element: Element,
        record: type[R],
        strict: bool,
        known: Known | None,
        manners: Manners,
    ) -> tuple[R, tuple[Loss, ...]]:
        if strict:
            self._validate(body, element)
        lost: list[Loss] = []
        data = _read_complex(body, _complex(element), "", _recorder(record.__name__, lost))
        upgraded, translated = self.dialect.upgrade(record.__name__, data, known)
        mended, losses = mend(upgraded, shape_of(record), record.__name__, FROM_TEXT, manners)
        losses = (*lost, *translated, *losses)
        if strict:
            refuse_losses(losses)
        return record_of(mended, record), losses

    def _validate(self, body: etree._Element, element: Element) -> None:
        """`tolerance = "strict"`: exactly what the WSDL says, order and namespaces included."""
        if not self._schema.validate(body) and not self._schema.validate(_collapsed(body, element)):
            error = self._schema.error_log.last_error
            raise MessageError(ErrorCode.FormationViolation, "not valid" if error is None else error.message)

    @cached_property
    def _schema(self) -> etree.XMLSchema:
        return self.service.schema()

    # Out.

    def write_call(
        self, payload: Request, action: str, manners: Manners = PLAIN
    ) -> tuple[etree._Element, tuple[Loss, ...]]:
        """The request element of `action`. Raises MessageError for what SOAP, or this version of it, cannot carry."""
        return self._write(payload, self._operation(action).request, manners)

    def write_result(
        self, payload: Response, action: str, manners: Manners = PLAIN
    ) -> tuple[etree._Element, tuple[Loss, ...]]:
        """The response element of `action`. Raises MessageError for what SOAP, or this version of it, cannot carry."""
        body, losses = self._write(payload, self._operation(action).response, manners)
        if manners.heartbeat_interval and isinstance(payload, BootNotificationResponse):
            _add_heartbeat_interval(body, payload, self.service.namespace)
        return body, losses

    def _write(
        self, payload: Request | Response, element: Element, manners: Manners
    ) -> tuple[etree._Element, tuple[Loss, ...]]:
        message, namespace = type(payload).__name__, self.service.namespace
        data, translated = self.dialect.downgrade(message, plain(payload))
        lost = [*translated]
        body = etree.Element(f"{{{namespace}}}{element.name}", nsmap={"c": namespace})
        _write_complex(body, _complex(element), data, namespace, "", _recorder(message, lost))
        if not manners.fractions:
            _leave_out_fractions(body, _complex(element), _recorder(message, lost))
        return body, tuple(lost)


def boot_of(body: etree._Element) -> Boot | None:
    """What a Charge Point says of itself, if `body` is its BootNotification, whether or not that is valid."""
    if local_name(body) != "bootNotificationRequest":
        return None
    said = {local_name(child): text_of(child).strip() for child in children(body)}
    return Boot(**{field: said[name] for name, field in BOOT_FIELDS.items() if name in said})


def _collapsed(body: etree._Element, element: Element) -> etree._Element:
    """A copy without the blanks around numbers and times: XML Schema ignores them, libxml2 does not (quirk 37)."""
    copy = deepcopy(body)
    for node, kind, _ in _simple(copy, _complex(element), ""):
        if kind.base != "string":
            node.text = (node.text or "").strip()
    return copy


def _leave_out_fractions(body: etree._Element, kind: ComplexType, lose: Lose) -> None:
    """Quirk 36: some Charge Points cannot read them."""
    for node, simple, path in _simple(body, kind, ""):
        whole, point, _ = (node.text or "").partition(".")
        if simple.base == "dateTime" and point:
            node.text = f"{whole}Z"
            lose(path, Reason.FRACTION)


def _simple(node: etree._Element, kind: ComplexType, path: str) -> Iterator[tuple[etree._Element, SimpleType, str]]:
    """The elements inside that hold one value of the WSDL, with their types and paths."""
    counts: dict[str, int] = {}
    for child in children(node):
        name = local_name(child)
        element = _elements(kind).get(name)
        if element is None:
            continue
        index = counts[name] = counts.get(name, -1) + 1
        here = f"{path}.{name}".lstrip(".") + (f"[{index}]" if element.is_list else "")
        if isinstance(element.type, SimpleType):
            yield child, element.type, here
        else:
            yield from _simple(child, element.type, here)


def _add_heartbeat_interval(body: etree._Element, payload: BootNotificationResponse, namespace: str) -> None:
    """Quirk 34: what OCPP 1.5 calls the interval, for Charge Points that never learnt the new name."""
    name = f"{{{namespace}}}heartbeatInterval"
    if body.find(name) is None:
        etree.SubElement(body, name).text = str(payload.interval)


def _complex(element: Element) -> ComplexType:
    assert isinstance(element.type, ComplexType)
    return element.type


def _recorder(message: str, losses: list[Loss]) -> Lose:
    return lambda path, reason: losses.append(Loss(message=message, path=path, reason=reason))


@cache
def _elements(kind: ComplexType) -> Mapping[str, Element]:
    return {element.name: element for element in kind.elements}


def _read_complex(node: etree._Element, kind: ComplexType, path: str, lose: Lose) -> dict[str, Any]:
    """By local names, in any order (rule 58, quirks 11 to 13). xsi:nil is absence (soap-wire section 6)."""
    known, data = _elements(kind), dict[str, Any]()
    for child in children(node):
        name = local_name(child)
        element = known.get(name)
        here = f"{path}.{name}" if path else name
        if element is None:
            lose(here, Reason.UNKNOWN_FIELD)
        elif child.get(_NIL) in ("true", "1"):
            continue
        elif element.is_list:
            items = data.setdefault(name, [])
            items.append(_read_value(child, element, f"{here}[{len(items)}]", lose))
        else:
            if name in data:
                lose(here, Reason.REPEATED)
            data[name] = _read_value(child, element, here, lose)
    return data


def _read_value(node: etree._Element, element: Element, path: str, lose: Lose) -> Any:
    if not isinstance(element.type, ComplexType):
        return _read_text(node, path, lose)
    if element.type.text is None:
        return _read_complex(node, element.type, path, lose)
    return {TEXT: _read_text(node, path, lose), **_read_attributes(node, element.type, path, lose)}


def _read_attributes(node: etree._Element, kind: ComplexType, path: str, lose: Lose) -> dict[str, Any]:
    """Those that the WSDL knows. Attributes with a namespace are not OCPP's."""
    known = {attribute.name for attribute in kind.attributes}
    written = {str(name): str(value) for name, value in node.attrib.items() if not str(name).startswith("{")}
    for name in sorted(written.keys() - known):
        lose(f"{path}.{name}", Reason.UNKNOWN_FIELD)
    return {name: value for name, value in written.items() if name in known}


def _read_text(node: etree._Element, path: str, lose: Lose) -> str:
    if len(node) and children(node):
        # Rule 92: some devices put XML elements where a text belongs. It is theirs; it is passed on as they wrote it.
        lose(path, Reason.MARKUP_AS_TEXT)
        return markup_of(node)
    return text_of(node)


def _write_complex(
    node: etree._Element, kind: ComplexType, data: Mapping[str, Any], namespace: str, path: str, lose: Lose
) -> None:
    """In the WSDL's order, whatever the record's (rule 58)."""
    for element in kind.elements:
        value = data.get(element.name)
        here = f"{path}.{element.name}" if path else element.name
        if value is None:
            continue
        if element.is_list and not value:
            lose(here, Reason.EMPTY_LIST)
        for at, item in _items(value, element, here):
            _write_value(node, element, item, namespace, at, lose)


def _items(value: Any, element: Element, path: str) -> Iterator[tuple[str, Any]]:
    if not element.is_list:
        yield path, value
        return
    for index, item in enumerate(value):
        yield f"{path}[{index}]", item


def _write_value(parent: etree._Element, element: Element, value: Any, namespace: str, path: str, lose: Lose) -> None:
    kind, name = element.type, f"{{{namespace}}}{element.name}"
    if isinstance(kind, SimpleType):
        text = _text(value, kind, path, lose)
        if text is not None:
            _put(etree.SubElement(parent, name), text, path)
    elif kind.text is None:
        _write_complex(etree.SubElement(parent, name), kind, value, namespace, path, lose)
    else:
        named = {attribute.name: value[attribute.name] for attribute in kind.attributes if attribute.name in value}
        _put(etree.SubElement(parent, name, named), value[TEXT], path)


def _put(node: etree._Element, text: str, path: str) -> None:
    try:
        node.text = text
    except ValueError:
        # XML 1.0 section 2.2 has no control characters and no half of a surrogate pair (rule 63).
        raise MessageError(
            ErrorCode.PropertyConstraintViolation, "holds a character that XML cannot carry", path
        ) from None


def _text(value: Any, kind: SimpleType, path: str, lose: Lose) -> str | None:
    """The lexical form of XML Schema. None for a value that the WSDL has no word for."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:.1f}"
    if isinstance(value, int):
        return _int(value, path)
    assert isinstance(value, str)
    if kind.enumeration and value not in kind.enumeration and value in _RESPELLED:
        respelled = _RESPELLED[value]
        lose(path, Reason.DROPPED_UNIT if respelled is None else Reason.RESPELLED_UNIT)
        return respelled
    return value


def _int(value: int, path: str) -> str:
    # xs:int is 32 bits and signed; JSON's integer is not (rule 61).
    if not -(2**31) <= value < 2**31:
        raise MessageError(ErrorCode.PropertyConstraintViolation, f"{value} does not fit into 32 bits", path)
    return str(value)
