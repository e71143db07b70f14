"""OCPP-S bodies: elements to Calls and answers, and back. Pure, driven by two tables: the WSDL (names, order, lists)
and the model's records. No line here knows a message; what an older version says differently is its Dialect's.

In: element -> plain data, by the WSDL (`forgiving`) -> dialect -> tolerance -> record. Out: record -> plain data ->
dialect -> element, in WSDL order (`markup`). What is just as the WSDL says takes the quick way: `exact` in, `straight`
out.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

from lxml import etree
from msgspec import Struct

from bridge.dialects.dialect import Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.losses import Loss
from bridge.ocpp.manners import BOOT_FIELDS, PLAIN, Boot, Manners
from bridge.ocpp.messages import BootNotificationResponse, Request, Response
from bridge.ocpp.rpc import Call, CallError, CallResult
from bridge.ocpp.shapes import plain, shape_of
from bridge.ocpp.tolerance import FROM_TEXT, mend
from bridge.ocpp.validation import record_of, refuse_losses
from bridge.ocpps import exact, forgiving, straight
from bridge.ocpps.envelope import Envelope, read_fault
from bridge.ocpps.exact import Odd
from bridge.ocpps.markup import Form, Lose, Writing
from bridge.ocpps.wsdl import ComplexType, Element, Operation, Service
from bridge.ocpps.xml import local_name, text_of

R = TypeVar("R", bound=Struct)


class Codec:
    """The codec of one service, in the version that `dialect` says. `write_*` give the element for a Body, and what was
    lost in making it."""

    def __init__(self, service: Service, dialect: Dialect = OCPP16) -> None:
        self.service = service
        self.dialect = dialect
        self._exact: dict[str, exact.Plan] = {}
        self._forgiving: dict[str, forgiving.Plan] = {}
        self._straight: dict[str, straight.Plan | None] = {}
        self._forms: dict[str, Form] = {}
        self._by_request = {op.request.name: op for op in service.operations.values()}
        self._by_tag: Mapping[Any, Operation] = {
            f"{{{service.namespace}}}{name}": op for name, op in self._by_request.items()
        }

    # In.

    def operation_of(self, body: etree._Element) -> Operation:
        """The operation whose request `body` is. Raises MessageError (NotImplemented)."""
        operation = self._by_tag.get(body.tag) or self._by_request.get(local_name(body))
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
        try:
            return self._read_exact(body, element, record), ()
        except Odd:
            return self._read_forgiving(body, element, record, known, manners, refuse=refuse)

    def _read_forgiving(
        self,
        body: etree._Element,
        element: Element,
        record: type[R],
        known: Known | None,
        manners: Manners,
        *,
        refuse: bool,
    ) -> tuple[R, tuple[Loss, ...]]:
        lost: list[Loss] = []
        data = forgiving.read(body, self._forgiving_plan(element), _recorder(record.__name__, lost))
        upgraded, translated = self.dialect.upgrade(record.__name__, data, known)
        mended, losses = mend(upgraded, shape_of(record), record.__name__, FROM_TEXT, manners)
        losses = (*lost, *translated, *losses)
        if refuse:
            refuse_losses(losses)
        return record_of(mended, record), losses

    def _read_exact(self, body: etree._Element, element: Element, record: type[R]) -> R:
        """What needs neither tolerance nor a rule of the Dialect. Raises Odd for anything else."""
        plan = self._exact.get(element.name)
        if plan is None:
            if record.__name__ in self.dialect.upgrades:
                raise Odd
            plan = self._exact[element.name] = exact.Plan(_complex(element), self.service.namespace)
        return exact.record_of(exact.read(body, plan), record)

    def _forgiving_plan(self, element: Element) -> forgiving.Plan:
        if element.name not in self._forgiving:
            self._forgiving[element.name] = forgiving.Plan(element)
        return self._forgiving[element.name]

    def _validate(self, body: etree._Element, element: Element) -> None:
        """`tolerance = "strict"`: exactly what the WSDL says, order and namespaces included."""
        if self._schema.validate(body):
            return
        if not self._schema.validate(forgiving.collapsed(body, self._forgiving_plan(element))):
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
        if manners.fractions and not manners.heartbeat_interval:
            try:
                return self._write_straight(payload, element), ()
            except Odd:
                pass
        return self._write_with_care(payload, element, manners)

    def _write_straight(self, payload: Request | Response, element: Element) -> bytes:
        """What needs neither an escape nor a rule of the Dialect. Raises Odd for anything else."""
        if element.name not in self._straight:
            self._straight[element.name] = self._straight_plan(type(payload), element)
        plan = self._straight[element.name]
        if plan is None:
            raise Odd
        return straight.write(payload, plan)

    def _straight_plan(self, record: type[Struct], element: Element) -> straight.Plan | None:
        if record.__name__ in self.dialect.downgrades:
            return None
        with suppress(Odd):
            return straight.Plan(element, record, self.service.namespace)
        return None

    def _write_with_care(
        self, payload: Request | Response, element: Element, manners: Manners
    ) -> tuple[bytes, tuple[Loss, ...]]:
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
    said: dict[str, str] = {}
    for child in body.iterchildren("*"):
        tag: Any = child.tag
        field = BOOT_FIELDS.get(tag.rpartition("}")[2])
        if field is not None:
            said[field] = text_of(child).strip()
    return Boot(**said)


def _heartbeat_interval(payload: BootNotificationResponse, element: Element) -> str:
    """Quirk 34: what OCPP 1.5 calls the interval, for Charge Points that never learnt the new name."""
    if any(field.name == "heartbeatInterval" for field in _complex(element).elements):
        return ""
    return f"<c:heartbeatInterval>{payload.interval}</c:heartbeatInterval>"


def _complex(element: Element) -> ComplexType:
    assert isinstance(element.type, ComplexType)
    return element.type


def _recorder(message: str, losses: list[Loss]) -> Lose:
    return lambda path, reason: losses.append(Loss(message=message, path=path, reason=reason))
