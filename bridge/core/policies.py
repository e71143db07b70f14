"""Policies: what the operator has decided about single actions (design/central-systems.md M5).

A policy takes the Calls of one action that one party sends. It answers them in their receiver's place, refuses them,
drops an optional field of them, or delays them. The first policy that matches applies; a Call has one policy at most.
The Session carries a policy out (rule 27), after tolerance and before repetitions and lanes.

This module is pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import translate
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from bridge.errors import ErrorCode, MessageError
from bridge.ocpp.actions import ACTIONS, Party
from bridge.ocpp.losses import Loss, LossReason
from bridge.ocpp.messages import Request, Response
from bridge.ocpp.rpc import Call, CallError, CallResult, UnopenedRequest
from bridge.ocpp.shapes import shape_of
from bridge.ocpp.tenants import DEFAULT, identity_of, tenant_of
from bridge.ocpp.validation import message_error

# The field of an answer that tells the time. The bridge writes it when it answers.
_TIME = "currentTime"
_SOME_TIME = "1970-01-01T00:00:00Z"
_REFUSED = "a policy of the gateway refuses this message"
_members, _items = msgspec.json.Decoder(dict[str, Raw]), msgspec.json.Decoder(list[Raw])


class Treatment(StrEnum):
    """The treatment of a Call by a policy."""

    ANSWER = "answer"
    REFUSE = "refuse"
    DROP_FIELD = "drop_field"
    DELAY = "delay"


_REASONS = {
    Treatment.ANSWER: LossReason.POLICY_ANSWERS,
    Treatment.REFUSE: LossReason.POLICY_REFUSES,
    Treatment.DROP_FIELD: LossReason.POLICY_DROPS,
    Treatment.DELAY: LossReason.POLICY_DELAYS,
}


class PolicyRule(Struct, frozen=True, kw_only=True):
    """A policy. docs/policies.md describes each setting.

    Attributes:
        charge_point: A glob for identities.
        sender: The party whose Calls the policy takes.
        central_system: The name of the Central System at the other end, "" for any.
        tenant: The tenant that the policy is for, None for all.
        action: The action, as OCPP spells it.
        do: What is done with a Call.
        answer: The answer in the receiver's place, for ANSWER.
        code: The error code, for REFUSE.
        field: The names that lead to the field, for DROP_FIELD.
        seconds: The length of the delay, for DELAY.
    """

    charge_point: str
    sender: Party
    central_system: str
    action: str
    do: Treatment
    answer: Response | None = None
    code: ErrorCode = ErrorCode.NotSupported
    field: tuple[str, ...] = ()
    seconds: float = 0.0
    tenant: str | None = DEFAULT

    @property
    def passes(self) -> bool:
        """Return whether the receiver gets the Call, changed or later."""
        return self.do in (Treatment.DROP_FIELD, Treatment.DELAY)

    def applied(self, call: Call) -> Call:
        """Return `call` with the Loss of the policy, and without the field that the policy drops.

        A Call that lacks the field is returned as it is.
        """
        payload, path, count = call.payload, "", 1
        if self.do is Treatment.DROP_FIELD:
            payload, places = without(payload, self.field)
            if not places:
                return call
            path, count = places[0], len(places)
        loss = Loss(message=f"{call.action}Request", path=path, reason=_REASONS[self.do], count=count)
        return structs.replace(call, payload=payload, losses=(*call.losses, loss))

    def reply(self) -> CallResult | CallError | None:
        """Return the answer to a Call that is not passed on, under no UniqueId; None if the Call is passed on."""
        if self.answer is not None:
            return CallResult(unique_id="", payload=self.answer)
        if self.do is Treatment.REFUSE:
            return CallError(unique_id="", code=self.code.value, description=_REFUSED)
        return None

    def told_at(self, now: str) -> PolicyRule:
        """Return the policy with the time `now` in its answer, if its answer tells the time."""
        if self.answer is None or not hasattr(self.answer, _TIME):
            return self
        return structs.replace(self, answer=structs.replace(self.answer, **{_TIME: now}))


# The policies of one Charge Point with one Central System, by the sender and the action.
Policies = Mapping[tuple[Party, str], PolicyRule]
NO_POLICIES: Policies = MappingProxyType({})


class PolicyTable:
    """All policies, in their order.

    Args:
        rules: The policies. The letter case of identities does not count.
    """

    def __init__(self, rules: Sequence[PolicyRule] = ()) -> None:
        self._rules = [(re.compile(translate(rule.charge_point.casefold())), rule) for rule in rules]
        # Most Charge Points have the same policies, and share one mapping.
        self._compiled: dict[tuple[int, ...], Policies] = {(): NO_POLICIES}

    def of(self, identity: str, central_system: str) -> Policies:
        """Return the policies of a Charge Point with a Central System: for each sender and action the first one.

        Args:
            identity: The key of the Charge Point.
            central_system: The name of the Central System.
        """
        folded = identity.casefold()
        tenant, name = tenant_of(folded), identity_of(folded)
        matching = tuple(
            index
            for index, (pattern, rule) in enumerate(self._rules)
            if rule.central_system in ("", central_system) and rule.tenant in (None, tenant) and pattern.match(name)
        )
        known = self._compiled.get(matching)
        if known is None:
            found: dict[tuple[Party, str], PolicyRule] = {}
            for index in matching:
                rule = self._rules[index][1]
                found.setdefault((rule.sender, rule.action), rule)
            known = self._compiled[matching] = MappingProxyType(found)
        return known


def answer_of(action: str, data: Mapping[str, Any]) -> Response:
    """Return the answer to `action` that `data` describes.

    Args:
        action: The name of an action of OCPP 1.6.
        data: The payload as plain data. The time in the answer to a Heartbeat or BootNotification is not part of it.

    Raises:
        MessageError: The answer is not valid, with the path of the fault and the reason.
    """
    record = ACTIONS[action].response
    if _TIME in record.__struct_fields__:
        if _TIME in data:
            raise MessageError(ErrorCode.PropertyConstraintViolation, "is always the present time: leave it out", _TIME)
        data = {**data, _TIME: _SOME_TIME}
    try:
        return msgspec.json.decode(msgspec.json.encode(data), type=record)
    except msgspec.ValidationError as error:
        raise message_error(error) from error
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MessageError(ErrorCode.FormationViolation, f"JSON cannot hold it: {error}") from error


def path_of_field(action: str, field: str) -> tuple[str, ...]:
    """Return the names in `field`, the path of an optional field in the request of `action`.

    Args:
        action: The name of an action of OCPP 1.6.
        field: Names with dots between them. A list in the path stands for each of its items.

    Raises:
        ValueError: There is no such field, or OCPP requires it. The text is for the operator.
    """
    names, shape = field.split("."), shape_of(ACTIONS[action].request)
    for number, name in enumerate(names, start=1):
        found = shape.fields.get(name)
        if found is None:
            known = ", ".join(shape.fields) or "none"
            raise ValueError(f"{shape.name} has no field {name}, its fields are: {known}")
        if number == len(names):
            if found.required:
                raise ValueError(f"{shape.name} requires the field {name}: only an optional field can be dropped")
        elif found.shape is None:
            raise ValueError(f"the field {name} of {shape.name} has no fields inside")
        else:
            shape = found.shape
    return tuple(names)


def without(payload: Request, names: Sequence[str]) -> tuple[Request, list[str]]:
    """Return a request without a field, and the places where the field was, such as `meterValue[0].timestamp`.

    A payload that passes unread between two JSON parties is written anew only around the field. A payload that is not
    valid there is returned as it is.

    Args:
        payload: The request.
        names: The names that lead to the field.
    """
    places: list[str] = []
    if not isinstance(payload, UnopenedRequest):
        return _without(payload, names, "", places), places
    raw = _raw_without(payload.raw, names, "", places)
    read = None if payload.read is None else _without(payload.read, names, "", [])
    return (structs.replace(payload, raw=raw, read=read) if places else payload), places


def _without(record: Any, names: Sequence[str], above: str, places: list[str]) -> Any:
    name, *rest = names
    inside = getattr(record, name)
    if inside is None:
        return record
    here = above + name
    if not rest:
        places.append(here)
        return structs.replace(record, **{name: None})
    if isinstance(inside, tuple):
        changed: Any = tuple([_without(item, rest, f"{here}[{index}].", places) for index, item in enumerate(inside)])
    else:
        changed = _without(inside, rest, f"{here}.", places)
    return structs.replace(record, **{name: changed})


def _raw_without(raw: Raw, names: Sequence[str], above: str, places: list[str]) -> Raw:
    try:
        members = _members.decode(raw)
    except msgspec.MsgspecError:
        return raw
    name, *rest = names
    if name not in members:
        return raw
    here, before = above + name, len(places)
    if not rest:
        places.append(here)
        del members[name]
    else:
        inside = members[name]
        if bytes(inside)[:1] == b"[":
            items = _items.decode(inside)
            changed = [_raw_without(item, rest, f"{here}[{index}].", places) for index, item in enumerate(items)]
            members[name] = Raw(msgspec.json.encode(changed))
        else:
            members[name] = _raw_without(inside, rest, f"{here}.", places)
    return Raw(msgspec.json.encode(members)) if len(places) > before else raw
