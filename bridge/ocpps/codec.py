"""OCPP-S bodies: elements to Calls and answers, and back. Pure, driven by two tables: the WSDL (names, order, lists)
and the model's records. No line here knows a message; what an older version says differently is its Dialect's.

In: element -> plain data, by the WSDL -> dialect -> tolerance -> record.
Out: record -> plain data -> dialect -> element, in WSDL order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import cache, cached_property
from typing import Any, TypeVar

from lxml import etree
from msgspec import Struct

from bridge.dialects.dialect import Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.losses import Loss, Reason
from bridge.ocpp.manners import BOOT_FIELDS, PLAIN, Boot, Manners
from bridge.ocpp.messages import BootNotificationResponse, Request, Response
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.shapes import TEXT, plain, shape_of
from bridge.ocpp.tolerance import FROM_TEXT, mend
from bridge.ocpp.validation import record_of, refuse_losses
from bridge.ocpps import exact
from bridge.ocpps.envelope import Envelope, read_fault
from bridge.ocpps.markup import Form, Lose, Writing
from bridge.ocpps.wsdl import ComplexType, Element, Operation, Service, SimpleType
from bridge.ocpps.xml import children, local_name, markup_of, text_of

R = TypeVar("R", bound=Struct)

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


class Codec:
    """The codec of one service, in the version that `dialect` says. `write_*` give the element for a Body, and what was
    lost in making it."""

    def __init__(self, service: Service, dialect: Dialect = OCPP16) -> None:
        self.service = service
        self.dialect = dialect
        self._plans: dict[str, exact.Plan] = {}
        self._forms: dict[str, Form] = {}
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
        payload, losses = self._read(envelope.body, operation.request, record, strict, known, manners, refuse=strict)
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
        Fault; `strict`, for what is not valid. What a valid one loses is told, strict or not: it cannot be unasked."""
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
        *,
        refuse: bool = False,
    ) -> tuple[R, tuple[Loss, ...]]:
        if strict:
            self._validate(body, element)
        with suppress(exact.Odd):
            return self._read_exact(body, element, record), ()
        lost: list[Loss] = []
        data = _read_complex(body, _complex(element), "", _recorder(record.__name__, lost))
        upgraded, translated = self.dialect.upgrade(record.__name__, data, known)
        mended, losses = mend(upgraded, shape_of(record), record.__name__, FROM_TEXT, manners)
        losses = (*lost, *translated, *losses)
        if refuse:
            refuse_losses(losses)
        return record_of(mended, record), losses

    def _read_exact(self, body: etree._Element, element: Element, record: type[R]) -> R:
        """What needs neither tolerance nor a rule of the Dialect. Raises exact.Odd for anything else."""
        if record.__name__ in self.dialect.upgrades:
            raise exact.Odd
        return exact.record_of(exact.read(body, self._plan(element)), record)

    def _plan(self, element: Element) -> exact.Plan:
        if element.name not in self._plans:
            self._plans[element.name] = exact.Plan(_complex(element), self.service.namespace)
        return self._plans[element.name]

    def _validate(self, body: etree._Element, element: Element) -> None:
        """`tolerance = "strict"`: exactly what the WSDL says, order and namespaces included."""
        if not self._schema.validate(body) and not self._schema.validate(_collapsed(body, element)):
            error = self._schema.error_log.last_error
            raise MessageError(ErrorCode.FormationViolation, "not valid" if error is None else error.message)

    @cached_property
    def _schema(self) -> etree.XMLSchema:
        return self.service.schema()

    # Out.

    def write_call(self, payload: Request, action: str, manners: Manners = PLAIN) -> tuple[bytes, tuple[Loss, ...]]:
        """The request element of `action`. Raises MessageError for what SOAP, or this version of it, cannot carry."""
        return self._write(payload, self._operation(action).request, manners)

    def write_result(self, payload: Response, action: str, manners: Manners = PLAIN) -> tuple[bytes, tuple[Loss, ...]]:
        """The response element of `action`. Raises MessageError for what SOAP, or this version of it, cannot carry."""
        return self._write(payload, self._operation(action).response, manners)

    def _write(self, payload: Request | Response, element: Element, manners: Manners) -> tuple[bytes, tuple[Loss, ...]]:
        message = type(payload).__name__
        data, translated = self.dialect.downgrade(message, plain(payload))
        lost = [*translated]
        writing = Writing(_recorder(message, lost), fractions=manners.fractions)
        more = ""
        if manners.heartbeat_interval and isinstance(payload, BootNotificationResponse):
            more = _heartbeat_interval(payload, element)
        body = writing.body(self._form(element), data, self.service.namespace, more)
        return body, tuple(lost)

    def _form(self, element: Element) -> Form:
        if element.name not in self._forms:
            self._forms[element.name] = Form(element)
        return self._forms[element.name]


def boot_of(body: etree._Element) -> Boot | None:
    """What a Charge Point says of itself, if `body` is its BootNotification, whether or not that is valid."""
    if local_name(body) != "bootNotificationRequest":
        return None
    said = {local_name(child): text_of(child).strip() for child in children(body)}
    return Boot(**{field: said[name] for name, field in BOOT_FIELDS.items() if name in said})


def _collapsed(body: etree._Element, element: Element) -> etree._Element:
    """A copy without the blanks around numbers and times: XML Schema ignores them, libxml2 does not (quirk 37)."""
    copy = deepcopy(body)
    for node, kind in _simple(copy, _complex(element)):
        if kind.base != "string":
            node.text = (node.text or "").strip()
    return copy


def _simple(node: etree._Element, kind: ComplexType) -> Iterator[tuple[etree._Element, SimpleType]]:
    """The elements inside that hold one value of the WSDL, with their types."""
    for child in children(node):
        element = _elements(kind).get(local_name(child))
        if element is None:
            continue
        if isinstance(element.type, SimpleType):
            yield child, element.type
        else:
            yield from _simple(child, element.type)


def _heartbeat_interval(payload: BootNotificationResponse, element: Element) -> str:
    """Quirk 34: what OCPP 1.5 calls the interval, for Charge Points that never learnt the new name."""
    if "heartbeatInterval" in _elements(_complex(element)):
        return ""
    return f"<c:heartbeatInterval>{payload.interval}</c:heartbeatInterval>"


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
