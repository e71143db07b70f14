"""The codec of OCPP-S bodies: elements to Calls and answers, and back. It does no I/O.

Two tables drive the codec: the WSDL (names, order, lists) and the model's records. No line here names a message, and
the Dialect of an older version holds its differences.

Reading: element -> plain data, by the WSDL (`forgiving`) -> dialect -> tolerance -> record. Writing: record -> plain
data -> dialect -> element, in WSDL order (`markup`). A body that is exactly as the WSDL says is read by `exact` and
written by `straight`, which are faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar

import msgspec
from lxml import etree
from msgspec import Struct

from bridge.dialects.dialect import Dialect
from bridge.dialects.known import Known
from bridge.dialects.versions import OCPP16
from bridge.errors import ErrorCode, MessageError
from bridge.ocpp import slices
from bridge.ocpp.actions import ACTIONS
from bridge.ocpp.device_profile import BOOT_FIELDS, PLAIN, Boot, DeviceProfile, Overlong
from bridge.ocpp.losses import FieldsLost, Loss, Losses, LossReason, merged
from bridge.ocpp.messages import BootNotificationResponse, Request, Response
from bridge.ocpp.readings import FIELDS
from bridge.ocpp.rpc import Call, CallError, CallResult, Verbatim
from bridge.ocpp.shapes import plain, shape_of
from bridge.ocpp.slices import PARTS
from bridge.ocpp.tolerance import ToleranceReading, absence_matters, accepted, mend
from bridge.ocpp.validation import refuse_losses
from bridge.ocpp.wire import Wires
from bridge.ocpps import exact, forgiving, straight, verbatim
from bridge.ocpps.envelope import PREFIX, Envelope, read_fault
from bridge.ocpps.exact import NotExact
from bridge.ocpps.markup import Lose, MarkupForm, Writing
from bridge.ocpps.wsdl import ComplexType, Element, Operation, Service
from bridge.ocpps.xml import local_name, namespace, text_of

R = TypeVar("R", bound=Struct)

# Returns whether an element inside has an attribute. In OCPP, only the meter values of 1.5 have attributes.
_has_attributes = etree.XPath("boolean(descendant-or-self::*/@*)")
_parts_in = etree.XPath("count(descendant::*)")


class Codec:
    """The codec of one service in one OCPP version.

    `write_call` and `write_result` return the element for a Body, and what could not be written in it.
    """

    def __init__(self, service: Service, dialect: Dialect = OCPP16) -> None:
        self.service = service
        self.dialect = dialect
        self._takes_commands = service.name == "ChargePointService"
        self._exact: dict[Any, exact.ExactPlan] = {}  # by the qualified name
        self._forgiving: dict[str, forgiving.ForgivingPlan] = {}
        self._forms: dict[str, MarkupForm] = {}
        self._by_request = {op.request.name: op for op in service.operations.values()}
        self._by_tag: Mapping[Any, Operation] = {
            f"{{{service.namespace}}}{name}": op for name, op in self._by_request.items()
        }

    # Reading.

    def operation_of(self, body: etree._Element) -> Operation:
        """Return the operation of the request `body`. Raises MessageError (NotImplemented)."""
        operation = self._by_tag.get(body.tag) or self._by_request.get(local_name(body))
        if operation is None:
            foreign = "" if self._is_own(body) else f" of the namespace {namespace(body)!r}"
            text = f"the {self.service.name} has no request <{local_name(body)}>{foreign}"
            raise MessageError(ErrorCode.NotImplemented, text)
        return operation

    def read_call(
        self,
        envelope: Envelope,
        unique_id: str,
        *,
        strict: bool,
        known: Known | None = None,
        profile: DeviceProfile = PLAIN,
        passes: bool = False,
        wires: Wires | None = None,
    ) -> Call:
        """Return the Call in an envelope.

        Args:
            envelope: The envelope of a request.
            unique_id: The UniqueId of the Call.
            strict: Refuse a request that is not valid by the WSDL, or that loses something.
            known: The values that an older version leaves out.
            profile: The settings for the Charge Point.
            passes: Whether the receiver speaks the same version: the body is passed on unchanged.
            wires: The octets of the message for the recorder, which the Call carries.

        Raises:
            MessageError: The body is no request of this service, or is refused.
        """
        operation = self.operation_of(envelope.body)
        record = ACTIONS[operation.name].request
        passes = passes and self._is_of_version(envelope.body)
        payload, losses = self._read(
            envelope.body, operation.request, record, strict, known, profile, refuse=strict, passes=passes
        )
        kept = self._kept(envelope.body, payload) if passes else None
        return Call(
            unique_id=unique_id, action=operation.name, payload=payload, losses=losses, verbatim=kept, wires=wires
        )

    def _is_own(self, body: etree._Element) -> bool:
        """Return whether `body` is in the namespace of this service, its trailing slash and letter case ignored."""
        return namespace(body).rstrip("/").lower() == self.service.namespace.rstrip("/").lower()

    def _is_senders(self, body: etree._Element) -> bool:
        """Return whether `body` is in the namespace of the sender's service, trailing slash and letter case ignored."""
        own = self.service.namespace.rstrip("/").lower()
        other = own.replace("/cs/", "/cp/") if "/cs/" in own else own.replace("/cp/", "/cs/")
        return namespace(body).rstrip("/").lower() == other

    def read_answer(
        self,
        envelope: Envelope,
        action: str,
        unique_id: str,
        *,
        strict: bool,
        known: Known | None = None,
        profile: DeviceProfile = PLAIN,
        passes: bool = False,
    ) -> CallResult | CallError:
        """Return the answer in an envelope.

        A valid answer that loses something is never refused, strict or not: the other party has carried out the Call.

        Args:
            envelope: The envelope of the answer.
            action: The action of the Call that is answered.
            unique_id: The UniqueId of that Call.
            strict: Refuse an answer that is not valid by the WSDL.
            known: The values that an older version leaves out.
            profile: The settings for the Charge Point.
            passes: Whether the sender of the Call speaks the same version: the body is passed on unchanged.

        Raises:
            MessageError: The body is neither the response of `action` nor a Fault, or is refused.
        """
        fault = read_fault(envelope.body)
        if fault is not None:
            return fault.as_error(unique_id)
        operation = self._operation(action)
        if local_name(envelope.body) != operation.response.name:
            text = f"<{local_name(envelope.body)}> does not answer {action}"
            raise MessageError(ErrorCode.FormationViolation, text)
        record = ACTIONS[action].response
        passes = passes and self._is_of_version(envelope.body)
        payload, losses = self._read(envelope.body, operation.response, record, strict, known, profile, passes=passes)
        kept = self._kept(envelope.body, payload) if passes else None
        return CallResult(unique_id=unique_id, payload=payload, losses=losses, verbatim=kept)

    def _kept(self, body: etree._Element, payload: Request | Response) -> Verbatim | None:
        return verbatim.kept(body, self.service.namespace, self.dialect.version, payload)

    def _is_in_namespace(self, body: etree._Element) -> bool:
        """Return whether `body` is in the exact namespace of the service."""
        return namespace(body) == self.service.namespace

    def _is_of_version(self, body: etree._Element) -> bool:
        """Return whether `body` is in a namespace of this version, its spelling aside. Any other is written anew."""
        return self._is_own(body) or self._is_senders(body)

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
        profile: DeviceProfile,
        *,
        refuse: bool = False,
        passes: bool = False,
    ) -> tuple[R, tuple[Loss, ...]]:
        if strict:
            self._validate(body, element)
        try:
            return self._read_exact(body, element, record), ()
        except NotExact:
            return self._read_forgiving(body, element, record, known, profile, refuse=refuse, passes=passes)

    def _read_forgiving(
        self,
        body: etree._Element,
        element: Element,
        record: type[R],
        known: Known | None,
        profile: DeviceProfile,
        *,
        refuse: bool,
        passes: bool,
    ) -> tuple[R, tuple[Loss, ...]]:
        if passes:  # texts of older versions may be longer than those of 1.6
            profile = msgspec.structs.replace(profile, overlong=Overlong.ANY)
        lost = FieldsLost(record.__name__)
        if issubclass(record, Request) and self._is_senders(body):
            lost("", LossReason.SENDERS_NAMESPACE)
        forgiving.lose_attributes(body, lost)
        data = forgiving.read(body, self._forgiving_plan(element, record), lost)
        upgraded, translated = self.dialect.upgrade(record.__name__, data, known)
        # A command that passes unchanged loses nothing, so no loss is a reason to refuse the command.
        command = self._takes_commands and issubclass(record, Request) and not passes
        reading = ToleranceReading(typed=False, command=command, profile=profile)
        mended, losses = mend(upgraded, shape_of(record), record.__name__, reading)
        if passes:
            translated, losses = verbatim.of_shape(translated), verbatim.of_tolerance(losses, element)
        losses = merged(lost.losses.all(), translated, losses)
        if refuse:
            refuse_losses(losses)
        try:
            return accepted(mended, record), losses
        finally:
            if _parts_in(body) > PARTS:
                for plain_data in (mended, upgraded, data):
                    slices.free(plain_data)

    def _read_exact(self, body: etree._Element, element: Element, record: type[R]) -> R:
        """Return the record of a body that needs neither tolerance nor a rule of the Dialect.

        Raises NotExact for any other body.
        """
        plan = self._exact.get(body.tag)
        if plan is None:
            if record.__name__ in self.dialect.upgrades or not self._is_in_namespace(body):
                raise NotExact
            plan = self._exact[body.tag] = exact.ExactPlan(_complex(element), self.service.namespace)
        if _has_attributes(body):
            raise NotExact
        if plan.names is None and _parts_in(body) > PARTS:
            return exact.record_of(exact.read(body, plan), record, slices.convert)
        return exact.record_of(exact.read(body, plan), record)

    def _forgiving_plan(self, element: Element, record: type[Struct]) -> forgiving.ForgivingPlan:
        plan = self._forgiving.get(element.name)
        if plan is None:
            if record.__name__ in FIELDS:
                plan = forgiving.with_meter_values(element)
            else:
                plan = forgiving.ForgivingPlan(element, nil_is_none=absence_matters(record.__name__))
            self._forgiving[element.name] = plan
        return plan

    def _validate(self, body: etree._Element, element: Element) -> None:
        """Raise MessageError unless `body` is valid by the WSDL, order and namespaces included."""
        if self._schema.validate(body):
            return
        if not self._schema.validate(forgiving.collapsed(body, forgiving.ForgivingPlan(element))):
            error = self._schema.error_log.last_error
            raise MessageError(ErrorCode.FormationViolation, "not valid" if error is None else error.message)

    @cached_property
    def _schema(self) -> etree.XMLSchema:
        return self.service.schema()

    # Writing.

    def write_call(
        self, payload: Request, action: str, profile: DeviceProfile = PLAIN, came: Verbatim | None = None
    ) -> tuple[bytes, tuple[Loss, ...]]:
        """Return the element of a request, and what could not be written in it.

        Args:
            payload: The request.
            action: Its action.
            profile: The settings for the Charge Point.
            came: The body as it was received; it is passed on if it is in this version.

        Raises:
            MessageError: SOAP, or this OCPP version, cannot carry the request.
        """
        return self._write(payload, self._operation(action).request, profile, came)

    def write_result(
        self, payload: Response, action: str, profile: DeviceProfile = PLAIN, came: Verbatim | None = None
    ) -> tuple[bytes, tuple[Loss, ...]]:
        """Return the element of a response, and what could not be written in it.

        Args:
            payload: The response.
            action: The action of the Call that is answered.
            profile: The settings for the Charge Point.
            came: The body as it was received; it is passed on if it is in this version.

        Raises:
            MessageError: SOAP, or this OCPP version, cannot carry the response.
        """
        return self._write(payload, self._operation(action).response, profile, came)

    def _write(
        self, payload: Request | Response, element: Element, profile: DeviceProfile, came: Verbatim | None
    ) -> tuple[bytes, tuple[Loss, ...]]:
        if came is not None and came.version == self.dialect.version:
            body = verbatim.written(came, payload, self.dialect)
            if body is not None:
                name = type(payload).__name__
                return (body, ()) if profile.fractions else verbatim.without_fractions(body, element, name)
        losses: tuple[Loss, ...] = ()
        try:
            if not profile.fractions or profile.heartbeat_interval:
                raise NotExact
            body = straight.write(payload, self._straight[element.name])
        except (KeyError, NotExact):
            body, losses = self._write_with_care(payload, element, profile)
        return (body if profile.prefix == PREFIX else _prefixed(body, profile.prefix)), losses

    @cached_property
    def _straight(self) -> Mapping[str, straight.StraightPlan]:
        """The plans of `straight` for the elements that need no rule of the Dialect, by the element's name."""
        plans: dict[str, straight.StraightPlan] = {}
        for operation in self.service.operations.values():
            action = ACTIONS[operation.name]
            for element, record in ((operation.request, action.request), (operation.response, action.response)):
                if record.__name__ not in self.dialect.downgrades:
                    with suppress(NotExact):
                        plans[element.name] = straight.StraightPlan(element, record, self.service.namespace)
        return plans

    def _write_with_care(
        self, payload: Request | Response, element: Element, profile: DeviceProfile
    ) -> tuple[bytes, tuple[Loss, ...]]:
        message = type(payload).__name__
        data, translated = self.dialect.downgrade(message, plain(payload))
        lost = Losses()
        writing = Writing(_recorder(message, lost), fractions=profile.fractions)
        more = ""
        if profile.heartbeat_interval and isinstance(payload, BootNotificationResponse):
            more = _heartbeat_interval(payload, element)
        body = writing.body(self._form(element), data, self.service.namespace, more)
        return body, merged(translated, lost.all())

    def _form(self, element: Element) -> MarkupForm:
        if element.name not in self._forms:
            self._forms[element.name] = MarkupForm(element)
        return self._forms[element.name]


def boot_of(body: etree._Element) -> Boot | None:
    """Return the vendor, model and so on from a BootNotification, valid or not; None if `body` is another message."""
    if local_name(body) != "bootNotificationRequest":
        return None
    said: dict[str, str] = {}
    for child in body.iterchildren("*"):
        tag: Any = child.tag
        field = BOOT_FIELDS.get(tag.rpartition("}")[2].lower())
        if field is not None:
            said[field] = text_of(child).strip()
    return Boot(**said)


def _prefixed(body: bytes, prefix: str) -> bytes:
    """Return an element that the codec wrote, with `prefix` for the OCPP namespace (quirk 90).

    To replace octets is safe: every "<" of a text is escaped, and the first element alone declares the namespace.
    """
    new = prefix.encode()
    body = body.replace(b"<c:", b"<%s:" % new).replace(b"</c:", b"</%s:" % new)
    return body.replace(b" xmlns:c=", b" xmlns:%s=" % new, 1)


def _heartbeat_interval(payload: BootNotificationResponse, element: Element) -> str:
    """Return the interval under its name of OCPP 1.5, for Charge Points that read only that name (quirk 34)."""
    if any(field.name == "heartbeatInterval" for field in _complex(element).elements):
        return ""
    return f"<c:heartbeatInterval>{payload.interval}</c:heartbeatInterval>"


def _complex(element: Element) -> ComplexType:
    assert isinstance(element.type, ComplexType)
    return element.type


def _recorder(message: str, losses: Losses) -> Lose:
    return lambda path, reason: losses.add(message, path, reason)
